//! Hosts leave: retired or moved, while their agent talks. Nothing is written under the old record afterwards, nobody
//! sees what is not theirs, and a moved agent goes on by itself.

use std::time::Duration;

use anyhow::{Context as _, Result};
use portreeve_server::alerts::egress::Egress;
use portreeve_server::alerts::{NewEndpoint, endpoint};
use portreeve_server::clock;
use portreeve_server::db::{Scope, departures as rows, installation, rejudge};
use portreeve_server::departures::{self, Fault, Moved};
use portreeve_server::people::Role;
use prost::Message as _;
use proto::fleet::v1::{Hello, Section};
use rules::finding::Severity;
use serde_json::json;
use tests::http_door::HttpDoor;
use tests::raw_agent::{RawMessage, changes, full, hello};
use tests::reporting_host::{Host, blocked, mended};
use tests::server::eventually;

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn a_retired_host_is_gone_from_everywhere_but_its_history() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let app = &host.doors.app;
    let new = NewEndpoint {
        name: "tickets".to_owned(),
        url: "http://127.0.0.1:1/".to_owned(),
        client_id: None,
        min_severity: Severity::Info,
        silence: portreeve_server::alerts::Silence::Kept,
    };
    endpoint::create(&app.db, &app.sealer, &Egress::new(&["127.0.0.0/8".parse()?])?, &new, clock::now()).await?;
    let mut agent = host.connect(&hello(1)).await?;
    agent.report(&full(1, &blocked())).await?;
    let door = HttpDoor::open(app)?;
    let viewer = door.token("viewer", Role::Viewer, None).await?;
    let operator = door.token("operator", Role::Operator, None).await?;
    let path = format!("/api/v1/hosts/{}", host.host_id);
    let post = async |name: &str, who: &str| {
        door.send("POST", &format!("{path}/{name}"), &[("authorization", who), JSON], "").await
    };
    assert_eq!(post("retire", &viewer).await?.code().as_deref(), Some("access.role-too-low"));
    assert_eq!(post("retire", &operator).await?.status, 204);
    assert_eq!(post("retire", &operator).await?.code().as_deref(), Some("host.retired"));

    let get = async |path: &str| anyhow::Ok(door.get(path, &viewer).await?.json());
    assert_eq!(get("/api/v1/hosts").await?["items"], json!([]));
    assert_eq!(get("/api/v1/hosts?state=retired").await?["items"][0]["freshness"], "retired");
    assert_eq!(get("/api/v1/overview").await?["fleet"]["total"], 0);
    let clients = get("/api/v1/clients").await?;
    assert!(clients["items"].as_array().context("clients")?.iter().all(|client| client["hosts"] == 0));
    assert_eq!(get("/api/v1/findings?state=open").await?["items"], json!([]));
    let resolved = get("/api/v1/findings?state=resolved").await?;
    assert_eq!(resolved["items"][0]["resolved_because"], "host retired");
    assert_eq!(get("/api/v1/problems?state=open").await?["items"], json!([]));
    assert_eq!(get("/api/v1/updates").await?["items"], json!([]));
    assert!(!get(&path).await?["retired_at"].is_null(), "its page stays, with a mark");
    assert!(!get(&format!("{path}/services")).await?["items"].as_array().context("services")?.is_empty());
    let told = host.texts("select body::json ->> 'type' from delivery order by created_at").await?;
    assert_eq!(told, ["finding.opened", "finding.resolved"]);
    let because =
        host.texts("select body::json -> 'data' ->> 'resolved_because' from delivery where transition = 'resolved'");
    assert_eq!(because.await?, ["host retired"]);

    // Whatever its stream says, and whoever judges again: nothing of it commits.
    assert!(agent.report(&changes(2, &blocked(), &mended())).await.is_err());
    assert!(rejudge::judged_hosts(host.db(), host.site.client_id, 0, 10).await?.is_empty());
    assert_eq!(host.timeline().await?, ["opened 1", "resolved 1"]);
    eventually("the identity is revoked", Duration::from_secs(5), async || {
        let code = host.refusal(RawMessage::default()).await;
        Ok(code.is_ok_and(|code| code == "certificate.revoked").then_some(()))
    })
    .await?;

    assert_eq!(post("bring-back", &operator).await?.status, 204);
    assert_eq!(get("/api/v1/hosts").await?["items"][0]["freshness"], "stale");
    assert_eq!(post("bring-back", &operator).await?.code().as_deref(), Some("host.not-retired"));
    Ok(())
}

