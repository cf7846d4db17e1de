//! Many streams on one server: a restart costs no full report, one agent that floods its stream harms nobody else, and who
//! is sent away is told when to come back.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use portreeve_server::coded;
use portreeve_server::ingest::Ingest;
use proto::fleet::v1::AgentMessage;
use proto::fleet::v1::agent_message::Kind as Said;
use tests::bench::light_fleet::{LightFleet, enroll, enroll_at};
use tests::bench::mean_host;
use tests::doors::Doors;
use tests::raw_agent::{RawAgent, RawMessage, changes, full, hello};
use tests::reporting_host::{Host, blocked, mended, with_sockets};
use tests::server::Server;
use tokio_stream::wrappers::ReceiverStream;

const PATIENCE: Duration = Duration::from_mins(2);

#[tokio::test]
async fn a_restart_under_connected_agents_costs_no_full_report() -> Result<()> {
    let mut server = Server::start().await?;
    let [before, after] = mean_host::states(100)?;
    let fleet = LightFleet::start(enroll(&server, 20).await?, [&before, &after], Duration::from_secs(1))?;
    fleet.report(1, Duration::ZERO);
    fleet.acknowledged(1, PATIENCE).await?;
    server.stop().await?;
    server.run().await?;
    fleet.connected(PATIENCE).await?;
    fleet.report(2, Duration::ZERO);
    fleet.acknowledged(2, PATIENCE).await?;
    server.kill().await?;
    // Reports that are made while the server is away follow the Hello.
    fleet.report(3, Duration::ZERO);
    server.run().await?;
    fleet.acknowledged(3, PATIENCE).await?;
    assert_eq!(fleet.asked_full(), 0, "streams ended with {:?}", fleet.ends());
    server.stop().await
}

#[tokio::test]
async fn a_server_that_stops_says_when_to_come_back() -> Result<()> {
    let doors = Doors::open_with(|app| Ingest::new(app).routes()).await?;
    let token = doors.token(doors.site("Contoso").await?, 1, chrono::TimeDelta::hours(1)).await?;
    let credentials = doors.enroll(&token, "SRV1").await?;
    let (outgoing, messages) = tokio::sync::mpsc::channel(1);
    outgoing.send(AgentMessage { kind: Some(Said::Hello(hello(1))) }).await?;
    let mut incoming =
        doors.fleet_client(&credentials).await?.stream(ReceiverStream::new(messages)).await?.into_inner();
    incoming.message().await?.context("a Welcome")?;
    doors.app.stopping.cancel();
    let Err(status) = incoming.message().await else { anyhow::bail!("the stream goes on") };
    assert_eq!(coded::code_of(&status), Some("server.stopping"));
    let within: u64 = status.metadata().get(coded::RETRY_TRAILER).context("a time")?.to_str()?.parse()?;
    assert_eq!(within, 1_000, "one agent comes back within a second");
    Ok(())
}

#[tokio::test]
async fn what_no_agent_says_so_often_ends_the_stream() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let strange = || RawMessage { unknown: Some(vec![7; 100]), ..RawMessage::default() };
    for beats in [true, false] {
        let agent = host.connect(&hello(1)).await?;
        for _ in 0..500 {
            let said =
                if beats { agent.say_heartbeat(0, &proto::Digests::new()).await } else { agent.say(strange()).await };
            // The stream has ended.
            if said.is_err() {
                break;
            }
        }
        assert_eq!(agent.ended().await?, "stream.too-many-messages");
    }
    Ok(())
}

#[tokio::test]
async fn a_host_that_opens_streams_all_the_time_is_told_to_wait() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let mut opened = 0;
    let code = loop {
        match host.connect(&hello(1)).await {
            Ok(agent) => drop(agent),
            Err(refusal) => break coded::code_of(&refusal.downcast()?).map(str::to_owned),
        }
        opened += 1;
        ensure!(opened < 200, "nobody stops it");
    };
    assert_eq!(code.as_deref(), Some("stream.too-many"));
    assert!(opened >= 30, "a host whose network flaps is let in, not only {opened} times");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_floods_its_stream_starves_nobody() -> Result<()> {
    let doors = Doors::open_with(|app| Ingest::new(app).routes()).await?;
    let token = doors.token(doors.site("Contoso").await?, 1, chrono::TimeDelta::hours(1)).await?;
    let credentials = doors.enroll(&token, "FLOOD").await?;
    let [before, after] = mean_host::states(50)?;
    let enrolled = enroll_at(&doors.database.db, &doors.app.identity.authority, doors.agents, 50).await?;
    let fleet = LightFleet::start(enrolled, [&before, &after], Duration::ZERO)?;
    fleet.report(1, Duration::ZERO);
    fleet.acknowledged(1, PATIENCE).await?;
    let alone = Instant::now();
    fleet.report(2, Duration::ZERO);
    fleet.acknowledged(2, PATIENCE).await?;
    let alone = alone.elapsed();

    let flooder = RawAgent::connect(&doors, &credentials, &hello(1)).await?;
    let flood = tokio::spawn(async move {
        let (large, small) = (with_sockets(2_000), with_sockets(1_500));
        // Nothing that the server answers is read.
        for seq in (1..).step_by(4) {
            flooder.say_report(&full(seq, &large)).await?;
            flooder.say_report(&changes(seq + 1, &large, &small)).await?;
            flooder.say_report(&full(seq + 2, &blocked())).await?;
            flooder.say_report(&changes(seq + 3, &blocked(), &mended())).await?;
            flooder.say_report(&full(1, &small)).await?;
        }
        anyhow::Ok(())
    });
    for round in 3..8 {
        let start = Instant::now();
        fleet.report(round, Duration::ZERO);
        fleet.acknowledged(round, PATIENCE).await?;
        let took = start.elapsed();
        ensure!(took < 20 * alone + Duration::from_secs(10), "{took:?} beside the flood, {alone:?} without");
    }
    // A machine with much else to do may be late with the database; nobody else pays for what one says.
    let cut_off = |(code, _): &(&String, &u64)| code.starts_with("stream.") || code.starts_with("server.");
    assert_eq!(fleet.ends().iter().filter(cut_off).count(), 0, "{:?}", fleet.ends());
    ensure!(!flood.is_finished(), "the flood went on: {:?}", flood.await);
    flood.abort();
    Ok(())
}
