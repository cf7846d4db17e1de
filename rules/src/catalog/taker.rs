//! A taker: something known to take ports that it has no name to, and so to be in the way of those that have.

use serde::{Deserialize, Serialize};

use super::Grounding;
use crate::ports::Protocol;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taker {
    pub id: String,
    /// As a sentence names it, such as `the DNS server's socket pool`.
    pub name: String,
    /// Image names; empty where no process is visible.
    #[serde(default)]
    pub processes: Vec<String>,
    /// SCM key names behind it; the first one is what a remedy stops.
    pub services: Vec<String>,
    pub protocols: Vec<Protocol>,
    pub mechanism: Mechanism,
    /// What happens, in a sentence or two.
    pub summary: String,
    pub grounding: Grounding,
    pub sources: Vec<String>,
}

/// How a taker comes by its ports; it decides the remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    /// Thousands of random UDP ports at every start of the DNS server (MS08-037).
    SocketPool,
    /// RPC endpoints in the dynamic range, drawn early in the boot.
    DynamicRpc,
    /// Blocks that the kernel reserves: binding fails with 10013, and no holder is visible.
    ReservedBlocks,
    /// Not in anyone's way: what becomes of IPsec when its own port is taken.
    BlockMode,
}

impl Taker {
    pub(super) fn takes(&self, process: &str, protocol: Protocol) -> bool {
        self.protocols.contains(&protocol) && self.processes.iter().any(|name| name.eq_ignore_ascii_case(process))
    }
}
