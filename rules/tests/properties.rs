//! What holds for any facts: order does not matter, judging twice changes nothing, changes applied one by one lead where
//! the full state leads, and a section that could not be read neither opens nor resolves a finding.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its input must fail")]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use rules::catalog::Catalog;
use rules::delta::{self, Change};
use rules::facts::{Facts, Section};
use rules::finding::Judgement;
use rules::history::{Difference, DifferenceKind, History, Hold, LastGood, LearnedClaim, Seen};
use rules::text::Text;
use rules::{check, judge};

static CATALOG: LazyLock<Catalog> = LazyLock::new(Catalog::builtin);
static RECORDED: LazyLock<Vec<Facts>> = LazyLock::new(recorded);

/// The facts of all cases, which hold every kind of row.
fn recorded() -> Vec<Facts> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut files = Vec::new();
    for rule in fs::read_dir(root).unwrap() {
        for case in fs::read_dir(rule.unwrap().path()).unwrap() {
            files.push(case.unwrap().path().join("facts.json"));
        }
    }
    files.sort();
    files.iter().map(|file| check::parse_facts(&fs::read(file).unwrap()).unwrap()).collect()
}

/// Every service held two ports before and ran well in another setting, and others held what it needs.
fn remembered(facts: &Facts) -> History {
    let names: Vec<&Text> = facts.services.known().into_iter().flatten().map(|service| &service.name).collect();
    let claim = |(index, name): (usize, &&Text)| LearnedClaim {
        service: (*name).clone(),
        port: if index % 2 == 0 { "tcp/8123" } else { "udp/1812" }.parse().unwrap(),
        image: None,
        seen: if index % 3 == 0 { Seen::Hosts { held: 3, of: 4 } } else { Seen::Boots { held: 3, of: 3 } },
    };
    let difference =
        |kind, about: &str| Difference { kind, at: None, about: about.into(), before: None, now: Some("x".into()) };
    let good = |name: &&Text| LastGood {
        service: (*name).clone(),
        booted_at: None,
        last_ran_at: None,
        differences: vec![
            difference(DifferenceKind::Version, "Windows"),
            difference(DifferenceKind::Update, "KB2"),
            difference(DifferenceKind::Update, "KB1"),
        ],
    };
    let hold = |image: &str, boots| Hold { port: "udp/1812".parse().unwrap(), image: image.into(), boots, of: 3 };
    History {
        claims: names.iter().enumerate().map(claim).collect(),
        holds: vec![hold("dns.exe", 1), hold("svchost.exe", 2)],
        last_good: names.iter().map(good).collect(),
        ..History::default()
    }
}

fn reversed(mut history: History) -> History {
    history.claims.reverse();
    history.holds.reverse();
    history.last_good.reverse();
    for good in &mut history.last_good {
        good.differences.reverse();
    }
    history
}

fn any_facts() -> impl Strategy<Value = Facts> {
    proptest::sample::select(RECORDED.as_slice())
}

fn shuffled<T: Clone>(section: &Section<Vec<T>>, seed: usize) -> Section<Vec<T>> {
    let Section::Known(rows) = section else { return section.clone() };
    let mut rows = rows.clone();
    let length = rows.len().max(1);
    rows.rotate_left(seed % length);
    if seed % 2 == 1 {
        rows.reverse();
    }
    Section::Known(rows)
}

/// Rows in an order of their own.
fn sorted(facts: &Facts) -> Facts {
    let mut facts = facts.clone();
    if let Section::Known(rows) = &mut facts.sockets {
        rows.sort();
        rows.dedup();
    }
    if let Section::Known(rows) = &mut facts.services {
        rows.sort_by_key(|row| row.name.to_lowercase());
    }
    if let Section::Known(rows) = &mut facts.updates {
        rows.sort_by_key(|row| (row.source, row.id.clone()));
    }
    if let Section::Known(rows) = &mut facts.events {
        rows.sort_by_key(|row| (row.log.clone(), row.record_id));
    }
    facts
}

