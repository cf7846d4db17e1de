//! Sockets travel as one owner and a set of ports: 2,500 sockets of the DNS pool would otherwise name `dns.exe` 2,500
//! times.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rules::facts::{Socket, SocketState};
use rules::ports::Protocol;
use rules::socket_key::SocketKey;
use rules::text::Text;

use crate::fleet::v1;
use crate::wire::values::{Dropped, clip, milliseconds, time};

/// Ports of one group: keeps a row far below the size of a message.
const GROUP_PORTS: usize = 2048;
/// Names of services that share a process; the largest svchost groups hold about thirty, candidates are fewer.
const OWNER_SERVICES: usize = 16;
/// The service control manager's own limit for a key name.
pub(super) const NAME_CHARACTERS: usize = 256;
const IMAGE_CHARACTERS: usize = 512;

/// What the sockets of a group have in common.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Owner<'a> {
    protocol: Protocol,
    address: IpAddr,
    scope: u32,
    state: SocketState,
    pid: u32,
    image: &'a str,
    process_started_at_ms: i64,
    services: &'a [Text],
    specific_port: Option<bool>,
    has_bind_times: bool,
}

/// Groups in order of owner, ports ascending: the same sockets give the same groups.
pub(super) fn to_wire(sockets: &[Socket]) -> Vec<v1::SocketGroup> {
    let mut owners: BTreeMap<Owner<'_>, Vec<(u16, i64)>> = BTreeMap::new();
    for socket in sockets {
        let bound_at_ms = milliseconds(socket.bound_at);
        let owner = Owner {
            protocol: socket.protocol,
            address: socket.address,
            scope: socket.scope,
            state: socket.state,
            pid: socket.pid.unwrap_or(0),
            image: socket.image.as_deref().unwrap_or(""),
            process_started_at_ms: milliseconds(socket.process_started_at),
            services: &socket.services,
            specific_port: socket.specific_port,
            has_bind_times: bound_at_ms != 0,
        };
        owners.entry(owner).or_default().push((socket.port, bound_at_ms));
    }
    let mut groups = Vec::new();
    for (owner, mut ports) in owners {
        ports.sort_unstable();
        ports.dedup();
        groups.extend(ports.chunks(GROUP_PORTS).map(|ports| group(&owner, ports)));
    }
    groups
}

fn group(owner: &Owner<'_>, ports: &[(u16, i64)]) -> v1::SocketGroup {
    let before = |index: usize| if index == 0 { (0, 0) } else { ports[index - 1] };
    let port_steps = ports.iter().enumerate().map(|(index, (port, _))| u32::from(port - before(index).0)).collect();
    let bound_at_steps_ms = if owner.has_bind_times {
        ports.iter().enumerate().map(|(index, (_, time))| time - before(index).1).collect()
    } else {
        Vec::new()
    };
    v1::SocketGroup {
        protocol: protocol_to_wire(owner.protocol) as i32,
        address: match owner.address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        },
        scope: owner.scope,
        state: match owner.state {
            SocketState::Listen => v1::SocketState::Listen,
            SocketState::Bound => v1::SocketState::Bound,
            SocketState::Connected => v1::SocketState::Connected,
        } as i32,
        pid: owner.pid,
        image: owner.image.to_owned(),
        process_started_at_ms: owner.process_started_at_ms,
        services: owner.services.iter().map(|name| name.as_str().to_owned()).collect(),
        specific_port: owner.specific_port,
        port_steps,
        bound_at_steps_ms,
    }
}

/// Sockets in the order of their groups, each once. A group without a readable owner is dropped with all of its ports; a
/// port beyond 65,535 is dropped with those after it.
pub(super) fn from_wire(groups: Vec<v1::SocketGroup>, dropped: &mut Dropped) -> Vec<Socket> {
    let mut sockets = Vec::with_capacity(groups.iter().map(|group| group.port_steps.len()).sum());
    for group in groups {
        let ports = group.port_steps.len();
        let before = sockets.len();
        if let Some(owner) = owner(&group) {
            unfold(&group, &owner, &mut sockets);
        }
        // A group without a port says nothing, which is one bad row.
        let missing = ports.max(1) - (sockets.len() - before);
        dropped.0 = dropped.0.saturating_add(missing as u64);
    }
    once(sockets)
}

/// Keys of sockets that are gone: as such, or as the rows that they are of.
pub(super) fn removed_from_wire(keys: Vec<i64>, rows: Vec<v1::SocketGroup>, dropped: &mut Dropped) -> Vec<SocketKey> {
    let mut removed: Vec<SocketKey> = keys.into_iter().map(SocketKey).collect();
    removed.extend(from_wire(rows, dropped).iter().map(SocketKey::of));
    removed.sort_unstable();
    removed.dedup();
    removed
}

