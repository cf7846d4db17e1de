//! Rule `bad-update/<entry id>`: an update of the catalog is installed, its conditions are met, and nothing fixes it. An
//! entry without a KB tells of a release or a product: its conditions alone speak for it, and any that is open leaves it
//! untold.
//!
//! Certain where every condition is met; possible where a condition is open, the entry or the alias is recalled, or only
//! the history of installations names the update. A section that could not be read neither opens nor resolves.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{Alias, AliasKind, BadUpdate, Grounding, Month, Package, Trace};
use crate::conditions::{self, Answer, Gap};
use crate::facts::{Section, Update, UpdateSource, UpdateState};
use crate::finding::{CannotTell, Confidence, Evidence, Finding, Judgement, Severity, Subject};
use crate::remedy;
use crate::view::{Presence, View};
use crate::words;

/// The family of these rules, and the rule of a [`CannotTell`] that stands for all of them.
pub(crate) const FAMILY: &str = "bad-update";

pub(crate) fn judge(view: &View<'_>, judgement: &mut Judgement) {
    if let Section::Unknown(reason) = &view.facts.updates {
        judgement.cannot_tell.push(CannotTell {
            rule: FAMILY.to_owned(),
            subject: Subject::new(),
            reason: format!(
                "Cannot tell whether known-bad updates are installed: the list of updates could not be read ({reason})."
            ),
        });
        return;
    }
    let mut entries: BTreeMap<&str, &BadUpdate> = BTreeMap::new();
    for kb in view.kbs() {
        entries.extend(view.catalog.entries_for_kb(kb).map(|entry| (entry.id.as_str(), entry)));
    }
    entries.extend(view.catalog.entries_without_kb(view.generation()).map(|entry| (entry.id.as_str(), entry)));
    // Of most entries only an alias is named here.
    let listed = entries.into_values().filter(|entry| Listed::find(entry, view).is_some());
    for entry in listed {
        match verdict(entry, view) {
            Verdict::Harmful(finding) => judgement.findings.push(*finding),
            Verdict::CannotTell(cannot_tell) => judgement.cannot_tell.push(cannot_tell),
            Verdict::Harmless(_) => {}
        }
    }
}

pub(crate) enum Verdict {
    Harmful(Box<Finding>),
    CannotTell(CannotTell),
    /// Why not, as a sentence.
    Harmless(String),
}

/// The verdict on one entry; the updates of the host are known.
pub(crate) fn verdict(entry: &BadUpdate, view: &View<'_>) -> Verdict {
    let kb = subject_kb(entry, view);
    let Some(listed) = Listed::find(entry, view) else {
        return Verdict::Harmless(not_installed(entry, &kb, view));
    };
    let (is_here, does_harm, its_fault) = match listed.standing {
        Standing::Release => (entry.title.clone(), format!("\"{}\"", entry.title), "this"),
        Standing::Failing => (format!("{kb} failed to install"), kb.clone(), "that"),
        _ => (format!("{kb} is installed"), kb.clone(), "its fault"),
    };
    let conditions = conditions::answer(&entry.conditions, view);
    if conditions == Answer::NotMet {
        return Verdict::Harmless(match listed.standing {
            Standing::Release => format!("{is_here}: not here, that takes {}.", entry.conditions),
            _ => format!("{is_here}, and does no harm here: that takes {}.", entry.conditions),
        });
    }
    let fixed = fixed(entry, &listed, view);
    if let (Answer::Met, Some(by)) = (&fixed.0, &fixed.1) {
        return Verdict::Harmless(match listed.standing {
            Standing::Release => format!("{is_here}: mended here, {by}."),
            _ => format!("{is_here}, and {its_fault} is mended: {by}."),
        });
    }
    let gaps = match conditions.and(fixed.0.not()) {
        Answer::Open(gaps) => gaps,
        Answer::Met | Answer::NotMet => BTreeSet::new(),
    };
    let unanswered: Vec<&String> = gaps
        .iter()
        .filter_map(|gap| match gap {
            Gap::Unread(what) => Some(what),
            // Nothing but its conditions speaks for an entry without a KB.
            Gap::Unsaid(what) if listed.standing == Standing::Release => Some(what),
            Gap::Unsaid(_) => None,
        })
        .collect();
    if !unanswered.is_empty() {
        return Verdict::CannotTell(CannotTell {
            rule: entry.rule(),
            subject: Subject::new(),
            reason: format!("Cannot tell whether {does_harm} does harm here: {}.", words::list(&unanswered)),
        });
    }
    Verdict::Harmful(Box::new(finding(entry, &kb, &listed, &gaps, view)))
}

