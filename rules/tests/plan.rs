//! Plans: `plans/<case>/facts.json` in; `plan.txt` and the three files out, without what every
//! script begins or ends with. With `UPDATE_PLANS=1` those are written anew, and
//! each is read by a person before it is committed. Facts that a case of a rule has already are not repeated: a file
//! `facts` names that case.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its input must fail")]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use rules::catalog::Catalog;
use rules::facts::Facts;
use rules::history::History;
use rules::plan::script::{self, Format};
use rules::plan::{self, Plan};
use rules::{check, judge};

const FORMATS: [Format; 3] = [Format::PowerShell, Format::Command, Format::Registry];

fn plan_of(facts: &Facts) -> Plan {
    let catalog = Catalog::builtin();
    plan::of_host(facts, &catalog, &judge(facts, &catalog, &History::default()))
}

#[test]
fn every_plan_is_as_expected() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    let mut cases: Vec<_> = fs::read_dir(root.join("plans")).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 8, "only {} cases were found", cases.len());
    for case in cases {
        let facts = match fs::read_to_string(case.join("facts")) {
            Ok(name) => root.join("cases").join(name.trim()).join("facts.json"),
            Err(_) => case.join("facts.json"),
        };
        let plan = plan_of(&check::parse_facts(&fs::read(facts).unwrap()).unwrap());
        let files = FORMATS.map(|format| (format!("plan.{}", format.extension()), without_prelude(&plan, format)));
        for (name, bytes) in [("plan.txt".to_owned(), described(&plan).into_bytes())].into_iter().chain(files) {
            let file = case.join(&name);
            if std::env::var_os("UPDATE_PLANS").is_some() {
                fs::write(&file, &bytes).unwrap();
            }
            if fs::read(&file).unwrap_or_default() != bytes {
                wrong.push(format!("{}:\n{}", file.display(), String::from_utf8_lossy(&bytes)));
            }
        }
    }
    assert!(wrong.is_empty(), "{} files differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// What a script calls is the same in all of them, and stands once beside the code: here a line is left in its place.
fn without_prelude(plan: &Plan, format: Format) -> Vec<u8> {
    let written = script::write(plan, format);
    let prelude = match format {
        Format::PowerShell => include_str!("../src/plan/script/prelude.ps1"),
        Format::Command => include_str!("../src/plan/script/prelude.cmd"),
        Format::Registry => return written,
    };
    let text = String::from_utf8(written).unwrap();
    let short = text.replacen(&prelude.replace('\n', "\r\n"), "(prelude)\r\n", 1);
    assert!(short != text || !plan.has_changes(), "{} does not hold what it calls", format.extension());
    short.into_bytes()
}

/// As a page shows it.
fn described(plan: &Plan) -> String {
    let mut text = format!("{} ({}), restarts: {:?}\n", plan.host, plan.generation().label(), plan.restart);
    if plan.is_empty() {
        text.push_str("Nothing is to be done.\n");
    }
    for (title, steps) in [("Steps", &plan.steps), ("After the restart", &plan.after_restart)] {
        if !steps.is_empty() {
            writeln!(text, "\n{title}").unwrap();
        }
        for (index, step) in steps.iter().enumerate() {
            writeln!(text, "{}. {}", index + 1, step.text).unwrap();
            step.commands.iter().for_each(|command| writeln!(text, "     {command}").unwrap());
            let said = [
                ("only if", step.precondition.as_deref()),
                ("risk", step.risk.as_deref()),
                ("undo", step.undo.as_deref()),
                ("proven when", Some(step.proven_when.as_str())),
            ];
            for (word, said) in said {
                if let Some(said) = said {
                    writeln!(text, "   {word}: {said}").unwrap();
                }
            }
            for finding in &step.findings {
                writeln!(text, "   for: {} {:?}", finding.rule, finding.subject.values().collect::<Vec<_>>()).unwrap();
            }
        }
    }
    for by_hand in &plan.by_hand {
        writeln!(text, "\nBy hand: {}", by_hand.title).unwrap();
        by_hand.steps.iter().for_each(|step| writeln!(text, "- {}", step.text).unwrap());
    }
    if !plan.undo.is_empty() {
        text.push_str("\nUndo\n");
    }
    for (index, step) in plan.undo.iter().enumerate() {
        writeln!(text, "{}. {}", index + 1, step.text).unwrap();
        step.commands.iter().for_each(|command| writeln!(text, "     {command}").unwrap());
    }
    text
}
