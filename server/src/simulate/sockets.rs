//! The socket table of a host: what Windows and its programs listen on, the DNS server's pool, and ports that come and
//! go. Programs and the pool take their ports in the order in which they started, which is where services lose them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chrono::{DateTime, TimeDelta, Utc};
use rand::SeedableRng as _;
use rules::facts::{Socket, SocketState};
use rules::ports::{Family, Port, Protocol};
use rules::text::Text;

use super::host::{Moment, Role, as_i64};
use super::knowledge::App;

/// Ports of the DNS server's pool.
const POOL: usize = 2500;

/// UDP ports of Windows itself in the widest range: bound before the DNS server starts.
const OF_WINDOWS: [u16; 3] = [3389, 4500, 5355];

pub(super) const SVCHOST: &str = r"C:\Windows\System32\svchost.exe";
const LSASS: &str = r"C:\Windows\System32\lsass.exe";
const KERNEL: &str = "System";

/// What became of a program since the boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Its turn has not come.
    NotYet,
    Running {
        pid: u32,
        since: DateTime<Utc>,
    },
    Stopped {
        exit_code: u32,
        since: DateTime<Utc>,
    },
}

/// The exit code of a service whose process ended unexpectedly.
pub(super) const CRASHED: u32 = 1067;
/// WSAEADDRINUSE.
pub(super) const PORT_IN_USE: u32 = 10_048;

/// Programs of a host and their ports at a moment.
#[derive(Debug)]
pub(super) struct Table {
    /// By index of the knowledge.
    pub(super) apps: BTreeMap<usize, State>,
    pool: BTreeSet<u16>,
    /// Those that started after the DNS server, which may have taken their ports.
    late: Vec<usize>,
}

impl Table {
    pub(super) fn of(moment: &Moment<'_>) -> Self {
        let mut apps: BTreeMap<usize, State> =
            moment.host.apps().map(|(index, app)| (index, state(moment, index, app))).collect();
        let dns = moment.host.apps().find(|(_, app)| app.service == *"DNS").map(|(index, _)| index);
        let Some(State::Running { since: dns_since, .. }) = dns.and_then(|dns| apps.get(&dns).copied()) else {
            return Self { apps, pool: BTreeSet::new(), late: Vec::new() };
        };
        let (late, early): (Vec<_>, Vec<_>) = moment
            .host
            .apps()
            .filter(|(_, app)| app.races())
            .filter_map(|(index, app)| match apps[&index] {
                State::Running { since, .. } => Some((since, index, app)),
                _ => None,
            })
            .partition(|(since, ..)| *since >= dns_since);
        let bound = early.iter().flat_map(|(_, _, app)| udp(app)).chain(OF_WINDOWS).collect();
        let pool = draw(moment, dns_since, &bound);
        for (since, index, app) in &late {
            if udp(app).any(|port| pool.contains(&port)) {
                let since = *since + TimeDelta::seconds(1);
                apps.insert(*index, State::Stopped { exit_code: PORT_IN_USE, since });
            }
        }
        Self { apps, pool, late: late.into_iter().map(|(_, index, _)| index).collect() }
    }

    /// That at least one of those that started after the DNS server lost a port to its pool.
    pub(super) fn odds_of_a_loss(&self, moment: &Moment<'_>) -> f64 {
        if self.pool.is_empty() {
            return 0.0;
        }
        let (start, end) = moment.host.dynamic_range();
        let in_range = |port: &u16| (start..=end).contains(port);
        let late = moment.host.apps().filter(|(index, _)| self.late.contains(index));
        let wanted = late.flat_map(|(_, app)| udp(app)).filter(in_range).count();
        let taken = OF_WINDOWS.iter().filter(|port| in_range(port)).count();
        let free = f64::from(end - start) + 1.0 - as_f64(taken);
        let pool = as_f64(POOL);
        1.0 - (0..wanted).map(as_f64).map(|index| (free - pool - index) / (free - index)).product::<f64>()
    }

    pub(super) fn sockets(&self, moment: &Moment<'_>) -> Vec<Socket> {
        let mut sockets = Vec::new();
        of_windows(moment, &mut sockets);
        self.of_apps(moment, &mut sockets);
        self.come_and_go(moment, &mut sockets);
        sockets
    }

