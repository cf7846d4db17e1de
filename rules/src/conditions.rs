//! Answers conditions of the catalog from facts, with three values: met, not met, open.
//!
//! Invariant: an open answer says what is missing. What a source failed to read ([`Gap::Unread`]) is told from what no
//! source says ([`Gap::Unsaid`]): the first neither opens nor resolves a finding, the second makes it possible.

use std::collections::BTreeSet;

use crate::blocked;
use crate::catalog::{Condition, EventCondition, ProductCondition};
use crate::dns_pool;
use crate::facts::{OsGeneration, Section, ServiceState, StartMode};
use crate::finding::Evidence;
use crate::ports::Port;
use crate::version::Version;
use crate::view::{Presence, View};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Met,
    NotMet,
    Open(BTreeSet<Gap>),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Gap {
    /// A whole section is unknown: `the host facts could not be read (access denied)`.
    Unread(String),
    /// `whether Exchange Server 2007 SP1 is installed`.
    Unsaid(String),
}

impl Answer {
    pub(crate) fn unread(section: &str, reason: &str) -> Self {
        Self::Open(BTreeSet::from([Gap::Unread(format!("{section} could not be read ({reason})"))]))
    }

    pub(crate) fn unsaid(what: impl Into<String>) -> Self {
        Self::Open(BTreeSet::from([Gap::Unsaid(what.into())]))
    }

    pub(crate) fn from_bool(met: bool) -> Self {
        if met { Self::Met } else { Self::NotMet }
    }

    pub(crate) fn not(self) -> Self {
        match self {
            Self::Met => Self::NotMet,
            Self::NotMet => Self::Met,
            open @ Self::Open(_) => open,
        }
    }

    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::NotMet, _) | (_, Self::NotMet) => Self::NotMet,
            (Self::Open(mut gaps), Self::Open(more)) => {
                gaps.extend(more);
                Self::Open(gaps)
            }
            (open @ Self::Open(_), Self::Met) | (Self::Met, open @ Self::Open(_)) => open,
            (Self::Met, Self::Met) => Self::Met,
        }
    }

    pub(crate) fn or(self, other: Self) -> Self {
        self.not().and(other.not()).not()
    }
}

pub(crate) fn answer(condition: &Condition, view: &View<'_>) -> Answer {
    match condition {
        Condition::All(parts) => fold(parts, Answer::Met, &Answer::NotMet, Answer::and, view),
        Condition::Any(parts) => fold(parts, Answer::NotMet, &Answer::Met, Answer::or, view),
        Condition::Not(part) => answer(part, view).not(),
        Condition::Os(generations) => match (&view.facts.host, view.generation()) {
            (_, Some(OsGeneration::Other)) => Answer::unsaid("which generation of Windows this is"),
            (_, Some(generation)) => Answer::from_bool(generations.contains(&generation)),
            (host, None) => unread_host(host),
        },
        Condition::Product(wanted) => product(wanted, view),
        Condition::Role(name) => role(name, view),
        Condition::Service(name) => service(name, view),
        Condition::Running(name) => running(name, view),
        Condition::Update(kb) => match &view.facts.updates {
            Section::Unknown(reason) => Answer::unread("the list of updates", reason),
            Section::Known(_) => match view.presence(kb) {
                Presence::Installed(_) => Answer::Met,
                Presence::InHistory(_) => Answer::unsaid(format!("whether {kb} is still installed")),
                Presence::Superseded | Presence::No => Answer::NotMet,
            },
        },
        Condition::BuildAtLeast(build) => build_at_least(build, view),
        Condition::BuildBelow(build) => build_at_least(build, view).not(),
        Condition::HostNameLength(length) => match &view.facts.host {
            Section::Known(host) => Answer::from_bool(host.name.chars().count() == *length),
            host @ Section::Unknown(_) => unread_host(host),
        },
        Condition::DomainMember(wanted) => match &view.facts.host {
            Section::Known(host) => match (&host.domain, host.domain_controller) {
                (Some(_), _) | (_, Some(true)) => Answer::from_bool(*wanted),
                _ => Answer::unsaid("whether this server is a member of a domain"),
            },
            host @ Section::Unknown(_) => unread_host(host),
        },
        Condition::DnsPoolReaches(port) => dns_pool::reaches(*port, view),
        Condition::BlockHoldsClaim => blocked::block_holds_claim(view),
        Condition::UptimeDays(days) => uptime_days(*days, view),
        Condition::Event(wanted) => event(wanted, view),
        Condition::Registry(wanted) => {
            Answer::unsaid(format!("whether {} is {} in {}", wanted.value, wanted.data, wanted.key))
        }
        Condition::Hypervisor(name) => Answer::unsaid(format!("whether this server is a guest of {name}")),
        Condition::Unobserved(what) => Answer::unsaid(format!("whether this is so here: {what}")),
    }
}

