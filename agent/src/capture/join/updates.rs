//! Updates: the lists that commands print, and those of the registry, as the agent reads them. No I/O.

use std::collections::BTreeMap;

use rules::facts::{Section, Update, UpdateSource, UpdateState};
use rules::text::Text;

use super::missing;
use crate::capture::gathered::Gathered;
use crate::capture::registry::{Key, Registry};
use crate::collect::update_entries::{
    FrameworkValues, PackageValues, UninstallValues, framework, knowledge_base, package, uninstall_entry, without_parts,
};

const PACKAGES: &str = r"SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\Packages";
const UNINSTALL: &str = r"SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall";
const UNINSTALL_32: &str = r"SOFTWARE\WOW6432Node\Microsoft\Windows\CurrentVersion\Uninstall";
const FRAMEWORKS: &str = r"SOFTWARE\Microsoft\NET Framework Setup\NDP";
/// Hotfixes of Windows 2000 to Server 2003.
const HOTFIXES: &str = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion\HotFix";

/// A list of installed updates is known where one was printed; that of one source does not show what another would.
pub(super) fn updates(gathered: &Gathered) -> Section<Vec<Update>> {
    let registry = &gathered.registry;
    let packages = registry.below(PACKAGES).filter(|key| key.has_values()).filter_map(|key| {
        let values = PackageValues {
            current_state: key.number("CurrentState"),
            install_time_high: key.number("InstallTimeHigh").unwrap_or(0),
            install_time_low: key.number("InstallTimeLow").unwrap_or(0),
            install_location: key.text("InstallLocation").unwrap_or_default().to_owned(),
            install_client: key.text("InstallClient").unwrap_or_default().to_owned(),
            install_user: key.text("InstallUser").unwrap_or_default().to_owned(),
        };
        // Without a state it is only known to be there.
        values.current_state.and_then(|_| package(&key.name, &values))
    });
    let mut updates = without_parts(packages.collect());
    updates.extend(uninstall_entries(registry.below(UNINSTALL), ""));
    updates.extend(uninstall_entries(registry.below(UNINSTALL_32), r"WOW6432Node\"));
    let had_registry = registry.below(PACKAGES).next().is_some()
        || registry.below(UNINSTALL).next().is_some()
        || registry.below(UNINSTALL_32).next().is_some();
    let listed = listed(gathered);
    if listed.is_empty() && !had_registry {
        return missing("list of updates (wmic qfe, systeminfo, reg query)");
    }
    updates.extend(listed);
    updates.extend(frameworks(registry));
    Section::Known(updates)
}

/// Below `v2.0.50727` and its like lie the values themselves, below `v4` the profiles.
fn frameworks(registry: &Registry) -> Vec<Update> {
    let mut updates = Vec::new();
    for version in registry.below(FRAMEWORKS).filter(|key| key.name.starts_with(['v', 'V'])) {
        updates.extend(framework(&version.name, &framework_values(version)));
        for profile in registry.below(&format!(r"{FRAMEWORKS}\{}", version.name)) {
            if ["Full", "Client"].iter().any(|name| name.eq_ignore_ascii_case(&profile.name)) {
                updates.extend(framework(&format!(r"{}\{}", version.name, profile.name), &framework_values(profile)));
            }
        }
    }
    updates
}

fn framework_values(key: &Key) -> FrameworkValues {
    FrameworkValues {
        install: key.number("Install"),
        version: key.text("Version").unwrap_or_default().to_owned(),
        service_pack: key.number("SP"),
        release: key.number("Release"),
    }
}

fn uninstall_entries<'a>(keys: impl Iterator<Item = &'a Key>, prefix: &str) -> Vec<Update> {
    keys.filter(|key| key.has_values())
        .filter_map(|key| {
            let text = |name| key.text(name).unwrap_or_default().to_owned();
            let values = UninstallValues {
                display_name: text("DisplayName"),
                display_version: text("DisplayVersion"),
                install_date: text("InstallDate"),
                release_type: text("ReleaseType"),
                uninstall_command: text("UninstallString"),
                is_locked: key.number("NoRemove") == Some(1),
            };
            uninstall_entry(&format!("{prefix}{}", key.name), &values)
        })
        .collect()
}

/// `wmic qfe`, `systeminfo` and the hotfix keys name the same updates: one row each, with what any of them tells.
fn listed(gathered: &Gathered) -> Vec<Update> {
    let mut rows: BTreeMap<String, Update> = BTreeMap::new();
    let mut add = |update: Update| {
        let row = rows.entry(update.id.to_uppercase()).or_insert_with(|| update.clone());
        if row.title.is_empty() {
            row.title = update.title;
        }
        row.installed_at = row.installed_at.or(update.installed_at);
        row.installed_by = row.installed_by.take().or(update.installed_by);
    };
    for hotfix in &gathered.hotfixes {
        let mut update = entry(&hotfix.id, hotfix.title.clone());
        update.installed_at = hotfix.installed_at;
        update.installed_by.clone_from(&hotfix.installed_by);
        add(update);
    }
    for (id, title) in &gathered.listed_updates {
        add(entry(id, title.clone()));
    }
    for key in gathered.registry.below(HOTFIXES).filter(|key| key.number("Installed") == Some(1)) {
        let title = key.text("Fix Description").or_else(|| key.text("Comments")).unwrap_or_default();
        add(entry(&key.name, Text::new(title)));
    }
    rows.into_values().collect()
}

fn entry(id: &str, title: Text) -> Update {
    Update {
        source: UpdateSource::Capture,
        id: Text::new(id),
        kb: article(id),
        aliases: Vec::new(),
        title,
        state: UpdateState::Installed,
        installed_at: None,
        installed_by: None,
        removable: None,
        version: None,
    }
}

/// `KB925398` of `KB925398_WM64`; `Q147222` is the older way of writing the same number.
fn article(id: &str) -> Option<Text> {
    let of_old = id.strip_prefix('Q').and_then(|number| knowledge_base(&format!("KB{number}")));
    knowledge_base(id).or(of_old).map(Text::from)
}
