//! What it costs Postgres to keep the sockets of a fleet up to date at 2 % churn, history included, against COPY BINARY of
//! the same rows, unindexed, in the same Postgres and run. A row counts that is up to date after a report, changed or not.
//!
//! usage: make bench, or `bench_store [--hosts N] [--rounds N]`

use anyhow::Result;
use clap::Parser;
use tests::bench::cost::microseconds;
use tests::bench::store_fleet::{Figures, Size, by_row, measure};
use tests::bench::table::{Keep, Limit, Table};

/// Hosts of one client where clients are many.
const HOSTS_OF_CLIENT: usize = 20;

/// That of the server, which is a part of this program here.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long, default_value_t = 60)]
    hosts: usize,
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    #[command(flatten)]
    keep: Keep,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { hosts, rounds, keep } = Arguments::parse();
    let mut table = Table::new("store", format!("bench_store --hosts {hosts} --rounds {rounds}"));
    let figures = measure(Size { hosts, clients: 1, rounds }).await?;
    note(&mut table, "one client", &figures);
    table.hold("processor time by covered row, of COPY's", figures.cpu_ratio(), "x", Limit::AtMost(1.0));
    table.hold("write-ahead log by covered row, of COPY's", figures.wal_ratio(), "x", Limit::AtMost(0.35));
    table.hold("rows of first full reports a second, of COPY's", figures.first_ratio(), "x", Limit::AtLeast(0.1));
    let clients = hosts.div_ceil(HOSTS_OF_CLIENT);
    let figures = measure(Size { hosts, clients, rounds }).await?;
    let name = format!("{clients} clients");
    note(&mut table, &name, &figures);
    table.note(format!("{name}: processor time by covered row, of COPY's"), figures.cpu_ratio(), "x");
    table.note(format!("{name}: write-ahead log by covered row, of COPY's"), figures.wal_ratio(), "x");
    table.finish(&keep)
}

fn note(table: &mut Table, name: &str, figures: &Figures) {
    for (step, spent) in [("COPY", &figures.copy), ("first reports", &figures.first), ("deltas", &figures.delta)] {
        table.note(
            format!("{name}, {step}: Postgres' processor time by row"),
            by_row(spent, microseconds(spent.cpu)),
            "µs",
        );
        table.note(format!("{name}, {step}: write-ahead log by row"), by_row(spent, spent.wal), "B");
        table.note(format!("{name}, {step}: rows a second"), spent.rows / spent.took.as_secs_f64(), "/s");
    }
}
