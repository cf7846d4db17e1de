//! What may take a service's ports at the next boot. Pure data; the port rules make it.
//!
//! Invariant: a probability stands only where the mechanism is random and known; it always carries its inputs.

use serde::{Deserialize, Serialize};

use crate::ports::{Family, Port, PortRange};

/// What one taker may do to one service of a host. Identity: (host, service, taker).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// SCM key name.
    pub service: String,
    /// Id of the taker in the catalog.
    pub taker: String,
    /// Required ports of the service within its reach that nothing keeps out of it.
    pub ports: Vec<Port>,
    /// That the service loses at least one of them, under `condition`. `None`: drawn in turn, and no formula tells.
    pub probability: Option<f64>,
    /// `if DNS binds first`.
    pub condition: String,
    /// One for each address family that counts.
    pub draws: Vec<Draw>,
    /// In how many earlier boots the taker held one of the ports, of how many that were seen. `None`: none was seen.
    pub boots: Option<(u32, u32)>,
}

/// `1 − C(N−k, n) / C(N, n)`: the numbers of one draw of a pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Draw {
    pub family: Family,
    pub range: PortRange,
    /// N: ports of the range that can be drawn, without those that are excluded or bound by others.
    pub free: u32,
    pub excluded: u32,
    /// Bound by others before the draw.
    pub bound: u32,
    /// n: how many are drawn.
    pub drawn: u32,
    /// k: how many of the service's ports are among `free`.
    pub wanted: u32,
    pub probability: f64,
}