    fn of_apps(&self, moment: &Moment<'_>, sockets: &mut Vec<Socket>) {
        for (index, app) in moment.host.apps() {
            let State::Running { pid, since } = self.apps[&index] else { continue };
            let bound_at = since + TimeDelta::seconds(2);
            if bound_at > moment.time {
                continue;
            }
            let is_kernel = app.image.as_deref() == Some(KERNEL);
            let owner = Owner {
                pid: if is_kernel { 4 } else { pid },
                image: app.image.clone(),
                services: if is_kernel { Vec::new() } else { vec![app.service.clone()] },
                started_at: if is_kernel { moment.booted_at } else { since },
            };
            for &port in &app.ports {
                for &family in moment.host.families() {
                    sockets.push(owner.holds(port, family, bound_at, Wish::This));
                }
            }
            if app.service == *"DNS" {
                for &number in &self.pool {
                    let port = Port { protocol: Protocol::Udp, number };
                    sockets.push(owner.holds(port, Family::Ipv4, bound_at, Wish::Any));
                }
            }
        }
    }

    /// Fills up to the size of the role with ports of Windows' services, of which some live for minutes only. Each slot
    /// draws from a range of its own, so that no two hold one port.
    fn come_and_go(&self, moment: &Moment<'_>, sockets: &mut Vec<Socket>) {
        let (size, churning): (usize, u64) = match moment.host.role() {
            Role::Small => (300, 10),
            Role::Application => (600, 20),
            Role::Dns => (2900, 20),
        };
        let pooled = if moment.host.role() == Role::Dns { POOL - self.pool.len() } else { 0 };
        let slots = size.saturating_sub(sockets.len() + pooled);
        let (start, end) = moment.host.dynamic_range();
        let width = (u32::from(end - start) + 1) / u32::try_from(slots.max(1)).unwrap_or(1);
        let fixed = sockets.iter().map(|socket| (socket.protocol, socket.port));
        let apps = moment.host.apps().flat_map(|(_, app)| app.ports.iter().map(|port| (port.protocol, port.number)));
        let taken: BTreeSet<(Protocol, u16)> = fixed.chain(apps).collect();
        let owners: Vec<_> = super::services::running_from_boot(moment).collect();
        for slot in 0..slots {
            let chance = moment.chance.of("slot").at(as_i64(slot));
            let (service, pid, started_at) =
                &owners[usize::try_from(chance.of("owner").below(owners.len() as u64)).unwrap_or_default()];
            let first = *started_at + TimeDelta::seconds(chance.of("first").between(1, 600));
            let life = chance.of("life").between(120, 1800);
            let lives = (moment.time - first).num_seconds().div_euclid(life);
            let is_churning = chance.of("churn").happens(churning);
            if moment.time < first {
                continue;
            }
            let life_number = if is_churning { lives } else { 0 };
            let bound_at = first + TimeDelta::seconds(life_number * life);
            let protocol = if chance.of("protocol").happens(if is_churning { 90 } else { 40 }) {
                Protocol::Udp
            } else {
                Protocol::Tcp
            };
            let lowest = u32::from(start) + u32::try_from(slot).unwrap_or_default() * width;
            let drawn = u32::try_from(chance.of("port").at(life_number).below(width.into())).unwrap_or_default();
            let number = (0..width)
                .filter_map(|step| u16::try_from(lowest + (drawn + step) % width).ok())
                .find(|number| !taken.contains(&(protocol, *number)));
            let Some(number) = number else { continue };
            let owner = Owner {
                pid: *pid,
                image: Some(SVCHOST.into()),
                services: vec![service.clone()],
                started_at: *started_at,
            };
            let families = moment.host.families();
            let family = families[slot % families.len()];
            sockets.push(owner.holds(Port { protocol, number }, family, bound_at, Wish::Any));
        }
    }
}

/// What a program asked for when it bound a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    This,
    Any,
}

struct Owner {
    pid: u32,
    image: Option<Text>,
    services: Vec<Text>,
    started_at: DateTime<Utc>,
}

