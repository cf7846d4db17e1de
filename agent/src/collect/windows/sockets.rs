//! Listening TCP and bound UDP ports with their owners, from the tables of iphlpapi.
//!
//! Connections are not listed: they take no port from a service.
//! <https://learn.microsoft.com/windows/win32/api/iphlpapi/nf-iphlpapi-getextendedtcptable>
#![expect(unsafe_code, reason = "the flags of a UDP row are a union")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chrono::{DateTime, SubsecRound as _, Utc};
use rules::facts::{Socket, SocketState};
use rules::ports::Protocol;
use windows::Win32::NetworkManagement::IpHelper::{
    MIB_TCP6ROW_OWNER_MODULE, MIB_TCPROW_OWNER_MODULE, MIB_UDP6ROW_OWNER_MODULE, MIB_UDPROW_OWNER_MODULE,
};

use super::owners::{self, Owners};
use super::processes::Processes;
use super::tables::{TableRow, Tables};
use crate::collect::capability::Capability;
use crate::collect::reading::{Unreadable, filetime};

pub(super) fn read(
    tables: &mut Tables,
    owners: &mut Owners,
    processes: &mut Processes,
) -> Result<Vec<Socket>, Unreadable> {
    let mut sockets = Vec::new();
    add::<MIB_TCPROW_OWNER_MODULE>(&mut sockets, tables, owners, processes)?;
    add::<MIB_TCP6ROW_OWNER_MODULE>(&mut sockets, tables, owners, processes)?;
    add::<MIB_UDPROW_OWNER_MODULE>(&mut sockets, tables, owners, processes)?;
    add::<MIB_UDP6ROW_OWNER_MODULE>(&mut sockets, tables, owners, processes)?;
    owners.end_look();
    sockets.sort_unstable();
    Ok(sockets)
}

/// Whether the tables name the times at which ports were bound.
pub(super) fn bind_times(sockets: &[Socket]) -> Capability {
    let without = sockets.iter().filter(|socket| socket.bound_at.is_none()).count();
    match without {
        // No socket tells nothing of it.
        0 => Capability::Ok,
        _ if without == sockets.len() => Capability::Unavailable("the tables of this system name no times".to_owned()),
        _ => Capability::Degraded(format!("{without} of {} sockets have no time", sockets.len())),
    }
}

fn add<Row: SocketRow>(
    sockets: &mut Vec<Socket>,
    tables: &mut Tables,
    owners: &mut Owners,
    processes: &mut Processes,
) -> Result<(), Unreadable> {
    let rows = tables.read::<Row>()?;
    sockets.reserve(rows.len());
    for row in rows {
        let Values { address, scope, port, pid, created, mark, flags } = row.values();
        let process = processes.get(pid);
        let bound_at = bound_at(created);
        sockets.push(Socket {
            protocol: Row::PROTOCOL,
            address,
            scope,
            port: local_port(port),
            state: match Row::PROTOCOL {
                Protocol::Tcp => SocketState::Listen,
                Protocol::Udp => SocketState::Bound,
            },
            pid: (pid != 0).then_some(pid),
            image: process.image.clone(),
            process_started_at: process.started_at,
            services: owners.of(row.to_ask(), pid, mark, process),
            // Wine fills neither the time nor the flags, so without a time the flags say nothing.
            specific_port: bound_at.and(flags).map(|flags| flags & SPECIFIC_PORT_BIND != 0),
            bound_at,
        });
    }
    Ok(())
}

/// Lowest bit of the flags of a UDP row: bound to this very port, not to any that is free.
const SPECIFIC_PORT_BIND: i32 = 1;

/// The documentation calls the time a SYSTEMTIME; it is a FILETIME. In milliseconds, as it travels.
fn bound_at(created: i64) -> Option<DateTime<Utc>> {
    Some(filetime(u64::try_from(created).ok()?)?.trunc_subsecs(3))
}

/// The first two bytes are the port in network byte order; the others are undefined.
pub(super) fn local_port(field: u32) -> u16 {
    let [high, low, ..] = field.to_ne_bytes();
    u16::from_be_bytes([high, low])
}

/// What a row says, under one name in all four tables.
struct Values {
    address: IpAddr,
    scope: u32,
    /// In network byte order.
    port: u32,
    pid: u32,
    created: i64,
    /// The service that made the socket, as the system marks it; 0: none.
    mark: u64,
    /// Of UDP sockets.
    flags: Option<i32>,
}

trait SocketRow: TableRow {
    const PROTOCOL: Protocol;

    fn to_ask(&self) -> owners::Row<'_>;

    fn values(&self) -> Values;
}

impl SocketRow for MIB_TCPROW_OWNER_MODULE {
    const PROTOCOL: Protocol = Protocol::Tcp;

    fn to_ask(&self) -> owners::Row<'_> {
        owners::Row::Tcp(self)
    }

    fn values(&self) -> Values {
        Values {
            address: Ipv4Addr::from(self.dwLocalAddr.to_ne_bytes()).into(),
            scope: 0,
            port: self.dwLocalPort,
            pid: self.dwOwningPid,
            created: self.liCreateTimestamp,
            mark: self.OwningModuleInfo[0],
            flags: None,
        }
    }
}

impl SocketRow for MIB_TCP6ROW_OWNER_MODULE {
    const PROTOCOL: Protocol = Protocol::Tcp;

    fn to_ask(&self) -> owners::Row<'_> {
        owners::Row::Tcp6(self)
    }

    fn values(&self) -> Values {
        Values {
            address: Ipv6Addr::from(self.ucLocalAddr).into(),
            scope: self.dwLocalScopeId,
            port: self.dwLocalPort,
            pid: self.dwOwningPid,
            created: self.liCreateTimestamp,
            mark: self.OwningModuleInfo[0],
            flags: None,
        }
    }
}

impl SocketRow for MIB_UDPROW_OWNER_MODULE {
    const PROTOCOL: Protocol = Protocol::Udp;

    fn to_ask(&self) -> owners::Row<'_> {
        owners::Row::Udp(self)
    }

    fn values(&self) -> Values {
        Values {
            address: Ipv4Addr::from(self.dwLocalAddr.to_ne_bytes()).into(),
            scope: 0,
            port: self.dwLocalPort,
            pid: self.dwOwningPid,
            created: self.liCreateTimestamp,
            mark: self.OwningModuleInfo[0],
            // SAFETY: both members of the union are the same 32 bits.
            flags: Some(unsafe { self.Anonymous.dwFlags }),
        }
    }
}

impl SocketRow for MIB_UDP6ROW_OWNER_MODULE {
    const PROTOCOL: Protocol = Protocol::Udp;

    fn to_ask(&self) -> owners::Row<'_> {
        owners::Row::Udp6(self)
    }

    fn values(&self) -> Values {
        Values {
            address: Ipv6Addr::from(self.ucLocalAddr).into(),
            scope: self.dwLocalScopeId,
            port: self.dwLocalPort,
            pid: self.dwOwningPid,
            created: self.liCreateTimestamp,
            mark: self.OwningModuleInfo[0],
            // SAFETY: both members of the union are the same 32 bits.
            flags: Some(unsafe { self.Anonymous.dwFlags }),
        }
    }
}
