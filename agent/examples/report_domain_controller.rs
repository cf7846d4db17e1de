//! Reports a domain controller that is made up, and changes it as standard input says: what the agent costs beside reading
//! Windows itself. `make bench-agent` runs it in the agent's own profile.
//!
//! usage: report_domain_controller STATE_DIR POOL
//!
//! POOL is the number of UDP sockets of dns.exe, over both address families. Each line of standard input is one look at
//! the host that finds a change: `sockets` (one socket closed, one opened), `service`, `event`, `connections` or `nothing`.
//! A line is printed when it was taken. It ends with its input.

#[path = "../../rules/examples/domain_controller/mod.rs"]
mod domain_controller;

use std::io::{BufRead as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use chrono::TimeDelta;
use portreeve_agent::clock;
use portreeve_agent::identity::Identity;
use portreeve_agent::run::{Agent, Source, run};
use portreeve_agent::spool;
use portreeve_agent::stream::Pacing;
use rules::facts::Facts;
use tokio::sync::{mpsc, watch};

use domain_controller::{Changes, DomainController};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(state_dir), Some(pool)) = (arguments.next().map(PathBuf::from), arguments.next()) else {
        bail!("usage: report_domain_controller STATE_DIR POOL");
    };
    let pool: u16 = pool.to_string_lossy().parse().context("POOL is a number")?;
    let identity = Identity::load(&state_dir)?.context("the folder holds no identity")?;
    let agent = Agent {
        identity,
        state_dir,
        fingerprint: Vec::new(),
        pacing: Pacing::default(),
        spool: spool::Limits::default(),
        clock: clock::now,
    };
    let (looks, facts) = mpsc::channel(1);
    let (collect_every, _) = watch::channel(Duration::from_secs(15));
    let watched = std::thread::spawn(move || look(&looks, pool));
    let source = Source { facts, collect_every, connections: None };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(agent, source, std::future::pending()))?;
    watched.join().unwrap_or_else(|_| bail!("the watching thread panicked"))
}

/// One look at once, and one for each line. Each makes all facts anew, as reading Windows does.
fn look(looks: &mpsc::Sender<Facts>, pool: u16) -> anyhow::Result<()> {
    let mut host =
        DomainController { booted_at: clock::now() - TimeDelta::hours(1), pool, changes: Changes::default() };
    looks.blocking_send(host.facts(clock::now()))?;
    for line in std::io::stdin().lock().lines() {
        match line?.as_str() {
            "sockets" => host.changes.sockets += 1,
            "service" => host.changes.services += 1,
            "event" => host.changes.events += 1,
            "connections" => host.changes.connections += 1,
            "nothing" => {}
            other => bail!("no such change: {other}"),
        }
        looks.blocking_send(host.facts(clock::now()))?;
        writeln!(std::io::stdout(), "taken")?;
    }
    Ok(())
}
