//! Connections: counts as one document, rows as an answer that nobody stores.

use std::net::{IpAddr, SocketAddr};

use prost::Message as _;
use rules::facts::{ConnectionOwner, Connections, DynamicPortUse, StateCount, TcpState};
use rules::ports::Family;
use rules::text::Text;

use crate::fleet::v1;
use crate::wire::PART_TARGET;
use crate::wire::sockets::{protocol_from_wire, protocol_to_wire};
use crate::wire::values::{Dropped, some_text, text_to_wire};

/// A connection, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub state: TcpState,
    /// `None`: not known.
    pub pid: Option<u32>,
    /// `None`: not known.
    pub image: Option<Text>,
}

/// The first of `connections`, or why there are none: no more than are asked for, and no more than fit into one message.
pub fn answer_connections(
    question: v1::ListConnections,
    connections: Result<Vec<Connection>, String>,
) -> v1::ConnectionList {
    let mut list = v1::ConnectionList { request_id: question.request_id, ..v1::ConnectionList::default() };
    let connections = match connections {
        Ok(connections) => connections,
        Err(reason) => return v1::ConnectionList { unknown: reason, ..list },
    };
    let limit = usize::try_from(question.limit).unwrap_or(usize::MAX);
    let mut room = PART_TARGET;
    for connection in connections.iter().take(limit) {
        let row = connection_to_wire(connection);
        // What a row of a list costs beside itself.
        let size = row.encoded_len() + 8;
        if size > room {
            break;
        }
        room -= size;
        list.connections.push(row);
    }
    list.omitted = u32::try_from(connections.len() - list.connections.len()).unwrap_or(u32::MAX);
    list
}

fn connection_to_wire(connection: &Connection) -> v1::Connection {
    let octets = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    v1::Connection {
        local_address: octets(connection.local.ip()),
        local_port: connection.local.port().into(),
        remote_address: octets(connection.remote.ip()),
        remote_port: connection.remote.port().into(),
        state: state_to_wire(connection.state) as i32,
        pid: connection.pid.unwrap_or(0),
        image: text_to_wire(connection.image.as_ref()),
    }
}

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

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use rules::facts::TcpState;

    use super::{Connection, answer_connections};
    use crate::fleet::v1::ListConnections;
    use crate::wire::MAX_MESSAGE;

    fn connections(count: usize) -> Vec<Connection> {
        let row = Connection {
            local: "[2001:db8::1]:50000".parse().unwrap(),
            remote: "192.0.2.1:443".parse().unwrap(),
            state: TcpState::Established,
            pid: Some(7),
            image: Some("x".repeat(512).as_str().into()),
        };
        vec![row; count]
    }

    #[test]
    fn an_answer_is_one_message() {
        let list = answer_connections(ListConnections { request_id: 3, limit: 5_000 }, Ok(connections(5_001)));
        assert!(list.encoded_len() <= MAX_MESSAGE);
        assert!(list.connections.len() > 300, "{}", list.connections.len());
        assert_eq!(list.connections.len() + usize::try_from(list.omitted).unwrap(), 5_001);
    }

    #[test]
    fn no_more_rows_than_were_asked_for() {
        let list = answer_connections(ListConnections { request_id: 3, limit: 2 }, Ok(connections(5)));
        assert_eq!((list.request_id, list.connections.len(), list.omitted), (3, 2, 3));
        let list = answer_connections(ListConnections { request_id: 4, limit: 2 }, Err("no table".to_owned()));
        assert_eq!((list.request_id, list.unknown.as_str(), list.omitted), (4, "no table", 0));
    }
}
