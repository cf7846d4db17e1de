//! Descriptions into facts. The thousands of sockets of a DNS server are drawn here from a seed, so that the files stay
//! short enough to read and a host shows the same facts whenever its story says the same.
//!
//! Pure: time and the seed are arguments.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use rand::SeedableRng as _;
use rules::facts::{
    CollectedBy, DnsSocketPool, DynamicRange, Facts, Host as HostFacts, PortPolicy, SCHEMA, Section, Service,
    ServiceState, Socket, SocketState, Update, UpdateSource, UpdateState,
};
use rules::ports::{Family, Port, PortRange, Protocol};
use rules::text::Text;
use uuid::Uuid;

use super::description::{self, Host, Phase, Pool, Process, Scene, Stopped};
use super::{Actor, told};

/// Where in its story a host is.
#[derive(Clone, Debug)]
pub struct Moment<'a> {
    /// The scene of a boot before the story. `None`: the story has begun.
    pub past: Option<&'a Scene>,
    /// `None`: the host has no phases.
    pub phase: Option<&'a Phase>,
    pub phase_began_at: DateTime<Utc>,
    pub booted_at: DateTime<Utc>,
    pub now: DateTime<Utc>,
}

/// The facts of a host at a moment.
pub fn facts(actor: &Actor, moment: &Moment<'_>) -> Facts {
    let stage = Stage { actor, host: &actor.host, moment };
    Facts {
        schema: SCHEMA.to_owned(),
        // What is told of the past is read now: else its clock would seem to be wrong by weeks.
        collected_at: moment.past.is_none().then_some(moment.now),
        host: Section::Known(stage.host_facts()),
        sockets: Section::Known(stage.scenes().flat_map(|(scene, zero)| stage.sockets(scene, zero)).collect()),
        services: Section::Known(stage.scenes().flat_map(|(scene, zero)| stage.services(scene, zero)).collect()),
        updates: match &actor.host.unknown.updates {
            Some(reason) => Section::Unknown(reason.clone()),
            None => Section::Known(stage.scenes().flat_map(|(scene, _)| stage.updates(scene)).collect()),
        },
        port_policy: Section::Known(stage.port_policy()),
        events: stage.told(|| told::events(&stage)),
        connections: stage.told(|| told::connections(&stage)),
    }
}

pub(super) struct Stage<'a> {
    actor: &'a Actor,
    pub(super) host: &'a Host,
    pub(super) moment: &'a Moment<'a>,
}

impl<'a> Stage<'a> {
    /// What is true at the moment, each with the instant that its seconds count from.
    pub(super) fn scenes(&self) -> impl Iterator<Item = (&'a Scene, DateTime<Utc>)> {
        let booted_at = self.moment.booted_at;
        let phase = self.moment.phase.map(|phase| {
            let zero = if phase.booted_ago.is_some() { booted_at } else { self.moment.phase_began_at };
            (&phase.scene, zero)
        });
        let base = self.moment.past.unwrap_or(&self.host.always);
        [(&self.actor.system_scene, booted_at), (base, booted_at)].into_iter().chain(phase)
    }

    fn is_capture(&self) -> bool {
        self.host.collected_by == CollectedBy::Capture
    }

    /// `None`: the system has no such setting.
    pub(super) fn udp_range(&self) -> Option<PortRange> {
        self.actor.system.dynamic_range.map(|default| self.host.policy.udp_range.unwrap_or(default))
    }

    /// What an agent tells and no capture does.
    fn told<T>(&self, tell: impl FnOnce() -> T) -> Section<T> {
        if self.is_capture() { Section::default() } else { Section::Known(tell()) }
    }

    /// A capture is text of commands, and none of them prints when something began.
    fn seen(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        (!self.is_capture()).then_some(at)
    }

