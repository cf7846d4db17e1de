//! The schema could be spread over several machines by client, as it stands, and docs/scaling.md says how.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};
use sqlx::AssertSqlSafe;
use tests::bench::report::{Bench, tables};
use tests::cost_model;
use tests::database::Database;
use tests::distribution::{self, LOCAL, Place, REFERENCE};

fn document() -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/scaling.md");
    std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
}

#[tokio::test]
async fn every_table_can_be_distributed() -> Result<()> {
    let database = Database::fresh().await?;
    let faults = distribution::faults(&mut database.superuser().await?).await?;
    assert!(faults.is_empty(), "docs/scaling.md says what is asked of a table:\n{}", faults.join("\n"));
    Ok(())
}

#[tokio::test]
async fn what_could_not_be_distributed_is_found() -> Result<()> {
    for (made, fault) in [
        ("create table thing (thing_id uuid primary key)", "thing: no client_id"),
        ("create table thing (client_id int, thing_id uuid)", "thing: no client_id"),
        (
            "create table thing (client_id int not null, thing_id uuid primary key)",
            "thing: the key thing_pkey does not begin with client_id",
        ),
        (
            "create table thing (client_id int not null, word text); create unique index thing_word on thing (word)",
            "thing: the key thing_word does not begin with client_id",
        ),
        (
            "create table thing (client_id int not null, number int generated always as identity)",
            "thing_number_seq: a sequence of integer, not bigint",
        ),
        (
            "create unique index host_number on host (client_id, host_id, site_id);
             alter table host add constraint host_only unique (host_id);
             create table thing (client_id int not null, host_id bigint references host (host_id))",
            "thing: the foreign key thing_host_id_fkey to host does not include client_id",
        ),
        (
            "create table thing (client_id int not null, lease text references lease)",
            "thing: the foreign key thing_lease_fkey to lease leads to a table that lies elsewhere",
        ),
        (
            "alter table image add column client_id int, add column host_id bigint,
             add constraint image_host foreign key (client_id, host_id) references host (client_id, host_id)",
            "image: the foreign key image_host to host leads to a table that lies elsewhere",
        ),
        (
            "create function nothing() returns trigger language plpgsql as 'begin return new; end';
             create trigger at_change before update on host for each row execute function nothing()",
            "host: the trigger at_change would not run",
        ),
        (
            "create table thing (client_id int not null, span int4range, exclude using gist (span with &&))",
            "thing: the exclusion constraint thing_span_excl",
        ),
        (
            "create table thing (client_id int not null, at int) partition by range (at);
             create table thing_1 partition of thing for values from (0) to (9) partition by range (at)",
            "thing_1: partitions within partitions",
        ),
    ] {
        let database = Database::fresh().await?;
        let mut superuser = database.superuser().await?;
        sqlx::raw_sql(AssertSqlSafe(made)).execute(&mut superuser).await.with_context(|| made.to_owned())?;
        let faults = distribution::faults(&mut superuser).await?;
        assert!(faults.iter().any(|found| found.starts_with(fault)), "{made}\n{faults:?}");
    }
    Ok(())
}

/// The steps name every table that is distributed or copied, each once, and no other.
#[tokio::test]
async fn the_document_names_the_tables() -> Result<()> {
    let database = Database::fresh().await?;
    let (places, _) = distribution::places(&mut database.superuser().await?).await?;
    let document = document()?;
    let named = |call: &str| -> Vec<String> {
        let calls = document.lines().filter_map(|line| line.trim().strip_prefix(&format!("select {call}('")));
        calls.filter_map(|rest| rest.split('\'').next().map(str::to_owned)).collect()
    };
    assert_eq!(named("create_reference_table"), REFERENCE, "in this order: each before those that refer to it");
    let distributed: BTreeSet<String> = named("create_distributed_table").into_iter().collect();
    let present = places.iter().filter(|(_, place)| **place == Place::Distributed).map(|(name, _)| name.clone());
    assert_eq!(distributed, present.collect::<BTreeSet<_>>());
    assert_eq!(named("create_distributed_table").len(), distributed.len(), "each once");
    for table in LOCAL {
        assert!(document.contains(&format!("`{table}`")), "{table} is not named as a local table");
    }
    Ok(())
}

/// bench_report writes both; a figure that was mended by hand in one of them would stand beside nothing.
#[test]
fn the_page_of_benchmarks_tells_the_figures_that_were_kept() -> Result<()> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let benches: Vec<Bench> = serde_json::from_slice(&std::fs::read(docs.join("benchmarks.json"))?)?;
    let page = std::fs::read_to_string(docs.join("benchmarks.md"))?;
    assert!(page.ends_with(&tables(&benches)?), "benchmarks.md is not what bench_report makes of benchmarks.json");
    Ok(())
}

/// With UPDATE set it is written anew.
#[test]
fn the_cost_model_is_of_the_present_figures() -> Result<()> {
    const BEGIN: &str = "<!-- cost model: written by tests/tests/scaling.rs -->\n";
    const END: &str = "<!-- end of the cost model -->";
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let figures = std::fs::read_to_string(docs.join("benchmarks.json")).ok();
    let document = document()?;
    let (before, rest) = document.split_once(BEGIN).context("the beginning is marked")?;
    let (_, after) = rest.split_once(END).context("the end is marked")?;
    let written = format!("{before}{BEGIN}\n{}\n{END}{after}", cost_model::written(figures.as_deref())?);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(docs.join("scaling.md"), &written)?;
        return Ok(());
    }
    assert!(written == document, "write it again: UPDATE=1 cargo test --workspace --test scaling");
    Ok(())
}