#[tokio::test]
async fn a_retired_name_is_enrolled_again_as_another_host() -> Result<()> {
    let host = Host::new("SRV1").await?;
    departures::retire(&host.doors.app.store, &Scope::of(host.site.client_id), host.host_id, clock::now()).await?;
    let token = host.doors.token(host.site, 1, chrono::TimeDelta::hours(1)).await?;
    host.doors.enroll(&token, "SRV1").await?;
    assert_eq!(host.number("select count(*) from host where name = 'SRV1'").await?, 2);
    assert_eq!(host.number("select count(*) from host where name = 'SRV1' and retired_at is null").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_moved_agent_goes_on_under_a_record_of_its_new_client() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let app = &host.doors.app;
    let mut agent = host.connect(&hello(1)).await?;
    agent.report(&full(1, &blocked())).await?;
    let old_epoch = agent.welcome.epoch;
    let mut transaction = host.db().begin(&Scope::of(host.stranger)).await?;
    let site: i64 = sqlx::query_scalar("select site_id from site").fetch_one(&mut *transaction).await?;
    drop(transaction);
    let both = Scope(vec![host.site.client_id, host.stranger]);
    let to = (host.stranger, site);
    let elsewhere = departures::move_to(&app.store, &Scope::of(host.stranger), host.host_id, to, clock::now()).await;
    assert!(matches!(elsewhere, Err(Fault::NoSuchHost)), "who does not see a host cannot take it");
    let moved = departures::move_to(&app.store, &both, host.host_id, to, clock::now()).await?;
    let Moved::Client { client_id, host_id } = moved else { panic!("another client") };
    assert_eq!(client_id, host.stranger);
    assert!(matches!(
        departures::move_to(&app.store, &both, host.host_id, to, clock::now()).await,
        Err(Fault::HasMoved)
    ));

    // The old stream commits nothing, neither here nor there.
    assert!(agent.report(&changes(2, &blocked(), &mended())).await.is_err());
    assert_eq!(host.timeline().await?, ["opened 1", "resolved 1"]);
    assert_eq!(host.count_as(host.stranger, "finding").await?, 0);

    // The agent comes back with the state that it has, is told to begin anew, and sends everything.
    let before = Hello { epoch: old_epoch, ..hello(1) };
    assert_eq!(
        host.refusal(RawMessage { hello: Some(before.encode_to_vec()), ..RawMessage::default() }).await?,
        "agent.restored"
    );
    let digests = proto::wire::digests_to_wire(&proto::digests(&proto::wire::canonical(&blocked())));
    let mut agent = host.connect(&Hello { digests, ..hello(2) }).await?;
    assert!(
        agent.welcome.send_full().any(|section| section == Section::Sockets),
        "nothing is held under the new record"
    );
    agent.report(&full(1, &blocked())).await?;
    assert_eq!(host.count_as(host.stranger, "finding").await?, 1);
    assert_eq!(host.number("select count(*) from finding where state = 'open'").await?, 0);

    // Each side sees its own record, and a link only where the other is theirs too.
    let door = HttpDoor::open(app)?;
    let theirs = door.token("theirs", Role::Admin, Some(&[host.stranger])).await?;
    let ours = door.token("ours", Role::Viewer, Some(&[host.site.client_id])).await?;
    let all = door.token("all", Role::Viewer, None).await?;
    let (old, new) = (format!("/api/v1/hosts/{}", host.host_id), format!("/api/v1/hosts/{host_id}"));
    assert_eq!(door.get(&old, &theirs).await?.status, 404);
    assert_eq!(door.get(&new, &ours).await?.status, 404);
    assert!(door.get(&old, &ours).await?.json()["moved_to"].is_null());
    assert!(door.get(&new, &theirs).await?.json()["moved_from"].is_null());
    assert_eq!(door.get(&old, &all).await?.json()["moved_to"]["host_id"], host_id);
    assert_eq!(door.get(&new, &all).await?.json()["moved_from"]["host_id"], host.host_id);
    let headers = [("authorization", theirs.as_str()), JSON];
    let body = json!({ "site": host.site.site_id }).to_string();
    let answer = door.send("POST", &format!("{new}/move"), &headers, &body).await?;
    assert_eq!(answer.status, 404, "a site of a client that one does not see");
    Ok(())
}

#[tokio::test]
async fn a_move_within_a_client_is_the_same_host() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let scope = Scope::of(host.site.client_id);
    let branch = installation::insert_site(host.db(), host.site.client_id, "Branch", clock::now()).await?;
    let to = (host.site.client_id, branch.context("a new site")?);
    let mut agent = host.connect(&hello(1)).await?;
    let moved = departures::move_to(&host.doors.app.store, &scope, host.host_id, to, clock::now()).await?;
    assert_eq!(moved, Moved::Site);
    agent.report(&full(1, &blocked())).await?;
    assert_eq!(host.number("select site_id from host").await?, to.1);
    assert!(rows::lately(host.db(), clock::now()).await?.is_empty());
    Ok(())
}
