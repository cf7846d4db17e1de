//! Updates from the registry: component packages, patches of Windows Installer, Uninstall entries of both views, and
//! versions of the .NET Framework.
//!
//! Invariant: these four lists together say what is installed, so one that cannot be read makes the whole unknown. What
//! the Windows Update Agent remembers and offers comes on top (`update_agent`), and may be missing.

use std::collections::HashMap;

use rules::facts::Update;

use super::registry::{self, text};
use super::update_agent::UpdateAgent;
use crate::collect::capability::Capability;
use crate::collect::reading::Unreadable;
use crate::collect::update_entries::{
    FrameworkValues, InstallerValues, PackageValues, UninstallValues, framework, installer_entry, is_update, package,
    uninstall_entry, without_parts,
};

pub(super) const PACKAGES: &str = r"SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\Packages";
pub(super) const UNINSTALL: &str = r"SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall";
/// Entries of 32-bit programs on a 64-bit system; not there on others.
pub(super) const UNINSTALL_32: &str = r"SOFTWARE\WOW6432Node\Microsoft\Windows\CurrentVersion\Uninstall";
/// Products that were installed for the machine, each with its patches.
pub(super) const INSTALLER_PRODUCTS: &str =
    r"SOFTWARE\Microsoft\Windows\CurrentVersion\Installer\UserData\S-1-5-18\Products";
pub(super) const FRAMEWORKS: &str = r"SOFTWARE\Microsoft\NET Framework Setup\NDP";

/// Component packages as they were read last. A server has up to 10,000 of them, and an update touches a few.
#[derive(Debug, Default)]
pub(super) struct Packages {
    /// By identity: when the key was written, and its row.
    rows: HashMap<String, (u64, Update)>,
}

/// The lists of the registry, and how well each could be read the last time.
#[derive(Debug, Default)]
pub(super) struct Lists {
    kept: Packages,
    pub(super) packages: Capability,
    pub(super) installer_patches: Capability,
    pub(super) uninstall_entries: Capability,
}

pub(super) fn read(lists: &mut Lists, agent: &UpdateAgent) -> Result<Vec<Update>, Unreadable> {
    let (packages, patches, entries) = (lists.kept.read(), installer_patches(), uninstall_entries());
    lists.packages = Capability::of_list(&packages);
    lists.installer_patches = Capability::of_list(&patches);
    lists.uninstall_entries = Capability::of_list(&entries);
    let mut updates = without_parts(packages?);
    updates.extend(patches?);
    updates.extend(entries?);
    updates.extend(frameworks()?);
    let remembered = agent.rows().ok_or_else(|| Unreadable::new("the history of updates is still being read"))?;
    updates.extend(remembered);
    Ok(updates)
}

impl Packages {
    /// Reads the keys that were written since the last time.
    fn read(&mut self) -> Result<Vec<Update>, Unreadable> {
        let key = registry::open_expected(PACKAGES)?;
        let mut rows = HashMap::with_capacity(self.rows.len());
        for (identity, written) in registry::subkeys_written(&key)?.into_iter().filter(|(name, _)| is_update(name)) {
            let row = match self.rows.remove(&identity) {
                Some((read, row)) if read == written => Some(row),
                _ => read_package(&key, &identity)?,
            };
            rows.extend(row.map(|row| (identity, (written, row))));
        }
        self.rows = rows;
        Ok(self.rows.values().map(|(_, row)| row.clone()).collect())
    }
}

fn read_package(packages: &winreg::RegKey, identity: &str) -> Result<Option<Update>, Unreadable> {
    let Some(key) = registry::subkey(packages, identity)? else { return Ok(None) };
    let values = PackageValues {
        current_state: registry::value(&key, "CurrentState")?,
        install_time_high: registry::value(&key, "InstallTimeHigh")?.unwrap_or(0),
        install_time_low: registry::value(&key, "InstallTimeLow")?.unwrap_or(0),
        install_location: text(&key, "InstallLocation")?,
        install_client: text(&key, "InstallClient")?,
        install_user: text(&key, "InstallUser")?,
    };
    Ok(package(identity, &values))
}

fn installer_patches() -> Result<Vec<Update>, Unreadable> {
    let Some(products) = registry::open(INSTALLER_PRODUCTS)? else { return Ok(Vec::new()) };
    let mut updates = Vec::new();
    for entry in registry::subkeys(&products) {
        let (product, key) = entry?;
        let Some(patches) = registry::subkey(&key, "Patches")? else { continue };
        for entry in registry::subkeys(&patches) {
            let (patch, key) = entry?;
            let values = InstallerValues {
                display_name: text(&key, "DisplayName")?,
                state: registry::value(&key, "State")?,
                uninstallable: registry::value(&key, "Uninstallable")?,
                installed: text(&key, "Installed")?,
                more_info_url: text(&key, "MoreInfoURL")?,
            };
            updates.push(installer_entry(&product, &patch, &values));
        }
    }
    Ok(updates)
}

fn uninstall_entries() -> Result<Vec<Update>, Unreadable> {
    let mut updates = uninstall_entries_of(UNINSTALL, "")?;
    updates.extend(uninstall_entries_of(UNINSTALL_32, r"WOW6432Node\")?);
    Ok(updates)
}

/// `prefix` keeps ids of the two views apart.
fn uninstall_entries_of(path: &str, prefix: &str) -> Result<Vec<Update>, Unreadable> {
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

/// Below `v2.0.50727` and its like lie the values themselves, below `v4` the profiles `Full` and `Client`.
fn frameworks() -> Result<Vec<Update>, Unreadable> {
    let Some(versions) = registry::open(FRAMEWORKS)? else { return Ok(Vec::new()) };
    let mut updates = Vec::new();
    for entry in registry::subkeys(&versions) {
        let (version, key) = entry?;
        if !version.starts_with(['v', 'V']) {
            continue;
        }
        updates.extend(framework(&version, &framework_values(&key)?));
        for profile in ["Full", "Client"] {
            if let Some(key) = registry::subkey(&key, profile)? {
                updates.extend(framework(&format!(r"{version}\{profile}"), &framework_values(&key)?));
            }
        }
    }
    Ok(updates)
}

fn framework_values(key: &winreg::RegKey) -> Result<FrameworkValues, Unreadable> {
    Ok(FrameworkValues {
        install: registry::value(key, "Install")?,
        version: text(key, "Version")?,
        service_pack: registry::value(key, "SP")?,
        release: registry::value(key, "Release")?,
    })
}
