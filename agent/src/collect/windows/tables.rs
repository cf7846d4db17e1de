//! Reads the tables of iphlpapi: rows behind a count, in a buffer that is kept from one table and one look to the next.
//!
//! The tables grow between asking for their size and reading them, so reading is a loop; anything but a whole table is an
//! error.
#![expect(unsafe_code, reason = "the tables of iphlpapi are variable-length structures behind raw pointers")]

use std::ffi::c_void;

use windows::Win32::Foundation::{ERROR_INSUFFICIENT_BUFFER, ERROR_OUTOFMEMORY, WIN32_ERROR};
use windows::Win32::NetworkManagement::IpHelper::{
    GetExtendedTcpTable, GetExtendedUdpTable, MIB_TCP6ROW_OWNER_MODULE, MIB_TCP6ROW_OWNER_PID, MIB_TCPROW_OWNER_MODULE,
    MIB_TCPROW_OWNER_PID, MIB_UDP6ROW_OWNER_MODULE, MIB_UDPROW_OWNER_MODULE, TCP_TABLE_CLASS,
    TCP_TABLE_OWNER_MODULE_LISTENER, TCP_TABLE_OWNER_PID_ALL, UDP_TABLE_OWNER_MODULE,
};
use windows::Win32::Networking::WinSock::{ADDRESS_FAMILY, AF_INET, AF_INET6};

use crate::collect::reading::Unreadable;

/// A row that may be read from any initialised bytes, and the table that it is of.
///
/// # Safety
/// Every bit pattern is a value of the type, its alignment is at most that of `u64`, and `TABLE` names the table that
/// consists of such rows behind a count, which takes 4 bytes and is padded to the alignment of the row.
pub(super) unsafe trait TableRow: Copy {
    const TABLE: Table;
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Table {
    Tcp(ADDRESS_FAMILY, TCP_TABLE_CLASS),
    Udp(ADDRESS_FAMILY),
}

// SAFETY: a structure of integers and byte arrays only, aligned to 8.
unsafe impl TableRow for MIB_TCPROW_OWNER_MODULE {
    const TABLE: Table = Table::Tcp(AF_INET, TCP_TABLE_OWNER_MODULE_LISTENER);
}
// SAFETY: as above.
unsafe impl TableRow for MIB_TCP6ROW_OWNER_MODULE {
    const TABLE: Table = Table::Tcp(AF_INET6, TCP_TABLE_OWNER_MODULE_LISTENER);
}
// SAFETY: as above; its union is an integer either way.
unsafe impl TableRow for MIB_UDPROW_OWNER_MODULE {
    const TABLE: Table = Table::Udp(AF_INET);
}
// SAFETY: as above; its union is an integer either way.
unsafe impl TableRow for MIB_UDP6ROW_OWNER_MODULE {
    const TABLE: Table = Table::Udp(AF_INET6);
}
// SAFETY: a structure of integers only, aligned to 4.
unsafe impl TableRow for MIB_TCPROW_OWNER_PID {
    const TABLE: Table = Table::Tcp(AF_INET, TCP_TABLE_OWNER_PID_ALL);
}
// SAFETY: a structure of integers and byte arrays only, aligned to 4.
unsafe impl TableRow for MIB_TCP6ROW_OWNER_PID {
    const TABLE: Table = Table::Tcp(AF_INET6, TCP_TABLE_OWNER_PID_ALL);
}

/// A buffer for one table at a time.
#[derive(Debug, Default)]
pub(super) struct Tables {
    buffer: Vec<u64>,
}

impl Tables {
    pub(super) fn read<Row: TableRow>(&mut self) -> Result<&[Row], Unreadable> {
        // A table that outgrew its buffer says the size that it has now; the first call after boot may also say "out of
        // memory" (Wine). A table that grows faster than it is read is no reason to go on for ever.
        for _ in 0..8 {
            let mut size = u32::try_from(size_of_val(self.buffer.as_slice())).unwrap_or(u32::MAX);
            let target = (!self.buffer.is_empty()).then(|| self.buffer.as_mut_ptr().cast());
            match WIN32_ERROR(fill(Row::TABLE, target, &mut size)) {
                WIN32_ERROR(0) if !self.buffer.is_empty() => return rows(&self.buffer),
                WIN32_ERROR(0) | ERROR_INSUFFICIENT_BUFFER | ERROR_OUTOFMEMORY => {
                    let words = usize::try_from(size).unwrap_or(0) / size_of::<u64>();
                    self.buffer = vec![0; words + words / 8 + 64];
                }
                error => {
                    let text = error.to_hresult().message();
                    return Err(Unreadable::new(format!("{} failed: {text}", function(Row::TABLE))));
                }
            }
        }
        Err(Unreadable::new(format!("{} asked for a larger buffer eight times", function(Row::TABLE))))
    }
}

fn fill(table: Table, target: Option<*mut c_void>, size: &mut u32) -> u32 {
    match table {
        // SAFETY: `target` is writable for `size` bytes, or absent with a size of 0.
        Table::Tcp(family, class) => unsafe { GetExtendedTcpTable(target, size, false, u32::from(family.0), class, 0) },
        // SAFETY: as above.
        Table::Udp(family) => unsafe {
            GetExtendedUdpTable(target, size, false, u32::from(family.0), UDP_TABLE_OWNER_MODULE, 0)
        },
    }
}

fn function(table: Table) -> &'static str {
    match table {
        Table::Tcp(..) => "GetExtendedTcpTable",
        Table::Udp(_) => "GetExtendedUdpTable",
    }
}

/// The buffer is not empty, and a table was written to it.
fn rows<Row: TableRow>(buffer: &[u64]) -> Result<&[Row], Unreadable> {
    let header = align_of::<Row>().max(size_of::<u32>());
    // SAFETY: the buffer is not empty, and its first four bytes are the count.
    let count = unsafe { buffer.as_ptr().cast::<u32>().read() };
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    if count.saturating_mul(size_of::<Row>()).saturating_add(header) > size_of_val(buffer) {
        return Err(Unreadable::new(format!("{} counts more rows than it wrote", function(Row::TABLE))));
    }
    // SAFETY: `count` rows behind the header lie within the buffer, which is initialised and aligned to 8; `TableRow`
    // promises that any bytes are a row.
    Ok(unsafe { std::slice::from_raw_parts(buffer.as_ptr().cast::<u8>().add(header).cast::<Row>(), count) })
}
