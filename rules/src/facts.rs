//! What is known of one host, by section. The same document is written by `collect --json`, read by `check` and
//! `replay`, carried by the stream and stored by the server (each with its own type and a tested bridge).
//!
//! Invariant: unknown is never empty. A section that could not be read says why ([`Section::Unknown`]), and so does
//! each value of [`PortPolicy`] on its own. No I/O, no clock.

mod connections;
mod event;
mod policy;
mod service;
mod texts;
mod update;

use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;
use std::net::IpAddr;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::ports::{Family, Port, Protocol};
use crate::text::Text;

pub use crate::facts::connections::{ConnectionOwner, Connections, DynamicPortUse, StateCount, TcpState};
pub use crate::facts::event::{Event, EventDatum};
pub use crate::facts::policy::{DnsSocketPool, DynamicRange, Exclusion, PortPolicy, RpcPorts, SqlPort, UrlReservation};
pub use crate::facts::service::{Recovery, RecoveryAction, RecoveryKind, Service, ServiceState, StartMode};
pub use crate::facts::texts::Texts;
pub use crate::facts::update::{Update, UpdateSource, UpdateState};

/// The value of `schema` in a facts file. The schema only grows; unknown members are ignored.
pub const SCHEMA: &str = "portreeve.facts/1";

/// One host at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Facts {
    /// Always `portreeve.facts/1`.
    pub schema: String,
    /// When the facts were read, by the host's clock. `None`: not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collected_at: Option<DateTime<Utc>>,
    #[serde(default)]
    pub host: Section<Host>,
    #[serde(default)]
    pub sockets: Section<Vec<Socket>>,
    #[serde(default)]
    pub services: Section<Vec<Service>>,
    #[serde(default)]
    pub updates: Section<Vec<Update>>,
    #[serde(default)]
    pub port_policy: Section<PortPolicy>,
    /// The newest entries of the event logs that tell of starts, failures, binds and updates: a window of at most 256, from
    /// a quarter of an hour before the last boot on, which is what led to it.
    #[serde(default)]
    pub events: Section<Vec<Event>>,
    /// Connections as counts only.
    #[serde(default)]
    pub connections: Section<Connections>,
}

impl Default for Facts {
    /// Nothing is known yet.
    fn default() -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            collected_at: None,
            host: Section::default(),
            sockets: Section::default(),
            services: Section::default(),
            updates: Section::default(),
            port_policy: Section::default(),
            events: Section::default(),
            connections: Section::default(),
        }
    }
}

/// A source that was read, or why it was not. Written `{"known": …}` or `{"unknown": "reason"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Section<T> {
    Known(T),
    Unknown(Text),
}

/// By hand, because the derived form does not say what it expects.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Section<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(field_identifier, rename_all = "lowercase")]
        enum Member {
            Known,
            Unknown,
        }

        struct SectionVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for SectionVisitor<T> {
            type Value = Section<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(r#"`{"known": …}` or `{"unknown": "reason"}`"#)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Section<T>, A::Error> {
                let section = match map.next_key()? {
                    Some(Member::Known) => Section::Known(map.next_value()?),
                    Some(Member::Unknown) => Section::Unknown(map.next_value()?),
                    None => {
                        return Err(Error::custom(
                            r#"a section is empty; it is `{"known": …}` or `{"unknown": "reason"}`"#,
                        ));
                    }
                };
                match map.next_key::<Member>()? {
                    None => Ok(section),
                    Some(_) => Err(Error::custom(
                        r#"a section has one member: `{"known": …}` or `{"unknown": "reason"}`, not both"#,
                    )),
                }
            }
        }

        deserializer.deserialize_map(SectionVisitor(PhantomData))
    }
}

impl<T> Section<T> {
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }

    pub fn unknown(&self) -> Option<&Text> {
        match self {
            Self::Known(_) => None,
            Self::Unknown(reason) => Some(reason),
        }
    }
}

