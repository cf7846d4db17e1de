//! The state of 200 services on many hosts, kept by us (server and Postgres, rules and history on) and scraped by
//! Prometheus: processor time by the fact that is up to date after a round. Prometheus knows no owner, no process and no
//! history of who; it is the cheapest of its field.
//!
//! usage: make bench, or bench_prometheus [--hosts N] [--rounds N] with Debian's prometheus

#![expect(clippy::cast_precision_loss, reason = "figures are far below 2^52")]

use anyhow::Result;
use clap::Parser;
use tests::bench::cost::microseconds;
use tests::bench::prometheus_scrape;
use tests::bench::service_fleet::ServiceFleet;
use tests::bench::table::{Keep, Limit, Table};

#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long, default_value_t = 250)]
    hosts: usize,
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    #[command(flatten)]
    keep: Keep,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { hosts, rounds, keep } = Arguments::parse();
    let mut table = Table::new("prometheus", format!("bench_prometheus --hosts {hosts} --rounds {rounds}"));
    let mut fleet = ServiceFleet::connect(hosts).await?;
    let ours = fleet.measure(rounds).await?;
    fleet.server.stop().await?;
    let theirs = prometheus_scrape::measure(hosts, rounds).await?;
    let our_server = microseconds(ours.server_cpu) / ours.values;
    let our_postgres = microseconds(ours.postgres_cpu) / ours.values;
    let their_server = microseconds(theirs.cpu) / theirs.samples;
    table.note("Portreeve: server's processor time by fact", our_server, "µs");
    table.note("Portreeve: Postgres' processor time by fact", our_postgres, "µs");
    table.note("Prometheus: processor time by fact", their_server, "µs");
    table.note("Prometheus: memory", theirs.memory as f64 / 1e6, "MB");
    let ratio = (our_server + our_postgres) / their_server;
    table.hold("processor time by fact, of Prometheus'", ratio, "x", Limit::AtMost(1.0));
    table.finish(&keep)
}
