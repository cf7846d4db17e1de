//! A domain controller that is made up, with as much of everything as one with several roles has: what benches of the
//! agent and of the rules measure. No recording was at hand.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chrono::{DateTime, TimeDelta, Utc};
use rules::facts::{
    CollectedBy, ConnectionOwner, Connections, DynamicPortUse, DynamicRange, Event, EventDatum, Facts, Host, Os,
    PortPolicy, Recovery, RecoveryAction, RecoveryKind, Section, Service, ServiceState, Socket, SocketState, StartMode,
    StateCount, TcpState, Update, UpdateSource, UpdateState,
};
use rules::ports::{Family, PortRange, Protocol};
use rules::text::Text;

/// The dynamic range of Windows since Vista: 49152 to 65535.
const DYNAMIC: (u16, u16) = (49_152, 65_535);
const LISTENERS: u16 = 250;
const SERVICES: u32 = 200;
const UPDATES: u32 = 250;

/// How often each kind of change has happened.
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) sockets: u16,
    pub(crate) services: u32,
    pub(crate) events: u32,
    pub(crate) connections: u32,
}

pub(crate) struct DomainController {
    pub(crate) booted_at: DateTime<Utc>,
    /// UDP sockets of dns.exe, over both address families.
    pub(crate) pool: u16,
    pub(crate) changes: Changes,
}

impl DomainController {
    pub(crate) fn facts(&self, now: DateTime<Utc>) -> Facts {
        Facts {
            collected_at: Some(now),
            host: Section::Known(self.host()),
            sockets: Section::Known(self.sockets()),
            services: Section::Known((0..SERVICES).map(|index| self.service(index)).collect()),
            updates: Section::Known((0..UPDATES).map(|index| self.update(index)).collect()),
            port_policy: Section::Known(policy()),
            events: Section::Known(self.events()),
            connections: Section::Known(self.connections()),
            ..Facts::default()
        }
    }

    fn host(&self) -> Host {
        Host {
            name: Text::from("DC1"),
            domain: Some(Text::from("corp.example")),
            os: Os {
                name: Text::from("Windows Server 2019 Standard"),
                major: 10,
                minor: 0,
                build: 17_763,
                revision: Some(5_329),
                service_pack: None,
            },
            booted_at: Some(self.booted_at),
            boot_id: Some(Text::from("6f9f0f0e-2b7e-4b58-9e57-3f6a9f4a3c11")),
            utc_offset_minutes: Some(60),
            collected_by: CollectedBy::Agent,
            domain_controller: Some(true),
            products: Section::Known(Vec::new()),
            roles: Section::Known(vec![Text::from("domain-controller"), Text::from("dns-server")]),
            pending_restart: Section::Known(Vec::new()),
            collectors: Vec::new(),
        }
    }

    fn sockets(&self) -> Vec<Socket> {
        let v4 = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let v6 = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let mut sockets = Vec::new();
        for index in 0..self.pool {
            let address = if index.is_multiple_of(2) { v4 } else { v6 };
            sockets.push(self.socket(Protocol::Udp, address, pool_port(index / 2), "dns.exe", 1960, "DNS"));
        }
        for index in 0..LISTENERS {
            let address = if index.is_multiple_of(3) { v6 } else { v4 };
            let pid = 600 + u32::from(index % 60) * 4;
            sockets.push(self.socket(Protocol::Tcp, address, 88 + index * 13, "svchost.exe", pid, "Kdc"));
        }
        // The socket that comes and goes: a client of DNS in a shared process.
        let short_lived = DYNAMIC.0 + self.changes.sockets % 1_000;
        sockets.push(self.socket(Protocol::Udp, v4, short_lived, "svchost.exe", 1_212, "Dnscache"));
        sockets
    }

    fn socket(&self, protocol: Protocol, address: IpAddr, port: u16, image: &str, pid: u32, service: &str) -> Socket {
        Socket {
            protocol,
            address,
            scope: 0,
            port,
            state: if protocol == Protocol::Tcp { SocketState::Listen } else { SocketState::Bound },
            pid: Some(pid),
            image: Some(Text::from(format!("C:\\Windows\\System32\\{image}"))),
            process_started_at: Some(self.booted_at + TimeDelta::milliseconds(pid.into())),
            services: vec![Text::from(service)],
            specific_port: Some(protocol == Protocol::Tcp),
            bound_at: Some(self.booted_at + TimeDelta::milliseconds(2_000 + i64::from(port) / 16)),
        }
    }

