//! One host as a function of time: what it is, and what it shows at a moment.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use rules::facts::{
    CollectedBy, Collector, CollectorState, ConnectionOwner, Connections, DnsSocketPool, DynamicRange, Facts,
    Host as HostFacts, PortPolicy, SCHEMA, Section, StateCount, TcpState, UrlReservation,
};
use rules::ports::{Family, PortRange, Protocol};
use rules::text::Text;
use serde::Deserialize;
use uuid::Uuid;

use super::calendar::{Calendar, epoch};
use super::chance::Chance;
use super::knowledge::{App, Knowledge, KnownSystem};
use super::sockets::Table;
use super::{services, updates};

/// What a host is for, which decides how much it shows and how fast that changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Small,
    Application,
    /// A domain controller with a DNS server.
    Dns,
}

#[derive(Clone, Debug)]
pub struct Host {
    knowledge: Arc<Knowledge>,
    pub(super) chance: Chance,
    name: Text,
    place: usize,
    role: Role,
    system: usize,
    apps: Vec<usize>,
    pub(super) calendar: Calendar,
    skew: TimeDelta,
    /// Somebody widened the dynamic range to what Exchange asks for.
    has_wide_range: bool,
}

/// The range that installers of Exchange 2007 and Small Business Server set.
const WIDE: (u16, u16) = (1025, 65_535);
const NARROW: (u16, u16) = (49_152, 65_535);

/// A slot of time after which slow counts are drawn anew.
const COUNTED_EVERY: i64 = 600;

impl Host {
    pub(super) fn new(number: u32, place: usize, chance: Chance, knowledge: Arc<Knowledge>) -> Self {
        let role = match number % 10 {
            0..=6 => Role::Small,
            7 | 8 => Role::Application,
            _ => Role::Dns,
        };
        let mut share = chance.of("system").below(100);
        let system = knowledge.systems.iter().position(|system| {
            let is_it = share < system.share;
            share = share.saturating_sub(system.share);
            is_it
        });
        let system = system.unwrap_or_default();
        let likely = if role == Role::Small { 15 } else { 35 };
        let has = |index: usize, app: &App| {
            app.on.contains(&role) && (app.always || chance.of("app").at(as_i64(index)).happens(likely))
        };
        let apps = knowledge.apps.iter().enumerate().filter(|(index, app)| has(*index, app)).map(|(index, _)| index);
        let apps = apps.collect();
        let patched_on = knowledge.systems[system]
            .releases
            .iter()
            .map(|release| updates::installed_on(chance, release))
            .filter(|installed| *installed > epoch().date_naive() - TimeDelta::days(60))
            .collect();
        let calendar = Calendar { chance, falls_silent: chance.of("falls silent").happens(20), patched_on };
        let skew = match chance.of("clock").below(100) {
            0..=84 => 0,
            85..=94 => chance.of("skew").between(90, 600),
            _ => -chance.of("skew").between(90, 3600),
        };
        let prefix = match role {
            Role::Small => "SRV",
            Role::Application => "APP",
            Role::Dns => "DC",
        };
        Self {
            name: Text::from(format!("{prefix}{:05}", number + 1)),
            place,
            role,
            system,
            apps,
            calendar,
            skew: TimeDelta::seconds(skew),
            has_wide_range: role == Role::Dns && chance.of("wide range").happens(30),
            chance,
            knowledge,
        }
    }

    pub fn name(&self) -> &Text {
        &self.name
    }

    /// Index of its place in the fleet.
    pub fn place(&self) -> usize {
        self.place
    }

    pub fn role(&self) -> Role {
        self.role
    }

    /// How far its clock is ahead of the true time.
    pub fn skew(&self) -> TimeDelta {
        self.skew
    }

    /// When it boots next, where it is switched off at `time`. `None`: it is on.
    pub fn off_until(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.calendar.off_until(time)
    }

    /// What an agent reads at `time`, by the true clock; of a host that is off what it was last.
    pub fn facts_at(&self, time: DateTime<Utc>) -> Facts {
        let moment = self.moment(time);
        let table = Table::of(&moment);
        let services = services::of(&moment, &table);
        let events = services::events(&moment, &services);
        Facts {
            schema: SCHEMA.to_owned(),
            collected_at: Some(time),
            host: Section::Known(moment.host_facts()),
            sockets: Section::Known(table.sockets(&moment)),
            services: Section::Known(services),
            updates: updates::of(&moment),
            port_policy: Section::Known(moment.port_policy()),
            events: Section::Known(events),
            connections: Section::Known(moment.connections()),
        }
    }

    /// How likely it was at the boot before `time` that a service lost a port to the DNS server's pool, given the order
    /// in which they started.
    pub fn odds_of_losing_a_port(&self, time: DateTime<Utc>) -> f64 {
        let moment = self.moment(time);
        Table::of(&moment).odds_of_a_loss(&moment)
    }

