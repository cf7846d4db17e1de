//! Entries of the ledger out of sockets, services and events.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use rules::catalog::Catalog;
use rules::events::{ServiceNews, is_from, service_news};
use rules::facts::{Event, Facts, OsGeneration, Service, ServiceState, Socket, SocketState};
use rules::ports::{Family, Port, PortRange, Protocol};
use rules::socket_key::{SocketKey, protocol_number};
use rules::text::Text;
use sha2::{Digest, Sha256};

use crate::ingest::ledger::{Basis, Boot, Entry, Extent, Gone, Kind, Ports};
use crate::ingest::state::HostState;

/// A process that holds so many ports of one protocol and family, none of which a service is known to need, holds a pool:
/// one line of the ledger.
const POOL_FROM: usize = 100;

/// ERROR_SERVICE_NEVER_STARTED: not since the boot.
const NEVER_STARTED: u32 = 1077;

/// Binds of fixed ports, one by one, and pools.
pub(super) fn of_sockets(
    extent: Extent,
    state: &HostState,
    new: &[(SocketKey, Socket)],
    catalog: &Catalog,
    boot: Boot,
) -> Vec<Entry> {
    let facts = state.facts();
    let (Some(all), Some(with_keys)) = (facts.sockets.known(), state.sockets()) else { return Vec::new() };
    if extent == Extent::Changed && new.is_empty() {
        return Vec::new();
    }
    let ranges = DrawnRanges::of(facts);
    let is_claimed = |socket: &Socket| catalog.claims_on(socket.local_port()).next().is_some();
    let pools = pools(all, is_claimed);
    let bind = |key: SocketKey, socket: &Socket| {
        let is_kept = socket.state != SocketState::Connected
            && (is_claimed(socket) || (ranges.is_fixed(socket) && !pools.contains_key(&Owner::of(socket))));
        is_kept.then(|| bound(key, socket, boot))
    };
    let mut entries: Vec<Entry> = match extent {
        Extent::Whole => with_keys.filter_map(|(key, socket)| bind(key, socket)).collect(),
        Extent::Changed => new.iter().filter_map(|(key, socket)| bind(*key, socket)).collect(),
    };
    let changed: BTreeSet<Owner> = new.iter().map(|(_, socket)| Owner::of(socket)).collect();
    let is_told = |owner: &Owner| extent == Extent::Whole || changed.contains(owner);
    entries.extend(pools.iter().filter(|(owner, _)| is_told(owner)).filter_map(|(_, sockets)| pool(sockets, boot)));
    entries
}

/// Whose ports of one protocol and family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Owner {
    protocol: Protocol,
    is_ipv4: bool,
    pid: Option<u32>,
}

impl Owner {
    fn of(socket: &Socket) -> Self {
        Self { protocol: socket.protocol, is_ipv4: socket.address.is_ipv4(), pid: socket.pid }
    }
}

fn pools(all: &[Socket], is_claimed: impl Fn(&Socket) -> bool) -> BTreeMap<Owner, Vec<&Socket>> {
    let mut by_owner: BTreeMap<Owner, Vec<&Socket>> = BTreeMap::new();
    let can_be = |socket: &&Socket| socket.pid.is_some() && socket.state != SocketState::Connected;
    for socket in all.iter().filter(can_be) {
        by_owner.entry(Owner::of(socket)).or_default().push(socket);
    }
    by_owner.retain(|_, sockets| {
        sockets.len() >= POOL_FROM && {
            sockets.retain(|socket| !is_claimed(socket));
            sockets.len() >= POOL_FROM
        }
    });
    by_owner
}

fn pool(sockets: &[&Socket], boot: Boot) -> Option<Entry> {
    let first = *sockets.iter().min_by_key(|socket| (socket.bound_at, socket.port))?;
    let numbers: BTreeSet<u16> = sockets.iter().map(|socket| socket.port).collect();
    let earliest = boot.credible(sockets.iter().filter_map(|socket| socket.bound_at).min());
    let mut key = Key::new(Kind::Pool);
    key.byte(protocol_number(first.protocol));
    key.byte(u8::from(first.address.is_ipv4()));
    key.number(first.pid.map(i64::from));
    key.time(first.process_started_at);
    Some(Entry {
        ports: Some(Ports {
            protocol: first.protocol,
            address: first.address,
            first: *numbers.first()?,
            last: *numbers.last()?,
            count: u16::try_from(numbers.len()).unwrap_or(u16::MAX),
            socket: None,
        }),
        pid: first.pid,
        image: first.image.clone(),
        services: first.services.clone(),
        ..entry(key, Kind::Pool, earliest.map(|at| (at, Basis::BindTime)), boot)
    })
}

