//! Where this program keeps what it must not lose, and what this host is called, unless told otherwise.

use std::fs;
use std::path::PathBuf;

/// The folder that Windows has for data of programs, of all users; elsewhere beside where one works.
pub(crate) fn state_dir() -> PathBuf {
    match program_data() {
        Some(folder) => folder.join("Portreeve"),
        None => PathBuf::from("agent-state"),
    }
}

/// From where Windows itself reads it: in the environment of a service it may be something else, and the service must find
/// what a person's command put there.
#[cfg(windows)]
fn program_data() -> Option<PathBuf> {
    const PROFILES: &str = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion\ProfileList";
    let text = winreg::HKLM.open_subkey(PROFILES).and_then(|key| key.get_value::<String, _>("ProgramData")).ok()?;
    match text.strip_prefix("%SystemDrive%") {
        Some(rest) => {
            let mut folder = std::env::var_os("SystemDrive")?;
            folder.push(rest);
            Some(folder.into())
        }
        None => Some(text.into()),
    }
    .filter(|folder: &PathBuf| folder.is_absolute())
}

#[cfg(not(windows))]
fn program_data() -> Option<PathBuf> {
    None
}

pub(crate) fn host_name() -> String {
    let of_kernel = || fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().into();
    let name = std::env::var_os("COMPUTERNAME").unwrap_or_else(of_kernel);
    let name = name.to_string_lossy();
    let name = name.trim();
    if name.is_empty() { "unnamed".to_owned() } else { name.to_owned() }
}
