//! TCP connections and the use of dynamic ports, as counts: a list of connections changes too fast to be kept.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ports::{Family, Protocol};
use crate::text::Text;

/// TCP connections and the use of dynamic ports, as counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Connections {
    /// Connections by address family and state; a state without any is not named.
    #[serde(default)]
    pub states: Vec<StateCount>,
    /// Distinct local ports in use within the dynamic range, bound or connected. Empty: the ranges are not known.
    #[serde(default)]
    pub dynamic_ports: Vec<DynamicPortUse>,
    /// The processes with most connections, at most ten.
    #[serde(default)]
    pub owners: Vec<ConnectionOwner>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StateCount {
    pub family: Family,
    pub state: TcpState,
    pub count: u32,
}

/// <https://learn.microsoft.com/windows/win32/api/tcpmib/ns-tcpmib-mib_tcprow_lh>, without those that have no peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TcpState {
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DynamicPortUse {
    pub protocol: Protocol,
    pub family: Family,
    pub in_use: u32,
    /// Ports in the range.
    pub size: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionOwner {
    pub pid: u32,
    /// `None`: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Text>,
    pub count: u32,
}
