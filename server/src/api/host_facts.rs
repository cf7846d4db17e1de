//! The facts of a host that are one document: the host itself and its port policy.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use rules::facts;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::access::Caller;
use crate::api::extract::{Path, Query};
use crate::api::hosts::{document, section_status};
use crate::api::model::{Known, SectionName, SectionStatus};
use crate::api::past::{AsOf, AtQuery};
use crate::api::problem::Problem;
use crate::app::App;
use crate::clock;
use crate::db::read_past::HostAt;

/// What was known of a host at a moment, beside the sections that are lists.
#[derive(Debug, Serialize, ToSchema)]
pub struct HostFactsAt {
    pub as_of: AsOf,
    /// All seven, always. Events are told by their own time and connections only as they are: both are unknown here.
    pub sections: Vec<SectionStatus>,
    /// `null`: not known then, like the next.
    pub host: Option<HostFacts>,
    pub port_policy: Option<PortPolicy>,
}

/// What the host says of itself.
#[derive(Debug, Serialize, ToSchema)]
pub struct HostFacts {
    pub name: String,
    /// DNS domain. `null`: a workgroup, or not said.
    pub domain: Option<String>,
    pub os_name: String,
    pub service_pack: Option<String>,
    /// By the host's own clock. `null`: not known.
    pub booted_at: Option<DateTime<Utc>>,
    /// Minutes that its local time is ahead of UTC. `null`: not known.
    pub utc_offset_minutes: Option<i32>,
    /// `null`: not known.
    pub domain_controller: Option<bool>,
    pub products: Known<Vec<Product>>,
    /// Such as `dns-server`, `nps`.
    pub roles: Known<Vec<String>>,
    /// Why the system wants a restart, one entry a sign. An empty list: it does not.
    pub pending_restart: Known<Vec<String>>,
    /// What could be read on this host and what could not. Empty: its agent does not say.
    pub collectors: Vec<Collector>,
}

