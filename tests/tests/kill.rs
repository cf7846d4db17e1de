//! Nothing is lost and nothing doubled when the server, or its Postgres, is killed under a stream of reports.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chrono::{DateTime, Utc};
use nix::sys::signal::{Signal, kill};
use portreeve_server::clock;
use rand::{RngExt as _, SeedableRng as _};
use tests::agent::Agent;
use tests::receiver::{Answer, Receiver};
use tests::recorder::{Recorded, Seen, Stored};
use tests::server::{Server, eventually};
use tests::simulation::{Plan, Simulation, live};
use tests::truth::{Life, database, reach, stored};

const LIFE: Life = Life { steps: 63, step_ms: 120 };

/// While its Postgres is away, a server keeps an agent waiting for its greeting, for three seconds at most; what lasts
/// shorter than that the agent joins with what comes next.
const SLOW_LIFE: Life = Life { steps: 63, step_ms: 1000 };

/// Of the host whose transitions are counted under many kills: each state lasts longer than a greeting may.
const LONG_LIFE: Life = Life { steps: 45, step_ms: 5000 };

const KILLS: u32 = 100;

/// How often a start may fail in a row.
const STARTS: u32 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_loses_and_doubles_nothing() -> Result<()> {
    let mut server = Server::start().await?;
    let (receiver, mut agent) = begin(&mut server, LIFE).await?;
    for step in [7, 21, 40] {
        reach(&server, step).await?;
        server.kill().await?;
        server.run().await?;
    }
    holds_the_truth(&server, &receiver, LIFE).await?;
    agent.kill().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_postgres_loses_and_doubles_nothing() -> Result<()> {
    let mut server = Server::start().await?;
    let (receiver, mut agent) = begin(&mut server, SLOW_LIFE).await?;
    for step in [9, 33] {
        reach(&server, step).await?;
        kill(server.postmaster()?, Signal::SIGKILL)?;
    }
    holds_the_truth(&server, &receiver, SLOW_LIFE).await?;
    agent.kill().await
}

/// The host lives on while the server is away, the agent is killed at the end of it, and only its last moment is still
/// to be seen when both are back.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_still_tells_what_it_saw_while_the_server_was_away() -> Result<()> {
    let mut server = Server::start().await?;
    let (receiver, mut agent) = begin(&mut server, LIFE).await?;
    reach(&server, 7).await?;
    server.kill().await?;
    let spool = server.scratch().join("agent/spool");
    eventually("the whole life is on the disk of the host", Duration::from_mins(1), async || {
        Ok((highest_kept(&spool)? >= u64::from(LIFE.steps)).then_some(()))
    })
    .await?;
    agent.kill().await?;
    server.run().await?;
    let lines = LIFE.lines();
    let last = server.scratch().join("last.jsonl");
    std::fs::write(&last, lines.lines().last().context("a life has moments")?)?;
    agent.replay(&last)?;
    holds_the_truth(&server, &receiver, LIFE).await?;
    agent.kill().await
}

/// Highest number of a report in the files of a spool.
fn highest_kept(spool: &Path) -> Result<u64> {
    let mut highest = 0;
    for entry in std::fs::read_dir(spool)? {
        let bytes = std::fs::read(entry?.path())?;
        for record in bytes.windows(16).filter(|window| window.starts_with(b"PRT1\x02")) {
            highest = highest.max(u64::from_le_bytes(record[8..16].try_into()?));
        }
    }
    Ok(highest)
}

/// A webhook endpoint that takes whatever comes.
async fn receive(server: &mut Server) -> Result<Receiver> {
    server.sign_up().await?;
    let receiver = Receiver::answering([Answer::Status(204)]).await?;
    server.command(&["endpoint", "create", "--name", "tickets", "--url", &receiver.url()]).await?;
    Ok(receiver)
}

/// A server with one host that starts to tell its life, and a webhook endpoint.
async fn begin(server: &mut Server, life: Life) -> Result<(Receiver, Agent)> {
    let receiver = receive(server).await?;
    let token = server.new_site("Contoso", 1).await?;
    let mut agent = Agent::enroll(server, "agent", &token).await?;
    let facts = server.scratch().join("life.jsonl");
    std::fs::write(&facts, life.lines())?;
    agent.replay(&facts)?;
    Ok((receiver, agent))
}

