//! A backup taken under load, a restore over a server that went on, and what everybody sees then: the tables come to the
//! truth again, the gap is visible, and no webhook goes out before somebody says so.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::agent::Agent;
use tests::receiver::{Answer, Receiver};
use tests::server::{Server, eventually};
use tests::truth::{Life, database, reach, stored};

const LIFE: Life = Life { steps: 63, step_ms: 150 };

fn ids(receiver: &Receiver) -> BTreeSet<String> {
    receiver.received().iter().map(|one| one.id().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_server_comes_to_the_truth_and_sends_nothing_unasked() -> Result<()> {
    let mut server = Server::start().await?;
    server.sign_up().await?;
    let receiver = Receiver::answering([Answer::Status(204)]).await?;
    server.command(&["endpoint", "create", "--name", "tickets", "--url", &receiver.url()]).await?;
    let token = server.new_site("Contoso", 1).await?;
    let mut agent = Agent::enroll(&server, "agent", &token).await?;
    let facts = server.scratch().join("life.jsonl");
    std::fs::write(&facts, LIFE.lines())?;
    agent.replay(&facts)?;

    reach(&server, 9).await?;
    let folder = server.scratch().join("backup");
    let folder = folder.to_str().context("a path of this test")?;
    assert_eq!(server.command(&["backup", folder]).await?, folder);
    let again = server.command_with_input(&["backup", folder], "").await?;
    ensure!(!again.status.success(), "a backup was written over");
    reach(&server, 40).await?;
    server.stop().await?;
    let before = receiver.received().len();
    let told = ids(&receiver);

    let refused = server.command_with_input(&["restore", folder], "").await?;
    ensure!(refused.status.code() == Some(4), "what is there was given away: {refused:?}");
    server.command(&["restore", "--check", folder]).await?;
    server.command(&["restore", "--replace", folder]).await?;
    let damaged = server.scratch().join("damaged");
    std::fs::create_dir(&damaged)?;
    for name in ["manifest.json", "database.dump"] {
        std::fs::copy(format!("{folder}/{name}"), damaged.join(name))?;
    }
    std::fs::write(damaged.join("database.dump"), b"PGDMP")?;
    let damaged = damaged.to_str().context("a path of this test")?;
    let refused = server.command_with_input(&["restore", "--replace", damaged], "").await?;
    ensure!(refused.status.code() == Some(65), "a damaged backup was taken: {refused:?}");

    server.run().await?;
    let truth = LIFE.truth()?;
    eventually("the tables hold the last moment", Duration::from_mins(3), async || {
        Ok((stored(&database(&server).await?).await? == truth).then_some(()))
    })
    .await?;
    let hosts = server.get("/api/v1/hosts").await?;
    let host = server.get(&format!("/api/v1/hosts/{}", hosts["items"][0]["id"])).await?;
    let stream = &host["stream"];
    ensure!(!stream["backup_at"].is_null() && !stream["backup_heard_at"].is_null(), "the gap is not told: {stream}");
    ensure!(stream["restored_at"].is_null() && stream["fork_seen_at"].is_null(), "the host is blamed: {stream}");
    ensure!(stream["quarantined"] == 0, "reports were set aside: {stream}");

    // Nothing goes out until somebody says so.
    let pool = database(&server).await?;
    let pending = "select count(*) from delivery where state = 'pending'";
    eventually("the life after the backup owes webhooks", Duration::from_mins(1), async || {
        let pending: i64 = sqlx::query_scalar(pending).fetch_one(&pool).await?;
        Ok((pending > 0).then_some(()))
    })
    .await?;
    assert_eq!(receiver.received().len(), before, "held means held");
    ensure!(!server.get("/api/v1/overview").await?["deliveries_held"].is_null(), "nobody would know");
    server.command(&["deliveries", "release"]).await?;
    eventually("what is owed arrives", Duration::from_mins(1), async || {
        let pending: i64 = sqlx::query_scalar(pending).fetch_one(&pool).await?;
        Ok((pending == 0).then_some(()))
    })
    .await?;
    assert_eq!(server.get("/api/v1/overview").await?["deliveries_held"], Value::Null);
    let attempts: i32 = sqlx::query_scalar("select max(attempts) from delivery").fetch_one(&pool).await?;
    ensure!(attempts == 1, "a delivery was sent {attempts} times");
    // What was told before the restore and is told again has the id that its receiver knows.
    let after: Vec<String> = receiver.received()[before..].iter().map(|one| one.id().to_owned()).collect();
    ensure!(
        after.iter().collect::<BTreeSet<_>>().len() == after.len(),
        "an id came twice after the restore: {after:?}"
    );
    ensure!(after.iter().any(|id| told.contains(id)), "what was told again has another id: {after:?} of {told:?}");
    let nothing = server.command_with_input(&["deliveries", "release"], "").await?;
    ensure!(nothing.status.code() == Some(3), "nothing is held any more: {nothing:?}");
    agent.kill().await
}

/// On another machine: no installation, no key.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_needs_its_key_wherever_it_is_restored() -> Result<()> {
    let mut server = Server::start().await?;
    server.sign_up().await?;
    let without = server.scratch().join("without");
    let with = server.scratch().join("with");
    let path = |folder: &std::path::Path| folder.to_string_lossy().into_owned();
    server.command(&["backup", &path(&without)]).await?;
    server.command(&["backup", "--with-key", &path(&with)]).await?;
    ensure!(!without.join("master.key").exists(), "the key lies in a backup that nobody asked it into");
    let elsewhere = path(&server.scratch().join("elsewhere"));
    let restore = async |folder: &std::path::Path| {
        server.command_with_input(&["--data-dir", &elsewhere, "restore", &path(folder)], "").await
    };
    let refused = restore(&without).await?;
    ensure!(refused.status.code() == Some(3), "restored without its key: {refused:?}");
    let restored = restore(&with).await?;
    ensure!(restored.status.success(), "{restored:?}");
    let examined = server.command_with_input(&["--data-dir", &elsewhere, "doctor", "--json"], "").await?;
    let text = String::from_utf8(examined.stdout)?;
    let verdicts: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let state =
        |what: &str| verdicts.iter().find(|verdict| verdict["what"] == what).map(|verdict| verdict["state"].clone());
    assert_eq!(state("authority"), Some("fine".into()), "{text}");
    assert_eq!(state("deliveries-held"), Some("look".into()), "{text}");
    assert_eq!(state("migrations"), Some("fine".into()), "{text}");
    Ok(())
}