/// A source of facts on a host.
#[derive(Debug, Serialize, ToSchema)]
pub struct Collector {
    /// Such as `sockets`, `event-log`.
    pub name: String,
    pub state: CollectorState,
    /// Why it is not `ok`.
    pub reason: Option<String>,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CollectorState {
    Ok,
    /// Part of what it should tell is missing.
    Degraded,
    /// It tells nothing on this host.
    Unavailable,
}

/// A server product on a host.
#[derive(Debug, Serialize, ToSchema)]
pub struct Product {
    /// Such as `exchange-server`.
    pub id: String,
    pub name: String,
    /// `null`: present, version not read.
    pub version: Option<String>,
}

/// What decides which ports may be taken. Each value is known or unknown on its own.
#[derive(Debug, Serialize, ToSchema)]
pub struct PortPolicy {
    /// Where the system draws ports from.
    pub dynamic_ranges: Known<Vec<DynamicRange>>,
    /// Excluded ports in force.
    pub exclusions: Known<Vec<Exclusion>>,
    /// Administered exclusions that survive a restart.
    pub persistent_exclusions: Known<Vec<Exclusion>>,
    /// `ReservedPorts`, honoured by Windows 2000 and 2003 only.
    pub reserved_ports: Known<Vec<String>>,
    /// `MaxUserPort`; `null` without a reason: not set.
    pub max_user_port: Known<u32>,
    pub dns_socket_pool: Known<DnsSocketPool>,
    /// `TCP/IP Port` of NTDS; `null` without a reason: not set, LSASS takes a dynamic port.
    pub ntds_port: Known<u16>,
    /// `DCTcpipPort` of Netlogon; `null` without a reason: not set, like the next ones.
    pub netlogon_port: Known<u16>,
    /// `RPC TCP/IP Port Assignment` of the File Replication Service.
    pub frs_port: Known<u16>,
    /// Fixed RPC port of DFS Replication.
    pub dfsr_port: Known<u16>,
    /// From which ports RPC draws; not set: from the dynamic range.
    pub rpc_ports: Known<RpcPorts>,
    /// URLs that are reserved at HTTP.sys.
    pub url_reservations: Known<Vec<String>>,
    /// Addresses that HTTP.sys listens on. An empty list: all of them.
    pub http_listen_only: Known<Vec<String>>,
    pub sql_ports: Known<Vec<SqlPort>>,
    /// Members of this policy that were written after the boot and count only from the next one.
    pub waiting_for_restart: Known<Vec<String>>,
}

/// `HKLM\SOFTWARE\Microsoft\Rpc\Internet`.
#[derive(Debug, Serialize, ToSchema)]
pub struct RpcPorts {
    /// `Ports`.
    pub ranges: Vec<String>,
    /// `PortsInternetAvailable`. `null`: not set.
    pub internet_available: Option<bool>,
    /// `UseInternetPorts`. `null`: not set.
    pub use_internet: Option<bool>,
}

/// Ports of an instance of SQL Server, as configured.
#[derive(Debug, Serialize, ToSchema)]
pub struct SqlPort {
    /// Such as `MSSQLSERVER`.
    pub instance: String,
    pub fixed: Vec<u16>,
    /// The port that was drawn last. `null`: its ports are fixed.
    pub dynamic: Option<u16>,
}

/// Where the system draws ports from, by protocol and address family.
#[derive(Debug, Serialize, ToSchema)]
pub struct DynamicRange {
    pub protocol: Protocol,
    pub family: Family,
    /// Such as `49152-65535`, both ends included.
    pub range: String,
}

/// Ports that the system does not hand out.
#[derive(Debug, Serialize, ToSchema)]
pub struct Exclusion {
    pub protocol: Protocol,
    /// `null`: both.
    pub family: Option<Family>,
    /// Such as `49152-65535`, both ends included.
    pub range: String,
    /// Made by an administrator: still bindable on request. `false`: a block taken at run time, in which binds fail.
    pub administered: bool,
}

/// The random ports that the DNS server takes.
#[derive(Debug, Serialize, ToSchema)]
pub struct DnsSocketPool {
    /// `null`: not set, the default applies.
    pub size: Option<u32>,
    /// Ranges that it leaves alone.
    pub excluded: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    Ipv4,
    Ipv6,
}

/// Facts of a host at a moment
///
/// Without `at`: now.
#[utoipa::path(
    get,
    path = "/hosts/{id}/facts",
    tag = "hosts",
    params(("id" = i64, Path, description = "Id of the host"), AtQuery),
    responses((status = 200, description = "Its facts", body = HostFactsAt), (status = "default", response = Problem))
)]
pub async fn one(
    caller: Caller,
    State(app): State<Arc<App>>,
    Path(id): Path<i64>,
    Query(query): Query<AtQuery>,
) -> Result<Json<HostFactsAt>, Problem> {
    let now = clock::now();
    let at = query.moment(now)?.unwrap_or(now);
    let Some(mut host) = HostAt::of(&caller.scope, &app.db, id, at).await? else {
        return Err(Problem::not_found("host"));
    };
    let rows = host.sections().await?;
    Ok(Json(HostFactsAt {
        as_of: AsOf::of(&mut host, at).await?,
        host: document::<facts::Host>(&rows, SectionName::Host)?.map(HostFacts::from),
        port_policy: document::<facts::PortPolicy>(&rows, SectionName::PortPolicy)?.map(PortPolicy::from),
        sections: SectionName::ALL.into_iter().map(|name| section_status(&rows, name)).collect(),
    }))
}

impl From<rules::ports::Protocol> for Protocol {
    fn from(protocol: rules::ports::Protocol) -> Self {
        match protocol {
            rules::ports::Protocol::Tcp => Self::Tcp,
            rules::ports::Protocol::Udp => Self::Udp,
        }
    }
}

impl From<rules::ports::Family> for Family {
    fn from(family: rules::ports::Family) -> Self {
        match family {
            rules::ports::Family::Ipv4 => Self::Ipv4,
            rules::ports::Family::Ipv6 => Self::Ipv6,
        }
    }
}