    fn host_facts(&self) -> HostFacts {
        let mut os = self.actor.system.os.clone();
        os.revision = self.moment.phase.and_then(|phase| phase.revision).or(os.revision);
        let boot = format!("{} {}", self.host.name, self.moment.booted_at.timestamp());
        HostFacts {
            name: self.host.name.clone(),
            domain: self.host.domain.clone(),
            os,
            booted_at: Some(self.moment.booted_at),
            boot_id: self
                .seen(self.moment.booted_at)
                .map(|_| Text::from(Uuid::new_v5(&Uuid::NAMESPACE_OID, boot.as_bytes()).to_string())),
            utc_offset_minutes: Some(0),
            collected_by: self.host.collected_by,
            domain_controller: Some(self.host.domain_controller),
            products: Section::Known(self.host.products.clone()),
            roles: Section::Known(self.host.roles.clone()),
            pending_restart: if self.is_capture() {
                Section::default()
            } else {
                Section::Known(self.host.wants_restart.clone())
            },
            collectors: if self.is_capture() { Vec::new() } else { told::collectors(self.host) },
        }
    }

    pub(super) fn sockets(&self, scene: &Scene, zero: DateTime<Utc>) -> Vec<Socket> {
        scene.processes.iter().flat_map(|process| self.process_sockets(process, zero)).collect()
    }

    fn process_sockets(&self, process: &Process, zero: DateTime<Utc>) -> Vec<Socket> {
        let bound = zero + TimeDelta::seconds(process.bound.unwrap_or(process.started + 2));
        let socket = |port: Port, address: IpAddr, specific: bool| Socket {
            protocol: port.protocol,
            address,
            scope: 0,
            port: port.number,
            state: if port.protocol == Protocol::Tcp { SocketState::Listen } else { SocketState::Bound },
            pid: Some(process.pid),
            image: Some(self.image(&process.image)),
            process_started_at: self.seen(zero + TimeDelta::seconds(process.started)),
            services: process.services.iter().map(|name| Text::from(name.as_str())).collect(),
            specific_port: self.seen(bound).map(|_| specific),
            bound_at: self.seen(bound),
        };
        let both = process.holds.iter().flat_map(|port| FAMILIES.map(|family| socket(*port, wildcard(family), true)));
        let ipv4 = process.holds_ipv4.iter().map(|port| socket(*port, wildcard(Family::Ipv4), true));
        let mut sockets: Vec<_> = both.chain(ipv4).collect();
        if let Some(pool) = &process.pool {
            for &family in &pool.families {
                let drawn = self.draw(pool, family, &process.holds, zero);
                sockets.extend(
                    drawn
                        .into_iter()
                        .map(|number| socket(Port { protocol: pool.protocol, number }, wildcard(family), false)),
                );
            }
        }
        sockets
    }

    /// Image names are all that `tasklist` prints.
    fn image(&self, path: &Text) -> Text {
        if self.is_capture() { Text::from(path.rsplit('\\').next().unwrap_or(path)) } else { path.clone() }
    }

    /// Ports of a pool for one family: another draw at each start, but never a port that is held on this host already.
    fn draw(&self, pool: &Pool, family: Family, own: &[Port], zero: DateTime<Utc>) -> BTreeSet<u16> {
        let held: BTreeSet<u16> = self
            .scenes()
            .flat_map(|(scene, _)| &scene.processes)
            .flat_map(|process| process.holds.iter().chain(&process.holds_ipv4))
            .chain(own)
            .filter(|port| port.protocol == pool.protocol)
            .map(|port| port.number)
            .collect();
        let hits = pool.hits.iter().filter(|_| family == Family::Ipv4).copied();
        let free: Vec<u16> = (pool.from.start()..=pool.from.end())
            .filter(|number| !held.contains(number) && !pool.misses.contains(number) && !pool.hits.contains(number))
            .collect();
        let mut drawn: BTreeSet<u16> = hits.collect();
        let seed = format!("{} {family:?} {}", self.host.name, zero.timestamp());
        let mut random =
            rand::rngs::StdRng::seed_from_u64(Uuid::new_v5(&Uuid::NAMESPACE_OID, seed.as_bytes()).as_u64_pair().0);
        let wanted = pool.count.saturating_sub(drawn.len()).min(free.len());
        drawn.extend(rand::seq::index::sample(&mut random, free.len(), wanted).into_iter().map(|index| free[index]));
        drawn
    }

