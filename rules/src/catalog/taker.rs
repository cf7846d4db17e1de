//! A taker: something known to take ports that it has no name to, and so to be in the way of those that have.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EventCondition, Grounding, OsSpan};
use crate::finding::Restart;
use crate::ports::{PortRange, Protocol};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Taker {
    pub id: String,
    /// As a sentence names it, such as `the DNS server's socket pool`.
    pub name: String,
    /// Image names; empty where no process is visible, or where any may be behind it.
    #[serde(default)]
    pub processes: Vec<String>,
    /// SCM key names or patterns behind it; the first one is what a remedy stops. Empty: any service may be.
    #[serde(default)]
    pub services: Vec<String>,
    pub protocols: Vec<Protocol>,
    pub mechanism: Mechanism,
    /// How many ports, in words: `about 2,500 for each address family`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<String>,
    /// Where its ports come from.
    #[serde(default)]
    pub draws: Vec<Draw>,
    /// Services, or what else is known to have lost a port to it.
    #[serde(default)]
    pub collides_with: Vec<String>,
    /// Ways of keeping a port out of its reach.
    #[serde(default)]
    pub reservations: Vec<Reservation>,
    /// Events that tell of it.
    #[serde(default)]
    pub events: Vec<EventCondition>,
    /// What happens, in a sentence or two.
    pub summary: String,
    pub grounding: Grounding,
    pub sources: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// How a taker comes by its ports; it decides the remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    /// Thousands of random UDP ports at every start of the DNS server (MS08-037).
    SocketPool,
    /// RPC endpoints of LSASS in the dynamic range, drawn in sequence early in the boot.
    DynamicRpc,
    /// Ports of the dynamic range, drawn in sequence.
    DynamicPort,
    /// Blocks that the kernel reserves: binding fails with 10013, and no holder is visible.
    ReservedBlocks,
    /// Not in anyone's way: what becomes of IPsec when its own port is taken.
    BlockMode,
    /// One listener of the kernel that many services share by URL.
    SharedListener,
    /// Two roles or products want the same fixed port.
    RoleClash,
    /// The local port of an outgoing connection.
    ClientPort,
    /// All dynamic ports are used up.
    Exhaustion,
    /// A rule that makes a service listen on behalf of an operator.
    PortProxy,
    /// A fault of the network stack itself.
    StackDefect,
    /// A list of reservations that a product is known to need.
    ReservationList,
    /// No taker: known for what it loses.
    Victim,
}

/// Where ports come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Draw {
    pub from: DrawnFrom,
    #[serde(default)]
    pub os: OsSpan,
    /// `where MaxUserPort is set`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DrawnFrom {
    /// As the system has it set.
    DynamicRange,
    /// From 1024 up to the value `MaxUserPort`.
    UpToMaxUserPort,
    Range(PortRange),
}

/// A way of keeping a port out of the reach of a taker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reservation {
    pub method: ReservationMethod,
    #[serde(default)]
    pub os: OsSpan,
    /// One sentence.
    pub step: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caution: Option<String>,
    pub restart: Restart,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReservationMethod {
    /// `ReservedPorts` (KB812873), both protocols.
    ReservedPorts,
    /// `netsh … add excludedportrange`, one protocol and family at a time.
    ExcludedPortRange,
    /// `SocketPoolExcludedPortRanges` of the DNS server.
    DnsPoolExclusion,
    /// `SocketPoolSize` of the DNS server.
    DnsPoolSize,
    /// `CreatePersistentTcpPortReservation` and its like, called by the program.
    PersistentReservation,
    /// The taker gets a fixed port.
    FixedPort,
    /// The dynamic range is moved.
    DynamicRange,
    /// The service in need gets another port.
    MoveService,
    /// The taker is stopped or switched off.
    StopTaker,
    /// The service in need is started again later.
    Retry,
    /// An update.
    Update,
    /// Steps of its own.
    Manual,
}

impl Taker {
    /// Whether it draws ports at random or in turn, so that a process found on a port may have got it by chance.
    pub(super) fn draws_by_chance(&self) -> bool {
        matches!(self.mechanism, Mechanism::SocketPool | Mechanism::DynamicRpc | Mechanism::DynamicPort)
    }
}
