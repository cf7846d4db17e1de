//! Counts of connections: one document.

use rules::facts::{ConnectionOwner, Connections, DynamicPortUse, StateCount, TcpState};
use rules::ports::Family;

use crate::fleet::v1;
use crate::wire::sockets::{protocol_from_wire, protocol_to_wire};
use crate::wire::values::{Dropped, some_text, text_to_wire};

/// Nine states of two families.
const STATES: usize = 18;
/// Two protocols of two families.
const RANGES: usize = 4;
const OWNERS: usize = 10;

pub(super) fn to_wire(counts: &Connections) -> v1::Connections {
    v1::Connections {
        states: counts
            .states
            .iter()
            .map(|count| v1::StateCount {
                ipv6: count.family == Family::Ipv6,
                state: state_to_wire(count.state) as i32,
                count: count.count,
            })
            .collect(),
        dynamic_ports: counts
            .dynamic_ports
            .iter()
            .map(|used| v1::DynamicPortUse {
                protocol: protocol_to_wire(used.protocol) as i32,
                ipv6: used.family == Family::Ipv6,
                in_use: used.in_use,
                size: used.size,
            })
            .collect(),
        owners: counts
            .owners
            .iter()
            .map(|owner| v1::ConnectionOwner {
                pid: owner.pid,
                image: text_to_wire(owner.image.as_ref()),
                count: owner.count,
            })
            .collect(),
    }
}

pub(super) fn from_wire(counts: &v1::Connections, dropped: &mut Dropped) -> Connections {
    let read = Connections {
        states: counts
            .states
            .iter()
            .take(STATES)
            .filter_map(|count| {
                Some(StateCount {
                    family: family(count.ipv6),
                    state: state_from_wire(count.state())?,
                    count: count.count,
                })
            })
            .collect(),
        dynamic_ports: counts
            .dynamic_ports
            .iter()
            .take(RANGES)
            .filter_map(|used| {
                Some(DynamicPortUse {
                    protocol: protocol_from_wire(used.protocol())?,
                    family: family(used.ipv6),
                    in_use: used.in_use,
                    size: used.size,
                })
            })
            .collect(),
        owners: counts
            .owners
            .iter()
            .take(OWNERS)
            .map(|owner| ConnectionOwner { pid: owner.pid, image: some_text(&owner.image), count: owner.count })
            .collect(),
    };
    let sent = counts.states.len() + counts.dynamic_ports.len() + counts.owners.len();
    let kept = read.states.len() + read.dynamic_ports.len() + read.owners.len();
    dropped.0 += (sent - kept) as u64;
    read
}

fn family(ipv6: bool) -> Family {
    if ipv6 { Family::Ipv6 } else { Family::Ipv4 }
}

fn state_to_wire(state: TcpState) -> v1::TcpState {
    match state {
        TcpState::SynSent => v1::TcpState::SynSent,
        TcpState::SynReceived => v1::TcpState::SynReceived,
        TcpState::Established => v1::TcpState::Established,
        TcpState::FinWait1 => v1::TcpState::FinWait1,
        TcpState::FinWait2 => v1::TcpState::FinWait2,
        TcpState::CloseWait => v1::TcpState::CloseWait,
        TcpState::Closing => v1::TcpState::Closing,
        TcpState::LastAck => v1::TcpState::LastAck,
        TcpState::TimeWait => v1::TcpState::TimeWait,
    }
}

fn state_from_wire(state: v1::TcpState) -> Option<TcpState> {
    Some(match state {
        v1::TcpState::Unspecified => return None,
        v1::TcpState::SynSent => TcpState::SynSent,
        v1::TcpState::SynReceived => TcpState::SynReceived,
        v1::TcpState::Established => TcpState::Established,
        v1::TcpState::FinWait1 => TcpState::FinWait1,
        v1::TcpState::FinWait2 => TcpState::FinWait2,
        v1::TcpState::CloseWait => TcpState::CloseWait,
        v1::TcpState::Closing => TcpState::Closing,
        v1::TcpState::LastAck => TcpState::LastAck,
        v1::TcpState::TimeWait => TcpState::TimeWait,
    })
}
