//! What a host was like while a service of it ran well, kept small enough to be stored, and what is otherwise now.
//!
//! Only what is known on both sides is compared: what could not be read then or now is no difference. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::facts::{
    Facts, PortPolicy, Section, Service, ServiceState, Socket, SocketState, StartMode, Update, UpdateSource,
    UpdateState,
};
use crate::history::{Difference, DifferenceKind, LastGood};
use crate::ports::{Family, Port, PortRange, Protocol};
use crate::text::Text;
use crate::words;

/// A service that ran for so long runs well: it is past its start.
const RUNS_WELL_AFTER: TimeDelta = TimeDelta::minutes(2);
/// Where it is not known since when it runs: after so long a boot.
const BOOT_IS_OVER_AFTER: TimeDelta = TimeDelta::minutes(10);
/// Longer values are cut, as a list of many exclusions is.
const VALUE_CHARS: usize = 200;

/// What services of a host have in common. A member that is missing was not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Setting {
    /// Of Windows, products and frameworks, by name.
    pub versions: BTreeMap<String, String>,
    /// By name; `None`: not set.
    pub policy: BTreeMap<String, Option<String>>,
    /// Titles of installed updates by KB, or by id where there is none. `None`: not known.
    pub updates: Option<BTreeMap<Text, Text>>,
}

/// How one service is set up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Setup {
    pub program: Option<Text>,
    pub account: Option<Text>,
    /// In order, each once.
    pub depends_on: Vec<Text>,
}

/// A service that runs well: what is kept of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// SCM key name.
    pub service: Text,
    pub setup: Setup,
    /// That it alone holds, outside of the dynamic ranges. Empty, too, while the sockets are unknown.
    pub ports: BTreeSet<Port>,
}

/// A service as it last ran well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    pub running: Running,
    pub setting: Arc<Setting>,
    pub boot: RanIn,
    /// When it was last seen to run, as far as is known.
    pub at: Option<DateTime<Utc>>,
}

/// The boot in which a service last ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RanIn {
    Present,
    /// With when that boot began, if known.
    Earlier(Option<DateTime<Utc>>),
}

impl Setting {
    pub fn of(facts: &Facts) -> Self {
        let updates = facts.updates.known();
        let is_kept = |update: &&Update| {
            !matches!(update.source, UpdateSource::UpdateHistory | UpdateSource::Offer | UpdateSource::FrameworkVersion)
                && matches!(update.state, UpdateState::Installed | UpdateState::UninstallPending)
        };
        let mut titles: BTreeMap<Text, Text> = BTreeMap::new();
        for update in updates.into_iter().flatten().filter(is_kept) {
            let title = if update.title.is_empty() { &update.id } else { &update.title };
            // Several lists name the same update: any order of them must choose the same title.
            let kept = titles.entry(name_of(update).clone()).or_insert_with(|| title.clone());
            if *title < *kept {
                *kept = title.clone();
            }
        }
        Self {
            versions: versions(facts),
            policy: facts.port_policy.known().map(policy).unwrap_or_default(),
            updates: updates.map(|_| titles),
        }
    }
}

/// The services that the system starts by itself and that are past their start.
pub fn running(facts: &Facts) -> Vec<Running> {
    let Some(collected_at) = facts.collected_at else { return Vec::new() };
    let booted_at = facts.host.known().and_then(|host| host.booted_at);
    let runs_well = |service: &&Service| {
        let long_enough = match service.state_since {
            Some(since) => collected_at - since >= RUNS_WELL_AFTER,
            None => booted_at.is_some_and(|booted_at| collected_at - booted_at >= BOOT_IS_OVER_AFTER),
        };
        service.state == ServiceState::Running && service.start == Some(StartMode::Auto) && long_enough
    };
    let ports = held(facts);
    let services = facts.services.known().into_iter().flatten().filter(runs_well);
    services
        .map(|service| Running {
            service: service.name.clone(),
            setup: setup(service),
            ports: ports.get(&service.name.to_lowercase()).cloned().unwrap_or_default(),
        })
        .collect()
}

/// Ports outside of the dynamic ranges by the one service that owns them, in lower case.
fn held(facts: &Facts) -> BTreeMap<String, BTreeSet<Port>> {
    let mut held: BTreeMap<String, BTreeSet<Port>> = BTreeMap::new();
    let ranges = facts.port_policy.known().and_then(|policy| policy.dynamic_ranges.known());
    let is_drawn = |socket: &Socket| match ranges {
        Some(ranges) => ranges.iter().any(|drawn| {
            drawn.protocol == socket.protocol && drawn.family == socket.family() && drawn.range.contains(socket.port)
        }),
        None => socket.port >= 49152,
    };
    for socket in facts.sockets.known().into_iter().flatten() {
        if let [service] = socket.services.as_slice()
            && socket.state != SocketState::Connected
            && !is_drawn(socket)
        {
            held.entry(service.to_lowercase()).or_default().insert(socket.local_port());
        }
    }
    held
}

