//! An update that is known to do harm: how it is recognised, on which hosts, what it breaks, and how to be rid of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Grounding;
use super::condition::Condition;
use crate::facts::OsGeneration;
use crate::finding::{Restart, Severity};

/// One known-bad update. Serialized as it stands for the API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BadUpdate {
    /// Also the name of the rule: `bad-update/<id>`.
    pub id: String,
    /// The number by which operators know it: `KB948609`. Subject of the finding. `None`: no update brings the fault, it
    /// belongs to the release or to the product, and the conditions alone tell where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kb: Option<String>,
    /// What on a host shows that the entry concerns it.
    #[serde(default)]
    pub trace: Trace,
    /// Other numbers under which the same thing is listed; any of them counts as present.
    #[serde(default)]
    pub aliases: Vec<Alias>,
    pub title: String,
    /// What follows the KB in the title of a certain finding: `breaks Autodiscover on this Exchange 2007 SP1 server`.
    /// Without a KB it is the whole title.
    pub harm: String,
    /// The same where a condition is open: `may break Autodiscover if this server runs Exchange 2007 SP1`.
    pub possible_harm: String,
    /// What goes wrong while it is present, in a sentence or two.
    pub summary: String,
    pub category: String,
    /// `2008-08-11`.
    pub released: String,
    /// Date of the newest dated source, as exact as it is known: `2026-05-13` or `2018-07`. `None`: no source has a date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence_date: Option<String>,
    pub severity: Severity,
    pub conditions: Condition,
    pub symptoms: Vec<String>,
    #[serde(default)]
    pub affected_services: Vec<String>,
    /// Per generation: the number, and what ends the harm there.
    #[serde(default)]
    pub packages: Vec<Package>,
    /// KBs whose presence ends the harm on any generation.
    #[serde(default)]
    pub fixed_by: Vec<String>,
    /// `2019-04`: the month of the fix. A cumulative update or monthly rollup of a later month carries it. `None`: not known,
    /// or nothing mends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed_in: Option<String>,
    /// Whether the update can be uninstalled. `None`: not known, or it is no package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removable: Option<bool>,
    pub remedy: UpdateRemedy,
    pub status: Status,
    pub grounding: Grounding,
    pub sources: Vec<String>,
    /// What in this entry is from memory, or otherwise worth knowing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alias {
    pub kb: String,
    pub kind: AliasKind,
    pub grounding: Grounding,
    /// What the other number names, such as `.NET Framework 3.5 SP1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AliasKind {
    /// The security bulletin or article.
    Bulletin,
    /// The package that the list of installed updates shows.
    Package,
    /// A larger package that carries it.
    Bundle,
    /// Another update with the same fault, such as that of another month: it is named by its own number.
    Sibling,
}

/// What on a host shows that an entry concerns it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Trace {
    /// The update is installed.
    #[default]
    Installed,
    /// It could not be installed, and that is the harm: once it is installed, all is well.
    Failed,
    Either,
}

/// The update on one generation of the system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Semi-annual releases count as the generation whose builds they follow; their build tells them apart.
    pub os: OsGeneration,
    pub kb: String,
    /// `None`: as the entry. `recalled`: that this package brings the harm is from memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grounding: Option<Grounding>,
    /// `10.0.14393.2363`: the build that brings the harm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
    #[serde(default)]
    pub fixed_by: Vec<String>,
    /// `10.0.14393.2368`: at or above this build the harm is gone, whatever is listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed_build: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateRemedy {
    pub action: Action,
    /// The steps in half a sentence.
    pub summary: String,
    /// What to do beyond what `action` says by itself, one sentence a step.
    #[serde(default)]
    pub steps: Vec<String>,
    /// What follows on some generations only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps_on: Vec<StepsOn>,
    /// What helps until the remedy is done, or where it cannot be done, one sentence a step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stopgap: Vec<String>,
    /// Values to be set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub registry: Vec<RegistryValue>,
    /// How to go back, where that is more than what `action` says by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undo: Vec<String>,
    /// How to see that it worked, before the next report does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<String>,
    /// What does not help, or must not be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caution: Option<String>,
    pub risk: String,
    pub restart: Restart,
}

