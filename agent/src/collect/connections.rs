//! Connections as counts: how many by state, who has most, and how far the dynamic ports are used up.
//!
//! Invariant: counts that moved little are not told again, or every host would report without end. No I/O.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;

use proto::wire;
use rules::facts::{ConnectionOwner, Connections, DynamicPortUse, DynamicRange, Socket, StateCount, TcpState};
use rules::ports::{Family, Protocol};
use rules::text::Text;

/// Processes that are named.
const OWNERS: usize = 10;
/// A count that moved by no more than this, or by no more than a tenth, is as it was.
const NOISE: u32 = 8;

/// A row of the table of connections that has a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub state: TcpState,
    /// 0: not known, as in `TimeWait`.
    pub pid: u32,
}

/// The numbers of MIB_TCP_STATE; `None` for a socket without a peer.
pub fn state(number: u32) -> Option<TcpState> {
    Some(match number {
        3 => TcpState::SynSent,
        4 => TcpState::SynReceived,
        5 => TcpState::Established,
        6 => TcpState::FinWait1,
        7 => TcpState::FinWait2,
        8 => TcpState::CloseWait,
        9 => TcpState::Closing,
        10 => TcpState::LastAck,
        11 => TcpState::TimeWait,
        _ => return None,
    })
}

/// `ranges` are empty where they are not known.
pub fn count(
    connections: &[Connection],
    sockets: &[Socket],
    ranges: &[DynamicRange],
    image: impl FnMut(u32) -> Option<Text>,
) -> Connections {
    let mut states: BTreeMap<(Family, TcpState), u32> = BTreeMap::new();
    for connection in connections {
        *states.entry((family(connection), connection.state)).or_default() += 1;
    }
    Connections {
        states: states.into_iter().map(|((family, state), count)| StateCount { family, state, count }).collect(),
        dynamic_ports: ranges.iter().map(|range| dynamic_ports(*range, connections, sockets)).collect(),
        owners: owners(connections, image),
    }
}

fn dynamic_ports(range: DynamicRange, connections: &[Connection], sockets: &[Socket]) -> DynamicPortUse {
    let is_bound = |socket: &&Socket| (socket.protocol, socket.family()) == (range.protocol, range.family);
    let mut ports: HashSet<u16> = sockets.iter().filter(is_bound).map(|socket| socket.port).collect();
    if range.protocol == Protocol::Tcp {
        let of_family = connections.iter().filter(|connection| family(connection) == range.family);
        ports.extend(of_family.map(|connection| connection.local.port()));
    }
    let (start, end) = (range.range.start(), range.range.end());
    let in_use = ports.into_iter().filter(|port| (start..=end).contains(port)).count();
    DynamicPortUse {
        protocol: range.protocol,
        family: range.family,
        in_use: u32::try_from(in_use).unwrap_or(u32::MAX),
        size: u32::from(end - start) + 1,
    }
}

fn owners(connections: &[Connection], mut image: impl FnMut(u32) -> Option<Text>) -> Vec<ConnectionOwner> {
    let mut owners: Vec<(u32, u32)> = by_process(connections).into_iter().collect();
    owners.sort_by_key(|(pid, count)| (Reverse(*count), *pid));
    owners.truncate(OWNERS);
    owners.into_iter().map(|(pid, count)| ConnectionOwner { pid, image: image(pid), count }).collect()
}

/// As they are listed: those of the processes with most of them first.
pub fn named(mut connections: Vec<Connection>, mut image: impl FnMut(u32) -> Option<Text>) -> Vec<wire::Connection> {
    let most = by_process(&connections);
    let count = |pid: u32| most.get(&pid).copied().unwrap_or(0);
    connections.sort_by_key(|connection| {
        (Reverse(count(connection.pid)), connection.pid, connection.local, connection.remote)
    });
    let name = |Connection { local, remote, state, pid }| {
        let pid = (pid != 0).then_some(pid);
        wire::Connection { local, remote, state, pid, image: pid.and_then(&mut image) }
    };
    connections.into_iter().map(name).collect()
}

/// How many each known process has.
fn by_process(connections: &[Connection]) -> BTreeMap<u32, u32> {
    let mut counts = BTreeMap::new();
    for connection in connections.iter().filter(|connection| connection.pid != 0) {
        *counts.entry(connection.pid).or_default() += 1;
    }
    counts
}

fn family(connection: &Connection) -> Family {
    if connection.local.is_ipv4() { Family::Ipv4 } else { Family::Ipv6 }
}

/// Whether `new` says nothing that is worth telling to who knows `old`.
pub fn is_noise(old: &Connections, new: &Connections) -> bool {
    let states = |counts: &Connections| -> BTreeMap<(Family, TcpState), u32> {
        counts.states.iter().map(|count| ((count.family, count.state), count.count)).collect()
    };
    let owners = |counts: &Connections| -> BTreeMap<u32, u32> {
        counts.owners.iter().map(|owner| (owner.pid, owner.count)).collect()
    };
    let ranges = |counts: &Connections| -> BTreeMap<(Protocol, Family, u32), u32> {
        counts.dynamic_ports.iter().map(|used| ((used.protocol, used.family, used.size), used.in_use)).collect()
    };
    // A range that was not known, or is another one, is news whatever its use.
    ranges(old).keys().eq(ranges(new).keys())
        && are_near(&states(old), &states(new))
        && are_near(&owners(old), &owners(new))
        && are_near(&ranges(old), &ranges(new))
}

