//! The state of 200 services on many hosts, kept by us and by Zabbix 6.0 (trapper items) on the same Postgres: processor
//! time and write-ahead log by the value that is up to date after a round, and memory of the server. Rules and history are
//! on at our side; Zabbix has neither triggers nor preprocessing.
//!
//! usage: make bench, or bench_zabbix [--hosts N] [--rounds N] with Debian's zabbix-server-pgsql and zabbix-agent

#![expect(clippy::cast_precision_loss, reason = "figures are far below 2^52")]

use anyhow::Result;
use clap::Parser;
use tests::bench::cost::microseconds;
use tests::bench::service_fleet::{ServiceFleet, Spent};
use tests::bench::table::{Keep, Limit, Table};
use tests::bench::zabbix_trapper;

#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long, default_value_t = 100)]
    hosts: usize,
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    #[command(flatten)]
    keep: Keep,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { hosts, rounds, keep } = Arguments::parse();
    let mut table = Table::new("zabbix", format!("bench_zabbix --hosts {hosts} --rounds {rounds}"));
    let mut fleet = ServiceFleet::connect(hosts).await?;
    let ours = fleet.measure(rounds).await?;
    let theirs = zabbix_trapper::measure(&fleet, hosts, rounds).await?;
    for (name, spent) in [("Portreeve", &ours), ("Zabbix", &theirs)] {
        table.note(
            format!("{name}: server's processor time by value"),
            by_value(spent, microseconds(spent.server_cpu)),
            "µs",
        );
        table.note(
            format!("{name}: Postgres' processor time by value"),
            by_value(spent, microseconds(spent.postgres_cpu)),
            "µs",
        );
        table.note(format!("{name}: write-ahead log by value"), by_value(spent, spent.wal as f64), "B");
        table.note(format!("{name}: memory of the server"), spent.server_memory as f64 / 1e6, "MB");
    }
    let cpu = |spent: &Spent| by_value(spent, microseconds(spent.server_cpu + spent.postgres_cpu));
    table.hold("processor time by value, of Zabbix'", cpu(&ours) / cpu(&theirs), "x", Limit::AtMost(0.2));
    let wal = by_value(&ours, ours.wal as f64) / by_value(&theirs, theirs.wal as f64);
    table.hold("write-ahead log by value, of Zabbix'", wal, "x", Limit::AtMost(0.1));
    let memory = ours.server_memory as f64 / theirs.server_memory as f64;
    table.hold("memory of the server, of Zabbix'", memory, "x", Limit::AtMost(0.5));
    fleet.server.stop().await?;
    table.finish(&keep)
}

fn by_value(spent: &Spent, amount: f64) -> f64 {
    amount / spent.values
}