impl Owner {
    fn holds(&self, port: Port, family: Family, bound_at: DateTime<Utc>, wish: Wish) -> Socket {
        Socket {
            protocol: port.protocol,
            address: match family {
                Family::Ipv4 => IpAddr::from(Ipv4Addr::UNSPECIFIED),
                Family::Ipv6 => IpAddr::from(Ipv6Addr::UNSPECIFIED),
            },
            scope: 0,
            port: port.number,
            state: if port.protocol == Protocol::Tcp { SocketState::Listen } else { SocketState::Bound },
            pid: Some(self.pid),
            image: self.image.clone(),
            process_started_at: Some(self.started_at),
            services: self.services.clone(),
            specific_port: Some(wish == Wish::This),
            bound_at: Some(bound_at),
        }
    }
}

fn of_windows(moment: &Moment<'_>, sockets: &mut Vec<Socket>) {
    for process in &moment.host.known_system().scene.processes {
        let bound_at = moment.after_boot(process.bound.unwrap_or(process.started + 2));
        if bound_at > moment.time {
            continue;
        }
        let owner = Owner {
            pid: process.pid,
            image: Some(process.image.clone()),
            services: process.services.iter().map(|name| Text::from(name.as_str())).collect(),
            started_at: moment.after_boot(process.started),
        };
        for &port in &process.holds {
            sockets
                .extend(moment.host.families().iter().map(|&family| owner.holds(port, family, bound_at, Wish::This)));
        }
        sockets.extend(process.holds_ipv4.iter().map(|&port| owner.holds(port, Family::Ipv4, bound_at, Wish::This)));
    }
}

/// What a program does by itself, whoever has its ports: some crash now and then, and are started again.
fn state(moment: &Moment<'_>, index: usize, app: &App) -> State {
    if app.image.as_deref() == Some(LSASS) {
        let lsass = moment.host.known_system().scene.processes.iter().find(|process| process.image == *LSASS);
        let (pid, started) = lsass.map_or((684, 5), |process| (process.pid, process.started));
        let since = moment.after_boot(started + 1);
        return if since <= moment.time { State::Running { pid, since } } else { State::NotYet };
    }
    let chance = moment.chance.of("app").at(as_i64(index));
    let first = started_at(moment, index);
    if first > moment.time {
        return State::NotYet;
    }
    let pid = |start: usize| {
        let drawn = chance.of("pid").at(as_i64(start)).below(41);
        u32::try_from(3400 + 4 * (41 * index as u64 + drawn)).unwrap_or(u32::MAX)
    };
    let crashes = crashes(moment, index, app);
    let Some(&crashed_at) = crashes.last() else { return State::Running { pid: pid(0), since: first } };
    let away = chance.of("away").at(as_i64(crashes.len())).between(60, 2400);
    let back_at = crashed_at + TimeDelta::seconds(away);
    if moment.time < back_at {
        State::Stopped { exit_code: CRASHED, since: crashed_at }
    } else {
        State::Running { pid: pid(crashes.len()), since: back_at }
    }
}

/// When a program crashed since the boot: a few do, every day or two.
pub(super) fn crashes(moment: &Moment<'_>, index: usize, app: &App) -> Vec<DateTime<Utc>> {
    let host = moment.host.chance.of("flaky").at(as_i64(index));
    if app.image.as_deref() == Some(LSASS) || !host.happens(6) {
        return Vec::new();
    }
    let every = TimeDelta::seconds(host.of("every").between(20 * 3600, 60 * 3600));
    let first = started_at(moment, index) + every;
    std::iter::successors(Some(first), |crash| Some(*crash + every)).take_while(|crash| *crash <= moment.time).collect()
}

fn started_at(moment: &Moment<'_>, index: usize) -> DateTime<Utc> {
    moment.after_boot(moment.chance.of("app").at(as_i64(index)).of("start").between(10, 60))
}

/// The pool that the DNS server drew when it started: never a port that is bound already.
fn draw(moment: &Moment<'_>, dns_since: DateTime<Utc>, bound: &BTreeSet<u16>) -> BTreeSet<u16> {
    let (start, end) = moment.host.dynamic_range();
    let free: Vec<u16> = (start..=end).filter(|port| !bound.contains(port)).collect();
    let seed = moment.chance.of("pool").at(dns_since.timestamp()).number();
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    rand::seq::index::sample(&mut random, free.len(), POOL.min(free.len()))
        .into_iter()
        .map(|index| free[index])
        .collect()
}

fn udp(app: &App) -> impl Iterator<Item = u16> {
    app.ports.iter().filter(|port| port.protocol == Protocol::Udp).map(|port| port.number)
}

fn as_f64(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