/// A count that is not named is 0.
fn are_near<Key: Ord>(old: &BTreeMap<Key, u32>, new: &BTreeMap<Key, u32>) -> bool {
    old.keys().chain(new.keys()).all(|key| {
        let (old, new) = (old.get(key).copied().unwrap_or(0), new.get(key).copied().unwrap_or(0));
        old.abs_diff(new) <= NOISE.max(old / 10)
    })
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use rules::facts::{Connections, DynamicRange, Socket, StateCount, TcpState};
    use rules::ports::{Family, Protocol};

    use super::{Connection, count, is_noise, named, state};

    fn connection(local: &str, pid: u32, state: TcpState) -> Connection {
        let remote: SocketAddr = "192.0.2.1:443".parse().unwrap();
        Connection { local: local.parse().unwrap(), remote, state, pid }
    }

    fn udp(port: u16) -> Socket {
        serde_json::from_value(serde_json::json!({ "protocol": "udp", "address": "0.0.0.0", "port": port })).unwrap()
    }

    fn range(protocol: Protocol) -> DynamicRange {
        DynamicRange { protocol, family: Family::Ipv4, range: "49152-65535".parse().unwrap() }
    }

    #[test]
    fn counts_states_owners_and_ports() {
        let connections = [
            connection("10.0.0.1:50000", 7, TcpState::Established),
            connection("10.0.0.1:50001", 7, TcpState::Established),
            // Another connection from the same port, and one from a port outside the range.
            connection("10.0.0.2:50001", 9, TcpState::CloseWait),
            connection("10.0.0.1:445", 4, TcpState::Established),
            connection("10.0.0.1:50002", 0, TcpState::TimeWait),
            connection("[::1]:50003", 7, TcpState::Established),
        ];
        let sockets = [udp(53), udp(50000), udp(50001)];
        let ranges = [range(Protocol::Tcp), range(Protocol::Udp)];
        let counts = count(&connections, &sockets, &ranges, |pid| Some(format!("{pid}.exe").into()));
        let shown = serde_json::to_value(&counts).unwrap();
        assert_eq!(
            shown,
            serde_json::json!({
                "states": [
                    { "family": "ipv4", "state": "established", "count": 3 },
                    { "family": "ipv4", "state": "close_wait", "count": 1 },
                    { "family": "ipv4", "state": "time_wait", "count": 1 },
                    { "family": "ipv6", "state": "established", "count": 1 },
                ],
                "dynamic_ports": [
                    { "protocol": "tcp", "family": "ipv4", "in_use": 3, "size": 16384 },
                    { "protocol": "udp", "family": "ipv4", "in_use": 2, "size": 16384 },
                ],
                "owners": [
                    { "pid": 7, "image": "7.exe", "count": 3 },
                    { "pid": 4, "image": "4.exe", "count": 1 },
                    { "pid": 9, "image": "9.exe", "count": 1 },
                ],
            })
        );
    }

    #[test]
    fn lists_the_busiest_first() {
        let connections = vec![
            connection("10.0.0.1:50002", 0, TcpState::TimeWait),
            connection("10.0.0.1:445", 4, TcpState::Established),
            connection("10.0.0.1:50001", 7, TcpState::Established),
            connection("10.0.0.1:50000", 7, TcpState::Established),
        ];
        let listed = named(connections, |pid| Some(format!("{pid}.exe").into()));
        let shown: Vec<_> = listed.iter().map(|row| (row.local.port(), row.pid, row.image.as_deref())).collect();
        let seven = (Some(7), Some("7.exe"));
        let expected =
            [(50000, seven.0, seven.1), (50001, seven.0, seven.1), (445, Some(4), Some("4.exe")), (50002, None, None)];
        assert_eq!(shown, expected);
    }

    #[test]
    fn names_ten_owners() {
        let connections: Vec<_> =
            (1..=12).map(|pid| connection("10.0.0.1:50000", pid, TcpState::Established)).collect();
        assert_eq!(count(&connections, &[], &[], |_| None).owners.len(), 10);
    }

    #[test]
    fn a_listener_has_no_peer() {
        assert_eq!(state(2), None);
        assert_eq!(state(5), Some(TcpState::Established));
        assert_eq!(state(12), None, "a deleted control block");
    }

    #[test]
    fn small_moves_are_noise() {
        let established = |count| Connections {
            states: vec![StateCount { family: Family::Ipv4, state: TcpState::Established, count }],
            ..Connections::default()
        };
        assert!(is_noise(&established(3), &established(11)));
        assert!(!is_noise(&established(3), &established(12)));
        assert!(is_noise(&established(1000), &established(1100)));
        assert!(!is_noise(&established(1000), &established(899)));
        assert!(!is_noise(&established(20), &Connections::default()));
        let mut known = established(3);
        known.dynamic_ports = count(&[], &[], &[range(Protocol::Tcp)], |_| None).dynamic_ports;
        assert!(!is_noise(&established(3), &known), "a range that is known is news");
    }
}