/// The number of the entry on this host: of a package for this system, the entry's own, or that of a sibling. Those that
/// some row names come first. Empty where the entry has none.
fn subject_kb(entry: &BadUpdate, view: &View<'_>) -> String {
    let packages = entry.packages.iter().filter(|package| concerns(package, view)).map(|package| &package.kb);
    let siblings = entry.aliases.iter().filter(|alias| alias.kind == AliasKind::Sibling).map(|alias| &alias.kb);
    let is_named = |kb: &&String| !matches!(view.presence(kb), Presence::No);
    let named = packages.clone().chain(&entry.kb).chain(siblings).find(is_named);
    named.or_else(|| packages.clone().chain(&entry.kb).next()).cloned().unwrap_or_default()
}

/// Whether `package` is one for this system. Semi-annual releases share a generation with others, and differ in their
/// builds.
fn concerns(package: &Package, view: &View<'_>) -> bool {
    let Some(host) = view.host() else { return false };
    let os = &host.os;
    let of_system = format!("{}.{}.{}.", os.major, os.minor, os.build);
    let is_of_system = |build: &String| build.starts_with(&of_system) || is_one_line(os.build, build);
    package.os == os.generation() && package.build.iter().chain(&package.fixed_build).all(is_of_system)
}

/// `build` with the number of this system, where the two share one line of updates and so their revisions.
fn on_this_line(build: &str, view: &View<'_>) -> String {
    let mut parts: Vec<&str> = build.split('.').collect();
    let Some(host) = view.host().map(|host| host.os.build) else { return build.to_owned() };
    let own = host.to_string();
    if is_one_line(host, build)
        && let Some(number) = parts.get_mut(2)
    {
        *number = &own;
    }
    parts.join(".")
}

/// Builds 19041 to 19045 are one system with one line of updates.
fn is_one_line(host: u32, build: &str) -> bool {
    let number = build.split('.').nth(2).and_then(|number| number.parse::<u32>().ok());
    let is_vibranium = |number: u32| (19041..=19045).contains(&number);
    is_vibranium(host) && number.is_some_and(is_vibranium)
}

/// What shows that the entry concerns the host.
struct Listed<'a> {
    rows: Vec<&'a Update>,
    /// More than recalled, and more than history.
    firm: bool,
    standing: Standing,
}

/// How an update stands on the host, which decides what is left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// A row names the update itself.
    Listed,
    /// It was removed, and stays in force until the next restart.
    Leaving,
    /// Only a larger package is listed, which may have brought it.
    Carried,
    /// Its installation failed, which is the harm.
    Failing,
    /// No update brings the fault.
    Release,
}

impl<'a> Listed<'a> {
    fn find(entry: &BadUpdate, view: &View<'a>) -> Option<Self> {
        if entry.kb.is_none() {
            return Some(Self { rows: Vec::new(), firm: true, standing: Standing::Release });
        }
        let installed = || Self::installed(entry, view);
        match entry.trace {
            Trace::Installed => installed(),
            Trace::Failed => Self::failed(entry, view),
            Trace::Either => installed().or_else(|| Self::failed(entry, view)),
        }
    }

    fn failed(entry: &BadUpdate, view: &View<'a>) -> Option<Self> {
        let mut rows = Vec::new();
        let mut firm = false;
        for kb in entry.own_kbs() {
            let found = view.failures_of(kb);
            firm |= !found.is_empty() && entry.grounding_of(kb) == Grounding::Verified;
            rows.extend(found);
        }
        (!rows.is_empty()).then_some(Self { rows, firm, standing: Standing::Failing })
    }

    fn installed(entry: &BadUpdate, view: &View<'a>) -> Option<Self> {
        let mut rows = Vec::new();
        let mut firm = false;
        let mut own = Vec::new();
        let gone = is_gone(entry, view);
        for kb in entry.all_kbs() {
            if gone && entry.is_bundle(kb) {
                continue;
            }
            let verified = entry.grounding_of(kb) == Grounding::Verified;
            let found = match view.presence(kb) {
                Presence::Installed(found) => {
                    firm |= verified;
                    found
                }
                Presence::InHistory(found) => found,
                Presence::Superseded | Presence::No => continue,
            };
            if !entry.is_bundle(kb) {
                own.extend(found.iter().map(|row| row.state));
            }
            rows.extend(found);
        }
        let standing = if own.is_empty() {
            Standing::Carried
        } else if own.iter().all(|&state| state == UpdateState::UninstallPending) {
            Standing::Leaving
        } else {
            Standing::Listed
        };
        (!rows.is_empty()).then_some(Self { rows, firm, standing })
    }
}

