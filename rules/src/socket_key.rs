//! The key of a socket's row: a hash over everything that the host says of it. It travels and is stored, so it never
//! changes: fields are only ever added at the end, and only where they are present.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use crate::facts::{Socket, SocketState};
use crate::ports::Protocol;

/// The first 64 bits of a SHA-256. Two of a host's sockets share one by chance once in 10¹² hosts; then one is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketKey(pub i64);

impl SocketKey {
    pub fn of(socket: &Socket) -> Self {
        Self(hash(socket))
    }
}

fn hash(socket: &Socket) -> i64 {
    let mut bytes = Vec::with_capacity(160);
    bytes.push(protocol_number(socket.protocol));
    match socket.address {
        IpAddr::V4(v4) => bytes.extend_from_slice(&v4.to_ipv6_mapped().octets()),
        IpAddr::V6(v6) => bytes.extend_from_slice(&v6.octets()),
    }
    // Tells ::ffff:1.2.3.4 from 1.2.3.4.
    bytes.push(u8::from(socket.address.is_ipv4()));
    bytes.extend_from_slice(&socket.scope.to_le_bytes());
    bytes.extend_from_slice(&socket.port.to_le_bytes());
    bytes.push(state_number(socket.state));
    put_number(&mut bytes, socket.pid.map(i64::from));
    put_text(&mut bytes, socket.image.as_deref());
    put_number(&mut bytes, socket.process_started_at.map(milliseconds));
    put_number(&mut bytes, socket.specific_port.map(i64::from));
    put_number(&mut bytes, socket.bound_at.map(milliseconds));
    for service in &socket.services {
        put_text(&mut bytes, Some(service));
    }
    let hash = Sha256::digest(&bytes);
    let mut key = [0_u8; 8];
    key.copy_from_slice(&hash[..8]);
    i64::from_le_bytes(key)
}

/// As `socket_now.protocol`: the numbers of IANA.
pub fn protocol_number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
    }
}

/// As `socket_now.state`: the numbers of `fleet.v1.SocketState`.
pub fn state_number(state: SocketState) -> u8 {
    match state {
        SocketState::Listen => 1,
        SocketState::Bound => 2,
        SocketState::Connected => 3,
    }
}

fn milliseconds(time: DateTime<Utc>) -> i64 {
    time.timestamp_millis()
}

fn put_number(bytes: &mut Vec<u8>, number: Option<i64>) {
    bytes.push(u8::from(number.is_some()));
    bytes.extend_from_slice(&number.unwrap_or_default().to_le_bytes());
}

fn put_text(bytes: &mut Vec<u8>, text: Option<&str>) {
    let length = text.map_or(u32::MAX, |text| u32::try_from(text.len()).unwrap_or(u32::MAX - 1));
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(text.unwrap_or_default().as_bytes());
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::SocketKey;
    use crate::facts::{Socket, SocketState};
    use crate::ports::Protocol;
    use chrono::DateTime;

    fn socket() -> Socket {
        Socket {
            protocol: Protocol::Udp,
            address: "0.0.0.0".parse().unwrap(),
            scope: 0,
            port: 1812,
            state: SocketState::Bound,
            pid: Some(1420),
            image: Some("dns.exe".into()),
            process_started_at: DateTime::from_timestamp(1_800_000_000, 0),
            services: vec!["DNS".into()],
            specific_port: Some(false),
            bound_at: DateTime::from_timestamp(1_800_000_001, 0),
        }
    }

    #[test]
    fn is_stored_and_so_stays_what_it_is() {
        assert_eq!(SocketKey::of(&socket()).0, -7_201_318_261_149_711_391);
    }

    #[test]
    fn differs_with_every_field() {
        let base = socket();
        let sockets = [
            base.clone(),
            Socket { protocol: Protocol::Tcp, ..base.clone() },
            Socket { address: "::".parse().unwrap(), ..base.clone() },
            Socket { address: "::ffff:0.0.0.0".parse().unwrap(), ..base.clone() },
            Socket { scope: 1, ..base.clone() },
            Socket { port: 1813, ..base.clone() },
            Socket { state: SocketState::Connected, ..base.clone() },
            Socket { pid: None, ..base.clone() },
            Socket { pid: Some(0), ..base.clone() },
            Socket { image: None, ..base.clone() },
            Socket { image: Some("".into()), ..base.clone() },
            Socket { process_started_at: None, ..base.clone() },
            Socket { services: vec![], ..base.clone() },
            Socket { services: vec!["DN".into(), "S".into()], ..base.clone() },
            Socket { specific_port: None, ..base.clone() },
            Socket { specific_port: Some(true), ..base.clone() },
            Socket { bound_at: None, ..base },
        ];
        let keys: HashSet<SocketKey> = sockets.iter().map(SocketKey::of).collect();
        assert_eq!(keys.len(), sockets.len());
    }
}
