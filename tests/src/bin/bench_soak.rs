//! Tables that every report writes stay as large as they are: a fleet writes for as long as it is told, and what is there
//! at the end is held against what was there after the first third.
//!
//! Sockets come and go and services flip in every round, as fast as the server stores them: minutes here write what a fleet
//! of this size writes in hours. Autovacuum looks as many times more often, by its settings of the schema.
//!
//! usage: make bench, or bench_soak [--hosts N] [--seconds N]

#![expect(clippy::cast_precision_loss, reason = "figures are far below 2^52")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Parser;
use rules::check::parse_facts;
use rules::facts::Facts;
use serde_json::{Value, json};
use sqlx::PgPool;
use tests::bench::service_fleet::connect;
use tests::bench::table::{Keep, Limit, Table};
use tests::server::{Server, eventually};
use tests::truth::database;
use tokio::sync::mpsc;

/// What is true of hosts, and so does not grow with time.
const PRESENT: &[&str] =
    &["agent_stream", "host", "host_section", "host_judgement", "socket_now", "service_now", "update_now"];
const SOCKETS: usize = 300;
/// Of the sockets of a host, in a round: 2 %.
const REDRAWN: usize = 6;
const SERVICES: usize = 100;
/// Of the services of a host, in a round.
const FLIPPED: usize = 2;

#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long, default_value_t = 100)]
    hosts: usize,
    #[arg(long, default_value_t = 300)]
    seconds: u64,
    #[command(flatten)]
    keep: Keep,
}

/// A table at one moment.
#[derive(Clone, Copy, Debug)]
struct Size {
    bytes: i64,
    live: i64,
    dead: i64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { hosts, seconds, keep } = Arguments::parse();
    let mut table = Table::new("soak", format!("bench_soak --hosts {hosts} --seconds {seconds}"));
    let mut server = Server::start().await?;
    let pool = database(&server).await?;
    for setting in ["autovacuum_naptime = '1s'", "autovacuum_max_workers = 3"] {
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("alter system set {setting}"))).execute(&pool).await?;
    }
    sqlx::raw_sql("select pg_reload_conf()").execute(&pool).await?;

    let token = server.new_site("Bench", u32::try_from(hosts)?).await?;
    let mut senders = Vec::with_capacity(hosts);
    for number in 0..hosts {
        senders.push(connect(&server, &token, number).await?);
    }
    let started = Instant::now();
    let length = Duration::from_secs(seconds);
    let mut rounds = 0;
    let mut third = None;
    while started.elapsed() < length {
        play(&senders, &pool, rounds).await?;
        rounds += 1;
        if third.is_none() && started.elapsed() >= length / 3 {
            third = Some(settled(&pool).await?);
        }
    }
    let end = settled(&pool).await?;
    let third = third.context("the first third has a round")?;
    let age: i64 = sqlx::query_scalar("select age(datfrozenxid)::int8 from pg_database where datname = 'portreeve'")
        .fetch_one(&pool)
        .await?;
    let vacuums: i64 = sqlx::query_scalar(
        "select coalesce(sum(autovacuum_count), 0)::int8 from pg_stat_user_tables where relname = any ($1)",
    )
    .bind(PRESENT)
    .fetch_one(&pool)
    .await?;

    table.note("rounds that were stored, of every host", f64::from(rounds), "");
    table.note("vacuums of the tables of the present", vacuums as f64, "");
    let sum = |sizes: &BTreeMap<String, Size>, of: fn(&Size) -> i64| sizes.values().map(of).sum::<i64>() as f64;
    let growth = sum(&end, |size| size.bytes) / sum(&third, |size| size.bytes);
    table.hold("size at the end, of that after a third", growth, "x", Limit::AtMost(1.2));
    for (name, size) in end.iter().filter(|(_, size)| size.bytes > 1 << 20) {
        let before = third.get(name).map_or(f64::NAN, |size| size.bytes as f64);
        table.hold(format!("{name}: the same"), size.bytes as f64 / before, "x", Limit::AtMost(1.2));
    }
    let dead = sum(&end, |size| size.dead) / sum(&end, |size| size.live);
    table.hold("dead rows at the end, by live row", dead, "x", Limit::AtMost(0.2));
    table.hold(
        "transaction age at the end, of that at which Postgres stops",
        age as f64 / 2e9,
        "x",
        Limit::AtMost(0.1),
    );
    server.stop().await?;
    table.finish(&keep)
}

/// Every host observes a change; back when all of it is stored.
async fn play(hosts: &[mpsc::Sender<Facts>], pool: &PgPool, round: u32) -> Result<()> {
    for (number, host) in hosts.iter().enumerate() {
        host.send(facts(number, usize::try_from(round)?)?).await.context("the agent of a host ended")?;
    }
    let reports = i64::try_from(hosts.len())? * i64::from(round + 1);
    eventually("every report is stored", Duration::from_mins(5), async || {
        let stored: i64 =
            sqlx::query_scalar("select coalesce(sum(seq), 0)::int8 from agent_stream").fetch_one(pool).await?;
        Ok((stored >= reports).then_some(()))
    })
    .await
}

/// Sizes, when autovacuum has had its look.
async fn settled(pool: &PgPool) -> Result<BTreeMap<String, Size>> {
    tokio::time::sleep(Duration::from_secs(3)).await;
    let rows: Vec<(String, i64, i64, i64)> = sqlx::query_as(
        "select relname::text, pg_total_relation_size(relid), n_live_tup, n_dead_tup
         from pg_stat_user_tables where relname = any ($1)",
    )
    .bind(PRESENT)
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|(name, bytes, live, dead)| (name, Size { bytes, live, dead })).collect())
}

/// A host in a round: the sockets that are redrawn come from ports that depend on it, the services that flip as well.
fn facts(host: usize, round: usize) -> Result<Facts> {
    let redrawn = |index: usize| (round * REDRAWN + SOCKETS - 1 - index) / SOCKETS;
    let sockets: Vec<Value> = (0..SOCKETS)
        .map(|index| {
            json!({
                "protocol": "udp", "address": "0.0.0.0", "port": 1024 + index * 200 + (host + redrawn(index) * 7) % 200,
                "pid": 1420, "state": "bound", "image": r"C:\Windows\System32\dns.exe", "services": ["DNS"],
            })
        })
        .collect();
    let flips = |index: usize| (round * FLIPPED + SERVICES - 1 - index) / SERVICES;
    let services: Vec<Value> = (0..SERVICES)
        .map(|index| {
            let runs = flips(index).is_multiple_of(2);
            json!({
                "name": format!("Service{index}"), "display_name": format!("Service {index}"), "start": "manual",
                "state": if runs { "running" } else { "stopped" }, "exit_code": 0,
            })
        })
        .collect();
    let document = json!({
        "schema": "portreeve.facts/1",
        "host": { "known": {
            "name": format!("SOAK{host}"),
            "os": { "name": "Windows Server 2019 Standard", "major": 10, "minor": 0, "build": 17763 },
            "boot_id": "3f0c6f53-0000-0000-0000-000000000001", "booted_at": "2026-11-01T03:01:12Z",
            "products": { "known": [] }, "roles": { "known": [] },
        } },
        "sockets": { "known": sockets },
        "services": { "known": services },
        "updates": { "known": [] },
        "port_policy": { "unknown": "not read" },
    });
    parse_facts(&serde_json::to_vec(&document)?).map_err(anyhow::Error::msg)
}
