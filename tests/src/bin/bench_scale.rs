//! A large fleet beside a small one: processor time by report of server and Postgres together, which must not grow with the
//! number of hosts; what both take of memory; and transactions that stood in each other's way.
//!
//! usage: make bench, or bench_scale [--small N] [--large N] [--reports N]

#![expect(clippy::cast_precision_loss, reason = "figures are far below 2^52")]

use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use sqlx::PgPool;
use tests::bench::cost::microseconds;
use tests::bench::service_fleet::{SERVICES, ServiceFleet};
use tests::bench::table::{Keep, Limit, Table};

/// Of server and Postgres together, at 10,000 hosts.
const MEMORY_MB: f64 = 4_096.0;
/// The target of one report, rules and history included.
const REPORT_US: f64 = 240.0;

#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long, default_value_t = 1_000)]
    small: usize,
    #[arg(long, default_value_t = 10_000)]
    large: usize,
    /// Of all hosts of a fleet together, so that both fleets are measured over the same work.
    #[arg(long, default_value_t = 50_000)]
    reports: usize,
    #[command(flatten)]
    keep: Keep,
}

struct Measured {
    /// Microseconds of processor time by report.
    cpu: f64,
    memory: u64,
    deadlocks: i64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { small, large, reports, keep } = Arguments::parse();
    let command = format!("bench_scale --small {small} --large {large} --reports {reports}");
    let mut table = Table::new("scale", command);
    let few = measure(small, reports).await?;
    let many = measure(large, reports).await?;
    for (hosts, measured) in [(small, &few), (large, &many)] {
        let what = format!("{hosts} hosts: processor time by report, server and Postgres");
        table.hold(what, measured.cpu, "µs", Limit::AtMost(REPORT_US));
        let memory = measured.memory as f64 / 1e6;
        table.hold(format!("{hosts} hosts: memory, server and Postgres"), memory, "MB", Limit::AtMost(MEMORY_MB));
    }
    let what = format!("processor time by report at {large} hosts, of that at {small}");
    table.hold(what, many.cpu / few.cpu, "x", Limit::AtMost(1.2));
    table.hold("deadlocks", (few.deadlocks + many.deadlocks) as f64, "", Limit::AtMost(0.0));
    table.finish(&keep)
}

/// Every host reports in every round, all at the same time.
async fn measure(hosts: usize, reports: usize) -> Result<Measured> {
    let mut fleet = ServiceFleet::connect(hosts).await?;
    let spent = fleet.measure(reports.div_ceil(hosts)).await?;
    let made = spent.values / SERVICES as f64;
    let cpu: Duration = spent.server_cpu + spent.postgres_cpu;
    let memory = spent.server_memory + fleet.postgres()?.memory()?;
    let deadlocks = deadlocks(&fleet.pool).await?;
    fleet.server.stop().await?;
    Ok(Measured { cpu: microseconds(cpu) / made, memory, deadlocks })
}

async fn deadlocks(pool: &PgPool) -> Result<i64> {
    Ok(sqlx::query_scalar("select coalesce(sum(deadlocks), 0)::int8 from pg_stat_database").fetch_one(pool).await?)
}