impl From<facts::Host> for HostFacts {
    fn from(host: facts::Host) -> Self {
        Self {
            name: host.name.into_string(),
            domain: host.domain.map(rules::text::Text::into_string),
            os_name: host.os.name.into_string(),
            service_pack: host.os.service_pack.map(rules::text::Text::into_string),
            booted_at: host.booted_at,
            utc_offset_minutes: host.utc_offset_minutes,
            domain_controller: host.domain_controller,
            products: Known::list(host.products, |product| Product {
                id: product.id.into_string(),
                name: product.name.into_string(),
                version: product.version.map(rules::text::Text::into_string),
            }),
            roles: Known::list(host.roles, rules::text::Text::into_string),
            pending_restart: Known::list(host.pending_restart, rules::text::Text::into_string),
            collectors: host.collectors.into_iter().map(Collector::from).collect(),
        }
    }
}

impl From<facts::PortPolicy> for PortPolicy {
    fn from(policy: facts::PortPolicy) -> Self {
        Self {
            dynamic_ranges: Known::list(policy.dynamic_ranges, |range| DynamicRange {
                protocol: range.protocol.into(),
                family: range.family.into(),
                range: range.range.to_string(),
            }),
            exclusions: Known::list(policy.exclusions, Exclusion::from),
            persistent_exclusions: Known::list(policy.persistent_exclusions, Exclusion::from),
            reserved_ports: Known::list(policy.reserved_ports, |range| range.to_string()),
            max_user_port: Known::from_section(policy.max_user_port, |port| port),
            dns_socket_pool: Known::from_section(policy.dns_socket_pool, |pool| {
                Some(DnsSocketPool {
                    size: pool.size,
                    excluded: pool.excluded.iter().map(ToString::to_string).collect(),
                })
            }),
            ntds_port: Known::from_section(policy.ntds_port, |port| port),
            netlogon_port: Known::from_section(policy.netlogon_port, |port| port),
            frs_port: Known::from_section(policy.frs_port, |port| port),
            dfsr_port: Known::from_section(policy.dfsr_port, |port| port),
            rpc_ports: Known::from_section(policy.rpc_ports, |ports| ports.map(RpcPorts::from)),
            url_reservations: Known::list(policy.url_reservations, |reservation| reservation.url.into_string()),
            http_listen_only: Known::list(policy.http_listen_only, rules::text::Text::into_string),
            sql_ports: Known::list(policy.sql_ports, SqlPort::from),
            waiting_for_restart: Known::list(policy.waiting_for_restart, rules::text::Text::into_string),
        }
    }
}

impl From<facts::Exclusion> for Exclusion {
    fn from(exclusion: facts::Exclusion) -> Self {
        Self {
            protocol: exclusion.protocol.into(),
            family: exclusion.family.map(Family::from),
            range: exclusion.range.to_string(),
            administered: exclusion.administered,
        }
    }
}

impl From<facts::Collector> for Collector {
    fn from(collector: facts::Collector) -> Self {
        Self {
            name: collector.name.into_string(),
            state: match collector.state {
                facts::CollectorState::Ok => CollectorState::Ok,
                facts::CollectorState::Degraded => CollectorState::Degraded,
                facts::CollectorState::Unavailable => CollectorState::Unavailable,
            },
            reason: collector.reason.map(rules::text::Text::into_string),
        }
    }
}

impl From<facts::RpcPorts> for RpcPorts {
    fn from(ports: facts::RpcPorts) -> Self {
        Self {
            ranges: ports.ranges.iter().map(ToString::to_string).collect(),
            internet_available: ports.internet_available,
            use_internet: ports.use_internet,
        }
    }
}

impl From<facts::SqlPort> for SqlPort {
    fn from(port: facts::SqlPort) -> Self {
        Self { instance: port.instance.into_string(), fixed: port.fixed, dynamic: port.dynamic }
    }
}
