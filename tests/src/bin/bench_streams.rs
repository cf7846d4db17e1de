//! What ten thousand agents cost that are connected and say nothing, and what server and Postgres take together when each
//! reports once a minute. The agents are in this process, the server in its own.
//!
//! usage: make bench, or bench_streams [--hosts N] [--sockets N] [--rounds N]

#![expect(clippy::cast_precision_loss, reason = "figures are far below 2^52")]

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Parser;
use tests::bench::cost::Tree;
use tests::bench::light_fleet::{CONNECT_A_SECOND, FULL_A_SECOND, LightFleet, PATIENCE, at_a_rate, enroll};
use tests::bench::mean_host;
use tests::bench::table::{Keep, Limit, Table};
use tests::meter::Process;
use tests::server::Server;

const INTERVAL: Duration = Duration::from_mins(1);
/// Seconds in which memory falls by no hundredth.
const CALM: u32 = 3;
const GB: f64 = 1e9;

#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long, default_value_t = 10_000)]
    hosts: usize,
    #[arg(long, default_value_t = mean_host::SOCKETS)]
    sockets: usize,
    /// Minutes of reporting.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    #[command(flatten)]
    keep: Keep,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { hosts, sockets, rounds, keep } = Arguments::parse();
    let command = format!("bench_streams --hosts {hosts} --sockets {sockets} --rounds {rounds}");
    let mut table = Table::new("streams", command);
    let mut server = Server::start().await?;
    let enrolled = enroll(&server, hosts).await?;
    let (process, tree) = (Process(server.process()?), Tree(server.process()?));
    let postgres = Tree(u32::try_from(server.postmaster()?.as_raw())?);
    let many = hosts as f64;
    table.note("hosts", many, "");

    let empty = process.private_memory()?;
    let cpu = tree.own_cpu()?;
    let [before, after] = mean_host::states(sockets)?;
    let fleet = LightFleet::start(enrolled, [&before, &after], at_a_rate(hosts, CONNECT_A_SECOND))?;
    fleet.connected(PATIENCE).await?;
    let connecting = tree.own_cpu()?.saturating_sub(cpu);
    let each = settled(&process).await?.saturating_sub(empty) as f64 / many;
    table.hold("memory of the server by idle agent", each / 1e3, "KB", Limit::AtMost(40.0));
    table.note("processor time of the server by connection", connecting.as_secs_f64() * 1e3 / many, "ms");

    let start = Instant::now();
    fleet.report(1, at_a_rate(hosts, FULL_A_SECOND));
    fleet.acknowledged(1, PATIENCE).await?;
    table.note("first full reports of all hosts", start.elapsed().as_secs_f64(), "s");
    let before = (tree.own_cpu()?, postgres.cpu()?);
    let start = Instant::now();
    for round in 0..rounds {
        fleet.report(2 + u64::from(round), INTERVAL);
        fleet.acknowledged(2 + u64::from(round), PATIENCE).await?;
    }
    let took = start.elapsed().as_secs_f64();
    table.note("an interval of reports of all hosts, until the last is acknowledged", took / f64::from(rounds), "s");
    table.note("cores of the server meanwhile", tree.own_cpu()?.saturating_sub(before.0).as_secs_f64() / took, "");
    table.note("cores of Postgres meanwhile", postgres.cpu()?.saturating_sub(before.1).as_secs_f64() / took, "");
    let memory = (tree.own_memory()?, postgres.memory()?);
    table.note("memory of the server", memory.0 as f64 / GB, "GB");
    table.note("memory of Postgres", memory.1 as f64 / GB, "GB");
    let both = (memory.0 + memory.1) as f64 / GB;
    table.hold("memory of server and Postgres, each host reporting once a minute", both, "GB", Limit::AtMost(4.0));
    let lost = fleet.welcomed() as f64 - many;
    table.hold("streams that were lost meanwhile", lost, "", Limit::AtMost(0.0));
    if lost > 0.0 {
        println!("  why streams ended: {:?}", fleet.ends());
    }
    server.stop().await.context("the server stops under its agents")?;
    table.finish(&keep)
}

/// The memory of a process that is left in peace: what its allocator gives back within seconds is no longer in it.
async fn settled(process: &Process) -> Result<u64> {
    let mut least = process.private_memory()?;
    let mut calm = 0;
    while calm < CALM {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = process.private_memory()?;
        calm = if now < least - least / 100 { 0 } else { calm + 1 };
        least = least.min(now);
    }
    Ok(least)
}
