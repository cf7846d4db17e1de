//! How long it takes from a report leaving the agent until its finding is committed, told to a browser, and received as a
//! webhook, while the demonstration fleet runs. Gates nothing, for wall-clock time is not ours to promise.
//!
//! usage: make bench, or bench_latency

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Parser;
use rules::check::parse_facts;
use rules::facts::Facts;
use sqlx::PgPool;
use tests::bench::service_fleet::connect;
use tests::bench::table::{Keep, Table};
use tests::receiver::{Answer, Receiver};
use tests::server::{Server, eventually};
use tests::truth::{Life, database};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Rounds that are measured; each opens or resolves the finding.
const ROUNDS: usize = 60;
/// No round takes this long unless something is broken.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    keep: Keep,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { keep } = Arguments::parse();
    let mut table = Table::new("latency", "bench_latency");
    let mut server = Server::demo().await?;
    server.sign_up().await?;
    let receiver = Receiver::answering([Answer::Status(204)]).await?;
    let token = server.new_site("Bench", 1).await?;
    let client_id = server.client_id("Bench").await?;
    let endpoint = ["endpoint", "create", "--name", "bench", "--client", &client_id, "--url", &receiver.url()];
    server.command(&endpoint).await?;

    let [fine, blocked] = moments()?;
    let facts = connect(&server, &token, 0).await?;
    facts.send(fine.clone()).await?;
    let pool = database(&server).await?;
    eventually("the fleet and the bench host are there", Duration::from_mins(2), async || {
        let hosts: i64 = sqlx::query_scalar("select count(*) from host_judgement").fetch_one(&pool).await?;
        Ok((hosts > 12).then_some(()))
    })
    .await?;

    let mut events = listen(&server).await?;
    let mut figures = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        let (next, state) = if round % 2 == 0 { (&blocked, "open") } else { (&fine, "resolved") };
        let told = receiver.received().len();
        while events.try_recv().is_ok() {}
        let start = Instant::now();
        facts.send(next.clone()).await?;
        let stages = async { tokio::try_join!(committed(&pool, state), hint(&mut events), received(&receiver, told)) };
        let (committed, hint, webhook) = timeout(PATIENCE, stages).await.context("a stage takes too long")??;
        figures[0].push(committed - start);
        figures[1].push(hint - start);
        figures[2].push(webhook - start);
    }
    note(&mut table, figures);
    server.stop().await?;
    table.finish(&keep)
}

/// Two moments of one host: IAS has its port, and has lost it.
fn moments() -> Result<[Facts; 2]> {
    let lines = Life { steps: 4, step_ms: 0 }.lines();
    let mut facts: VecDeque<Facts> =
        lines.lines().map(|line| parse_facts(line.as_bytes())).collect::<Result<_, _>>().map_err(anyhow::Error::msg)?;
    let fine = facts.pop_front().context("a first moment")?;
    let blocked = facts.pop_back().context("a last moment")?;
    Ok([fine, blocked])
}

/// When each hint of a finding of this client came to a browser.
async fn listen(server: &Server) -> Result<mpsc::UnboundedReceiver<Instant>> {
    let client_id = server.client_id("Bench").await?;
    let mut response = server.open("/api/v1/live").await?;
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut text = String::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            let at = Instant::now();
            text.push_str(&String::from_utf8_lossy(&chunk));
            while let Some(end) = text.find("\n\n") {
                let event: String = text.drain(..end + 2).collect();
                let is_ours =
                    event.contains(r#""kind":"finding""#) && event.contains(&format!(r#""client_id":{client_id}"#));
                if is_ours && sender.send(at).is_err() {
                    return;
                }
            }
        }
    });
    Ok(receiver)
}

async fn committed(pool: &PgPool, state: &str) -> Result<Instant> {
    let query = "select state from finding join host using (client_id, host_id) join client using (client_id) \
                 where client.name = 'Bench' and rule = 'port-conflict/blocked'";
    loop {
        let found: Option<String> = sqlx::query_scalar(query).fetch_optional(pool).await?;
        if found.as_deref() == Some(state) {
            return Ok(Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn hint(events: &mut mpsc::UnboundedReceiver<Instant>) -> Result<Instant> {
    events.recv().await.context("the events ended")
}

async fn received(receiver: &Receiver, before: usize) -> Result<Instant> {
    while receiver.received().len() <= before {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(Instant::now())
}

fn note(table: &mut Table, figures: [Vec<Duration>; 3]) {
    for (name, mut figures) in
        ["the finding is committed", "the browser is told", "the webhook is received"].into_iter().zip(figures)
    {
        figures.sort();
        let at = |share: usize| figures[(figures.len() - 1) * share / 100].as_secs_f64() * 1000.0;
        table.note(format!("until {name}: median"), at(50), "ms");
        table.note(format!("until {name}: 95 of 100"), at(95), "ms");
    }
}