/// One section taken away: 0 sockets, 1 services, 2 updates, 3 port policy, 4 host, 5 events, 6 connections.
fn without(facts: &Facts, section: usize) -> Facts {
    let mut facts = facts.clone();
    match section {
        0 => facts.sockets = Section::Unknown("gone".into()),
        1 => facts.services = Section::Unknown("gone".into()),
        2 => facts.updates = Section::Unknown("gone".into()),
        3 => facts.port_policy = Section::Unknown("gone".into()),
        4 => facts.host = Section::Unknown("gone".into()),
        5 => facts.events = Section::Unknown("gone".into()),
        _ => facts.connections = Section::Unknown("gone".into()),
    }
    facts
}

fn has(judgement: &Judgement, rule: &str, subject: &rules::finding::Subject) -> bool {
    judgement.findings.iter().any(|finding| finding.rule == rule && &finding.subject == subject)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn order_does_not_matter(facts in any_facts(), seed in 0_usize..1000) {
        let mut other = facts.clone();
        other.sockets = shuffled(&facts.sockets, seed);
        other.services = shuffled(&facts.services, seed / 3);
        other.updates = shuffled(&facts.updates, seed / 7);
        other.events = shuffled(&facts.events, seed / 11);
        prop_assert_eq!(judge(&facts, &CATALOG, &History::default()), judge(&other, &CATALOG, &History::default()));
        let history = remembered(&facts);
        prop_assert_eq!(judge(&facts, &CATALOG, &history), judge(&other, &CATALOG, &reversed(history.clone())));
    }

    #[test]
    fn changes_lead_where_the_full_state_leads(old in any_facts(), new in any_facts()) {
        let mut state = old.clone();
        delta::apply(&mut state, delta::diff(&old, &new)).unwrap();
        state.collected_at = new.collected_at;
        prop_assert_eq!(sorted(&state), sorted(&new));
        prop_assert_eq!(judge(&state, &CATALOG, &History::default()), judge(&new, &CATALOG, &History::default()));
        // Nothing is left to change.
        prop_assert!(delta::diff(&state, &new).is_empty());
    }
}

#[test]
fn what_is_unread_neither_opens_nor_resolves() {
    let pairs = RECORDED.iter().flat_map(|facts| [(facts, History::default()), (facts, remembered(facts))]);
    for (facts, history) in pairs {
        let before = judge(facts, &CATALOG, &history);
        for section in 0..7 {
            let after = judge(&without(facts, section), &CATALOG, &history);
            let covered = |rule: &str, subject: &rules::finding::Subject| {
                after.cannot_tell.iter().any(|cannot_tell| cannot_tell.covers(rule, subject))
            };
            for finding in &before.findings {
                let kept = has(&after, &finding.rule, &finding.subject) || covered(&finding.rule, &finding.subject);
                assert!(kept, "{} {:?} was resolved by section {section}", finding.rule, finding.subject);
            }
            for finding in &after.findings {
                let known = has(&before, &finding.rule, &finding.subject);
                assert!(known, "{} {:?} was opened by section {section}", finding.rule, finding.subject);
            }
        }
    }
}

#[test]
fn rows_for_an_unknown_section_are_refused() {
    let mut facts = Facts::default();
    let change = delta::Delta {
        services: Some(Change::Rows { set: Vec::new(), removed: vec!["ias".to_owned()] }),
        ..delta::Delta::default()
    };
    assert_eq!(delta::apply(&mut facts, change), Err(delta::Misfit::NotKnown("services")));
    assert_eq!(facts, Facts::default());
}

#[test]
fn a_row_that_is_not_there_cannot_be_dropped() {
    let mut facts = Facts { services: Section::Known(Vec::new()), ..Facts::default() };
    let before = facts.clone();
    let change = delta::Delta {
        services: Some(Change::Rows { set: Vec::new(), removed: vec!["ias".to_owned()] }),
        ..delta::Delta::default()
    };
    assert_eq!(delta::apply(&mut facts, change), Err(delta::Misfit::NoSuchRow("services")));
    assert_eq!(facts, before);
}