impl<T> Default for Section<T> {
    fn default() -> Self {
        Self::Unknown(Text::new("not collected"))
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Host {
    pub name: Text,
    /// DNS domain; `None`: a workgroup, or not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<Text>,
    pub os: Os,
    /// Time of the last boot by the host's clock. `None`: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub booted_at: Option<DateTime<Utc>>,
    /// The same until the next boot. `None`: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<Text>,
    /// Minutes that the host's local time is ahead of UTC. `None`: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utc_offset_minutes: Option<i32>,
    #[serde(default)]
    pub collected_by: CollectedBy,
    /// `None`: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain_controller: Option<bool>,
    /// Server products with their versions, by the catalog's ids.
    #[serde(default)]
    pub products: Section<Vec<Product>>,
    /// Server roles by the catalog's ids, such as `dns-server`, `nps`, `domain-controller`.
    #[serde(default)]
    pub roles: Section<Vec<Text>>,
    /// Why the system wants a restart, one entry a sign. `Known([])`: it does not.
    #[serde(default)]
    pub pending_restart: Section<Vec<Text>>,
    /// What could be read on this host and what could not. Empty: not said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub collectors: Vec<Collector>,
}

/// A source of facts on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Collector {
    /// Such as `sockets`, `socket-owners`, `event-log`, `update-history`.
    pub name: Text,
    pub state: CollectorState,
    /// Why it is not `ok`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CollectorState {
    Ok,
    /// Part of what it should tell is missing.
    Degraded,
    /// It tells nothing on this host.
    Unavailable,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CollectedBy {
    /// The agent, live.
    #[default]
    Agent,
    /// Text of commands, run on a host that cannot run the agent: no bind times, no live changes.
    Capture,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Os {
    /// As the system names itself, such as `Windows Server 2008 R2 Standard`.
    pub name: Text,
    pub major: u32,
    pub minor: u32,
    pub build: u32,
    /// Update build revision; of the kernel's file where the system has none (before Server 2016). `None`: not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_pack: Option<Text>,
}

impl Os {
    /// The generation that decides which remedies and defaults apply.
    ///
    /// Source: <https://learn.microsoft.com/windows/win32/sysinfo/operating-system-version>; the builds of 10.0 tell
    /// Server 2016 (14393) from 2019 (17763), 2022 (20348) and 2025 (26100).
    pub fn generation(&self) -> OsGeneration {
        match (self.major, self.minor) {
            (5, 0) => OsGeneration::Windows2000,
            (5, _) => OsGeneration::Server2003,
            (6, 0) => OsGeneration::Server2008,
            (6, 1) => OsGeneration::Server2008R2,
            (6, 2) => OsGeneration::Server2012,
            (6, 3) => OsGeneration::Server2012R2,
            (10, _) if self.build >= 26100 => OsGeneration::Server2025,
            (10, _) if self.build >= 20348 => OsGeneration::Server2022,
            (10, _) if self.build >= 17763 => OsGeneration::Server2019,
            (10, _) if self.build >= 14393 => OsGeneration::Server2016,
            _ => OsGeneration::Other,
        }
    }
}

/// Server generations in order of age; `Other` compares above all and promises nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum OsGeneration {
    #[serde(rename = "windows-2000")]
    Windows2000,
    #[serde(rename = "server-2003")]
    Server2003,
    #[serde(rename = "server-2008")]
    Server2008,
    #[serde(rename = "server-2008r2")]
    Server2008R2,
    #[serde(rename = "server-2012")]
    Server2012,
    #[serde(rename = "server-2012r2")]
    Server2012R2,
    #[serde(rename = "server-2016")]
    Server2016,
    #[serde(rename = "server-2019")]
    Server2019,
    #[serde(rename = "server-2022")]
    Server2022,
    #[serde(rename = "server-2025")]
    Server2025,
    #[serde(rename = "other")]
    Other,
}

impl OsGeneration {
    /// As a sentence names it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Windows2000 => "Windows 2000 Server",
            Self::Server2003 => "Server 2003",
            Self::Server2008 => "Server 2008",
            Self::Server2008R2 => "Server 2008 R2",
            Self::Server2012 => "Server 2012",
            Self::Server2012R2 => "Server 2012 R2",
            Self::Server2016 => "Server 2016",
            Self::Server2019 => "Server 2019",
            Self::Server2022 => "Server 2022",
            Self::Server2025 => "Server 2025",
            Self::Other => "a system of unknown generation",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Product {
    /// Id of the catalog, such as `exchange-server`.
    pub id: Text,
    pub name: Text,
    /// Dotted numbers, such as `8.1.240.6`. `None`: present, version not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Text>,
}

/// A TCP endpoint or a bound UDP port, with its owner.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Socket {
    pub protocol: Protocol,
    pub address: IpAddr,
    /// IPv6 scope id of a link-local address; 0 otherwise.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub scope: u32,
    pub port: u16,
    #[serde(default)]
    pub state: SocketState,
    /// Owner. `None`: not known. PID 4 is the kernel (HTTP.sys, SMB).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Image name (`dns.exe`) or full path, as far as it could be read. `None`: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Text>,
    /// When the owning process started; guards against a reused PID. `None`: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process_started_at: Option<DateTime<Utc>>,
    /// SCM key names of the owning service. Several: candidates that share the process. Empty: none known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<Text>,
    /// Bound to this very port on purpose (`true`), or given it by the system (`false`). `None`: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub specific_port: Option<bool>,
    /// When the port was bound, by the host's clock. `None`: not known, as in every capture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound_at: Option<DateTime<Utc>>,
}

impl Socket {
    pub fn local_port(&self) -> Port {
        Port { protocol: self.protocol, number: self.port }
    }

    /// The order in which rules look at sockets: by port, then by all else.
    pub fn by_port(&self, other: &Self) -> Ordering {
        self.local_port().cmp(&other.local_port()).then_with(|| self.cmp(other))
    }

    pub fn family(&self) -> Family {
        if self.address.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 }
    }

    /// `dns.exe` for `C:\Windows\System32\dns.exe`. `None`: the owner is not known.
    pub fn process(&self) -> Option<&str> {
        self.image.as_deref().map(|image| image.rsplit(['\\', '/']).next().unwrap_or(image))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SocketState {
    /// TCP, accepting connections.
    Listen,
    /// Bound: every UDP socket, and a TCP socket that neither listens nor is connected.
    #[default]
    Bound,
    /// TCP with a peer.
    Connected,
}
