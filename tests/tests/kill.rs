//! Nothing is lost and nothing doubled when the server, or its Postgres, is killed under a stream of reports.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use tests::agent::Agent;
use tests::receiver::{Answer, Receiver};
use tests::server::{Server, eventually};
use tests::truth::{Life, database, stored};

const LIFE: Life = Life { steps: 63, step_ms: 120 };

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_loses_and_doubles_nothing() -> Result<()> {
    let mut server = Server::start().await?;
    let (receiver, mut agent) = begin(&mut server).await?;
    for step in [7, 21, 40] {
        reach(&server, step).await?;
        server.kill().await?;
        server.run().await?;
    }
    holds_the_truth(&server, &receiver).await?;
    agent.kill().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_postgres_loses_and_doubles_nothing() -> Result<()> {
    let mut server = Server::start().await?;
    let (receiver, mut agent) = begin(&mut server).await?;
    for step in [9, 33] {
        reach(&server, step).await?;
        kill(server.postmaster()?, Signal::SIGKILL)?;
    }
    holds_the_truth(&server, &receiver).await?;
    agent.kill().await
}

/// The host lives on while the server is away, the agent is killed at the end of it, and only its last moment is still
/// to be seen when both are back.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_still_tells_what_it_saw_while_the_server_was_away() -> Result<()> {
    let mut server = Server::start().await?;
    let (receiver, mut agent) = begin(&mut server).await?;
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
    holds_the_truth(&server, &receiver).await?;
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

/// A server with one host that starts to tell its life, and a webhook endpoint.
async fn begin(server: &mut Server) -> Result<(Receiver, Agent)> {
    server.sign_up().await?;
    let receiver = Receiver::answering([Answer::Status(204)]).await?;
    server.command(&["endpoint", "create", "--name", "tickets", "--url", &receiver.url()]).await?;
    let token = server.new_site("Contoso", 1).await?;
    let mut agent = Agent::enroll(server, "agent", &token).await?;
    let facts = server.scratch().join("life.jsonl");
    std::fs::write(&facts, LIFE.lines())?;
    agent.replay(&facts)?;
    Ok((receiver, agent))
}

/// Waits until the report of this moment is committed, so that the kill falls into the stream and not before or after it.
async fn reach(server: &Server, step: i64) -> Result<()> {
    eventually("the stream goes on", Duration::from_mins(1), async || {
        let pool = database(server).await?;
        let seq: Option<i64> = sqlx::query_scalar("select max(seq) from agent_stream").fetch_one(&pool).await?;
        Ok(seq.filter(|&seq| seq > step).map(|_| ()))
    })
    .await
}

async fn holds_the_truth(server: &Server, receiver: &Receiver) -> Result<()> {
    let truth = LIFE.truth()?;
    let done = eventually("the tables hold the last moment", Duration::from_mins(3), async || {
        let pool = database(server).await?;
        let stored = stored(&pool).await?;
        Ok((stored == truth).then_some(pool))
    });
    let pool = done.await?;
    let episode: i32 =
        sqlx::query_scalar("select episode from finding where rule = 'port-conflict/blocked'").fetch_one(&pool).await?;
    ensure!(episode == LIFE.episodes(), "{episode} episodes instead of {}", LIFE.episodes());
    let transitions: i64 =
        sqlx::query_scalar("select count(*) from finding_event where transition in ('opened', 'resolved', 'reopened')")
            .fetch_one(&pool)
            .await?;
    ensure!(
        usize::try_from(transitions)? == LIFE.transitions(),
        "{transitions} transitions instead of {}",
        LIFE.transitions()
    );
    let quarantined: i64 = sqlx::query_scalar("select count(*) from quarantine").fetch_one(&pool).await?;
    ensure!(quarantined == 0, "{quarantined} reports in quarantine");
    let ids = eventually("every webhook arrived", Duration::from_mins(1), async || {
        let ids: std::collections::BTreeSet<_> = receiver.received().iter().map(|one| one.id().to_owned()).collect();
        Ok((ids.len() >= LIFE.transitions()).then_some(ids))
    });
    ensure!(ids.await?.len() == LIFE.transitions(), "more webhook ids than transitions");
    Ok(())
}