    fn services(&self, scene: &Scene, zero: DateTime<Utc>) -> Vec<Service> {
        let running = scene.processes.iter().flat_map(|process| {
            let since = zero + TimeDelta::seconds(process.started + 1);
            process.services.iter().map(move |name| Service {
                state: ServiceState::Running,
                pid: Some(process.pid),
                exit_code: Some(0),
                state_since: self.seen(since),
                ..self.service(name)
            })
        });
        let stopped = scene.stopped.iter().map(|Stopped { service, exit_code, service_exit_code, at }| Service {
            exit_code: Some(*exit_code),
            service_exit_code: *service_exit_code,
            state_since: at.and_then(|at| self.seen(zero + TimeDelta::seconds(at))),
            ..self.service(service)
        });
        running.chain(stopped).collect()
    }

    /// The service as it is configured, stopped.
    pub(super) fn service(&self, name: &str) -> Service {
        let entry = self.actor.services.get(name);
        let display = self.actor.system.display.get(name).or(entry.map(|entry| &entry.display));
        Service {
            name: Text::from(name),
            display_name: display.cloned().unwrap_or_default(),
            state: ServiceState::Stopped,
            start: entry.map(|entry| entry.start),
            delayed: self.seen(self.moment.now).and(entry).map(|entry| entry.delayed),
            trigger_start: self.seen(self.moment.now).and(entry).map(|entry| entry.trigger),
            pid: None,
            exit_code: None,
            service_exit_code: None,
            image_path: entry.map(|entry| entry.image.clone()),
            account: None,
            depends_on: Vec::new(),
            state_since: None,
            recovery: self.seen(self.moment.now).and(entry).map(|entry| told::recovery(entry.start)),
        }
    }

    fn updates(&self, scene: &Scene) -> Vec<Update> {
        let source = |package: bool| match (self.host.collected_by, package) {
            (CollectedBy::Capture, _) => UpdateSource::Capture,
            (CollectedBy::Agent, true) => UpdateSource::ComponentPackage,
            (CollectedBy::Agent, false) => UpdateSource::UninstallEntry,
        };
        let update = |update: &description::Update| Update {
            source: source(update.package.is_some()),
            id: update.package.clone().unwrap_or_else(|| update.kb.clone()),
            kb: Some(update.kb.clone()),
            title: update.title.clone(),
            state: UpdateState::Installed,
            installed_at: Some(update.installed.and_time(NaiveTime::MIN).and_utc()),
            removable: None,
            version: None,
            aliases: Vec::new(),
            installed_by: None,
        };
        scene.updates.iter().map(update).collect()
    }

    fn port_policy(&self) -> PortPolicy {
        let policy = &self.host.policy;
        let ranges = |default| {
            let of = |protocol| match protocol {
                Protocol::Tcp => policy.tcp_range.unwrap_or(default),
                Protocol::Udp => policy.udp_range.unwrap_or(default),
            };
            [Protocol::Tcp, Protocol::Udp]
                .into_iter()
                .flat_map(|protocol| FAMILIES.map(|family| DynamicRange { protocol, family, range: of(protocol) }))
                .collect()
        };
        let exclusions: Vec<_> = self.scenes().flat_map(|(scene, _)| scene.exclusions.clone()).collect();
        PortPolicy {
            dynamic_ranges: match self.actor.system.dynamic_range {
                Some(default) => Section::Known(ranges(default)),
                None => Section::Unknown(Text::from("this system has no such setting; MaxUserPort decides")),
            },
            persistent_exclusions: Section::Known(
                exclusions.iter().filter(|exclusion| exclusion.administered).copied().collect(),
            ),
            exclusions: match &self.host.unknown.exclusions {
                Some(reason) => Section::Unknown(reason.clone()),
                None => Section::Known(exclusions),
            },
            reserved_ports: Section::Known(Vec::new()),
            max_user_port: Section::Known(policy.max_user_port),
            dns_socket_pool: Section::Known(DnsSocketPool { size: policy.dns_pool_size, excluded: Vec::new() }),
            ntds_port: Section::Known(None),
            netlogon_port: self.told(|| None),
            frs_port: self.told(|| None),
            dfsr_port: self.told(|| None),
            rpc_ports: self.told(|| None),
            url_reservations: self.told(told::url_reservations),
            http_listen_only: self.told(Vec::new),
            sql_ports: self.told(Vec::new),
            waiting_for_restart: self.told(Vec::new),
        }
    }
}

const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

fn wildcard(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::Ipv6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}
