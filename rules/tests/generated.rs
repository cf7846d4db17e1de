//! Every bad update of the catalog, judged on hosts that are made from its own conditions: one that meets all of them, and
//! for each of them one that does not. What a condition of the kind `unobserved` says no host can show, so that such an
//! entry is possible at most.

#![expect(clippy::unwrap_used, reason = "a test that cannot make its input must fail")]

mod made;

use made::{Made, canonical};
use rules::catalog::{BadUpdate, Catalog, Condition, Grounding, Trace};
use rules::facts::{OsGeneration, Section, UpdateState};
use rules::finding::{Confidence, Finding, Judgement};
use rules::history::History;
use rules::judge;

/// Roles that older systems do not tell apart from nothing.
const SINCE_2012: [&str; 3] = ["file-server", "kms-host", "print-server"];

fn finding<'a>(judgement: &'a Judgement, entry: &BadUpdate) -> Option<&'a Finding> {
    judgement.findings.iter().find(|finding| finding.rule == entry.rule())
}

fn judged(catalog: &Catalog, made: &Made) -> Judgement {
    judge(&made.facts(), catalog, &History::default())
}

/// Whether no fact can meet the condition, so that it stays open.
fn is_open(condition: &Condition) -> bool {
    match condition {
        Condition::All(parts) => parts.iter().any(is_open),
        Condition::Any(parts) => parts.iter().all(is_open),
        Condition::Not(part) => is_open(part),
        Condition::Registry(_) | Condition::Hypervisor(_) | Condition::Unobserved(_) => true,
        _ => false,
    }
}

fn generations(condition: &Condition) -> Vec<OsGeneration> {
    match condition {
        Condition::All(parts) => parts.iter().map(generations).find(|found| !found.is_empty()).unwrap_or_default(),
        Condition::Os(generations) => generations.clone(),
        _ => Vec::new(),
    }
}

fn parts(entry: &BadUpdate) -> &[Condition] {
    match &entry.conditions {
        Condition::All(parts) => parts,
        one => std::slice::from_ref(one),
    }
}

