//! What the types of an entry cannot say: that numbers are KBs, that dates are dates, that names are known ones, and
//! that what is verified has sources.

use super::bad_update::{Action, BadUpdate, RegistryKind, RegistryValue, Status, UpdateRemedy, normalized_kb};
use super::claim::{OsSpan, ServiceEntry};
use super::condition::{Condition, PRODUCTS, ROLES};
use super::taker::{DrawnFrom, Taker};
use super::{Grounding, Month};
use crate::version::Version;

/// A fault of an entry, and the words of it by which its line is found.
pub(super) struct Complaint {
    /// Text of the entry that is at fault. `None`: the entry as a whole.
    words: Option<String>,
    pub(super) message: String,
}

impl Complaint {
    fn entry(message: impl Into<String>) -> Self {
        Self { words: None, message: message.into() }
    }

    fn at(words: &str, message: impl Into<String>) -> Self {
        Self { words: Some(words.to_owned()), message: message.into() }
    }

    /// The byte at which the words stand in `text`, the TOML of the entry; 0 where they do not.
    pub(super) fn place_in(&self, text: &str) -> usize {
        let Some(words) = &self.words else { return 0 };
        let quoted = [format!("\"{words}\""), format!("'{words}'"), format!("{words} ="), words.clone()];
        quoted.iter().find_map(|words| text.find(words.as_str())).unwrap_or(0)
    }
}

pub(super) fn of_id(id: &str) -> Vec<Complaint> {
    let is_fine =
        !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if is_fine { Vec::new() } else { vec![Complaint::at(id, format!("the id `{id}` must be of a-z, 0-9 and -"))] }
}

pub(super) fn of_service(entry: &ServiceEntry) -> Vec<Complaint> {
    let mut found = cited(entry.grounding, &entry.sources);
    found.extend(span(entry.os));
    if entry.services.is_empty() {
        found.push(Complaint::at("services", "an entry names at least one service"));
    }
    found.extend(entry.services.iter().filter(|name| name.trim().is_empty() || name.starts_with('*')).map(|name| {
        Complaint::at(name, format!("`{name}` is no name of a service; a pattern begins with a part of the name"))
    }));
    let is_idle = entry.ports.is_empty() && entry.optional.is_empty() && entry.ranges.is_empty() && !entry.dynamic;
    if is_idle && entry.note.is_none() {
        found.push(Complaint::entry("an entry names a port or a range, says `dynamic`, or says in a note why none"));
    }
    let mut seen = Vec::new();
    for port in entry.ports.iter().chain(entry.optional.iter().flat_map(|group| &group.ports)) {
        if seen.contains(port) {
            found.push(Complaint::at(&port.to_string(), format!("{port} is named twice")));
        }
        seen.push(*port);
    }
    found.extend(
        entry
            .optional
            .iter()
            .filter(|group| group.ports.is_empty() || group.when.trim().is_empty())
            .map(|_| Complaint::at("optional", "optional ports name at least one port and when it is needed")),
    );
    if !entry.urls.is_empty() && !entry.kernel {
        found.push(Complaint::at("urls", "only what HTTP.sys serves has URLs: `kernel` is missing"));
    }
    found
}

pub(super) fn of_taker(entry: &Taker) -> Vec<Complaint> {
    let mut found = cited(entry.grounding, &entry.sources);
    if entry.protocols.is_empty() {
        found.push(Complaint::at("protocols", "a taker names at least one protocol"));
    }
    if entry.services.is_empty() && entry.draws_by_chance() {
        found.push(Complaint::at("services", "a taker that draws ports names at least one service"));
    }
    if entry.draws_by_chance() && entry.draws.is_empty() {
        found.push(Complaint::at("draws", "a taker that draws ports says where from"));
    }
    found.extend(entry.draws.iter().filter_map(|draw| span(draw.os)));
    found.extend(entry.reservations.iter().filter_map(|reservation| span(reservation.os)));
    let is_late = |draw: &&super::Draw| {
        draw.from == DrawnFrom::UpToMaxUserPort
            && draw.os.to.is_none_or(|to| to > crate::facts::OsGeneration::Server2003)
    };
    if entry.draws.iter().any(|draw| is_late(&draw)) {
        found.push(Complaint::at("up-to-max-user-port", "MaxUserPort is an upper bound up to Server 2003 only"));
    }
    found
}