/// The parts joined, up to the first whose answer is `decides`: what follows cannot change it.
fn fold(
    parts: &[Condition],
    start: Answer,
    decides: &Answer,
    join: fn(Answer, Answer) -> Answer,
    view: &View<'_>,
) -> Answer {
    let mut sum = start;
    for part in parts {
        sum = join(sum, answer(part, view));
        if sum == *decides {
            break;
        }
    }
    sum
}

fn unread_host<T>(host: &Section<T>) -> Answer {
    Answer::unread("the host facts", host.unknown().map_or("not collected", |reason| reason.as_str()))
}

fn product(wanted: &ProductCondition, view: &View<'_>) -> Answer {
    let host = match &view.facts.host {
        Section::Known(host) => host,
        host @ Section::Unknown(_) => return unread_host(host),
    };
    let question = format!("whether {} is installed", wanted.label);
    let Section::Known(products) = &host.products else { return Answer::unsaid(question) };
    let answers = products.iter().filter(|product| product.id.eq_ignore_ascii_case(&wanted.id)).map(|product| {
        if wanted.from.is_none() && wanted.below.is_none() {
            return Answer::Met;
        }
        let reaches = |bound: &Option<String>| {
            let bound = bound.as_deref().and_then(Version::parse)?;
            Some(match product.version.as_deref().and_then(|version| bound.is_reached_by(version)) {
                Some(reached) => Answer::from_bool(reached),
                None => Answer::unsaid(question.clone()),
            })
        };
        let from = reaches(&wanted.from).unwrap_or(Answer::Met);
        let below = reaches(&wanted.below).map_or(Answer::Met, Answer::not);
        from.and(below)
    });
    answers.fold(Answer::NotMet, Answer::or)
}

/// Roles that a service stands for: who has the service, not disabled, has the role.
const SERVICE_OF_ROLE: &[(&str, &str)] = &[
    ("adcs", "CertSvc"),
    ("adfs", "adfssrv"),
    ("dhcp-server", "DHCPServer"),
    ("dns-server", "DNS"),
    ("domain-controller", "NTDS"),
    ("failover-cluster", "ClusSvc"),
    ("hyper-v", "vmms"),
    ("iis", "W3SVC"),
    ("msmq", "MSMQ"),
    ("nps", "IAS"),
    ("rras", "RemoteAccess"),
    ("rds-connection-broker", "Tssdis"),
    ("rds-gateway", "TSGateway"),
    ("rds-licensing", "TermServLicensing"),
    ("wds", "WDSServer"),
    ("wsus", "WsusService"),
];

/// Roles that only Server Manager of Server 2012 and later tells; before it a list of roles says nothing of them.
const ROLES_SINCE_2012: &[&str] =
    &["dfs-replication", "file-server", "kms-host", "print-server", "rds-virtualization-host", "rds-web-access"];

fn role(name: &str, view: &View<'_>) -> Answer {
    if name == "domain-controller"
        && let Some(known) = view.host().and_then(|host| host.domain_controller)
    {
        return Answer::from_bool(known);
    }
    let listed = view.host().and_then(|host| host.roles.known());
    if listed.is_some_and(|roles| roles.iter().any(|role| role.eq_ignore_ascii_case(name))) {
        return Answer::Met;
    }
    // Before Server 2008 a domain controller has no service of that name.
    let by_service = view.generation().is_none_or(|generation| generation >= OsGeneration::Server2008)
        || name != "domain-controller";
    let is_silent = ROLES_SINCE_2012.contains(&name)
        && view.generation().is_some_and(|generation| generation < OsGeneration::Server2012);
    match SERVICE_OF_ROLE.iter().find(|(role, _)| *role == name && by_service) {
        Some((_, name)) => service(name, view),
        None if listed.is_some() && !is_silent => Answer::NotMet,
        None if view.host().is_none() => unread_host(&view.facts.host),
        None => Answer::unsaid(format!("whether this server has the role {name}")),
    }
}

fn service(name: &str, view: &View<'_>) -> Answer {
    match &view.facts.services {
        Section::Unknown(reason) => Answer::unread("the services", reason),
        Section::Known(_) => match view.service(name) {
            Some(service) => Answer::from_bool(service.start != Some(StartMode::Disabled)),
            None => Answer::NotMet,
        },
    }
}

fn running(name: &str, view: &View<'_>) -> Answer {
    match &view.facts.services {
        Section::Unknown(reason) => Answer::unread("the services", reason),
        Section::Known(_) => {
            Answer::from_bool(view.service(name).is_some_and(|service| service.state == ServiceState::Running))
        }
    }
}

