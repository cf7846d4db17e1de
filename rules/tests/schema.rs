//! `docs/facts.schema.json` is made from the types. With `UPDATE=1` it is written anew.

use std::fs;
use std::path::Path;

use rules::facts::Facts;

#[test]
fn the_published_schema_is_that_of_the_types() {
    let schema = schemars::schema_for!(Facts);
    let made = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/facts.schema.json");
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, &made).unwrap();
    }
    let published = fs::read_to_string(&file).unwrap_or_default();
    assert!(published == made, "docs/facts.schema.json is out of date: run the test again with UPDATE=1");
}
