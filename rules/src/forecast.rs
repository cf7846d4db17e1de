//! What may take a service's ports at the next boot. Pure data; the port rules make it.
//!
//! Invariant: a probability stands only where the mechanism is random and known; it always carries its inputs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ports::{Family, Port, PortRange, Protocol};
use crate::words;

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

/// That at least one of several independent things happens: `1 − Π(1 − p)`. 0 for none.
pub fn any_of(probabilities: impl IntoIterator<Item = f64>) -> f64 {
    1.0 - probabilities.into_iter().map(|probability| 1.0 - probability).product::<f64>()
}

/// Ports as one writes them to reserve them: `tcp/3101`, `udp/1645-1646`; in order, neighbours joined.
pub fn as_reservations(ports: impl IntoIterator<Item = Port>) -> Vec<String> {
    let mut numbers: BTreeMap<Protocol, Vec<u16>> = BTreeMap::new();
    for port in ports {
        numbers.entry(port.protocol).or_default().push(port.number);
    }
    let written = |(protocol, numbers)| {
        words::ranges(numbers).into_iter().map(move |range| format!("{protocol}/{range}")).collect::<Vec<_>>()
    };
    numbers.into_iter().flat_map(written).collect()
}

#[cfg(test)]
mod tests {
    use super::{any_of, as_reservations};

    #[test]
    fn several_takers_are_worse_than_one() {
        assert!(any_of([]).abs() < 1e-12);
        assert!((any_of([0.25]) - 0.25).abs() < 1e-12);
        assert!((any_of([0.5, 0.5]) - 0.75).abs() < 1e-12);
        assert!((any_of([0.1, 1.0]) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn ports_are_reserved_as_ranges_of_their_protocol() {
        let ports = ["udp/1813", "tcp/3101", "udp/1645", "udp/1812", "udp/1646", "udp/1812"];
        let ports = ports.map(|port| port.parse().unwrap());
        assert_eq!(as_reservations(ports), ["tcp/3101", "udp/1645-1646", "udp/1812-1813"]);
        assert!(as_reservations([]).is_empty());
    }
}