pub(super) fn of_bad_update(entry: &BadUpdate) -> Vec<Complaint> {
    let mut found = cited(entry.grounding, &entry.sources);
    let fixes = entry.fixed_by.iter().chain(entry.packages.iter().flat_map(|package| &package.fixed_by));
    for kb in entry.all_kbs().chain(fixes.clone().map(String::as_str)) {
        if normalized_kb(kb).as_deref() != Some(kb) {
            found.push(Complaint::at(kb, format!("`{kb}` is no KB: write KB948609")));
        }
    }
    found.extend(
        fixes
            .filter(|fix| entry.own_kbs().any(|kb| kb == fix.as_str()))
            .map(|fix| Complaint::at("fixed_by", format!("{fix} cannot both do the harm and end it"))),
    );
    for text in [&entry.title, &entry.harm, &entry.possible_harm, &entry.summary, &entry.remedy.summary] {
        if text.trim().is_empty() {
            found.push(Complaint::entry(
                "title, harm, possible_harm, summary and the summary of the remedy say something",
            ));
        }
    }
    if !is_date(&entry.released, 3..=3) {
        found.push(Complaint::at(&entry.released, format!("`{}` is no date: write 2008-08-11", entry.released)));
    }
    found.extend(
        entry
            .evidence_date
            .iter()
            .filter(|date| !is_date(date, 1..=3))
            .map(|date| Complaint::at(date, format!("`{date}` is no date: write 2026-05-13, 2026-05 or 2026"))),
    );
    found.extend(
        entry
            .fixed_in
            .iter()
            .filter(|month| Month::parse(month).is_none())
            .map(|month| Complaint::at(month, format!("`{month}` is no month: write 2019-04"))),
    );
    for package in &entry.packages {
        for build in package.build.iter().chain(&package.fixed_build) {
            if build.split('.').count() != 4 || Version::parse(build).is_none() {
                found.push(Complaint::at(build, format!("`{build}` is no build: write 10.0.14393.2368")));
            }
        }
        let bounds = (
            package.build.as_deref().and_then(Version::parse),
            package.fixed_build.as_deref().and_then(Version::parse),
        );
        if let (Some(build), Some(fixed)) = bounds
            && build >= fixed
        {
            found.push(Complaint::at(
                package.fixed_build.as_deref().unwrap_or_default(),
                "the fixed build is not above the build that brings the harm",
            ));
        }
    }
    if entry.kb.is_none() {
        if entry.remedy.action == Action::Uninstall {
            found.push(Complaint::at("action", "without a KB there is nothing to uninstall"));
        }
        if has_unobserved(&entry.conditions) {
            found.push(Complaint::at(
                "conditions",
                "without a KB an entry rests on its conditions, so that facts must answer all of them",
            ));
        }
    }
    if entry.removable == Some(false) && entry.remedy.action == Action::Uninstall {
        found.push(Complaint::at("removable", "the remedy uninstalls what cannot be uninstalled"));
    }
    if entry.status == Status::Fixed && entry.remedy.action == Action::Update && !names_fix(entry) {
        found.push(Complaint::at("status", "a fixed entry whose remedy is an update names the fix"));
    }
    of_condition(&entry.conditions, &mut found);
    of_remedy(&entry.remedy, &mut found);
    found
}

fn names_fix(entry: &BadUpdate) -> bool {
    let of_package = |package: &super::Package| !package.fixed_by.is_empty() || package.fixed_build.is_some();
    !entry.fixed_by.is_empty() || entry.fixed_in.is_some() || entry.packages.iter().any(of_package)
}

fn of_remedy(remedy: &UpdateRemedy, found: &mut Vec<Complaint>) {
    if remedy.action == Action::Registry && remedy.registry.is_empty() {
        found.push(Complaint::at("action", "a remedy of the kind `registry` names its values"));
    }
    if matches!(remedy.action, Action::Configure | Action::Vendor | Action::Manual) && remedy.steps.is_empty() {
        found.push(Complaint::at("action", "a remedy that no update brings has steps"));
    }
    for value in &remedy.registry {
        if !is_safe(value) {
            found.push(Complaint::at(
                &value.name,
                "a value of the registry has a key under HKLM, a plain name, and data that a command can carry",
            ));
        }
    }
}

