//! Postgres stopped under load: what is lost, what the server's memory does meanwhile, and how long it takes until all that
//! the hosts observed is stored again.
//!
//! usage: make bench, or bench_outage [--hosts N] [--interval SECONDS] [--outage SECONDS]

#![expect(clippy::cast_precision_loss, reason = "figures are far below 2^52")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Parser;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portreeve_server::db::bootstrap::Access;
use portreeve_server::postgres::Cluster;
use sqlx::postgres::PgPoolOptions;
use tests::bench::cost::Tree;
use tests::bench::service_fleet::ServiceFleet;
use tests::bench::table::{Keep, Limit, Table};
use tests::database::{cluster_folder, url_of};
use tests::server::{Server, eventually};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_mins(10);

#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long, default_value_t = 1_000)]
    hosts: usize,
    /// Between two observations of each host.
    #[arg(long, default_value_t = 60)]
    interval: u64,
    #[arg(long, default_value_t = 300)]
    outage: u64,
    #[command(flatten)]
    keep: Keep,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { hosts, interval, outage, keep } = Arguments::parse();
    let command = format!("bench_outage --hosts {hosts} --interval {interval} --outage {outage}");
    let mut table = Table::new("outage", command);
    let (interval, outage) = (Duration::from_secs(interval), Duration::from_secs(outage));
    let folder = cluster_folder()?;
    let cluster = Arc::new(Cluster::own(folder.path()).await?);
    let options = cluster.options();
    // As an administrator would have made it.
    Access::private(&options, "portreeve").await?;
    let server = Server::start_on(url_of(&options.clone().database("portreeve"))?).await?;
    let pool = PgPoolOptions::new().max_connections(2).connect_with(options.database("portreeve")).await?;
    let mut fleet = ServiceFleet::connect_to(server, pool.clone(), hosts).await?;
    live(&mut fleet, interval, interval * 2).await?;

    let tree = Tree(fleet.server.process()?);
    let memory = tree.memory()?;
    end_postgres(folder.path()).await?;
    let highest = live(&mut fleet, interval, outage).await?;
    let stop = CancellationToken::new();
    let keeper = {
        let (cluster, stop) = (Arc::clone(&cluster), stop.clone());
        tokio::spawn(async move { cluster.keep_running(stop).await })
    };
    eventually("Postgres is back", PATIENCE, async || {
        Ok(sqlx::query("select 1").execute(&pool).await.is_ok().then_some(()))
    })
    .await?;
    let back = Instant::now();
    // Hosts go on; the first moment at which everything is as observed ends the wait.
    fleet.report().await?;
    eventually("everything is stored", PATIENCE, async || Ok((fleet.differences().await? == 0).then_some(()))).await?;
    let caught_up = back.elapsed();
    let gaps: i64 = sqlx::query_scalar("select coalesce(sum(gaps + quarantined), 0)::int8 from agent_stream")
        .fetch_one(&fleet.pool)
        .await?;

    table.hold(
        "services whose state is not what their hosts observed",
        fleet.differences().await? as f64,
        "",
        Limit::AtMost(0.0),
    );
    table.hold("reports lost or refused", gaps as f64, "", Limit::AtMost(0.0));
    table.note("memory of the server before", memory as f64 / 1e6, "MB");
    table.hold(
        "highest memory of the server meanwhile, of that before",
        highest as f64 / memory as f64,
        "x",
        Limit::AtMost(1.1),
    );
    let ratio = caught_up.as_secs_f64() / interval.as_secs_f64();
    table.hold("caught up after Postgres was back, of an interval", ratio, "x", Limit::AtMost(1.0));
    fleet.server.stop().await?;
    stop.cancel();
    keeper.await?;
    cluster.stop().await?;
    table.finish(&keep)
}

/// Lets the hosts observe a change every `interval` for so long; the highest memory of the server meanwhile.
async fn live(fleet: &mut ServiceFleet, every: Duration, long: Duration) -> Result<u64> {
    let tree = Tree(fleet.server.process()?);
    let end = Instant::now() + long;
    let mut highest = 0;
    let mut moments = interval(every);
    moments.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() + every / 2 < end {
        moments.tick().await;
        fleet.report().await?;
        highest = highest.max(tree.memory()?);
    }
    tokio::time::sleep_until(end.into()).await;
    Ok(highest.max(tree.memory()?))
}

/// As an administrator would: open transactions are rolled back, and nobody is let in any more.
async fn end_postgres(folder: &Path) -> Result<()> {
    let pid_file = folder.join("postgres/postmaster.pid");
    let text = std::fs::read_to_string(&pid_file)?;
    let postmaster = text.lines().next().context("the pid file is empty")?.trim().parse()?;
    kill(Pid::from_raw(postmaster), Signal::SIGINT)?;
    eventually("Postgres has ended", PATIENCE, async || Ok((!pid_file.exists()).then_some(()))).await
}
