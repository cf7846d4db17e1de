//! What to do about a bad update: remove it in the way of this system, install its fix, or change a setting.
//!
//! Sources: KB934307 (wusa, whose `/uninstall` came with Windows 7 and Server 2008 R2), KB940410 (pkgmgr on Server 2008).

use super::change::{Change, Data, RangeList, Removal};
use super::command::{by_hand, doing, line, restart_server, step, undecided};
use crate::bad_update::Standing;
use crate::catalog::{Action, BadUpdate, RegistryKind, RegistryValue, normalized_kb};
use crate::conditions;
use crate::facts::{OsGeneration, Update, UpdateSource};
use crate::finding::{Remedy, Restart, Step};
use crate::view::View;
use crate::words;

pub(crate) fn of_update(entry: &BadUpdate, kb: &str, rows: &[&Update], standing: Standing, view: &View<'_>) -> Remedy {
    let generation = view.generation();
    if standing == Standing::Leaving {
        return finish_removal(entry, kb, generation);
    }
    let mut steps = Vec::new();
    let of_entry = entry_steps(entry, view);
    match entry.remedy.action {
        Action::Uninstall => {
            if standing == Standing::Carried {
                steps.push(by_hand(format!(
                    "Look whether {kb} is listed among the installed updates; if it is not, nothing is to be done."
                )));
            }
            let removal = [uninstall(kb, rows, generation), restart_server()];
            match standing {
                // Whether it is there at all is for a person to see.
                Standing::Carried => steps.extend(removal.map(undecided)),
                _ => steps.extend(removal),
            }
            steps.extend(of_entry);
        }
        Action::Update => {
            let fixes = fixes(entry, generation);
            if !fixes.is_empty() {
                steps.push(by_hand(format!(
                    "Install {}, or any later rollup that carries it.",
                    words::list(&fixes).replace(" and ", " or ")
                )));
            }
            steps.extend(of_entry);
            steps.push(undecided(restart_server()));
        }
        Action::Registry | Action::Configure | Action::Vendor | Action::Manual => {
            steps.extend(entry.remedy.registry.iter().filter(|value| !value.temporary).map(set_value));
            steps.extend(of_entry);
            let is_said = steps.iter().any(|step| step.text.to_lowercase().contains("restart"));
            if entry.remedy.restart == Restart::Server && !is_said {
                steps.push(restart_server());
            }
        }
    }
    let stopgaps = entry.remedy.stopgap.iter().map(|text| by_hand(format!("Until that is done: {text}")));
    steps.extend(stopgaps);
    steps.extend(entry.remedy.registry.iter().filter(|value| value.temporary).map(|value| {
        let mut step = undecided(set_value(value));
        step.text = format!("Until that is done, if need be: {} Take it back afterwards.", step.text);
        step
    }));
    steps.extend(entry.remedy.test.iter().map(|test| by_hand(format!("Test: {test}"))));
    let mut undo: Vec<Step> = entry.remedy.undo.iter().map(by_hand).collect();
    undo.extend(entry.remedy.registry.iter().map(delete_value));
    undo.extend(match entry.remedy.action {
        _ if !undo.is_empty() => Vec::new(),
        Action::Uninstall => vec![by_hand(format!("Install {kb} again from the Microsoft Update Catalog."))],
        Action::Update => vec![by_hand("Uninstall the update that was installed.")],
        Action::Registry | Action::Configure | Action::Vendor | Action::Manual => {
            vec![by_hand("Put the changed settings back.")]
        }
    });
    let proven_when = match entry.remedy.action {
        Action::Uninstall if standing == Standing::Carried => {
            format!("The installed updates of the server do not list {kb}.")
        }
        Action::Uninstall => format!("{kb} is gone from the next report."),
        Action::Update => "The next report lists the fix, or a build at or above it.".to_owned(),
        Action::Registry | Action::Configure | Action::Vendor | Action::Manual => {
            entry.remedy.test.clone().unwrap_or_else(|| "The symptoms are gone.".to_owned())
        }
    };
    Remedy {
        summary: match (entry.remedy.action, standing) {
            (Action::Uninstall, Standing::Carried) => {
                format!("Look for {kb}; where it is listed, uninstall it and restart")
            }
            _ => entry.remedy.summary.clone(),
        },
        applies_to: generation.unwrap_or(OsGeneration::Other).label().to_owned(),
        steps,
        risk: entry.remedy.risk.clone(),
        restart: entry.remedy.restart,
        undo,
        proven_when,
    }
}

/// The update was removed already: only the restart is left.
fn finish_removal(entry: &BadUpdate, kb: &str, generation: Option<OsGeneration>) -> Remedy {
    let test = entry.remedy.test.iter().map(|test| by_hand(format!("Test: {test}")));
    Remedy {
        summary: format!("Restart: {kb} is removed already, and goes with the restart"),
        applies_to: generation.unwrap_or(OsGeneration::Other).label().to_owned(),
        steps: std::iter::once(restart_server()).chain(test).collect(),
        risk: match entry.remedy.action {
            Action::Uninstall => entry.remedy.risk.clone(),
            _ => "The server is away during the restart.".to_owned(),
        },
        restart: Restart::Server,
        undo: vec![by_hand(format!("After the restart install {kb} again from the Microsoft Update Catalog."))],
        proven_when: format!("{kb} is gone from the report that follows the restart."),
    }
}

