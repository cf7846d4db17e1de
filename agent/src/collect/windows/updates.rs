//! Updates from the two registry lists: component packages, and Uninstall entries of both views.

use rules::facts::Update;

use super::registry::{self, text};
use crate::collect::reading::Unreadable;
use crate::collect::update_entries::{PackageValues, UninstallValues, package, uninstall_entry, without_parts};

pub(super) const PACKAGES: &str = r"SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\Packages";
pub(super) const UNINSTALL: &str = r"SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall";
/// Entries of 32-bit programs on a 64-bit system; not there on others.
pub(super) const UNINSTALL_32: &str = r"SOFTWARE\WOW6432Node\Microsoft\Windows\CurrentVersion\Uninstall";

pub(super) fn read() -> Result<Vec<Update>, Unreadable> {
    let mut updates = without_parts(packages()?);
    updates.extend(uninstall_entries(UNINSTALL, "")?);
    updates.extend(uninstall_entries(UNINSTALL_32, r"WOW6432Node\")?);
    Ok(updates)
}

fn packages() -> Result<Vec<Update>, Unreadable> {
    let packages = registry::open_expected(PACKAGES)?;
    let mut updates = Vec::new();
    for entry in registry::subkeys(&packages) {
        let (identity, key) = entry?;
        let values = PackageValues {
            current_state: registry::value(&key, "CurrentState")?,
            install_time_high: registry::value(&key, "InstallTimeHigh")?.unwrap_or(0),
            install_time_low: registry::value(&key, "InstallTimeLow")?.unwrap_or(0),
            install_location: text(&key, "InstallLocation")?,
        };
        updates.extend(package(&identity, &values));
    }
    Ok(updates)
}

/// `prefix` keeps ids of the two views apart.
fn uninstall_entries(path: &str, prefix: &str) -> Result<Vec<Update>, Unreadable> {
    let Some(entries) = registry::open(path)? else { return Ok(Vec::new()) };
    let mut updates = Vec::new();
    for entry in registry::subkeys(&entries) {
        let (name, key) = entry?;
        let values = UninstallValues {
            display_name: text(&key, "DisplayName")?,
            display_version: text(&key, "DisplayVersion")?,
            install_date: text(&key, "InstallDate")?,
            release_type: text(&key, "ReleaseType")?,
            uninstall_command: text(&key, "UninstallString")?,
            is_locked: registry::value::<u32>(&key, "NoRemove").is_ok_and(|value| value == Some(1)),
        };
        updates.extend(uninstall_entry(&format!("{prefix}{name}"), &values));
    }
    Ok(updates)
}
