//! `docs/rules.md` says what every rule and every entry of the catalog detects, what it rests on and what mends it; it is
//! made from them. With `UPDATE=1` it is written anew.

#![expect(clippy::unwrap_used, reason = "a test that cannot make its input must fail")]

use std::fmt::{Display, Write as _};
use std::fs;
use std::path::Path;

use rules::catalog::{BadUpdate, Catalog, Claim, Need, ServiceEntry, Taker};
use rules::kinds::{KINDS, RuleKind};

const HEAD: &str = "# Rules

What Portreeve tells, rule by rule, and all that its catalog knows. Made from the rules and the catalog by
`UPDATE=1 cargo test -p rules --test reference`; [catalog.md](catalog.md) says how entries are written.

A finding is certain, likely or possible. What is recalled, not verified, never gives more than possible. A source that
could not be read neither opens nor resolves a finding: the page of the host says what cannot be told.

";

#[test]
fn the_reference_is_that_of_the_rules() {
    let made = reference(&Catalog::builtin());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/rules.md");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, &made).unwrap();
    }
    let published = fs::read_to_string(&file).unwrap_or_default();
    assert!(published == made, "docs/rules.md is out of date: run the test again with UPDATE=1");
}

fn reference(catalog: &Catalog) -> String {
    let mut page = HEAD.to_owned();
    page.push_str("## Kinds of rules\n\n");
    for kind in KINDS {
        of_kind(&mut page, kind);
    }
    page.push_str("## Known-bad updates\n\n");
    let mut entries: Vec<&BadUpdate> = catalog.bad_updates().iter().collect();
    entries.sort_by(|a, b| a.id.cmp(&b.id));
    for entry in entries {
        of_bad_update(&mut page, entry);
    }
    page.push_str("## Takers\n\n");
    let mut takers: Vec<&Taker> = catalog.takers().iter().collect();
    takers.sort_by(|a, b| a.id.cmp(&b.id));
    for taker in takers {
        of_taker(&mut page, taker);
    }
    page.push_str("## Services and their ports\n\n");
    page.push_str("| services | product | needs | in some configurations | on | support | sources |\n|---|---|---|---|---|---|---|\n");
    let mut services: Vec<&ServiceEntry> = catalog.services().iter().collect();
    services.sort_by(|a, b| a.product.to_lowercase().cmp(&b.product.to_lowercase()).then(a.id.cmp(&b.id)));
    for entry in services {
        of_service(&mut page, entry, catalog);
    }
    page
}

fn of_kind(page: &mut String, kind: &RuleKind) {
    let id = if kind.id.ends_with('/') { format!("{}…", kind.id) } else { kind.id.to_owned() };
    let _ = writeln!(page, "### `{id}`\n\n{}\n", kind.detects);
    for (name, text) in [
        ("Certain", kind.certain),
        ("Likely", kind.likely),
        ("Possible", kind.possible),
        ("Silent", kind.silent),
        ("Evidence", kind.evidence),
        ("Remedy", kind.remedy),
    ] {
        item(page, name, text);
    }
    page.push('\n');
}

fn of_bad_update(page: &mut String, entry: &BadUpdate) {
    let _ = writeln!(page, "### `{}`\n\n**{}.** {}\n", entry.rule(), plain(&entry.title), plain(&entry.summary));
    item(page, "Severity", format!("{}, {}", word(&entry.severity), word(&entry.status)));
    item(page, "Released", &entry.released);
    item_of(page, "Listed as", &entry.all_kbs().map(str::to_owned).collect::<Vec<_>>());
    item(page, "Where", entry.conditions.to_string());
    item_of(page, "Evidence", &entry.symptoms);
    item_of(page, "Affected services", &entry.affected_services);
    let packages = entry.packages.iter().flat_map(|package| &package.fixed_by);
    let mut fixes: Vec<String> = entry.fixed_by.iter().chain(packages).cloned().collect();
    fixes.extend(entry.packages.iter().filter_map(|package| package.fixed_build.clone()));
    fixes.sort_unstable();
    fixes.dedup();
    item_of(page, "Mended by", &fixes);
    item(page, "Remedy", format!("{}. {}", entry.remedy.summary, entry.remedy.risk));
    item_of(page, "Until then", &entry.remedy.stopgap);
    support(page, &word(&entry.grounding), entry.evidence_date.as_deref(), &entry.sources, entry.note.as_deref());
}

fn of_taker(page: &mut String, taker: &Taker) {
    let _ = writeln!(page, "### `{}`\n\n**{}.** {}\n", taker.id, plain(&taker.name), plain(&taker.summary));
    item(page, "Comes by its ports", word(&taker.mechanism));
    item_of(page, "Processes", &taker.processes);
    item_of(page, "Services", &taker.services);
    item_of(page, "Known to have hit", &taker.collides_with);
    for reservation in &taker.reservations {
        let caution = reservation.caution.as_deref().map(|caution| format!(" {caution}")).unwrap_or_default();
        item(page, "Remedy", format!("{}{caution}", reservation.step));
    }
    support(page, &word(&taker.grounding), None, &taker.sources, taker.note.as_deref());
}

fn of_service(page: &mut String, entry: &ServiceEntry, catalog: &Catalog) {
    let claims: Vec<&Claim> = catalog.claims().iter().filter(|claim| claim.id == entry.id).collect();
    let ports = |required: bool| {
        let mut ports: Vec<_> =
            claims.iter().filter(|claim| (claim.need == Need::Required) == required).map(|claim| claim.port).collect();
        ports.sort_unstable();
        ports.dedup();
        joined(&ports.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let span = match (entry.os.from, entry.os.to) {
        (None, None) => "all".to_owned(),
        (from, to) => {
            let label = |generation: Option<rules::facts::OsGeneration>| {
                generation.map(|generation| generation.label().to_owned()).unwrap_or_default()
            };
            format!("{}–{}", label(from), label(to))
        }
    };
    let _ = writeln!(
        page,
        "| {} | {} | {} | {} | {} | {} | {} |",
        cell(&joined(&entry.services)),
        cell(&entry.product),
        ports(true),
        ports(false),
        span,
        word(&entry.grounding),
        cell(&entry.sources.join("; ")),
    );
}

fn support(page: &mut String, grounding: &str, date: Option<&str>, sources: &[String], note: Option<&str>) {
    let date = date.map(|date| format!(", {date}")).unwrap_or_default();
    item(page, "Support", format!("{grounding}{date}: {}", sources.join("; ")));
    if let Some(note) = note {
        item(page, "Note", note);
    }
    page.push('\n');
}

fn item(page: &mut String, name: &str, text: impl Display) {
    let _ = writeln!(page, "- {name}: {}", plain(&text.to_string()));
}

fn item_of(page: &mut String, name: &str, values: &[String]) {
    if !values.is_empty() {
        item(page, name, joined(values));
    }
}

fn joined(values: &[String]) -> String {
    values.join(", ")
}

/// As the catalog writes the word.
fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()
}

/// Text that Markdown would read as more than text.
fn plain(text: &str) -> String {
    let mut made = String::with_capacity(text.len());
    for c in text.trim().chars() {
        if matches!(c, '*' | '_' | '<' | '`' | '\\' | '[') {
            made.push('\\');
        }
        made.push(if c == '\n' { ' ' } else { c });
    }
    made
}

fn cell(text: &str) -> String {
    plain(text).replace('|', "\\|")
}