/// What may stand between quotes in a command line.
fn is_safe(value: &RegistryValue) -> bool {
    let is_plain = |text: &str| {
        !text.is_empty()
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, ' ' | '_' | '.' | '-' | '/' | '\\'))
    };
    let data_is_fine = match value.kind {
        RegistryKind::Dword => value.data.parse::<u32>().is_ok(),
        RegistryKind::String => is_plain(&value.data),
    };
    value.key.starts_with("HKLM\\") && is_plain(&value.key) && is_plain(&value.name) && data_is_fine
}

fn of_condition(condition: &Condition, found: &mut Vec<Complaint>) {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => {
            if parts.is_empty() {
                found.push(Complaint::at("conditions", "`all` and `any` hold at least one condition"));
            }
            for part in parts {
                of_condition(part, found);
            }
        }
        Condition::Not(part) => of_condition(part, found),
        Condition::Os(generations) if generations.is_empty() => {
            found.push(Complaint::at("os", "`os` holds at least one generation"));
        }
        Condition::Product(product) => {
            if !PRODUCTS.contains(&product.id.as_str()) {
                found.push(Complaint::at(
                    &product.id,
                    format!("no fact tells the product `{}`: use `unobserved`, or a service of it", product.id),
                ));
            }
            for version in product.from.iter().chain(&product.below) {
                if Version::parse(version).is_none() {
                    found.push(Complaint::at(version, format!("`{version}` is no version")));
                }
            }
        }
        Condition::Role(role) if !ROLES.contains(&role.as_str()) => {
            found.push(Complaint::at(role, format!("no fact tells the role `{role}`: use `unobserved`")));
        }
        Condition::BuildAtLeast(build) | Condition::BuildBelow(build) if Version::parse(build).is_none() => {
            found.push(Complaint::at(build, format!("`{build}` is no build")));
        }
        Condition::Update(kb) if normalized_kb(kb).as_deref() != Some(kb.as_str()) => {
            found.push(Complaint::at(kb, format!("`{kb}` is no KB: write KB948609")));
        }
        Condition::Unobserved(words) | Condition::Hypervisor(words) if words.trim().is_empty() => {
            found.push(Complaint::at("conditions", "a condition that no fact answers is said in words"));
        }
        _ => {}
    }
}

fn has_unobserved(condition: &Condition) -> bool {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => parts.iter().any(has_unobserved),
        Condition::Not(part) => has_unobserved(part),
        Condition::Registry(_) | Condition::Hypervisor(_) | Condition::Unobserved(_) => true,
        _ => false,
    }
}

fn cited(grounding: Grounding, sources: &[String]) -> Vec<Complaint> {
    if grounding == Grounding::Recalled || !sources.is_empty() {
        return Vec::new();
    }
    vec![Complaint::at("sources", "a verified entry names its sources")]
}

fn span(os: OsSpan) -> Option<Complaint> {
    let is_empty = os.from.zip(os.to).is_some_and(|(from, to)| from > to);
    is_empty.then(|| Complaint::at("os", "`from` is newer than `to`"))
}

/// A calendar date of so many parts.
fn is_date(text: &str, parts: std::ops::RangeInclusive<usize>) -> bool {
    let numbers: Option<Vec<u32>> = text.split('-').map(|part| part.parse().ok()).collect();
    let Some(numbers) = numbers else { return false };
    let padded = [
        numbers.first().copied().unwrap_or(0),
        numbers.get(1).copied().unwrap_or(1),
        numbers.get(2).copied().unwrap_or(1),
    ];
    let year = i32::try_from(padded[0]).unwrap_or(0);
    let is_long = text.len() == [4, 7, 10].get(numbers.len().wrapping_sub(1)).copied().unwrap_or(0);
    parts.contains(&numbers.len())
        && is_long
        && chrono::NaiveDate::from_ymd_opt(year, padded[1], padded[2]).is_some()
        && year > 1990
}
