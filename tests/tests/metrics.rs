//! Every figure that a server may show is told in docs/operating.md, and every one that is told there exists; dashboards
//! ask for nothing else.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::server::{Server, eventually};

/// What Prometheus makes of a histogram.
const PARTS: &[&str] = &["_bucket", "_sum", "_count"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Names of figures in a text, in order; of a histogram without what Prometheus adds.
fn names(text: &str) -> BTreeSet<String> {
    let is_part = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    let starts = text.match_indices("portreeve_").map(|(start, _)| start);
    let mut names = BTreeSet::new();
    for start in starts.filter(|&start| !text[..start].ends_with(is_part)) {
        let rest = &text[start..];
        let end = rest.find(|letter| !is_part(letter)).unwrap_or(rest.len());
        names.insert(rest[..end].to_owned());
    }
    names
}

fn without_parts(names: BTreeSet<String>, known: &BTreeSet<String>) -> BTreeSet<String> {
    let whole = |name: String| {
        let found = PARTS.iter().filter_map(|part| name.strip_suffix(part)).find(|one| known.contains(*one));
        found.map_or_else(|| name.clone(), str::to_owned)
    };
    names.into_iter().map(whole).collect()
}

/// Rows of the tables about figures: what they are, then what is worth waking somebody.
fn tables() -> Result<String> {
    let page = std::fs::read_to_string(root().join("docs/operating.md"))?;
    let (_, rest) = page.split_once("\n## Figures\n").context("docs/operating.md tells of figures")?;
    let section = rest.split("\n## ").next().unwrap_or_default();
    Ok(section.lines().filter(|line| line.starts_with("| `")).collect::<Vec<_>>().join("\n"))
}

/// The first column of the table of figures, where it is no expression.
fn told() -> Result<BTreeSet<String>> {
    let tables = tables()?;
    let rows = tables.lines().filter_map(|line| line.strip_prefix("| `portreeve_"));
    let rows = rows.filter(|row| row.split('`').next().is_some_and(|name| !name.contains(' ')));
    Ok(rows.filter_map(|row| Some(format!("portreeve_{}", row.split('`').next()?))).collect())
}

/// Names in calls of the macros of `metrics`.
fn made(folder: &Path, into: &mut BTreeSet<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            made(&path, into)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path)?;
            for call in ["metrics::counter!(", "metrics::gauge!(", "metrics::histogram!("] {
                for (start, _) in text.match_indices(call) {
                    let argument = text[start + call.len()..].trim_start();
                    let name = argument.strip_prefix('"').and_then(|rest| rest.split('"').next());
                    into.insert(
                        name.with_context(|| format!("{}: {call} takes a literal", path.display()))?.to_owned(),
                    );
                }
            }
        }
    }
    Ok(())
}

#[test]
fn every_figure_is_told() -> Result<()> {
    let mut made_here = BTreeSet::new();
    made(&root().join("server/src"), &mut made_here)?;
    let told = told()?;
    let untold: Vec<_> = made_here.difference(&told).collect();
    let absent: Vec<_> = told.difference(&made_here).collect();
    ensure!(untold.is_empty(), "not in the table of docs/operating.md: {untold:?}");
    ensure!(absent.is_empty(), "told in docs/operating.md, but nothing makes it: {absent:?}");
    Ok(())
}

#[test]
fn dashboards_ask_for_figures_that_exist() -> Result<()> {
    let told = told()?;
    let text = std::fs::read_to_string(root().join("docs/grafana/portreeve.json"))?;
    let mut asked = BTreeSet::new();
    expressions(&serde_json::from_str(&text)?, &mut asked);
    ensure!(asked.len() > 20, "the dashboard asks for {asked:?}");
    let absent: Vec<_> = without_parts(asked, &told).difference(&told).cloned().collect();
    ensure!(absent.is_empty(), "nothing makes {absent:?}");
    let absent: Vec<_> = without_parts(names(&tables()?), &told).difference(&told).cloned().collect();
    ensure!(absent.is_empty(), "docs/operating.md asks for {absent:?}");
    Ok(())
}

fn expressions(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == "expr" => into.extend(names(text)),
                    other => expressions(other, into),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, into)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_shows_what_is_told() -> Result<()> {
    let mut server = Server::demo().await?;
    server.sign_up().await?;
    let told = told()?;
    let shown = eventually("upkeep and a report are counted", Duration::from_mins(1), async || {
        let text = server.open("/metrics").await?.text().await?;
        let is_there = ["portreeve_sweep_age_seconds{", "portreeve_report_seconds_bucket{", "portreeve_stored_bytes{"];
        Ok(is_there.iter().all(|name| text.contains(name)).then_some(text))
    })
    .await?;
    let lines = shown.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
    let shown = without_parts(names(&lines), &told);
    let untold: Vec<_> = shown.difference(&told).collect();
    ensure!(untold.is_empty(), "shown, but not in docs/operating.md: {untold:?}");

    let health = server.get("/api/v1/health").await?;
    ensure!(health["streams"]["open"].as_i64() > Some(0), "{health}");
    ensure!(health["kinds"].as_array().is_some_and(|kinds| kinds.len() == 14), "{health}");
    ensure!(health["warnings"] == serde_json::json!([]), "{}", health["warnings"]);
    let wal = health["kinds"].as_array().into_iter().flatten().find(|kind| kind["kind"] == "wal");
    ensure!(wal.is_some_and(|wal| wal["bytes"].as_i64() > Some(0)), "our own Postgres tells it: {wal:?}");
    Ok(())
}