/// The entry of a socket that is gone. `None`: one of its kind stands in no ledger.
pub(super) fn gone(socket_key: SocketKey, socket: &Socket) -> Option<Gone> {
    (socket.state != SocketState::Connected).then(|| Gone { entry: bind_key(socket).finish(), socket: socket_key })
}

fn bind_key(socket: &Socket) -> Key {
    let mut key = Key::new(Kind::Bound);
    key.byte(protocol_number(socket.protocol));
    key.text(&socket.address.to_string());
    key.number(Some(i64::from(socket.scope)));
    key.number(Some(i64::from(socket.port)));
    key.number(socket.pid.map(i64::from));
    key.time(socket.bound_at.or(socket.process_started_at));
    key
}

fn bound(socket_key: SocketKey, socket: &Socket, boot: Boot) -> Entry {
    Entry {
        ports: Some(Ports {
            protocol: socket.protocol,
            address: socket.address,
            first: socket.port,
            last: socket.port,
            count: 1,
            socket: Some(socket_key),
        }),
        pid: socket.pid,
        image: socket.image.clone(),
        services: socket.services.clone(),
        ..entry(bind_key(socket), Kind::Bound, boot.credible(socket.bound_at).map(|at| (at, Basis::BindTime)), boot)
    }
}

/// Where the system draws ports from, as far as it says; else as its generation does by default.
struct DrawnRanges(Vec<(Protocol, Family, PortRange)>);

impl DrawnRanges {
    fn of(facts: &Facts) -> Self {
        let generation = facts.host.known().map_or(OsGeneration::Other, |host| host.os.generation());
        let policy = facts.port_policy.known();
        let told = policy.and_then(|policy| policy.dynamic_ranges.known()).filter(|ranges| !ranges.is_empty());
        if let Some(told) = told {
            return Self(told.iter().map(|drawn| (drawn.protocol, drawn.family, drawn.range)).collect());
        }
        let (start, end) = if generation <= OsGeneration::Server2003 {
            let top = policy.and_then(|policy| *policy.max_user_port.known()?).unwrap_or(5000);
            (1025, u16::try_from(top).unwrap_or(u16::MAX))
        } else {
            (49152, u16::MAX)
        };
        let both = |protocol| [Family::Ipv4, Family::Ipv6].map(|family| (protocol, family));
        let range = PortRange::new(start, end).unwrap_or(PortRange::single(end));
        let all = [both(Protocol::Tcp), both(Protocol::Udp)].concat();
        Self(all.into_iter().map(|(protocol, family)| (protocol, family, range)).collect())
    }

    /// A port that its owner chose, as far as can be told.
    fn is_fixed(&self, socket: &Socket) -> bool {
        let is_drawn = self.0.iter().any(|(protocol, family, range)| {
            *protocol == socket.protocol && *family == socket.family() && range.contains(socket.port)
        });
        match (socket.protocol, socket.specific_port) {
            (Protocol::Udp, Some(is_specific)) => is_specific,
            _ => !is_drawn,
        }
    }
}

/// Whether the system may hand out `port`, in any address family.
pub(super) fn is_drawn(port: Port, facts: &Facts) -> bool {
    let ranges = DrawnRanges::of(facts).0;
    ranges.iter().any(|(protocol, _, range)| *protocol == port.protocol && range.contains(port.number))
}

pub(super) fn of_services<'a>(
    extent: Extent,
    facts: &'a Facts,
    set: &'a [Service],
    boot: Boot,
) -> impl Iterator<Item = Entry> {
    let services = match extent {
        Extent::Whole => facts.services.known().map(Vec::as_slice).unwrap_or_default(),
        Extent::Changed => set,
    };
    services.iter().filter_map(move |service| of_service(extent, service, boot))
}