/// A value of the registry that a remedy sets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegistryValue {
    /// Such as `HKLM\SYSTEM\CurrentControlSet\Services\Kdc`.
    pub key: String,
    pub name: String,
    pub kind: RegistryKind,
    pub data: String,
    /// Set only until the remedy is done, and then taken back.
    #[serde(default)]
    pub temporary: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RegistryKind {
    Dword,
    String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepsOn {
    pub os: Vec<OsGeneration>,
    /// `{ports}` stands for the ports of this host that the DNS server's pool can take.
    pub steps: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Remove the update.
    Uninstall,
    /// Install the update that fixes it.
    Update,
    /// Keep it, and set the values that `registry` names.
    Registry,
    /// Keep it, and change a setting.
    Configure,
    /// By the other product's vendor.
    Vendor,
    Manual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Active,
    Fixed,
    Superseded,
    Withdrawn,
}

impl BadUpdate {
    /// Whether it is known to harm this service.
    pub fn affects(&self, service: &str) -> bool {
        self.affected_services.iter().any(|name| name.eq_ignore_ascii_case(service))
    }

    /// Its own number, its aliases and those of its packages, each once.
    pub fn all_kbs(&self) -> impl Iterator<Item = &str> {
        let mut kbs: Vec<&str> = Vec::new();
        let others = self.aliases.iter().map(|alias| &alias.kb).chain(self.packages.iter().map(|package| &package.kb));
        for kb in self.kb.iter().chain(others) {
            if !kbs.contains(&kb.as_str()) {
                kbs.push(kb);
            }
        }
        kbs.into_iter()
    }

    /// The same without the larger packages that carry it.
    pub fn own_kbs(&self) -> impl Iterator<Item = &str> {
        self.all_kbs().filter(|&kb| !self.is_bundle(kb))
    }

    /// Whether `kb` is a larger package that carries it.
    pub fn is_bundle(&self, kb: &str) -> bool {
        self.aliases.iter().any(|alias| alias.kind == AliasKind::Bundle && alias.kb == kb)
    }

    /// How well it is supported that `kb` stands for this entry.
    pub fn grounding_of(&self, kb: &str) -> Grounding {
        let alias = self.aliases.iter().find(|alias| alias.kb == kb).map(|alias| alias.grounding);
        let package =
            self.packages.iter().filter(|package| package.kb == kb).filter_map(|package| package.grounding).min();
        alias.or(package).unwrap_or(Grounding::Verified)
    }

    pub fn rule(&self) -> String {
        format!("bad-update/{}", self.id)
    }
}

/// `KB948609` for `kb948609`, `KB 948609`, `948609` or `KB948609v2`, a later version of the same package. `None`: no number
/// of a KB.
pub fn normalized_kb(text: &str) -> Option<String> {
    let text = text.trim();
    let digits = match text.get(..2) {
        Some(prefix) if prefix.eq_ignore_ascii_case("KB") => text[2..].trim_start(),
        _ => text,
    };
    let digits = match digits.split_once(['v', 'V']) {
        Some((digits, version)) if version.parse::<u8>().is_ok() => digits,
        _ => digits,
    };
    let plausible = (5..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    plausible.then(|| format!("KB{digits}"))
}

/// Whether `text` is in the form that [`normalized_kb`] gives.
pub(crate) fn is_normalized_kb(text: &str) -> bool {
    let is_number = |digits: &str| (5..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    text.strip_prefix("KB").is_some_and(is_number)
}

#[cfg(test)]
mod tests {
    use super::{is_normalized_kb, normalized_kb};

    #[test]
    fn a_kb_has_one_form() {
        for text in ["KB948609", "kb948609", "948609", " KB 948609 ", "KB948609v2", "kb948609V3"] {
            assert_eq!(normalized_kb(text).as_deref(), Some("KB948609"), "{text}");
            assert_eq!(is_normalized_kb(text), text == "KB948609", "{text}");
        }
        for text in ["", "KB", "IAS", "KB94860x", "1812", "KB123456789", "KB948609v", "KB948609vx", "v2"] {
            assert_eq!(normalized_kb(text), None, "{text}");
        }
    }
}
