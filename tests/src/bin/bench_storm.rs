//! The server is restarted under ten thousand agents, once asked to stop and once killed; each agent has something to report
//! when it is back. Counts the time until the last report is acknowledged, from the moment before the stop, the sections that
//! were asked for in full, and the longest transaction meanwhile.
//!
//! usage: make bench, or bench_storm [--hosts N] [--sockets N]

#![expect(clippy::cast_precision_loss, reason = "figures are far below 2^52")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;
use sqlx::PgPool;
use tests::bench::light_fleet::{LightFleet, PATIENCE};
use tests::bench::mean_host;
use tests::bench::table::{Keep, Limit, Table};
use tests::server::Server;
use tests::truth::database;

/// Between two looks at the transactions that are open.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long, default_value_t = 10_000)]
    hosts: usize,
    #[arg(long, default_value_t = mean_host::SOCKETS)]
    sockets: usize,
    #[command(flatten)]
    keep: Keep,
}

/// How the server ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Stopped,
    Killed,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { hosts, sockets, keep } = Arguments::parse();
    let mut table = Table::new("storm", format!("bench_storm --hosts {hosts} --sockets {sockets}"));
    let mut server = Server::start().await?;
    let fleet = LightFleet::settled(&server, hosts, sockets).await?;

    for (reports, end) in [(2, End::Stopped), (3, End::Killed)] {
        let how = if matches!(end, End::Stopped) { "stopped" } else { "killed" };
        let start = Instant::now();
        match end {
            End::Stopped => server.stop().await?,
            End::Killed => server.kill().await?,
        }
        fleet.report(reports, Duration::ZERO);
        server.run().await?;
        let longest = Longest::watch(database(&server).await?);
        fleet.acknowledged(reports, PATIENCE).await?;
        let took = start.elapsed().as_secs_f64();
        table.hold(format!("{how}: until all reports are acknowledged"), took, "s", Limit::AtMost(60.0));
        table.hold(format!("{how}: longest transaction"), longest.milliseconds(), "ms", Limit::AtMost(250.0));
        fleet.connected(PATIENCE).await?;
        println!("  why streams ended until now: {:?}", fleet.ends());
    }
    table.hold("sections asked for in full", fleet.asked_full() as f64, "", Limit::AtMost(0.0));
    server.stop().await?;
    table.finish(&keep)
}

/// The longest transaction of the server since this began.
struct Longest(Arc<AtomicU64>);

impl Longest {
    fn watch(pool: PgPool) -> Self {
        let longest = Arc::new(AtomicU64::new(0));
        let seen = Arc::downgrade(&longest);
        tokio::spawn(async move {
            let query = "select coalesce(max(extract(epoch from clock_timestamp() - xact_start) * 1e6), 0)::int8 \
                         from pg_stat_activity where usename = 'portreeve_app'";
            while let Some(longest) = seen.upgrade() {
                if let Ok(microseconds) = sqlx::query_scalar::<_, i64>(query).fetch_one(&pool).await {
                    longest.fetch_max(microseconds.unsigned_abs(), Ordering::Relaxed);
                }
                tokio::time::sleep(LOOK).await;
            }
        });
        Self(longest)
    }

    fn milliseconds(&self) -> f64 {
        self.0.load(Ordering::Relaxed) as f64 / 1e3
    }
}
