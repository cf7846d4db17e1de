//! A person settles which of two machines with one identity is the host: over HTTP, and by command line.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use portreeve_agent::clock;
use portreeve_agent::collect::replay::{AfterLast, play, read};
use portreeve_agent::enroll::enroll;
use portreeve_agent::identity::{Identity, Server as Address};
use portreeve_agent::proxy::ProxyChoice;
use portreeve_agent::run::{Agent, run};
use portreeve_agent::spool::Limits;
use portreeve_agent::stream::Pacing;
use portreeve_server::people::Role;
use prost::Message as _;
use proto::fleet::v1::Hello;
use serde_json::Value;
use tests::http_door::HttpDoor;
use tests::raw_agent::{RawMessage, hello};
use tests::reporting_host::Host;
use tests::server::{Server, eventually};
use tokio::task::JoinHandle;

/// Far beyond what any of this takes.
const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::test]
async fn an_administrator_accepts_the_other_machine() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let door = HttpDoor::open(&host.doors.app)?;
    let token = door.token("anna", Role::Admin, None).await?;
    let path = format!("/api/v1/hosts/{}/accept-machine", host.host_id);
    let post = async |token: &str| door.send("POST", &path, &[("authorization", token)], "").await;
    let page = async || -> Result<Value> {
        Ok(door.get(&format!("/api/v1/hosts/{}", host.host_id), &token).await?.json()["stream"].clone())
    };

    // A host whose agent never came has no machine that another one could replace.
    let answer = post(&token).await?;
    assert_eq!((answer.status, answer.code().as_deref()), (404, Some("resource.not-found")), "{}", answer.body);

    let first = host.connect(&Hello { fingerprint: vec![1; 32], ..hello(1) }).await?;
    let other = Hello { epoch: first.welcome.epoch, fingerprint: vec![0xab; 32], ..hello(1) };
    let first_words = RawMessage { hello: Some(other.encode_to_vec()), ..RawMessage::default() };
    assert_eq!(host.refusal(first_words).await?, "agent.cloned");
    let seen = page().await?;
    assert_eq!(seen["clone"]["fingerprint"], "abababab", "{seen}");
    assert_eq!(seen["clone"]["address"], "127.0.0.1", "{seen}");

    let operator = door.token("otto", Role::Operator, None).await?;
    let of_another_client = door.token("frida", Role::Admin, Some(&[host.stranger])).await?;
    for (token, status) in [("", 401), (operator.as_str(), 403), (of_another_client.as_str(), 404)] {
        assert_eq!(post(token).await?.status, status);
    }
    assert_eq!(page().await?, seen, "who may not accept changed something");

    assert_eq!(post(&token).await?.status, 204);
    let settled = page().await?;
    for mark in ["clone", "fork_seen_at", "restored_at"] {
        assert!(settled[mark].is_null(), "{mark} is left: {settled}");
    }
    host.connect(&other).await?;
    Ok(())
}

/// Two real agents with one identity, as after the disk of a server was moved into another one.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_accepts_the_other_machine() -> Result<()> {
    let mut server = Server::start().await?;
    server.sign_up().await?;
    let token = server.new_site("Contoso", 1).await?.parse()?;
    let address = Address {
        host: "127.0.0.1".to_owned(),
        enroll_port: server.enroll().port(),
        agents_port: server.agents().port(),
        proxy: ProxyChoice::Direct,
    };
    let identity = enroll(&address, &token, "SRV1").await?;
    let unknown = server.command_with_input(&["host", "accept-machine", "4711"], "").await?;
    ensure!(unknown.status.code() == Some(3), "{unknown:?}");

    let before = report(&server.scratch().join("before"), &identity, 1);
    let connected = async || Ok(Some(stream(&server).await?).filter(|(_, stream)| stream["connected_at"].is_string()));
    let (id, _) = eventually("the first machine is heard", PATIENCE, connected).await?;
    let after = report(&server.scratch().join("after"), &identity, 2);
    let refused = async || Ok(Some(stream(&server).await?).filter(|(_, stream)| stream["clone"].is_object()));
    eventually("the other one is refused and shown", PATIENCE, refused).await?;
    before.abort();
    after.abort();

    server.command(&["host", "accept-machine", &id.to_string()]).await?;
    let after = report(&server.scratch().join("after"), &identity, 2);
    let accepted = async || {
        let (_, stream) = stream(&server).await?;
        Ok(Some(()).filter(|()| stream["clone"].is_null() && stream["connected_at"].is_string()))
    };
    eventually("the other one speaks for the host", PATIENCE, accepted).await?;
    after.abort();
    Ok(())
}

/// An agent on the machine of this fingerprint, until it is aborted.
fn report(state_dir: &Path, identity: &Identity, fingerprint: u8) -> JoinHandle<Result<()>> {
    let (base, cap) = (Duration::from_millis(50), Duration::from_millis(500));
    let agent = Agent {
        identity: identity.clone(),
        state_dir: state_dir.to_owned(),
        fingerprint: vec![fingerprint; 32],
        pacing: Pacing { base, cap, later: cap, ..Pacing::default() },
        spool: Limits::default(),
        clock: clock::now,
    };
    tokio::spawn(async move {
        let frames = read(br#"{"schema": "portreeve.facts/1"}"#)?;
        Ok(run(agent, play(frames, 1.0, AfterLast::Stay), std::future::pending()).await?)
    })
}

/// Of the only host: its id and what is told of its stream.
async fn stream(server: &Server) -> Result<(i64, Value)> {
    let hosts = server.get("/api/v1/hosts").await?;
    let id = hosts["items"][0]["id"].as_i64().with_context(|| format!("no host: {hosts}"))?;
    Ok((id, server.get(&format!("/api/v1/hosts/{id}")).await?["stream"].clone()))
}
