//! `docs/facts.schema.json` and `docs/catalog.schema.json` are made from the types. With `UPDATE=1` they are written anew.

#![expect(clippy::unwrap_used, reason = "a test that cannot make its input must fail")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rules::catalog;
use rules::facts::Facts;
use serde_json::Value;

#[test]
fn the_published_schema_is_that_of_the_types() {
    is_published(&schemars::schema_for!(Facts), "facts.schema.json");
}

#[test]
fn the_published_schema_of_the_catalog_is_that_of_the_types() {
    is_published(&catalog::schema(), "catalog.schema.json");
}

fn is_published(schema: &schemars::Schema, name: &str) {
    let made = serde_json::to_string_pretty(schema).unwrap() + "\n";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, &made).unwrap();
    }
    let published = fs::read_to_string(&file).unwrap_or_default();
    assert!(published == made, "docs/{name} is out of date: run the test again with UPDATE=1");
}

#[test]
fn every_member_is_described() {
    let schema = serde_json::to_value(schemars::schema_for!(Facts)).unwrap();
    let mut members = BTreeSet::new();
    collect_members(&schema, &mut members);
    assert!(members.contains("pending_restart"), "members are found: {members:?}");
    let description = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/collect.md")).unwrap();
    // What stands in backquotes, word by word.
    let code = description.split('`').skip(1).step_by(2);
    let described: BTreeSet<&str> =
        code.flat_map(|code| code.split(|c: char| !c.is_alphanumeric() && c != '_')).collect();
    members.retain(|member| !described.contains(member.as_str()));
    assert!(members.is_empty(), "docs/collect.md says nothing of {members:?}");
}

fn collect_members(schema: &Value, members: &mut BTreeSet<String>) {
    match schema {
        Value::Object(object) => {
            let properties = object.get("properties").and_then(Value::as_object);
            members.extend(properties.into_iter().flat_map(|properties| properties.keys().cloned()));
            object.values().for_each(|value| collect_members(value, members));
        }
        Value::Array(values) => values.iter().for_each(|value| collect_members(value, members)),
        _ => {}
    }
}
