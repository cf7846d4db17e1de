//! A large fleet beside a small one: processor time by report of server and Postgres together, which must not grow with the
//! number of hosts; what both take of memory; and transactions that stood in each other's way.
//!
//! usage: make bench, or bench_scale [--small N] [--large N] [--rounds N]

#![expect(clippy::cast_precision_loss, reason = "figures are far below 2^52")]

use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use sqlx::PgPool;
use tests::bench::cost::{Tree, checkpoint, microseconds};
use tests::bench::light_fleet::{LightFleet, PATIENCE, at_a_rate};
use tests::bench::mean_host;
use tests::bench::table::{Keep, Limit, Table};
use tests::server::{Server, eventually};
use tests::truth::database;

/// Of server and Postgres together, at 10,000 hosts.
const MEMORY_MB: f64 = 4_096.0;
/// Hosts that report a change in a second.
const CHANGES_A_SECOND: f64 = 400.0;

#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long, default_value_t = 1_000)]
    small: usize,
    #[arg(long, default_value_t = 10_000)]
    large: usize,
    /// Reports of each host. As many in both fleets: the first that touches a page after a checkpoint logs all of it.
    #[arg(long, default_value_t = 5)]
    rounds: u64,
    #[command(flatten)]
    keep: Keep,
}

struct Measured {
    /// Microseconds of processor time by report.
    server: f64,
    postgres: f64,
    memory: u64,
    deadlocks: i64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { small, large, rounds, keep } = Arguments::parse();
    let command = format!("bench_scale --small {small} --large {large} --rounds {rounds}");
    let mut table = Table::new("scale", command);
    let few = measure(small, rounds).await?;
    let many = measure(large, rounds).await?;
    for (hosts, measured) in [(small, &few), (large, &many)] {
        table.note(format!("{hosts} hosts: server's processor time by report"), measured.server, "µs");
        table.note(format!("{hosts} hosts: Postgres' processor time by report"), measured.postgres, "µs");
        let memory = measured.memory as f64 / 1e6;
        table.hold(format!("{hosts} hosts: memory, server and Postgres"), memory, "MB", Limit::AtMost(MEMORY_MB));
    }
    let what = format!("processor time by report at {large} hosts, of that at {small}");
    table.hold(what, (many.server + many.postgres) / (few.server + few.postgres), "x", Limit::AtMost(1.2));
    table.hold("deadlocks", (few.deadlocks + many.deadlocks) as f64, "", Limit::AtMost(0.0));
    table.finish(&keep)
}

/// Reports come as fast from few hosts as from many, so that as many of them share a transaction.
async fn measure(hosts: usize, rounds: u64) -> Result<Measured> {
    let mut server = Server::start().await?;
    let pool = database(&server).await?;
    let fleet = LightFleet::settled(&server, hosts, mean_host::SOCKETS).await?;

    // As after a while: the ports of the fleet are counted, which a server does five minutes after its start and every six
    // hours, statistics are there, and dirty pages have been written.
    eventually("the ports of the fleet are counted", PATIENCE, async || {
        let counted = sqlx::query_scalar("select exists (select from learned_port)").fetch_one(&pool).await?;
        Ok(bool::then_some(counted, ()))
    })
    .await?;
    sqlx::query("analyze").execute(&pool).await?;
    checkpoint(&pool).await?;
    let (own, postgres) = (Tree(server.process()?), Tree(u32::try_from(server.postmaster()?.as_raw())?));
    let before = (own.own_cpu()?, postgres.cpu()?);
    for round in 0..rounds {
        fleet.report(2 + round, at_a_rate(hosts, CHANGES_A_SECOND));
        fleet.acknowledged(2 + round, PATIENCE).await?;
    }
    let after = (own.own_cpu()?, postgres.cpu()?);
    let memory = own.own_memory()? + postgres.memory()?;
    let deadlocks = deadlocks(&pool).await?;
    server.stop().await?;
    let by_report = |spent: Duration| microseconds(spent) / (hosts as f64 * rounds as f64);
    let (server, postgres) = (by_report(after.0.saturating_sub(before.0)), by_report(after.1.saturating_sub(before.1)));
    Ok(Measured { server, postgres, memory, deadlocks })
}

async fn deadlocks(pool: &PgPool) -> Result<i64> {
    Ok(sqlx::query_scalar("select coalesce(sum(deadlocks), 0)::int8 from pg_stat_database").fetch_one(pool).await?)
}
