//! Cases as files: `cases/<rule>/<case>/facts.json` in, with `history.json` where something is remembered, `expected.json` out. With `UPDATE_CASES=1` the expected files are
//! written anew; each is read by a person before it is committed.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its input must fail")]

use std::fs;
use std::path::{Path, PathBuf};

use rules::catalog::Catalog;
use rules::check;
use rules::history::History;
use rules::kinds::KINDS;

#[test]
fn every_case_is_judged_as_expected() {
    let catalog = Catalog::builtin();
    let cases = cases();
    assert!(cases.len() >= 60, "only {} cases were found", cases.len());
    let wrong: Vec<String> = cases.iter().filter_map(|case| check(case, &catalog).err()).collect();
    assert!(wrong.is_empty(), "{} cases differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// Half of the cases of a rule are such in which it stays silent or cannot tell.
#[test]
fn every_rule_has_cases_of_both_kinds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    for rule in folders(&root) {
        let (mut found, mut silent) = (0, 0);
        for case in folders(&rule) {
            let expected: serde_json::Value =
                serde_json::from_slice(&fs::read(case.join("expected.json")).unwrap()).unwrap();
            let is_silent = expected["findings"].as_array().unwrap().is_empty();
            *if is_silent { &mut silent } else { &mut found } += 1;
        }
        assert!(found >= 2 && silent >= 2, "{}: {found} with findings, {silent} without", rule.display());
    }
}

/// A rule that is not described there would be missing in `docs/rules.md`.
#[test]
fn every_rule_is_of_a_kind_that_is_described() {
    for case in cases() {
        let expected: serde_json::Value =
            serde_json::from_slice(&fs::read(case.join("expected.json")).unwrap()).unwrap();
        for finding in expected["findings"].as_array().unwrap() {
            let rule = finding["rule"].as_str().unwrap();
            let is_described = KINDS.iter().any(|kind| match kind.id.strip_suffix('/') {
                Some(family) => rule.split_once('/').is_some_and(|(first, _)| first == family),
                None => rule == kind.id,
            });
            assert!(is_described, "{rule} of {} is in no kind", case.display());
        }
    }
}

fn check(case: &Path, catalog: &Catalog) -> Result<(), String> {
    let facts = check::parse_facts(&fs::read(case.join("facts.json")).unwrap())
        .map_err(|fault| format!("{}: {fault}", case.display()))?;
    let history = fs::read(case.join("history.json"))
        .map_or_else(|_| History::default(), |text| serde_json::from_slice(&text).unwrap());
    let judged = serde_json::to_string_pretty(&rules::judge(&facts, catalog, &history)).unwrap() + "\n";
    let file = case.join("expected.json");
    if std::env::var_os("UPDATE_CASES").is_some() {
        fs::write(&file, &judged).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    if expected == judged { Ok(()) } else { Err(format!("{}: judged as\n{judged}", case.display())) }
}

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    folders(&root).iter().flat_map(|rule| folders(rule)).collect()
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}