/// Whether the lists of what is installed name the update itself, and none as installed: then the larger package that
/// brought it says nothing.
fn is_gone(entry: &BadUpdate, view: &View<'_>) -> bool {
    let current = |kb| view.updates_of(kb).iter().any(|row| row.source != UpdateSource::UpdateHistory);
    let is_listed = entry.own_kbs().any(current);
    is_listed && !entry.own_kbs().any(|kb| matches!(view.presence(kb), Presence::Installed(_)))
}

fn not_installed(entry: &BadUpdate, kb: &str, view: &View<'_>) -> String {
    let states: BTreeSet<&str> =
        entry.own_kbs().flat_map(|kb| view.updates_of(kb)).map(|row| state_words(row.state)).collect();
    if states.is_empty() {
        return format!("{kb} is not installed here.");
    }
    let states: Vec<_> = states.into_iter().collect();
    format!("{kb} is not in force here: it is listed as {}.", words::list(&states))
}

fn state_words(state: UpdateState) -> &'static str {
    match state {
        UpdateState::Installed => "installed",
        UpdateState::Superseded => "superseded",
        UpdateState::InstallPending => "to be installed at the next restart",
        UpdateState::UninstallPending => "installed until the next restart",
        UpdateState::Staged => "staged",
        UpdateState::Failed => "failed to install",
        UpdateState::Absent => "absent",
    }
}

/// Whether something on the host mends the fault, and what. A fix that was superseded is carried by what superseded it.
fn fixed(entry: &BadUpdate, listed: &Listed<'_>, view: &View<'_>) -> (Answer, Option<String>) {
    let packages: Vec<_> = entry.packages.iter().filter(|package| concerns(package, view)).collect();
    let by_package = packages.iter().flat_map(|package| &package.fixed_by);
    let mut open = Answer::NotMet;
    for kb in entry.fixed_by.iter().chain(by_package) {
        match view.presence(kb) {
            Presence::Installed(_) | Presence::Superseded => return (Answer::Met, Some(format!("{kb} is installed"))),
            Presence::InHistory(_) => {
                open = open.or(Answer::unsaid(format!("whether {kb}, which mends it, is still installed")));
            }
            Presence::No => {}
        }
    }
    if let Some(month) = entry.fixed_in.as_deref().and_then(Month::parse) {
        for kb in view.rollups_after(month) {
            match view.presence(kb) {
                Presence::Installed(_) | Presence::Superseded => {
                    return (Answer::Met, Some(format!("{kb}, a cumulative update of a later month, is installed")));
                }
                Presence::InHistory(_) => {
                    open = open.or(Answer::unsaid(format!("whether {kb}, which carries the fix, is still installed")));
                }
                Presence::No => {}
            }
        }
    }
    let failing = packages.iter().filter(|_| listed.standing == Standing::Failing);
    let failing = failing.filter_map(|package| package.build.as_deref());
    for build in packages.iter().filter_map(|package| package.fixed_build.as_deref()).chain(failing) {
        match conditions::build_at_least(&on_this_line(build, view), view) {
            Answer::Met => return (Answer::Met, Some(format!("the system is at build {build} or later"))),
            answer => open = open.or(answer),
        }
    }
    (open, None)
}

fn finding(entry: &BadUpdate, kb: &str, listed: &Listed<'_>, gaps: &BTreeSet<Gap>, view: &View<'_>) -> Finding {
    let certain = gaps.is_empty() && listed.firm && entry.grounding == Grounding::Verified;
    let mut evidence: Vec<Evidence> = listed.rows.iter().map(|row| listed_evidence(row)).collect();
    evidence.sort_by(|a, b| (a.at, &a.text).cmp(&(b.at, &b.text)));
    evidence.dedup();
    conditions::support(&entry.conditions, view, &mut evidence);
    let since = listed.rows.iter().filter_map(|row| row.installed_at).min();
    Finding {
        rule: entry.rule(),
        subject: match listed.standing {
            Standing::Release => Subject::from([("entry".to_owned(), entry.id.clone())]),
            _ => Subject::from([("kb".to_owned(), kb.to_owned())]),
        },
        problem: entry.rule(),
        severity: if certain { entry.severity } else { entry.severity.min(Severity::Warning) },
        confidence: if certain { Confidence::Certain } else { Confidence::Possible },
        title: title(entry, kb, listed, gaps, view),
        cause: cause(entry, kb, listed, gaps, view),
        evidence,
        remedy: remedy::of_update(entry, kb, &listed.rows, listed.standing, view),
        since,
        probability: None,
    }
}

