//! One identity on two machines: cloned, restored from a snapshot, taking turns. Over the real door.

use anyhow::Result;
use portreeve_server::db::{Scope, stream};
use prost::Message as _;
use proto::fleet::v1::{Hello, Outcome};
use tests::raw_agent::{RawMessage, full, hello};
use tests::reporting_host::{Host, blocked, mended};

fn machine(stream: u128, epoch: u64, fingerprint: u8) -> Hello {
    Hello { epoch, fingerprint: vec![fingerprint; 32], ..hello(stream) }
}

fn first_words(hello: &Hello) -> RawMessage {
    RawMessage { hello: Some(hello.encode_to_vec()), ..RawMessage::default() }
}

async fn accept(host: &Host) -> Result<()> {
    let scope = Scope::of(host.site.client_id);
    assert!(stream::accept_machine(host.db(), &scope, host.host_id).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn a_clone_is_refused_and_the_first_machine_goes_on_undisturbed() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let mut first = host.connect(&machine(1, 0, 1)).await?;
    assert_eq!(first.report(&full(1, &blocked())).await?, Outcome::Applied);
    for clone in [machine(1, 0, 2), machine(1, first.welcome.epoch, 2), machine(2, 0, 2)] {
        assert_eq!(host.refusal(first_words(&clone)).await?, "agent.cloned");
    }
    assert_eq!(first.report(&full(2, &mended())).await?, Outcome::Applied, "its stream was not cut");
    let marks = "select encode(clone_fingerprint, 'hex') || ' ' || host(clone_address) from agent_stream \
                 where clone_seen_at is not null and fork_seen_at is null and restored_at is null";
    assert_eq!(host.texts(marks).await?, [format!("{} 127.0.0.1", "02".repeat(32))]);
    assert_eq!(host.cursor().await?, (2, 0));
    Ok(())
}

#[tokio::test]
async fn an_agent_that_does_not_know_its_machine_is_not_another_one() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let first = host.connect(&machine(1, 0, 1)).await?;
    let again = host.connect(&Hello { epoch: first.welcome.epoch, ..hello(1) }).await?;
    assert_eq!(host.refusal(first_words(&machine(1, again.welcome.epoch, 2))).await?, "agent.cloned");
    Ok(())
}

#[tokio::test]
async fn a_restored_snapshot_begins_anew_and_is_marked() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let first = host.connect(&machine(1, 0, 1)).await?;
    let second = host.connect(&machine(1, first.welcome.epoch, 1)).await?;
    let mut third = host.connect(&machine(1, second.welcome.epoch, 1)).await?;
    assert_eq!(third.report(&full(1, &blocked())).await?, Outcome::Applied);
    drop(third);
    assert_eq!(host.refusal(first_words(&machine(1, first.welcome.epoch, 1))).await?, "agent.restored");
    assert_eq!(host.cursor().await?, (1, 0), "nothing of it was taken");
    let mut anew = host.connect(&machine(2, 0, 1)).await?;
    assert_eq!(anew.welcome.committed_seq, 0);
    assert_eq!(anew.report(&full(1, &mended())).await?, Outcome::Applied);
    assert_eq!(host.number("select count(*) from agent_stream where restored_at is not null").await?, 1);
    Ok(())
}

#[tokio::test]
async fn two_machines_that_take_turns_are_told_apart_by_a_person() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let first = host.connect(&machine(1, 0, 1)).await?;
    let copied = host.connect(&machine(1, first.welcome.epoch, 1)).await?;
    let later = host.connect(&machine(1, copied.welcome.epoch, 1)).await?;
    // The copy comes with what was true when it was made, and begins anew; then the first machine has an older state.
    let copy = machine(1, first.welcome.epoch, 1);
    assert_eq!(host.refusal(first_words(&copy)).await?, "agent.restored");
    let mut copy = host.connect(&machine(2, 0, 1)).await?;
    let first = first_words(&machine(1, later.welcome.epoch, 1));
    for _ in 0..2 {
        assert_eq!(host.refusal(first.clone()).await?, "agent.forked");
    }
    assert_eq!(copy.report(&full(1, &blocked())).await?, Outcome::Applied, "who is refused disturbs nobody");
    assert_eq!(host.number("select count(*) from agent_stream where fork_seen_at is not null").await?, 1);
    accept(&host).await?;
    assert_eq!(host.refusal(first).await?, "agent.restored");
    host.connect(&machine(3, 0, 1)).await?;
    Ok(())
}

#[tokio::test]
async fn hardware_that_was_replaced_is_accepted_by_a_person() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let first = host.connect(&machine(1, 0, 1)).await?;
    let replaced = machine(1, first.welcome.epoch, 2);
    assert_eq!(host.refusal(first_words(&replaced)).await?, "agent.cloned");
    accept(&host).await?;
    let there = host.connect(&replaced).await?;
    assert_eq!(host.number("select count(*) from agent_stream where clone_seen_at is null").await?, 1);
    assert_eq!(host.refusal(first_words(&machine(1, there.welcome.epoch, 1))).await?, "agent.cloned");
    assert!(stream::accept_machine(host.db(), &Scope::of(host.stranger), host.host_id).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_state_of_another_identity_is_not_joined_to_a_new_host() -> Result<()> {
    let host = Host::new("SRV1").await?;
    assert_eq!(host.refusal(first_words(&machine(1, 9, 1))).await?, "agent.restored");
    assert_eq!(host.count("agent_stream").await?, 0);
    Ok(())
}