/// The steps that the entry names for this generation; for all generations where it is not known.
fn entry_steps(entry: &BadUpdate, view: &View<'_>) -> Vec<Step> {
    let holds = |os: &[OsGeneration]| view.generation().is_none_or(|generation| os.contains(&generation));
    let here = entry.remedy.steps_on.iter().filter(|on| holds(&on.os)).flat_map(|on| &on.steps);
    let ports = conditions::pool_ports(&entry.conditions, view).into_iter().map(|port| port.number);
    let reserved = words::ranges(ports);
    let ranges: Vec<String> = reserved.iter().map(|range| line(*range)).collect();
    let named = if ranges.is_empty() { "the ports of the other services".to_owned() } else { words::list(&ranges) };
    let says_so = |text: &str| text.contains("{ports}") && text.contains(RangeList::ReservedPorts.value());
    let of_text = |text: &String| {
        let changes = if says_so(text) && !reserved.is_empty() {
            let ranges = reserved.clone();
            vec![Change::Reserve { list: RangeList::ReservedPorts, ranges }, Change::RestartServer]
        } else {
            Vec::new()
        };
        Step { changes, ..by_hand(text.replace("{ports}", &named)) }
    };
    entry.remedy.steps.iter().chain(here).map(of_text).collect()
}

fn set_value(value: &RegistryValue) -> Step {
    let RegistryValue { key, name, data, .. } = value;
    let (word, parsed) = match value.kind {
        RegistryKind::Dword => ("DWORD value", number(data).map(Data::Dword)),
        RegistryKind::String => ("string value", Some(Data::String(data.clone()))),
    };
    let set = |data| Change::SetValue { key: key.clone(), name: name.clone(), data };
    doing(format!("Set the {word} {name} to {data} under {key}."), parsed.map(set).into_iter().collect())
}

/// `31` or `0x1f`.
fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn delete_value(value: &RegistryValue) -> Step {
    let RegistryValue { key, name, .. } = value;
    step(
        format!("Set {name} under {key} back to what it was; delete it if it was not there."),
        Some(format!("reg delete \"{key}\" /v \"{name}\" /f")),
    )
}

/// The KBs that mend it on this generation; without rows for it, those that mend it anywhere.
fn fixes(entry: &BadUpdate, generation: Option<OsGeneration>) -> Vec<&str> {
    let here: Vec<&str> = entry
        .packages
        .iter()
        .filter(|package| Some(package.os) == generation)
        .flat_map(|package| &package.fixed_by)
        .map(String::as_str)
        .collect();
    if here.is_empty() { entry.fixed_by.iter().map(String::as_str).collect() } else { here }
}

/// Removes the update in the way that this generation knows.
pub(super) fn uninstall(kb: &str, rows: &[&Update], generation: Option<OsGeneration>) -> Step {
    let number = kb.trim_start_matches("KB");
    let packages = rows.iter().filter(|row| row.source == UpdateSource::ComponentPackage && row.id.contains(number));
    let package = packages.filter_map(|row| identity(&row.id)).min_by_key(|id| (!id.starts_with("Package_for_"), *id));
    // Only the name of this very update: removing the bundle that carried it need not help.
    let own = rows.iter().filter(|row| {
        row.kb.as_deref().and_then(normalized_kb).as_deref() == Some(kb) || row.title.to_uppercase().contains(kb)
    });
    let listed = own.map(|row| &*row.title).filter(|title| !title.is_empty()).min().unwrap_or(kb);
    let Some(generation) = generation else {
        return by_hand(format!("Uninstall {kb}, listed as \"{listed}\"."));
    };
    let by = |text: String, removal| doing(text, vec![Change::Uninstall { kb: kb.to_owned(), removal }]);
    match (generation, package) {
        (OsGeneration::Windows2000 | OsGeneration::Server2003, _) => {
            by(format!("Uninstall {kb}: in Add or Remove Programs, or with its own uninstaller."), Removal::Spuninst)
        }
        (OsGeneration::Server2008, Some(package)) => by(
            format!("Uninstall {kb}, which Programs and Features lists as \"{listed}\" under installed updates."),
            Removal::Pkgmgr(package.to_owned()),
        ),
        (OsGeneration::Server2008, None) if listed == kb => by_hand(format!(
            "Uninstall {kb}: in Control Panel open Programs and Features, View installed updates, and remove the entry that names {kb}. wusa /uninstall does not exist on Server 2008."
        )),
        (OsGeneration::Server2008, None) => by_hand(format!(
            "Uninstall {kb}: in Control Panel open Programs and Features, View installed updates, and remove \"{listed}\" ({kb}). wusa /uninstall does not exist on Server 2008."
        )),
        (_, Some(package)) => by(format!("Uninstall {kb}."), Removal::Dism(package.to_owned())),
        (_, None) => by(format!("Uninstall {kb}."), Removal::Wusa),
    }
}

/// A package identity that may stand in a command: `Package_for_KB948609~31bf3856ad364e35~amd64~~6.0.1.2716`.
fn identity(id: &str) -> Option<&str> {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '~' | '-');
    (id.contains('~') && !id.starts_with('-') && id.chars().all(safe)).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::identity;

    #[test]
    fn only_an_identity_becomes_part_of_a_command() {
        assert!(identity("Package_for_KB948609~31bf3856ad364e35~amd64~~6.0.1.2716").is_some());
        for id in ["KB948609", "a~b & calc", "a~b\"", "-a~b", "a~b%x%"] {
            assert_eq!(identity(id), None, "{id}");
        }
    }
}
