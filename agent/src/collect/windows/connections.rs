//! TCP connections from the tables of iphlpapi: counted once a minute, listed when somebody asks.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use chrono::{DateTime, TimeDelta, Utc};
use rules::facts::{Connections, DynamicRange, Socket};
use windows::Win32::NetworkManagement::IpHelper::{MIB_TCP6ROW_OWNER_PID, MIB_TCPROW_OWNER_PID};

use super::processes::Processes;
use super::sockets::local_port;
use super::tables::Tables;
use crate::collect::connections::{Connection, count, is_noise, state};
use crate::collect::reading::Unreadable;

const COUNTED_EVERY: TimeDelta = TimeDelta::minutes(1);

/// The counts as they were told last.
#[derive(Debug, Default)]
pub(super) struct Counts(Option<(DateTime<Utc>, Result<Connections, Unreadable>)>);

impl Counts {
    /// At most a minute old, and as they were where little moved.
    pub(super) fn get(
        &mut self,
        now: DateTime<Utc>,
        tables: &mut Tables,
        processes: &mut Processes,
        sockets: &[Socket],
        ranges: &[DynamicRange],
    ) -> Result<Connections, Unreadable> {
        let told = match self.0.take() {
            // A clock that was set back makes it one from the future: count again as well.
            Some((at, told)) if (TimeDelta::zero()..COUNTED_EVERY).contains(&(now - at)) => {
                self.0 = Some((at, told.clone()));
                return told;
            }
            Some((_, told)) => told.ok(),
            None => None,
        };
        let counted = read(tables)
            .map(|connections| count(&connections, sockets, ranges, |pid| processes.get(pid).image.clone()));
        let counts = match (told, counted) {
            (Some(told), Ok(counted)) if is_noise(&told, &counted) => Ok(told),
            (_, counted) => counted,
        };
        self.0 = Some((now, counts.clone()));
        counts
    }
}

/// Rows that have a peer.
pub(super) fn read(tables: &mut Tables) -> Result<Vec<Connection>, Unreadable> {
    let v4 = tables.read::<MIB_TCPROW_OWNER_PID>()?.iter().filter_map(|row| {
        let address = |address: u32, port| SocketAddr::from((Ipv4Addr::from(address.to_ne_bytes()), local_port(port)));
        Some(Connection {
            local: address(row.dwLocalAddr, row.dwLocalPort),
            remote: address(row.dwRemoteAddr, row.dwRemotePort),
            state: state(row.dwState)?,
            pid: row.dwOwningPid,
        })
    });
    let mut connections: Vec<Connection> = v4.collect();
    connections.extend(tables.read::<MIB_TCP6ROW_OWNER_PID>()?.iter().filter_map(|row| {
        let address = |address: [u8; 16], scope, port| {
            SocketAddr::from(SocketAddrV6::new(Ipv6Addr::from(address), local_port(port), 0, scope))
        };
        Some(Connection {
            local: address(row.ucLocalAddr, row.dwLocalScopeId, row.dwLocalPort),
            remote: address(row.ucRemoteAddr, row.dwRemoteScopeId, row.dwRemotePort),
            state: state(row.dwState)?,
            pid: row.dwOwningPid,
        })
    }));
    Ok(connections)
}
