//! Why the system wants a restart. Each sign is told on its own: some come from programs that leave files behind, some
//! from an update that is half in force.
//!
//! No sign is documented as a whole; these are what Microsoft's own scripts look at.

use rules::text::Text;

use super::registry;
use crate::collect::reading::Unreadable;

const SERVICING: &str = r"SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing";
const WINDOWS_UPDATE: &str = r"SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate";
const SERVER_MANAGER: &str = r"SOFTWARE\Microsoft\ServerManager";
const SESSION_MANAGER: &str = r"SYSTEM\CurrentControlSet\Control\Session Manager";
const NETLOGON: &str = r"SYSTEM\CurrentControlSet\Services\Netlogon";
const COMPUTER_NAME: &str = r"SYSTEM\CurrentControlSet\Control\ComputerName";

/// The signs that are there.
pub(super) fn signs() -> Result<Vec<Text>, Unreadable> {
    let signs = [
        (has_key(SERVICING, "RebootPending")?, "component servicing waits for a restart"),
        (has_key(SERVICING, "RebootInProgress")?, "component servicing is in the middle of a restart"),
        (has_key(SERVICING, "PackagesPending")?, "component packages wait for a restart"),
        (has_key(WINDOWS_UPDATE, r"Auto Update\RebootRequired")?, "Windows Update waits for a restart"),
        (
            has_subkeys(&format!(r"{WINDOWS_UPDATE}\Services\Pending"))?,
            "a service of Windows Update waits for a restart",
        ),
        (has_lines("PendingFileRenameOperations")?, "files are moved or deleted at the restart"),
        (has_lines("PendingFileRenameOperations2")?, "more files are moved or deleted at the restart"),
        (is_set(r"SOFTWARE\Microsoft\Updates", "UpdateExeVolatile")?, "an update package waits for a restart"),
        (is_counting_restarts()?, "Server Manager waits for a restart"),
        (has_value(NETLOGON, "JoinDomain")?, "joining a domain waits for a restart"),
        (has_value(NETLOGON, "AvoidSpnSet")?, "a change of the domain name waits for a restart"),
        (is_renamed()?, "a new computer name waits for a restart"),
    ];
    Ok(signs.into_iter().filter(|(is_there, _)| *is_there).map(|(_, sign)| Text::new(sign)).collect())
}

fn has_key(path: &str, name: &str) -> Result<bool, Unreadable> {
    Ok(registry::open(&format!(r"{path}\{name}"))?.is_some())
}

fn has_subkeys(path: &str) -> Result<bool, Unreadable> {
    let Some(key) = registry::open(path)? else { return Ok(false) };
    Ok(!registry::subkeys_written(&key)?.is_empty())
}

/// Paths to move and where to, two lines each; the second is empty where a file is deleted.
fn has_lines(name: &str) -> Result<bool, Unreadable> {
    let Some(key) = registry::open(SESSION_MANAGER)? else { return Ok(false) };
    Ok(!registry::lines(&key, name)?.is_empty())
}

fn is_set(path: &str, name: &str) -> Result<bool, Unreadable> {
    Ok(registry::value_at::<u32>(path, name)?.is_some_and(|number| number != 0))
}

fn has_value(path: &str, name: &str) -> Result<bool, Unreadable> {
    Ok(registry::value_names(path)?.iter().any(|value| value.eq_ignore_ascii_case(name)))
}

/// Systems write it with and without its spelling mistake, as a key or as a value.
fn is_counting_restarts() -> Result<bool, Unreadable> {
    for name in ["CurrentRebootAttempts", "CurrentRebootAttemps"] {
        if has_key(SERVER_MANAGER, name)? || has_value(SERVER_MANAGER, name)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_renamed() -> Result<bool, Unreadable> {
    let name = |of: &str| registry::value_at::<String>(&format!(r"{COMPUTER_NAME}\{of}"), "ComputerName");
    let (active, next) = (name("ActiveComputerName")?, name("ComputerName")?);
    Ok(active.zip(next).is_some_and(|(active, next)| !active.eq_ignore_ascii_case(&next)))
}