fn setup(service: &Service) -> Setup {
    let mut depends_on = service.depends_on.clone();
    depends_on.sort_unstable();
    depends_on.dedup();
    Setup { program: service.image_path.clone(), account: service.account.clone(), depends_on }
}

fn name_of(update: &Update) -> &Text {
    update.kb.as_ref().unwrap_or(&update.id)
}

fn versions(facts: &Facts) -> BTreeMap<String, String> {
    let mut versions = BTreeMap::new();
    if let Section::Known(host) = &facts.host {
        let os = &host.os;
        let revision = os.revision.map_or_else(String::new, |revision| format!(".{revision}"));
        versions.insert("Windows".to_owned(), format!("{}.{}.{}{revision}", os.major, os.minor, os.build));
        for product in host.products.known().into_iter().flatten() {
            if let Some(version) = &product.version {
                versions.insert(product.name.to_string(), version.to_string());
            }
        }
    }
    for update in facts.updates.known().into_iter().flatten() {
        if let (UpdateSource::FrameworkVersion, Some(version)) = (update.source, &update.version) {
            versions.insert(update.id.to_string(), version.to_string());
        }
    }
    versions
}

/// What decides who gets which port. Blocks that are taken at run time lie elsewhere after each boot, so they are left out.
fn policy(policy: &PortPolicy) -> BTreeMap<String, Option<String>> {
    fn list<T: ToString>(items: &[T]) -> Option<String> {
        (!items.is_empty()).then(|| cut(&words::list(items)))
    }
    let mut values: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut say = |name: &str, value: Option<Option<String>>| {
        if let Some(value) = value {
            values.insert(name.to_owned(), value);
        }
    };
    for (protocol, protocol_name) in [(Protocol::Tcp, "TCP"), (Protocol::Udp, "UDP")] {
        for (family, family_name) in [(Family::Ipv4, "IPv4"), (Family::Ipv6, "IPv6")] {
            let range = policy.dynamic_ranges.known().map(|ranges| {
                let its = ranges.iter().find(|drawn| drawn.protocol == protocol && drawn.family == family);
                its.map(|drawn| drawn.range.to_string())
            });
            say(&format!("the dynamic range of {protocol_name} over {family_name}"), range);
        }
        let excluded = policy.persistent_exclusions.known().map(|exclusions| {
            let its = exclusions.iter().filter(|exclusion| exclusion.protocol == protocol);
            let ranges: Vec<PortRange> = words::merged(its.map(|exclusion| exclusion.range).collect());
            list(&ranges)
        });
        say(&format!("the excluded range of {protocol_name}"), excluded);
    }
    let number = |value: Option<u32>| value.map(|value| value.to_string());
    let port = |value: &Section<Option<u16>>| value.known().map(|port| number(port.map(u32::from)));
    say("ReservedPorts", policy.reserved_ports.known().map(|ranges| list(ranges)));
    say("MaxUserPort", policy.max_user_port.known().map(|value| number(*value)));
    say("SocketPoolSize", policy.dns_socket_pool.known().map(|pool| number(pool.size)));
    say("SocketPoolExcludedPortRanges", policy.dns_socket_pool.known().map(|pool| list(&pool.excluded)));
    say("the fixed port of NTDS", port(&policy.ntds_port));
    say("the fixed port of Netlogon", port(&policy.netlogon_port));
    say("the fixed port of NTFRS", port(&policy.frs_port));
    say("the fixed port of DFSR", port(&policy.dfsr_port));
    say("the range of RPC", policy.rpc_ports.known().map(|rpc| list(&rpc.as_ref()?.ranges)));
    say("the addresses that HTTP.sys listens on", policy.http_listen_only.known().map(|addresses| list(addresses)));
    values
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl Ran {
    /// What is otherwise now that the service does not run. `None`: it runs, ended without an error, was not started
    /// since the boot, or is not known.
    pub fn last_good(&self, facts: &Facts) -> Option<LastGood> {
        let is_it = |service: &&Service| service.name.eq_ignore_ascii_case(&self.running.service);
        let service = facts.services.known()?.iter().find(is_it)?;
        if service.state != ServiceState::Stopped || matches!(service.exit_code, Some(0 | 1077)) {
            return None;
        }
        let (booted_at, ran_until) = match self.boot {
            RanIn::Present => (facts.host.known().and_then(|host| host.booted_at), service.state_since),
            RanIn::Earlier(booted_at) => (booted_at, None),
        };
        let now = Setting::of(facts);
        let mut differences = self.updates(facts);
        differences.extend(self.ports(facts));
        differences.extend(maps(DifferenceKind::PortPolicy, &self.setting.policy, &now.policy));
        let known = |versions: &BTreeMap<String, String>| -> BTreeMap<String, Option<String>> {
            versions.iter().map(|(name, version)| (name.clone(), Some(version.clone()))).collect()
        };
        differences.extend(maps(DifferenceKind::Version, &known(&self.setting.versions), &known(&now.versions)));
        differences.extend(self.setup(service));
        Some(LastGood { service: service.name.clone(), booted_at, last_ran_at: ran_until.or(self.at), differences })
    }

    /// Updates that came or went. What came in the boot in which the service last ran took effect with the next one.
    fn updates(&self, facts: &Facts) -> Vec<Difference> {
        let (Some(before), Section::Known(rows)) = (&self.setting.updates, &facts.updates) else { return Vec::new() };
        let Some(now) = Setting::of(facts).updates else { return Vec::new() };
        let installed_at = |name: &str| {
            rows.iter().filter(|update| name_of(update) == name).filter_map(|update| update.installed_at).min()
        };
        let took_effect_later = |name: &str| match self.boot {
            RanIn::Earlier(Some(booted_at)) => installed_at(name).is_some_and(|at| at > booted_at),
            RanIn::Earlier(None) | RanIn::Present => false,
        };
        let came = now.iter().filter(|(name, _)| !before.contains_key(*name) || took_effect_later(name));
        let came =
            came.map(|(name, title)| difference(DifferenceKind::Update, installed_at(name), name, None, Some(title)));
        let went = before.iter().filter(|(name, _)| !now.contains_key(*name));
        let went = went.map(|(name, title)| difference(DifferenceKind::Update, None, name, Some(title), None));
        came.chain(went).collect()
    }

    /// Ports of the service that something else holds.
    fn ports(&self, facts: &Facts) -> Vec<Difference> {
        let name = &self.running.service;
        let holder = |port: Port| {
            let sockets = facts.sockets.known()?.iter();
            sockets.filter(|socket| socket.local_port() == port && socket.state != SocketState::Connected).min()
        };
        let foreign = |port: &Port| {
            let socket =
                holder(*port).filter(|socket| !socket.services.iter().any(|of| of.eq_ignore_ascii_case(name)))?;
            let process = socket.process().unwrap_or("a process that is not known");
            let holder = match socket.services.as_slice() {
                [] => process.to_owned(),
                services => format!("{process} ({})", words::list(services)),
            };
            Some(difference(DifferenceKind::Port, socket.bound_at, &port.to_string(), Some(name), Some(&holder)))
        };
        self.running.ports.iter().filter_map(foreign).collect()
    }

    fn setup(&self, service: &Service) -> Vec<Difference> {
        let (before, now) = (&self.running.setup, setup(service));
        let list = |names: &[Text]| (!names.is_empty()).then(|| Text::new(&cut(&words::list(names))));
        let program = before.program.is_some() && now.program.is_some() && before.program != now.program;
        let account = before.account.is_some() && now.account.is_some() && before.account != now.account;
        let changed = [
            (program, "the program of the service", before.program.clone(), now.program),
            (account, "the account of the service", before.account.clone(), now.account),
            (
                before.depends_on != now.depends_on,
                "what the service depends on",
                list(&before.depends_on),
                list(&now.depends_on),
            ),
        ];
        let changed = changed.into_iter().filter(|(is_changed, ..)| *is_changed);
        changed
            .map(|(_, about, before, now)| {
                difference(DifferenceKind::Service, None, about, before.as_deref(), now.as_deref())
            })
            .collect()
    }
}

/// Names that both sides know and give other values.
fn maps(
    kind: DifferenceKind,
    before: &BTreeMap<String, Option<String>>,
    now: &BTreeMap<String, Option<String>>,
) -> Vec<Difference> {
    let pairs = before.iter().filter_map(|(name, before)| Some((name, before, now.get(name)?)));
    let changed = pairs.filter(|(_, before, now)| before != now);
    changed.map(|(name, before, now)| difference(kind, None, name, before.as_deref(), now.as_deref())).collect()
}

fn difference(
    kind: DifferenceKind,
    at: Option<DateTime<Utc>>,
    about: &str,
    before: Option<&str>,
    now: Option<&str>,
) -> Difference {
    Difference { kind, at, about: Text::new(about), before: before.map(Text::new), now: now.map(Text::new) }
}

#[cfg(test)]
mod tests;