/// What is in doubt decides the words: the conditions, that the update is there, or what is known of it.
fn title(entry: &BadUpdate, kb: &str, listed: &Listed<'_>, gaps: &BTreeSet<Gap>, view: &View<'_>) -> String {
    let harm = &entry.harm;
    if listed.standing == Standing::Release {
        return match entry.grounding {
            Grounding::Recalled => format!("{harm} (recalled, not verified)"),
            Grounding::Verified => harm.clone(),
        };
    }
    if !gaps.is_empty() {
        return format!("{kb} {}", entry.possible_harm);
    }
    match bundle(entry, view) {
        _ if listed.rows.iter().all(|row| row.source == UpdateSource::UpdateHistory) => {
            format!("{kb} may still be installed, and {harm}")
        }
        Some(bundle) if listed.standing == Standing::Carried => {
            format!("{kb} may be installed (with {}), and {harm}", bundle_name(bundle))
        }
        _ if !listed.firm && (is_installed(kb, view) || listed.standing == Standing::Failing) => {
            format!("{kb} {}", entry.possible_harm)
        }
        _ if !listed.firm => format!("{kb} may be installed, and {harm}"),
        _ if entry.grounding == Grounding::Recalled => format!("{kb} {harm} (recalled, not verified)"),
        _ => format!("{kb} {harm}"),
    }
}

fn is_installed(kb: &str, view: &View<'_>) -> bool {
    matches!(view.presence(kb), Presence::Installed(_))
}

/// The larger package of this host that carries the update.
fn bundle<'a>(entry: &'a BadUpdate, view: &View<'_>) -> Option<&'a Alias> {
    entry.aliases.iter().find(|alias| alias.kind == AliasKind::Bundle && is_installed(&alias.kb, view))
}

fn bundle_name(bundle: &Alias) -> &str {
    bundle.name.as_deref().unwrap_or("a larger package")
}

pub(crate) fn listed_evidence(row: &Update) -> Evidence {
    let title = if row.title.is_empty() { &row.id } else { &row.title };
    let state = match row.state {
        UpdateState::UninstallPending => "still listed until the next restart",
        UpdateState::Failed => "failed to install",
        _ if row.source == UpdateSource::UpdateHistory => "was installed",
        _ => "is installed",
    };
    let source = match row.source {
        UpdateSource::ComponentPackage => "component packages",
        UpdateSource::UninstallEntry => "installed programs",
        UpdateSource::InstallerPatch => "installer patches",
        UpdateSource::UpdateHistory => "history of updates",
        UpdateSource::Capture => "captured list of updates",
        UpdateSource::FrameworkVersion => "versions of the .NET Framework",
        UpdateSource::Offer => "offered updates",
    };
    Evidence { at: row.installed_at, text: format!("\"{title}\" {state}"), source: source.to_owned() }
}

fn cause(entry: &BadUpdate, kb: &str, listed: &Listed<'_>, gaps: &BTreeSet<Gap>, view: &View<'_>) -> String {
    let mut sentences = Vec::new();
    if listed.standing == Standing::Release {
        sentences.push(entry.summary.clone());
        sentences.extend(entry.remedy.caution.clone());
        return sentences.join(" ");
    }
    let verb = if listed.standing == Standing::Failing { "Failed to install" } else { "Installed" };
    let installed = match listed.rows.iter().filter_map(|row| row.installed_at).min() {
        Some(at) => format!("{verb} {}", view.date(at)),
        None => verb.to_owned(),
    };
    let carried =
        bundle(entry, view).map_or_else(String::new, |bundle| format!(" with {} ({})", bundle_name(bundle), bundle.kb));
    // Entries made for people name it best; a package identity is the last resort.
    let row = listed.rows.iter().min_by_key(|row| (row.title.is_empty(), row.source, &row.id));
    let name = row.map_or("", |row| if row.title.is_empty() { &*row.id } else { &*row.title });
    sentences.push(format!("{installed}{carried}; Windows lists it as \"{name}\"."));
    sentences.push(entry.summary.clone());
    if listed.standing == Standing::Leaving {
        sentences.push(format!("{kb} was removed, and stays in force until the next restart."));
    }
    if listed.rows.iter().all(|row| row.source == UpdateSource::UpdateHistory) {
        sentences.push("Only the history of updates names it: it may have been removed since.".to_owned());
    } else if !listed.firm && (is_installed(kb, view) || listed.standing == Standing::Failing) {
        sentences.push(format!("That {kb} does this is recalled, not verified."));
    } else if !listed.firm {
        sentences.push(format!("That this package carries {kb} is recalled, not verified."));
    }
    if entry.grounding == Grounding::Recalled {
        sentences.push("The catalog's entry is recalled, not verified.".to_owned());
    }
    for gap in gaps {
        if let Gap::Unsaid(what) = gap {
            sentences.push(format!("Not known: {what}."));
        }
    }
    sentences.extend(entry.remedy.caution.clone());
    sentences.join(" ")
}
