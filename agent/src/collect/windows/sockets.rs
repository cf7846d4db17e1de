//! Listening TCP and bound UDP ports with their owners, from the tables of iphlpapi.
//!
//! The tables grow between asking for their size and reading them, so reading is a loop; anything but a whole table is an
//! error. Connections are not listed: they take no port from a service.
//! <https://learn.microsoft.com/windows/win32/api/iphlpapi/nf-iphlpapi-getextendedtcptable>
#![expect(unsafe_code, reason = "the tables of iphlpapi are variable-length structures behind raw pointers")]

use std::ffi::c_void;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rules::facts::{Socket, SocketState};
use rules::ports::Protocol;
use windows::Win32::Foundation::{ERROR_INSUFFICIENT_BUFFER, ERROR_OUTOFMEMORY, WIN32_ERROR};
use windows::Win32::NetworkManagement::IpHelper::{
    GetExtendedTcpTable, GetExtendedUdpTable, MIB_TCP6ROW_OWNER_MODULE, MIB_TCPROW_OWNER_MODULE,
    MIB_UDP6ROW_OWNER_MODULE, MIB_UDPROW_OWNER_MODULE, TCP_TABLE_OWNER_MODULE_LISTENER, UDP_TABLE_OWNER_MODULE,
};
use windows::Win32::Networking::WinSock::{AF_INET, AF_INET6};

use super::processes::Processes;
use crate::collect::reading::{Unreadable, filetime};

pub(super) fn read(processes: &mut Processes) -> Result<Vec<Socket>, Unreadable> {
    let mut sockets = Vec::new();
    let tcp_v4: Vec<MIB_TCPROW_OWNER_MODULE> = tcp_table(u32::from(AF_INET.0))?;
    sockets.extend(tcp_v4.iter().map(|row| {
        let place = Place::v4(Protocol::Tcp, row.dwLocalAddr, row.dwLocalPort);
        socket(place, row.dwOwningPid, row.liCreateTimestamp, None, processes)
    }));
    let tcp_v6: Vec<MIB_TCP6ROW_OWNER_MODULE> = tcp_table(u32::from(AF_INET6.0))?;
    sockets.extend(tcp_v6.iter().map(|row| {
        let place = Place::v6(Protocol::Tcp, row.ucLocalAddr, row.dwLocalScopeId, row.dwLocalPort);
        socket(place, row.dwOwningPid, row.liCreateTimestamp, None, processes)
    }));
    let udp_v4: Vec<MIB_UDPROW_OWNER_MODULE> = udp_table(u32::from(AF_INET.0))?;
    sockets.extend(udp_v4.iter().map(|row| {
        let place = Place::v4(Protocol::Udp, row.dwLocalAddr, row.dwLocalPort);
        // SAFETY: both members of the union are the same 32 bits.
        let flags = unsafe { row.Anonymous.dwFlags };
        socket(place, row.dwOwningPid, row.liCreateTimestamp, Some(flags), processes)
    }));
    let udp_v6: Vec<MIB_UDP6ROW_OWNER_MODULE> = udp_table(u32::from(AF_INET6.0))?;
    sockets.extend(udp_v6.iter().map(|row| {
        let place = Place::v6(Protocol::Udp, row.ucLocalAddr, row.dwLocalScopeId, row.dwLocalPort);
        // SAFETY: both members of the union are the same 32 bits.
        let flags = unsafe { row.Anonymous.dwFlags };
        socket(place, row.dwOwningPid, row.liCreateTimestamp, Some(flags), processes)
    }));
    sockets.sort();
    Ok(sockets)
}

#[derive(Clone, Copy)]
struct Place {
    protocol: Protocol,
    address: IpAddr,
    scope: u32,
    port: u16,
}

impl Place {
    /// `address` and `port` are in network byte order.
    fn v4(protocol: Protocol, address: u32, port: u32) -> Self {
        Self { protocol, address: Ipv4Addr::from(address.to_ne_bytes()).into(), scope: 0, port: local_port(port) }
    }

    fn v6(protocol: Protocol, address: [u8; 16], scope: u32, port: u32) -> Self {
        Self { protocol, address: Ipv6Addr::from(address).into(), scope, port: local_port(port) }
    }
}

/// The first two bytes are the port in network byte order; the others are undefined.
fn local_port(field: u32) -> u16 {
    let [high, low, ..] = field.to_ne_bytes();
    u16::from_be_bytes([high, low])
}

/// Lowest bit of the flags of a UDP row: bound to this very port, not to any that is free.
const SPECIFIC_PORT_BIND: i32 = 1;