async fn holds_the_truth(server: &Server, receiver: &Receiver, life: Life) -> Result<()> {
    let truth = life.truth()?;
    let done = eventually("the tables hold the last moment", Duration::from_mins(5), async || {
        let pool = database(server).await?;
        let stored = stored(&pool).await?;
        Ok((stored == truth).then_some(pool))
    });
    let pool = done.await?;
    let sql = "select episode, (select count(*) from finding_event told where told.finding_id = finding.finding_id
        and transition in ('opened', 'resolved', 'reopened'))
        from finding join host using (client_id, host_id) where rule = 'port-conflict/blocked' and host.name = 'TRUTH1'";
    let (episode, transitions): (i32, i64) = sqlx::query_as(sql).fetch_one(&pool).await?;
    ensure!(episode == life.episodes(), "{episode} episodes instead of {}", life.episodes());
    ensure!(
        usize::try_from(transitions)? == life.transitions(),
        "{transitions} transitions instead of {}",
        life.transitions()
    );
    let lost: i64 =
        sqlx::query_scalar("select (sum(gaps) + sum(quarantined))::bigint from agent_stream").fetch_one(&pool).await?;
    ensure!(lost == 0, "{lost} reports lost or in quarantine");
    let owed: BTreeSet<String> =
        sqlx::query_scalar("select delivery_id::text from delivery").fetch_all(&pool).await?.into_iter().collect();
    ensure!(owed.len() >= life.transitions(), "{} webhooks are owed", owed.len());
    let ids = eventually("every webhook arrived", Duration::from_mins(1), async || {
        let ids: BTreeSet<_> = receiver.received().iter().map(|one| one.id().to_owned()).collect();
        Ok((ids.len() >= owed.len()).then_some(ids))
    });
    ensure!(ids.await? == owed, "webhooks came that nobody owed");
    Ok(())
}

/// Twenty hosts that live fast, beside the one whose every transition is known, while the server or its Postgres dies
/// again and again at moments that nobody chose.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_kills_lose_and_double_nothing() -> Result<()> {
    let seed = clock::now().timestamp_millis().unsigned_abs();
    println!("seed {seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let mut server = Server::start().await?;
    let receiver = receive(&mut server).await?;
    let token = server.new_site("Contoso", 1).await?.parse()?;
    let life = live(&server, LONG_LIFE, token).await?;
    let plan = Plan { seed, hosts: 20, speed: 3600, read_every: Duration::from_millis(500) };
    let simulation = Simulation::begin(&server, plan).await?;
    for kills in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(random.random_range(50..1200))).await;
        if random.random_bool(0.5) {
            server.kill().await.with_context(|| format!("after {kills} kills"))?;
            start_again(&mut server).await.with_context(|| format!("after {kills} kills"))?;
        } else if let Ok(postmaster) = server.postmaster() {
            // It may be gone already, and not yet back.
            let _ = kill(postmaster, Signal::SIGKILL);
        }
    }
    println!("killed {KILLS} times");
    let recorded = simulation.end().await?;
    life.await??;
    holds_the_truth(&server, &receiver, LONG_LIFE).await?;
    let pool = database(&server).await?;
    for host in &recorded {
        is_history_of(&Stored::of(&pool, &host.name).await?, host).with_context(|| host.name.clone())?;
    }
    let doubled: Vec<String> = sqlx::query_scalar(WRONG_TIMELINES).fetch_all(&pool).await?;
    ensure!(doubled.is_empty(), "timelines that are not one beginning and one end an episode: {doubled:#?}");
    Ok(())
}

/// As a service manager does. A Postgres that was killed leaves processes behind, and until the last of them has noticed,
/// no other one starts.
async fn start_again(server: &mut Server) -> Result<()> {
    for _ in 1..STARTS {
        if server.run().await.is_ok() {
            return Ok(());
        }
    }
    server.run().await
}

/// What the tables hold of a host's past is what it told, in its order: each state that begins in them is one that it told,
/// and later than the state before; the last one is the last it told. What an agent reads while it greets the server is told
/// together, so states may be missing, but few.
fn is_history_of(stored: &Stored, host: &Recorded) -> Result<()> {
    stored.has_no_overlap()?;
    let told = &host.moments;
    let mut index = 0;
    let mut found = 0_usize;
    for turn in stored.turns() {
        let state = stored.at(turn);
        if state == Seen::default() {
            continue;
        }
        let next = told[index..].iter().position(|moment| moment.seen == state);
        index +=
            next.with_context(|| format!("at {turn} it held what the host never told after {}", told[index].at))?;
        found += 1;
    }
    ensure!(
        stored.at(DateTime::<Utc>::MAX_UTC) == told[told.len() - 1].seen,
        "the last state is not the last one told"
    );
    let changes = 1 + told.windows(2).filter(|pair| pair[0].seen != pair[1].seen).count();
    ensure!(found * 4 >= changes, "{found} of {changes} states arrived");
    Ok(())
}

/// Findings whose timeline is not: opened once, then resolved and reopened in turn, one episode each.
const WRONG_TIMELINES: &str = "
    with told as (
      select client_id, finding_id,
        count(*) filter (where transition = 'opened') as opened,
        count(*) filter (where transition = 'reopened') as reopened,
        count(*) filter (where transition = 'resolved') as resolved,
        count(distinct episode) filter (where transition in ('opened', 'reopened')) as episodes
      from finding_event
      group by client_id, finding_id
    )
    select rule || ' ' || state || ': episode ' || episode || ', ' || opened || ' opened, ' || reopened
      || ' reopened, ' || resolved || ' resolved'
    from finding
    join told using (client_id, finding_id)
    where opened <> 1 or reopened <> episode - 1 or episodes <> episode
      or resolved <> episode - case state when 'resolved' then 0 else 1 end";