    fn moment(&self, time: DateTime<Utc>) -> Moment<'_> {
        let boot = self.calendar.boot(time);
        Moment { host: self, time, booted_at: boot.at, chance: self.chance.of("boot").at(boot.at.timestamp()) }
    }

    pub(super) fn known_system(&self) -> &KnownSystem {
        &self.knowledge.systems[self.system]
    }

    pub(super) fn knowledge(&self) -> &Knowledge {
        &self.knowledge
    }

    pub(super) fn apps(&self) -> impl Iterator<Item = (usize, &App)> {
        self.apps.iter().map(|&index| (index, &self.knowledge.apps[index]))
    }

    /// Where ports are drawn from.
    pub(super) fn dynamic_range(&self) -> (u16, u16) {
        if self.has_wide_range { WIDE } else { NARROW }
    }

    /// DNS servers of this fleet speak IPv4 alone, so that a pool is drawn once.
    pub(super) fn families(&self) -> &'static [Family] {
        if self.role == Role::Dns { &[Family::Ipv4] } else { &Family::BOTH }
    }
}

/// A host at a time, in a boot.
#[derive(Debug)]
pub(super) struct Moment<'a> {
    pub(super) host: &'a Host,
    pub(super) time: DateTime<Utc>,
    pub(super) booted_at: DateTime<Utc>,
    /// Of this boot.
    pub(super) chance: Chance,
}

impl Moment<'_> {
    pub(super) fn after_boot(&self, seconds: i64) -> DateTime<Utc> {
        self.booted_at + TimeDelta::seconds(seconds)
    }

    pub(super) fn today(&self) -> NaiveDate {
        self.time.date_naive()
    }

    fn host_facts(&self) -> HostFacts {
        let host = self.host;
        let mut os = host.known_system().system.os.clone();
        os.revision = updates::revision(self).or(os.revision);
        let boot = format!("{} {}", host.name, self.booted_at.timestamp());
        let pending = updates::waits_for_restart(self);
        let collector = |name: &str| Collector { name: name.into(), state: CollectorState::Ok, reason: None };
        HostFacts {
            name: host.name.clone(),
            domain: Some(Text::from(format!("site{}.example", host.place + 1))),
            os,
            booted_at: Some(self.booted_at),
            boot_id: Some(Text::from(Uuid::new_v5(&Uuid::NAMESPACE_OID, boot.as_bytes()).to_string())),
            utc_offset_minutes: Some(0),
            collected_by: CollectedBy::Agent,
            domain_controller: Some(host.role == Role::Dns),
            products: Section::Known(Vec::new()),
            roles: Section::Known(host.apps().filter_map(|(_, app)| app.role.clone()).collect()),
            pending_restart: Section::Known(pending.into_iter().map(Text::from).collect()),
            collectors: ["sockets", "socket-owners", "services", "event-log", "update-packages"]
                .map(collector)
                .to_vec(),
        }
    }

    fn port_policy(&self) -> PortPolicy {
        let (start, end) = self.host.dynamic_range();
        let range = PortRange::new(start, end).unwrap_or(PortRange::single(end));
        let both = [Protocol::Tcp, Protocol::Udp];
        let ranges = both.into_iter().flat_map(|protocol| {
            self.host.families().iter().map(move |&family| DynamicRange { protocol, family, range })
        });
        let reserved = ["http://+:47001/wsman/", "https://+:5986/wsman/"];
        PortPolicy {
            dynamic_ranges: Section::Known(ranges.collect()),
            exclusions: Section::Known(Vec::new()),
            persistent_exclusions: Section::Known(Vec::new()),
            reserved_ports: Section::Known(Vec::new()),
            max_user_port: Section::Known(None),
            dns_socket_pool: Section::Known(DnsSocketPool::default()),
            ntds_port: Section::Known(None),
            netlogon_port: Section::Known(None),
            frs_port: Section::Known(None),
            dfsr_port: Section::Known(None),
            rpc_ports: Section::Known(None),
            url_reservations: Section::Known(reserved.map(|url| UrlReservation { url: url.into() }).to_vec()),
            http_listen_only: Section::Known(Vec::new()),
            sql_ports: Section::Known(Vec::new()),
            waiting_for_restart: Section::Known(Vec::new()),
        }
    }

    fn connections(&self) -> Connections {
        let slot = self.time.timestamp().div_euclid(COUNTED_EVERY);
        let chance = self.host.chance.of("connections").at(slot);
        let established = u32::try_from(chance.between(40, 400)).unwrap_or_default();
        let family = Family::Ipv4;
        let count = |state, count| StateCount { family, state, count };
        let owner = ConnectionOwner { pid: 4, image: Some("System".into()), count: established / 3 };
        Connections {
            states: vec![count(TcpState::Established, established), count(TcpState::TimeWait, established / 4 + 1)],
            dynamic_ports: Vec::new(),
            owners: vec![owner],
        }
    }
}

pub(super) fn as_i64(index: usize) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}