    fn service(&self, index: u32) -> Service {
        // One of them starts and stops, as triggered ones do.
        let runs = !index.is_multiple_of(3) || (index == 0 && !self.changes.services.is_multiple_of(2));
        Service {
            name: Text::from(format!("Service{index:03}")),
            display_name: Text::from(format!("A service of the operating system, number {index}")),
            state: if runs { ServiceState::Running } else { ServiceState::Stopped },
            start: Some(if index.is_multiple_of(2) { StartMode::Auto } else { StartMode::Manual }),
            delayed: Some(index.is_multiple_of(5)),
            trigger_start: Some(index.is_multiple_of(7)),
            pid: runs.then_some(600 + (index % 60) * 4),
            exit_code: Some(if runs { 0 } else { 1077 }),
            service_exit_code: None,
            image_path: Some(Text::from("C:\\Windows\\system32\\svchost.exe -k netsvcs -p")),
            account: Some(Text::from("LocalSystem")),
            depends_on: vec![Text::from("RpcSs")],
            state_since: Some(
                self.booted_at + TimeDelta::seconds(i64::from(if index == 0 { self.changes.services } else { index })),
            ),
            recovery: Some(Recovery {
                reset_after_seconds: Some(86_400),
                actions: vec![RecoveryAction { kind: RecoveryKind::Restart, delay_ms: 120_000 }],
                on_error_stop: Some(false),
            }),
        }
    }

    fn update(&self, index: u32) -> Update {
        let kb = format!("KB{}", 5_000_000 + index);
        Update {
            source: UpdateSource::ComponentPackage,
            id: Text::from(format!("Package_for_{kb}~31bf3856ad364e35~amd64~~10.0.1.{index}")),
            kb: Some(Text::from(kb.clone())),
            aliases: Vec::new(),
            title: Text::from(format!("Package_for_{kb}")),
            state: if index.is_multiple_of(4) { UpdateState::Installed } else { UpdateState::Superseded },
            installed_at: Some(self.booted_at - TimeDelta::days(i64::from(index))),
            installed_by: Some(Text::from("S-1-5-18")),
            removable: Some(index.is_multiple_of(4)),
            version: Some(Text::from(format!("10.0.1.{index}"))),
        }
    }

    /// The newest 256, as the agent keeps them.
    fn events(&self) -> Vec<Event> {
        let newest = 400 + self.changes.events;
        (newest - 255..=newest)
            .map(|number| Event {
                log: Text::from("System"),
                record_id: u64::from(number),
                at: Some(self.booted_at + TimeDelta::seconds(number.into())),
                provider: Text::from("Service Control Manager"),
                id: 7040,
                service: Some(Text::from("BITS")),
                data: ["Background Intelligent Transfer Service", "demand start", "auto start", "BITS"]
                    .into_iter()
                    .enumerate()
                    .map(|(index, value)| EventDatum {
                        name: Some(Text::from(format!("param{}", index + 1))),
                        value: Text::from(value),
                    })
                    .collect(),
            })
            .collect()
    }

    fn connections(&self) -> Connections {
        let count = |family, state, count| StateCount { family, state, count: count + self.changes.connections };
        let used = |protocol, family, in_use| DynamicPortUse { protocol, family, in_use, size: 16_384 };
        let owner = |index: u32| ConnectionOwner {
            pid: 600 + index * 4,
            image: Some(Text::from("C:\\Windows\\System32\\lsass.exe")),
            count: 90 - index + self.changes.connections,
        };
        Connections {
            states: vec![
                count(Family::Ipv4, TcpState::Established, 700),
                count(Family::Ipv4, TcpState::TimeWait, 90),
                count(Family::Ipv4, TcpState::CloseWait, 4),
                count(Family::Ipv6, TcpState::Established, 150),
            ],
            dynamic_ports: vec![
                used(Protocol::Tcp, Family::Ipv4, 310),
                used(Protocol::Tcp, Family::Ipv6, 60),
                used(Protocol::Udp, Family::Ipv4, 2_530),
                used(Protocol::Udp, Family::Ipv6, 2_510),
            ],
            owners: (0..10).map(owner).collect(),
        }
    }
}

/// Spread over the dynamic range without meeting itself: 6,007 and the size of the range have no common divisor.
fn pool_port(index: u16) -> u16 {
    let size = u32::from(DYNAMIC.1 - DYNAMIC.0) + 1;
    let offset = (u32::from(index) + 1) * 6_007 % size;
    DYNAMIC.0 + u16::try_from(offset).unwrap_or_default()
}

fn policy() -> PortPolicy {
    let range = |protocol, family| {
        let range = PortRange::new(DYNAMIC.0, DYNAMIC.1)?;
        Some(DynamicRange { protocol, family, range })
    };
    let all = [
        (Protocol::Tcp, Family::Ipv4),
        (Protocol::Tcp, Family::Ipv6),
        (Protocol::Udp, Family::Ipv4),
        (Protocol::Udp, Family::Ipv6),
    ];
    PortPolicy {
        dynamic_ranges: Section::Known(
            all.into_iter().filter_map(|(protocol, family)| range(protocol, family)).collect(),
        ),
        exclusions: Section::Known(Vec::new()),
        persistent_exclusions: Section::Known(Vec::new()),
        reserved_ports: Section::Known(Vec::new()),
        max_user_port: Section::Known(None),
        ntds_port: Section::Known(None),
        ..PortPolicy::default()
    }
}
