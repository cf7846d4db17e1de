//! Who owns a process id: image, start, and the services that run in it.
//!
//! Invariant: each process is asked once per look; one that may not be opened has no image, and that is not an error.
#![expect(unsafe_code, reason = "process handles are asked through Win32")]

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use rules::facts::Service;
use rules::text::Text;
use windows::Win32::Foundation::{FILETIME, HANDLE};
use windows::Win32::System::Threading::{
    GetProcessTimes, OpenProcess, PROCESS_NAME_WIN32, PROCESS_QUERY_LIMITED_INFORMATION, QueryFullProcessImageNameW,
};
use windows::core::{Owned, PWSTR};

use crate::collect::reading::filetime;

/// The kernel, which holds the ports of HTTP.sys and SMB. It has no image that could be asked for.
pub(super) const SYSTEM_PID: u32 = 4;

#[derive(Clone, Debug, Default)]
pub(super) struct Process {
    pub(super) image: Option<Text>,
    pub(super) started_at: Option<DateTime<Utc>>,
    /// SCM key names, sorted.
    pub(super) services: Vec<Text>,
}

#[derive(Debug)]
pub(super) struct Processes {
    services: HashMap<u32, Vec<Text>>,
    seen: HashMap<u32, Process>,
}

impl Processes {
    pub(super) fn new(services: &[Service]) -> Self {
        let mut by_pid: HashMap<u32, Vec<Text>> = HashMap::new();
        for service in services {
            if let Some(pid) = service.pid {
                by_pid.entry(pid).or_default().push(service.name.clone());
            }
        }
        for names in by_pid.values_mut() {
            names.sort();
        }
        Self { services: by_pid, seen: HashMap::new() }
    }

    /// Of PID 0, which stands for "not known", there is nothing to tell.
    pub(super) fn get(&mut self, pid: u32) -> &Process {
        self.seen.entry(pid).or_insert_with(|| match pid {
            0 => Process::default(),
            _ => ask(pid, self.services.remove(&pid).unwrap_or_default()),
        })
    }
}

fn ask(pid: u32, services: Vec<Text>) -> Process {
    if pid == SYSTEM_PID {
        return Process { image: Some(Text::new("System")), started_at: None, services };
    }
    // SAFETY: takes no pointer; the handle it gives is ours alone, and `Owned` closes it.
    let handle = unsafe { OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, false, pid).map(|handle| Owned::new(handle)) };
    match handle {
        Ok(handle) => Process { image: image(*handle), started_at: started_at(*handle), services },
        Err(_) => Process { services, ..Process::default() },
    }
}

fn image(process: HANDLE) -> Option<Text> {
    let mut buffer = [0_u16; 2048];
    let mut length = 2048;
    // SAFETY: `process` is open; the buffer holds `length` characters and outlives the call.
    unsafe { QueryFullProcessImageNameW(process, PROCESS_NAME_WIN32, PWSTR(buffer.as_mut_ptr()), &raw mut length) }
        .ok()?;
    let path = buffer.get(..usize::try_from(length).ok()?)?;
    Some(Text::from(String::from_utf16_lossy(path)))
}

fn started_at(process: HANDLE) -> Option<DateTime<Utc>> {
    let [mut created, mut exited, mut kernel, mut user] = [FILETIME::default(); 4];
    // SAFETY: `process` is open; the four times are written here and outlive the call.
    unsafe { GetProcessTimes(process, &raw mut created, &raw mut exited, &raw mut kernel, &raw mut user) }.ok()?;
    filetime(u64::from(created.dwHighDateTime) << 32 | u64::from(created.dwLowDateTime))
}