#[test]
fn every_entry_is_found_on_a_host_of_its_conditions() {
    let catalog = Catalog::builtin();
    let mut wrong = Vec::new();
    for entry in catalog.bad_updates() {
        for generation in generations(&entry.conditions) {
            let made = Made::positive(entry, generation);
            let judgement = judged(&catalog, &made);
            let is_certain = entry.grounding == Grounding::Verified
                && made.grounding == Grounding::Verified
                && !is_open(&entry.conditions);
            let expected = if is_certain { Confidence::Certain } else { Confidence::Possible };
            match finding(&judgement, entry) {
                Some(finding) if finding.confidence == expected => {
                    assert!(!finding.title.is_empty() && !finding.remedy.steps.is_empty(), "{}", entry.id);
                    assert!(!finding.title.contains("  "), "{}", finding.title);
                }
                Some(finding) => {
                    wrong.push(format!("{} on {generation:?}: {:?}, not {expected:?}", entry.id, finding.confidence));
                }
                None => wrong.push(format!("{} on {generation:?}: not found; {:?}", entry.id, judgement.cannot_tell)),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each condition taken away by itself.
#[test]
fn no_entry_is_found_where_a_condition_fails() {
    let catalog = Catalog::builtin();
    let mut wrong = Vec::new();
    let mut checked = 0;
    for entry in catalog.bad_updates() {
        let generations = generations(&entry.conditions);
        let newest = *generations.iter().max().unwrap();
        for (index, condition) in parts(entry).iter().enumerate() {
            let made = match condition {
                Condition::Os(_) => {
                    let Some(other) = canonical().find(|other| !generations.contains(other)) else { continue };
                    Made::positive_elsewhere(entry, newest, other)
                }
                _ if !Made::can_fail(condition) => continue,
                Condition::Role(role) if SINCE_2012.contains(&role.as_str()) && newest < OsGeneration::Server2012 => {
                    continue;
                }
                _ => Made::without(entry, newest, index),
            };
            checked += 1;
            let judgement = judged(&catalog, &made);
            if let Some(finding) = finding(&judgement, entry) {
                wrong.push(format!("{} without {condition}: {}", entry.id, finding.title));
            }
            if judgement.cannot_tell.iter().any(|cannot_tell| cannot_tell.rule == entry.rule()) {
                wrong.push(format!("{} without {condition}: cannot tell", entry.id));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > catalog.bad_updates().len(), "only {checked} conditions were checked");
}

/// What is not in force is no harm; what mends it ends it.
#[test]
fn no_entry_is_found_where_it_is_absent_or_mended() {
    let catalog = Catalog::builtin();
    let mut wrong = Vec::new();
    let mut check = |entry: &BadUpdate, made: &Made, what: String| {
        if let Some(finding) = finding(&judged(&catalog, made), entry) {
            wrong.push(format!("{}, {what}: {}", entry.id, finding.title));
        }
    };
    for entry in catalog.bad_updates() {
        for generation in generations(&entry.conditions) {
            let made = Made::positive(entry, generation);
            let with_fixes = made.fixes(entry);
            for fix in with_fixes {
                check(entry, &made.with_update(&fix, UpdateState::Installed), format!("{generation:?} with {fix}"));
                check(
                    entry,
                    &made.with_update(&fix, UpdateState::Superseded),
                    format!("{generation:?} with {fix} superseded"),
                );
            }
            if let Some(mended) = made.at_fixed_build(entry) {
                check(entry, &mended, format!("{generation:?} at the fixed build"));
            }
            if let Some(mended) = made.with_later_rollup(entry) {
                check(entry, &mended, format!("{generation:?} with a later rollup"));
            }
            if entry.kb.is_none() {
                continue;
            }
            let gone = match entry.trace {
                Trace::Installed => {
                    vec![UpdateState::Failed, UpdateState::Superseded, UpdateState::Staged, UpdateState::Absent]
                }
                Trace::Failed => vec![UpdateState::Installed, UpdateState::Staged, UpdateState::Absent],
                Trace::Either => vec![UpdateState::Staged, UpdateState::Absent, UpdateState::Superseded],
            };
            for state in gone {
                check(entry, &made.in_state(state), format!("{generation:?} {state:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A section that could not be read neither opens a finding, nor resolves one without saying so.
#[test]
fn what_is_unread_is_said() {
    let catalog = Catalog::builtin();
    let mut wrong = Vec::new();
    for entry in catalog.bad_updates() {
        let generation = *generations(&entry.conditions).iter().max().unwrap();
        let facts = Made::positive(entry, generation).facts();
        let before = judge(&facts, &catalog, &History::default());
        let subject = &finding(&before, entry).unwrap().subject;
        for section in 0..6 {
            let mut facts = facts.clone();
            let gone = "access denied";
            match section {
                0 => facts.host = Section::Unknown(gone.into()),
                1 => facts.services = Section::Unknown(gone.into()),
                2 => facts.updates = Section::Unknown(gone.into()),
                3 => facts.port_policy = Section::Unknown(gone.into()),
                4 => facts.sockets = Section::Unknown(gone.into()),
                _ => facts.events = Section::Unknown(gone.into()),
            }
            let after = judge(&facts, &catalog, &History::default());
            let is_kept = finding(&after, entry).is_some_and(|finding| &finding.subject == subject);
            let is_said = after.cannot_tell.iter().any(|cannot_tell| cannot_tell.covers(&entry.rule(), subject));
            if !is_kept && !is_said {
                wrong.push(format!("{} without section {section}", entry.id));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A number that is recalled never makes more than a possible finding.
#[test]
fn a_recalled_number_is_possible_at_most() {
    let catalog = Catalog::builtin();
    let mut recalled = 0;
    for entry in catalog.bad_updates() {
        let generation = *generations(&entry.conditions).iter().max().unwrap();
        for kb in entry.all_kbs().filter(|kb| entry.grounding_of(kb) == Grounding::Recalled) {
            let judgement = judged(&catalog, &Made::positive(entry, generation).by_number(kb));
            if let Some(finding) = finding(&judgement, entry) {
                recalled += 1;
                assert_eq!(finding.confidence, Confidence::Possible, "{} by {kb}", entry.id);
            }
        }
    }
    assert!(recalled > 50, "only {recalled} numbers are recalled");
}
