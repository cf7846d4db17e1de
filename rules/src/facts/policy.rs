//! What decides which ports may be taken: ranges, exclusions, and the settings that fix a port.
//!
//! Invariant: each value is Known or Unknown on its own; an unreadable one is never "not set".

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::facts::Section;
use crate::ports::{Family, PortRange, Protocol};
use crate::text::Text;

/// What decides which ports may be taken. Each value is Known or Unknown on its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PortPolicy {
    /// Where the system draws ports from, by protocol and address family.
    #[serde(default)]
    pub dynamic_ranges: Section<Vec<DynamicRange>>,
    /// Excluded ports in force, administered and taken at run time.
    #[serde(default)]
    pub exclusions: Section<Vec<Exclusion>>,
    /// Administered exclusions that survive a restart, read from the registry.
    #[serde(default)]
    pub persistent_exclusions: Section<Vec<Exclusion>>,
    /// `Tcpip\Parameters\ReservedPorts`; honoured by Windows 2000 and 2003 only (KB812873).
    #[serde(default)]
    pub reserved_ports: Section<Vec<PortRange>>,
    /// `Tcpip\Parameters\MaxUserPort`. `Known(None)`: the value is not set.
    #[serde(default)]
    pub max_user_port: Section<Option<u32>>,
    #[serde(default)]
    pub dns_socket_pool: Section<DnsSocketPool>,
    /// `NTDS\Parameters\TCP/IP Port` (KB224196). `Known(None)`: the value is not set, LSASS takes a dynamic port.
    #[serde(default)]
    pub ntds_port: Section<Option<u16>>,
    /// `Netlogon\Parameters\DCTcpipPort` (KB224196). `Known(None)`: not set.
    #[serde(default)]
    pub netlogon_port: Section<Option<u16>>,
    /// `NtFrs\Parameters\RPC TCP/IP Port Assignment` (KB319553). `Known(None)`: not set.
    #[serde(default)]
    pub frs_port: Section<Option<u16>>,
    /// Fixed RPC port of DFS Replication (`dfsrdiag StaticRPC`). `Known(None)`: not set.
    #[serde(default)]
    pub dfsr_port: Section<Option<u16>>,
    /// `HKLM\SOFTWARE\Microsoft\Rpc\Internet` (KB154596). `Known(None)`: not set, RPC draws from the dynamic range.
    #[serde(default)]
    pub rpc_ports: Section<Option<RpcPorts>>,
    /// URLs that are reserved at HTTP.sys: their ports belong to PID 4.
    #[serde(default)]
    pub url_reservations: Section<Vec<UrlReservation>>,
    /// Addresses that HTTP.sys listens on. `Known([])`: all of them.
    #[serde(default)]
    pub http_listen_only: Section<Vec<Text>>,
    /// Ports of SQL Server instances, as configured.
    #[serde(default)]
    pub sql_ports: Section<Vec<SqlPort>>,
    /// Members of this policy, by name, that were written after the boot and count only from the next one.
    #[serde(default)]
    pub waiting_for_restart: Section<Vec<Text>>,
}

/// <https://learn.microsoft.com/troubleshoot/windows-server/networking/configure-rpc-dynamic-port-allocation-with-firewalls>
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RpcPorts {
    /// `Ports`.
    #[serde(default)]
    pub ranges: Vec<PortRange>,
    /// `PortsInternetAvailable`: whether `ranges` are those for use by default, or those left out. `None`: not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internet_available: Option<bool>,
    /// `UseInternetPorts`. `None`: not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_internet: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UrlReservation {
    /// Such as `https://+:443/sra/`.
    pub url: Text,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SqlPort {
    /// Such as `MSSQLSERVER`.
    pub instance: Text,
    /// `TcpPort` of all addresses.
    #[serde(default)]
    pub fixed: Vec<u16>,
    /// `TcpDynamicPorts`: the port that was drawn last. `None`: ports are fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dynamic: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DynamicRange {
    pub protocol: Protocol,
    pub family: Family,
    pub range: PortRange,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exclusion {
    pub protocol: Protocol,
    /// `None`: the entry serves both families.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    pub range: PortRange,
    /// Made by an administrator (`*` in netsh): still bindable by explicit request, so it is the remedy. `false`: a
    /// block taken at run time, in which a bind fails with 10013 although nobody holds the port.
    #[serde(default)]
    pub administered: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DnsSocketPool {
    /// `DNS\Parameters\SocketPoolSize`. `None`: not set, the default of 2,500 applies where the pool exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// `DNS\Parameters\SocketPoolExcludedPortRanges` (Server 2008 R2 and later).
    #[serde(default)]
    pub excluded: Vec<PortRange>,
}
