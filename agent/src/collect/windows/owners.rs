//! Which of the services that share a process owns a socket.
//!
//! The system marks a socket with the service that made it; `GetOwnerModuleFromTcpEntry` and its siblings turn the mark into
//! a name. They are dear, so an answer is kept as long as the process lives.
//!
//! Invariant: a name is taken only if it is one of the services of the process; otherwise all of them are candidates.
//! <https://learn.microsoft.com/windows/win32/api/iphlpapi/nf-iphlpapi-getownermodulefromtcpentry>
#![expect(unsafe_code, reason = "functions that are looked up by name write into raw buffers")]

use std::collections::HashMap;
use std::ffi::{CStr, c_void};

use chrono::{DateTime, Utc};
use rules::text::Text;
use windows::Win32::Foundation::WIN32_ERROR;
use windows::Win32::NetworkManagement::IpHelper::{
    MIB_TCP6ROW_OWNER_MODULE, MIB_TCPROW_OWNER_MODULE, MIB_UDP6ROW_OWNER_MODULE, MIB_UDPROW_OWNER_MODULE,
    TCPIP_OWNER_MODULE_BASIC_INFO, TCPIP_OWNER_MODULE_INFO_BASIC,
};

use super::platform::{self, Library};
use super::processes::Process;
use crate::collect::capability::Capability;
use crate::collect::reading::Unreadable;

/// Of a name and a path.
const BUFFER_WORDS: usize = 4096 / size_of::<u64>();

/// A row, by the function that knows its table.
#[derive(Clone, Copy)]
pub(super) enum Row<'a> {
    Tcp(&'a MIB_TCPROW_OWNER_MODULE),
    Tcp6(&'a MIB_TCP6ROW_OWNER_MODULE),
    Udp(&'a MIB_UDPROW_OWNER_MODULE),
    Udp6(&'a MIB_UDP6ROW_OWNER_MODULE),
}

type OwnerModule =
    unsafe extern "system" fn(row: *const c_void, class: i32, buffer: *mut c_void, size: *mut u32) -> u32;

/// A process by id and start, and a mark in it.
type Mark = (u32, Option<DateTime<Utc>>, u64);

#[derive(Debug)]
pub(super) struct Owners {
    /// In the order of [`Row`], or why there are none.
    functions: Result<[OwnerModule; 4], Unreadable>,
    /// `None`: the system does not say.
    known: HashMap<Mark, Option<Text>>,
    /// Marks that were met in this look.
    met: HashMap<Mark, Option<Text>>,
    /// Of the last question that was refused.
    refused: Option<String>,
}

impl Owners {
    pub(super) fn new() -> Self {
        Self { functions: functions(), known: HashMap::new(), met: HashMap::new(), refused: None }
    }

    /// The services that may own the socket of `row`, which bears `mark`: one where that is certain.
    pub(super) fn of(&mut self, row: Row<'_>, pid: u32, mark: u64, process: &Process) -> Vec<Text> {
        let candidates = &process.services;
        if candidates.len() < 2 || mark == 0 {
            return candidates.clone();
        }
        let Ok(functions) = &self.functions else { return candidates.clone() };
        let key = (pid, process.started_at, mark);
        let owner = match self.met.get(&key) {
            Some(owner) => owner.clone(),
            None => {
                let owner = self
                    .known
                    .remove(&key)
                    .unwrap_or_else(|| ask(functions, row).map_err(|reason| self.refused = Some(reason)).ok());
                let owner = owner.filter(|owner| candidates.iter().any(|name| name.eq_ignore_ascii_case(owner)));
                self.met.insert(key, owner.clone());
                owner
            }
        };
        owner.map_or_else(|| candidates.clone(), |owner| vec![owner])
    }

    /// Forgets what was not met since the last time.
    pub(super) fn end_look(&mut self) {
        self.known = std::mem::take(&mut self.met);
    }

    pub(super) fn capability(&self) -> Capability {
        match (&self.functions, &self.refused) {
            (Err(reason), _) => Capability::Unavailable(reason.to_string()),
            (_, Some(reason)) => Capability::Degraded(reason.clone()),
            _ => Capability::Ok,
        }
    }
}

fn functions() -> Result<[OwnerModule; 4], Unreadable> {
    const NAMES: [&CStr; 4] = [
        c"GetOwnerModuleFromTcpEntry",
        c"GetOwnerModuleFromTcp6Entry",
        c"GetOwnerModuleFromUdpEntry",
        c"GetOwnerModuleFromUdp6Entry",
    ];
    if platform::is_wine() {
        return Err(Unreadable::new("Wine does not tell which service of a process owns a socket"));
    }
    let library = Library::load("iphlpapi.dll")?;
    let mut functions = Vec::with_capacity(NAMES.len());
    for name in NAMES {
        // SAFETY: the documented form of these four; they differ in the row that they point to.
        functions.push(unsafe { std::mem::transmute::<platform::Function, OwnerModule>(library.function(name)?) });
    }
    functions.try_into().map_err(|_| Unreadable::new("a function of iphlpapi.dll is missing"))
}

fn ask(functions: &[OwnerModule; 4], row: Row<'_>) -> Result<Text, String> {
    let (function, row): (OwnerModule, *const c_void) = match row {
        Row::Tcp(row) => (functions[0], (&raw const *row).cast()),
        Row::Tcp6(row) => (functions[1], (&raw const *row).cast()),
        Row::Udp(row) => (functions[2], (&raw const *row).cast()),
        Row::Udp6(row) => (functions[3], (&raw const *row).cast()),
    };
    let mut buffer = [0_u64; BUFFER_WORDS];
    let mut size = u32::try_from(size_of_val(&buffer)).unwrap_or(0);
    // SAFETY: the row is of the table that the function knows; the buffer is writable for `size` bytes.
    let error = unsafe { function(row, TCPIP_OWNER_MODULE_INFO_BASIC.0, buffer.as_mut_ptr().cast(), &raw mut size) };
    if error != 0 {
        return Err(format!("the owner of a socket was refused: {}", WIN32_ERROR(error).to_hresult().message()));
    }
    // SAFETY: the call succeeded, so the structure lies at the start of the buffer and its strings behind it.
    let name = unsafe {
        let answer = &*buffer.as_ptr().cast::<TCPIP_OWNER_MODULE_BASIC_INFO>();
        if answer.pModuleName.is_null() { Vec::new() } else { answer.pModuleName.as_wide().to_vec() }
    };
    Ok(Text::from(String::from_utf16_lossy(&name)))
}