fn socket(place: Place, pid: u32, created: i64, udp_flags: Option<i32>, processes: &mut Processes) -> Socket {
    // The documentation calls the time a SYSTEMTIME; it is a FILETIME. Wine fills neither the time nor the flags, so
    // without a time the flags say nothing.
    let bound_at = u64::try_from(created).ok().and_then(filetime);
    let specific_port = bound_at.and(udp_flags).map(|flags| flags & SPECIFIC_PORT_BIND != 0);
    let pid = (pid != 0).then_some(pid);
    let owner = pid.map(|pid| processes.get(pid)).unwrap_or_default();
    Socket {
        protocol: place.protocol,
        address: place.address,
        scope: place.scope,
        port: place.port,
        state: match place.protocol {
            Protocol::Tcp => SocketState::Listen,
            Protocol::Udp => SocketState::Bound,
        },
        pid,
        image: owner.image,
        process_started_at: owner.started_at,
        services: owner.services,
        specific_port,
        bound_at,
    }
}

fn tcp_table<Row: TableRow>(family: u32) -> Result<Vec<Row>, Unreadable> {
    table("GetExtendedTcpTable", |buffer, size| {
        // SAFETY: `buffer` is writable for `size` bytes, or absent with a size of 0.
        unsafe { GetExtendedTcpTable(buffer, size, false, family, TCP_TABLE_OWNER_MODULE_LISTENER, 0) }
    })
}

fn udp_table<Row: TableRow>(family: u32) -> Result<Vec<Row>, Unreadable> {
    table("GetExtendedUdpTable", |buffer, size| {
        // SAFETY: `buffer` is writable for `size` bytes, or absent with a size of 0.
        unsafe { GetExtendedUdpTable(buffer, size, false, family, UDP_TABLE_OWNER_MODULE, 0) }
    })
}

/// A row that may be read from any initialised bytes.
///
/// # Safety
/// Every bit pattern is a value of the type, and its alignment is at most that of `u64`.
unsafe trait TableRow: Copy {}
// SAFETY: a structure of integers and byte arrays only, aligned to 8.
unsafe impl TableRow for MIB_TCPROW_OWNER_MODULE {}
// SAFETY: as above.
unsafe impl TableRow for MIB_TCP6ROW_OWNER_MODULE {}
// SAFETY: as above; its union is an integer either way.
unsafe impl TableRow for MIB_UDPROW_OWNER_MODULE {}
// SAFETY: as above; its union is an integer either way.
unsafe impl TableRow for MIB_UDP6ROW_OWNER_MODULE {}

/// Rows start behind a 32-bit count and 32 bits of padding.
const HEADER: usize = 8;

fn table<Row: TableRow>(
    function: &str,
    mut fill: impl FnMut(Option<*mut c_void>, *mut u32) -> u32,
) -> Result<Vec<Row>, Unreadable> {
    let mut buffer: Vec<u64> = Vec::new();
    // A table that outgrew its buffer says the size that it has now; the first call after boot may also say "out of
    // memory" (Wine). A table that grows faster than it is read is no reason to go on for ever.
    for _ in 0..8 {
        let mut size = u32::try_from(buffer.len() * size_of::<u64>()).unwrap_or(u32::MAX);
        let target = (!buffer.is_empty()).then(|| buffer.as_mut_ptr().cast());
        match WIN32_ERROR(fill(target, &raw mut size)) {
            WIN32_ERROR(0) if !buffer.is_empty() => return rows(function, &buffer),
            WIN32_ERROR(0) | ERROR_INSUFFICIENT_BUFFER | ERROR_OUTOFMEMORY => {
                let words = usize::try_from(size).unwrap_or(0) / size_of::<u64>();
                buffer = vec![0; words + words / 8 + 64];
            }
            error => return Err(Unreadable::new(format!("{function} failed: {}", error.to_hresult().message()))),
        }
    }
    Err(Unreadable::new(format!("{function} asked for a larger buffer eight times")))
}

fn rows<Row: TableRow>(function: &str, buffer: &[u64]) -> Result<Vec<Row>, Unreadable> {
    let bytes = size_of_val(buffer);
    // SAFETY: the buffer is not empty, and its first four bytes are the count.
    let count = unsafe { buffer.as_ptr().cast::<u32>().read() };
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count.saturating_mul(size_of::<Row>()).saturating_add(HEADER) > bytes {
        return Err(Unreadable::new(format!("{function} counts more rows than it wrote")));
    }
    // SAFETY: `count` rows behind the header lie within the buffer, which is initialised and aligned to 8; `TableRow`
    // promises that any bytes are a row.
    Ok(unsafe { std::slice::from_raw_parts(buffer.as_ptr().cast::<u8>().add(HEADER).cast::<Row>(), count) }.to_vec())
}