/// A socket of the group with port 0 and no bind time. `None`: not readable.
fn owner(group: &v1::SocketGroup) -> Option<Socket> {
    if !group.bound_at_steps_ms.is_empty() && group.bound_at_steps_ms.len() != group.port_steps.len() {
        return None;
    }
    let address = if let Ok(octets) = <[u8; 4]>::try_from(group.address.as_slice()) {
        IpAddr::V4(Ipv4Addr::from(octets))
    } else {
        IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(group.address.as_slice()).ok()?))
    };
    Some(Socket {
        protocol: protocol_from_wire(group.protocol())?,
        address,
        scope: group.scope,
        port: 0,
        state: match group.state() {
            v1::SocketState::Listen => SocketState::Listen,
            v1::SocketState::Bound | v1::SocketState::Unspecified => SocketState::Bound,
            v1::SocketState::Connected => SocketState::Connected,
        },
        pid: (group.pid != 0).then_some(group.pid),
        image: (!group.image.is_empty()).then(|| clip(&group.image, IMAGE_CHARACTERS)),
        process_started_at: time(group.process_started_at_ms),
        services: group.services.iter().take(OWNER_SERVICES).map(|name| clip(name, NAME_CHARACTERS)).collect(),
        specific_port: group.specific_port,
        bound_at: None,
    })
}

fn unfold(group: &v1::SocketGroup, owner: &Socket, sockets: &mut Vec<Socket>) {
    let mut port = 0_u16;
    let mut bound_at_ms = 0_i64;
    for (index, step) in group.port_steps.iter().enumerate() {
        let Some(next) = u16::try_from(*step).ok().and_then(|step| port.checked_add(step)) else { return };
        port = next;
        bound_at_ms = bound_at_ms.saturating_add(group.bound_at_steps_ms.get(index).copied().unwrap_or(0));
        sockets.push(Socket { port, bound_at: time(bound_at_ms), ..owner.clone() });
    }
}

/// Keeps the first of equal sockets, and the order.
fn once(sockets: Vec<Socket>) -> Vec<Socket> {
    let mut seen = std::collections::HashSet::with_capacity(sockets.len());
    let first: Vec<bool> = sockets.iter().map(|socket| seen.insert(socket)).collect();
    drop(seen);
    let mut first = first.into_iter();
    let mut sockets = sockets;
    sockets.retain(|_| first.next().unwrap_or(false));
    sockets
}

pub(super) fn protocol_to_wire(protocol: Protocol) -> v1::Protocol {
    match protocol {
        Protocol::Tcp => v1::Protocol::Tcp,
        Protocol::Udp => v1::Protocol::Udp,
    }
}

pub(super) fn protocol_from_wire(protocol: v1::Protocol) -> Option<Protocol> {
    match protocol {
        v1::Protocol::Tcp => Some(Protocol::Tcp),
        v1::Protocol::Udp => Some(Protocol::Udp),
        v1::Protocol::Unspecified => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{from_wire, to_wire};
    use crate::fleet::v1;
    use crate::wire::values::Dropped;

    fn group() -> v1::SocketGroup {
        v1::SocketGroup {
            protocol: v1::Protocol::Udp as i32,
            address: vec![0, 0, 0, 0],
            state: v1::SocketState::Bound as i32,
            pid: 1420,
            image: "dns.exe".to_owned(),
            port_steps: vec![1645, 1, 166],
            ..v1::SocketGroup::default()
        }
    }

    #[track_caller]
    fn check(group: v1::SocketGroup, ports: &[u16], dropped: u64) {
        let mut count = Dropped::default();
        let sockets = from_wire(vec![group], &mut count);
        assert_eq!(sockets.iter().map(|socket| socket.port).collect::<Vec<_>>(), ports);
        assert_eq!(count.0, dropped);
    }

    #[test]
    fn ports_are_differences() {
        check(group(), &[1645, 1646, 1812], 0);
    }

    #[test]
    fn a_group_that_cannot_be_read_is_dropped_with_its_ports() {
        check(v1::SocketGroup { address: vec![0; 5], ..group() }, &[], 3);
        check(v1::SocketGroup { protocol: 0, ..group() }, &[], 3);
        check(v1::SocketGroup { protocol: 77, ..group() }, &[], 3);
        check(v1::SocketGroup { bound_at_steps_ms: vec![1, 2], ..group() }, &[], 3);
        check(v1::SocketGroup { port_steps: Vec::new(), ..group() }, &[], 1);
    }

    #[test]
    fn ports_past_the_last_one_are_dropped() {
        check(v1::SocketGroup { port_steps: vec![1812, 70_000, 1], ..group() }, &[1812], 2);
        check(v1::SocketGroup { port_steps: vec![65_535, 1, u32::MAX], ..group() }, &[65_535], 2);
    }

    #[test]
    fn the_same_sockets_give_the_same_groups_in_any_order() {
        let mut sockets = from_wire(vec![group(), v1::SocketGroup { pid: 4, ..group() }], &mut Dropped::default());
        let groups = to_wire(&sockets);
        assert_eq!(groups.len(), 2);
        sockets.reverse();
        sockets.push(sockets[0].clone());
        assert_eq!(to_wire(&sockets), groups);
    }
}
