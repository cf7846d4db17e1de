//! Migrations that servers of the version before can live with: old and new run side by side while they are upgraded.
//!
//! After the schema's first versions a migration only adds (expand). One that takes something away (contract) says so in
//! its first line, with why, and marks itself in `schema_contract`: older servers refuse to start on it, and it is not
//! applied while one runs.

use std::path::Path;

use anyhow::Result;

/// Until here the product had no users.
const FREE_UNTIL: u32 = 17;
/// Written before the first release as well, and why each takes something away.
const ACCEPTED: [(u32, &str); 1] = [(18, "lists of services move to a dictionary")];
const CONTRACT: &str = "-- contract: ";

/// What keeps a server of the version before from running on the schema after this migration; empty when nothing does.
fn faults(sql: &str) -> Vec<String> {
    if let Some(why) = sql.strip_prefix(CONTRACT) {
        let why = why.lines().next().unwrap_or_default().trim();
        let mut faults = Vec::new();
        if why.is_empty() {
            faults.push("does not say why it takes something away".to_owned());
        }
        if !sql.contains("insert into schema_contract") {
            faults.push("is a contract, and does not mark itself in schema_contract".to_owned());
        }
        return faults;
    }
    statements(sql).iter().filter_map(|statement| takes_away(statement)).collect()
}

/// In lower case, without comments, with single blanks; bodies of functions left out.
fn statements(sql: &str) -> Vec<String> {
    let code: Vec<&str> = sql.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
    let code = code.join(" ").to_lowercase();
    let outside: String = code.split("$$").step_by(2).collect::<Vec<_>>().join(" ");
    outside.split(';').map(|one| one.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn takes_away(statement: &str) -> Option<String> {
    let found = |what: &str| Some(format!("{what}: {}", statement.chars().take(100).collect::<String>()));
    for gone in ["drop table", "drop view", "drop function", "truncate"] {
        if statement.starts_with(gone) {
            return found(gone);
        }
    }
    let altered = statement.strip_prefix("alter table ")?;
    for action in altered.split(", ") {
        let words: Vec<&str> = action.split(' ').collect();
        let has = |phrase: &[&str]| words.windows(phrase.len()).any(|window| window == phrase);
        let is_new_column = has(&["add", "column"]);
        for phrase in [&["drop", "column"][..], &["rename"], &["set", "not", "null"]] {
            if has(phrase) {
                return found(&phrase.join(" "));
            }
        }
        if has(&["alter", "column"]) && words.contains(&"type") {
            return found("another type");
        }
        if is_new_column && has(&["not", "null"]) && !words.contains(&"default") && !words.contains(&"generated") {
            return found("a column that is not null and has no default");
        }
    }
    None
}

#[test]
fn a_server_of_the_version_before_runs_on_every_migration() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let number: u32 = name.split('_').next().unwrap_or_default().parse()?;
        if number > FREE_UNTIL && ACCEPTED.iter().all(|(accepted, _)| *accepted != number) {
            let sql = std::fs::read_to_string(&path)?;
            found.extend(faults(&sql).into_iter().map(|fault| format!("{name}: {fault}")));
        }
    }
    assert!(found.is_empty(), "add, or begin with `{CONTRACT}why`:\n{}", found.join("\n"));
    Ok(())
}

#[test]
fn what_takes_something_away_is_found() {
    for bad in [
        "alter table host drop column name;",
        "alter table host add column ok int, drop column name;",
        "alter table host rename name to label;",
        "alter table host alter column name type varchar(9);",
        "alter table host add column place text not null;",
        "alter table host alter column name\n  set not null;",
        "-- Tidies.\ndrop table host;",
        "-- contract: \ninsert into schema_contract values (99, '')",
        "-- contract: names were never used\nalter table host drop column name;",
    ] {
        assert!(!faults(bad).is_empty(), "{bad}");
    }
    for good in [
        "alter table host add column place text;",
        "alter table host add column place text not null default '';",
        "alter table host alter column name drop not null, add column other text;",
        "create table place (client_id int not null, name text not null);",
        "create function f() returns int language plpgsql as $$ begin drop table t; end $$;",
        "-- contract: names were never used\nalter table host drop column name; insert into schema_contract values (99, 'names')",
    ] {
        assert_eq!(faults(good), [] as [String; 0], "{good}");
    }
}
