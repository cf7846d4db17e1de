//! Where this program keeps what it must not lose, and what this host is called, unless told otherwise.

use std::fs;
use std::path::{Path, PathBuf};

/// The folder that Windows has for data of programs, of all users; elsewhere beside where one works.
pub(crate) fn state_dir() -> PathBuf {
    match std::env::var_os("ProgramData") {
        Some(folder) => Path::new(&folder).join("Portreeve"),
        None => PathBuf::from("agent-state"),
    }
}

pub(crate) fn host_name() -> String {
    let of_kernel = || fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().into();
    let name = std::env::var_os("COMPUTERNAME").unwrap_or_else(of_kernel);
    let name = name.to_string_lossy();
    let name = name.trim();
    if name.is_empty() { "unnamed".to_owned() } else { name.to_owned() }
}