fn of_service(extent: Extent, service: &Service, boot: Boot) -> Option<Entry> {
    let since = boot.credible(service.state_since);
    let kind = match (service.state, service.exit_code) {
        (ServiceState::Running, _) => Kind::Runs,
        (ServiceState::Stopped, Some(NEVER_STARTED)) => return None,
        (ServiceState::Stopped, Some(code)) if code != 0 => Kind::Failed,
        // One that was found stopped may have had nothing to do since the boot.
        (ServiceState::Stopped, _) if since.is_some() || extent == Extent::Changed => Kind::Stopped,
        _ => return None,
    };
    let mut key = Key::new(kind);
    key.text(&service.name.to_lowercase());
    match service.state_since {
        Some(since) => key.time(Some(since)),
        None => key.number(service.pid.map(i64::from)),
    }
    let codes = (kind == Kind::Failed).then_some((service.exit_code, service.service_exit_code));
    let (exit_code, service_exit_code) = codes.unwrap_or_default();
    key.number(exit_code.map(i64::from));
    key.number(service_exit_code.map(i64::from));
    Some(Entry {
        pid: service.pid,
        services: vec![service.name.clone()],
        exit_code,
        service_exit_code,
        ..entry(key, kind, since.map(|at| (at, Basis::Watched)), boot)
    })
}

/// `None`: the event tells of nothing that belongs into the ledger.
pub(super) fn of_event(event: &Event, boot: Boot) -> Option<Entry> {
    let news = event.service.as_ref().and_then(|_| service_news(event));
    let (kind, exit_code) = match news {
        Some(ServiceNews::Runs) => (Kind::Runs, None),
        Some(ServiceNews::Stopped) => (Kind::Stopped, None),
        Some(ServiceNews::Failed(code)) => (Kind::Failed, code),
        None if is_of_note(event) => (Kind::Noted, None),
        None => return None,
    };
    let mut key = Key::new(kind);
    key.text(&event.log);
    key.number(i64::try_from(event.record_id).ok());
    key.number(Some(i64::from(event.id)));
    Some(Entry {
        services: event.service.iter().cloned().collect::<Vec<Text>>(),
        exit_code,
        event: Some((event.log.clone(), event.record_id)),
        ..entry(key, kind, event.at.map(|at| (at, Basis::Event)), boot)
    })
}

/// Failed binds, used up ports, and how the boot began and ends.
fn is_of_note(event: &Event) -> bool {
    let is = |provider: &str, ids: &[u32]| ids.contains(&event.id) && is_from(event, provider);
    is("HttpEvent", &[15005])
        || is("DNS-Server-Service", &[404, 407, 408, 411])
        || is("DNS", &[404, 407, 408, 411])
        || is("Tcpip", &[4227, 4231, 4266])
        || is("Kernel-General", &[12, 13])
        || is("EventLog", &[6006, 6008])
        || is("User32", &[1074])
}

/// An entry of a time that is known, or else of when it was seen.
fn entry(key: Key, kind: Kind, time: Option<(DateTime<Utc>, Basis)>, boot: Boot) -> Entry {
    let (at, basis) = time.unwrap_or((boot.seen_at, Basis::Seen));
    Entry {
        key: key.finish(),
        kind,
        basis,
        at,
        ports: None,
        pid: None,
        image: None,
        services: Vec::new(),
        exit_code: None,
        service_exit_code: None,
        event: None,
    }
}

/// The first 64 bits of a SHA-256 over fields with their lengths. It is stored: its fields never change.
struct Key(Sha256);

impl Key {
    fn new(kind: Kind) -> Self {
        let mut key = Self(Sha256::new());
        key.byte(kind as u8);
        key
    }

    fn byte(&mut self, byte: u8) {
        self.0.update([byte]);
    }

    fn number(&mut self, number: Option<i64>) {
        self.byte(u8::from(number.is_some()));
        self.0.update(number.unwrap_or_default().to_le_bytes());
    }

    fn time(&mut self, time: Option<DateTime<Utc>>) {
        self.number(time.map(|time| time.timestamp_millis()));
    }

    fn text(&mut self, text: &str) {
        self.number(i64::try_from(text.len()).ok());
        self.0.update(text.as_bytes());
    }

    fn finish(self) -> i64 {
        let hash = self.0.finalize();
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&hash[..8]);
        i64::from_le_bytes(bytes)
    }
}