fn uptime_days(days: i64, view: &View<'_>) -> Answer {
    let host = match &view.facts.host {
        Section::Known(host) => host,
        host @ Section::Unknown(_) => return unread_host(host),
    };
    match host.booted_at.zip(view.facts.collected_at) {
        Some((booted, collected)) => Answer::from_bool((collected - booted).num_days() >= days),
        None => Answer::unsaid("how long this server has been up"),
    }
}

fn event(wanted: &EventCondition, view: &View<'_>) -> Answer {
    match &view.facts.events {
        Section::Unknown(reason) => Answer::unread("the event logs", reason),
        Section::Known(events) => Answer::from_bool(
            events.iter().any(|event| event.id == wanted.id && event.provider.eq_ignore_ascii_case(&wanted.provider)),
        ),
    }
}

/// Whether the system is at or above `build`, such as `10.0.14393.2368`.
pub(crate) fn build_at_least(build: &str, view: &View<'_>) -> Answer {
    let host = match &view.facts.host {
        Section::Known(host) => host,
        host @ Section::Unknown(_) => return unread_host(host),
    };
    let Some(wanted) = Version::parse(build) else { return Answer::unsaid(format!("what the build {build} is")) };
    let os = &host.os;
    let without = format!("{}.{}.{}", os.major, os.minor, os.build);
    // Without the revision: all of them lie between .0 and the highest.
    let lowest = os.revision.unwrap_or(0);
    let highest = os.revision.unwrap_or(u32::MAX);
    let version = |revision: u32| Version::parse(&format!("{without}.{revision}"));
    match (version(lowest), version(highest)) {
        (Some(lowest), _) if lowest >= wanted => Answer::Met,
        (_, Some(highest)) if highest < wanted => Answer::NotMet,
        _ => Answer::unsaid(format!("which revision of build {} this is", os.build)),
    }
}

/// The ports in `condition` that the DNS server's pool can or may take on this host.
pub(crate) fn pool_ports(condition: &Condition, view: &View<'_>) -> BTreeSet<Port> {
    if answer(condition, view) == Answer::NotMet {
        return BTreeSet::new();
    }
    match condition {
        Condition::All(parts) | Condition::Any(parts) => parts.iter().flat_map(|part| pool_ports(part, view)).collect(),
        Condition::DnsPoolReaches(port) => BTreeSet::from([*port]),
        _ => BTreeSet::new(),
    }
}

/// The facts behind the parts of `condition` that are met, as evidence.
pub(crate) fn support(condition: &Condition, view: &View<'_>, found: &mut Vec<Evidence>) {
    let mut say = |text: String, source: &str| {
        let evidence = Evidence { at: None, text, source: source.to_owned() };
        if !found.contains(&evidence) {
            found.push(evidence);
        }
    };
    match condition {
        Condition::All(parts) | Condition::Any(parts) => {
            let met = parts.iter().filter(|part| answer(part, view) != Answer::NotMet);
            for part in met {
                support(part, view, found);
            }
        }
        _ if answer(condition, view) != Answer::Met => {}
        Condition::Product(wanted) => {
            let products = view.host().and_then(|host| host.products.known()).into_iter().flatten();
            let mut named: Vec<String> = products
                .filter(|product| product.id.eq_ignore_ascii_case(&wanted.id))
                .map(|product| match &product.version {
                    Some(version) => format!("{} {version} is installed", product.name),
                    None => format!("{} is installed", product.name),
                })
                .collect();
            named.sort();
            for text in named {
                say(text, "product list");
            }
        }
        Condition::Role(name) => say(format!("This server has the role {name}"), "roles and services"),
        Condition::Service(name) => say(format!("The service {name} exists and is not disabled"), "services"),
        Condition::Running(name) => say(format!("The service {name} runs"), "services"),
        Condition::Update(kb) => say(format!("{kb} is installed"), "list of updates"),
        Condition::HostNameLength(length) => say(format!("The name of this host has {length} characters"), "host"),
        Condition::DnsPoolReaches(port) => {
            say(format!("The DNS server's pool can take {port}, and no reservation keeps it out"), "port policy");
        }
        Condition::BuildBelow(build) => say(format!("The system is at a build before {build}"), "host"),
        Condition::BlockHoldsClaim => say(
            "A block that Windows reserved at run time holds a port that a service here needs".to_owned(),
            "excluded port ranges",
        ),
        Condition::UptimeDays(days) => say(format!("This server has been up for {days} days or more"), "host"),
        Condition::Event(event) => say(format!("Event {} of {} was written", event.id, event.provider), "event log"),
        Condition::Os(_)
        | Condition::Not(_)
        | Condition::BuildAtLeast(_)
        | Condition::DomainMember(_)
        | Condition::Registry(_)
        | Condition::Hypervisor(_)
        | Condition::Unobserved(_) => {}
    }
}
