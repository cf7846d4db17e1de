//! A host that is not heard of: its findings are neither current nor over, who asks for it is told once, and how long it
//! was is kept.

use anyhow::Result;
use chrono::TimeDelta;
use portreeve_server::alerts::egress::Egress;
use portreeve_server::alerts::{NewEndpoint, Silence, endpoint};
use portreeve_server::people::Role;
use portreeve_server::{clock, silence};
use rules::finding::Severity;
use serde_json::{Value, json};
use tests::doors::DASHBOARD;
use tests::http_door::HttpDoor;
use tests::raw_agent::{full, hello};
use tests::reporting_host::{Host, blocked};

async fn endpoint_that(host: &Host, name: &str, silence: Silence) -> Result<()> {
    let url = "http://127.0.0.1:1/".to_owned();
    let new = NewEndpoint { name: name.to_owned(), url, client_id: None, min_severity: Severity::Info, silence };
    let app = &host.doors.app;
    endpoint::create(&app.db, &app.sealer, &Egress::new(&["127.0.0.0/8".parse()?])?, &new, clock::now()).await?;
    Ok(())
}

async fn tell(host: &Host, listening_for: TimeDelta) -> Result<u64> {
    let (app, now) = (&host.doors.app, clock::now());
    Ok(silence::tell(&app.db, &app.bus, DASHBOARD, now - listening_for, now).await?)
}

#[tokio::test]
async fn a_silent_host_is_told_and_its_findings_are_stale() -> Result<()> {
    let host = Host::new("SRV1").await?;
    endpoint_that(&host, "asks", Silence::Told).await?;
    endpoint_that(&host, "does not ask", Silence::Kept).await?;
    let mut agent = host.connect(&hello(1)).await?;
    agent.report(&full(1, &blocked())).await?;
    let door = HttpDoor::open(&host.doors.app)?;
    let viewer = door.token("viewer", Role::Viewer, None).await?;
    let get = async |path: &str| anyhow::Ok(door.get(path, &viewer).await?.json());

    assert_eq!(tell(&host, TimeDelta::hours(1)).await?, 0, "it was heard of just now");
    assert_eq!(get("/api/v1/findings").await?["items"][0]["not_heard_since"], Value::Null);
    assert_eq!(get("/api/v1/findings?stale=true").await?["items"], json!([]));
    assert_eq!(get("/api/v1/overview").await?["services_down"]["findings"], 1);

    drop(agent);
    host.meddle(
        "update agent_stream set connected_at = null, last_seen_at = now() - interval '20 minutes';
         update endpoint set created_at = now() - interval '1 day'",
    )
    .await?;
    let listed = get("/api/v1/findings?stale=true").await?;
    assert!(listed["items"][0]["not_heard_since"].is_string(), "{listed}");
    assert_eq!(listed["items"][0]["state"], "open", "nobody says that it is over");
    assert_eq!(get("/api/v1/findings?stale=false").await?["items"], json!([]));
    let overview = get("/api/v1/overview").await?;
    assert_eq!(
        (&overview["services_down"]["findings"], &overview["stale_findings"]["findings"]),
        (&json!(0), &json!(1))
    );

    assert_eq!(tell(&host, TimeDelta::minutes(5)).await?, 0, "a server that just started could not hear it");
    assert_eq!(tell(&host, TimeDelta::hours(1)).await?, 1);
    assert_eq!(tell(&host, TimeDelta::hours(1)).await?, 0, "once is enough");

    host.connect(&hello(1)).await?;
    assert_eq!(
        host.number("select count(*) from host_silence where until_at - from_at > interval '19 minutes'").await?,
        1
    );
    assert_eq!(tell(&host, TimeDelta::minutes(5)).await?, 1, "it is heard of again");
    assert_eq!(tell(&host, TimeDelta::hours(1)).await?, 0);
    let told = host.texts("select body::json ->> 'type' from delivery where host_id is not null order by created_at");
    assert_eq!(told.await?, ["host.silent", "host.heard"]);
    let keys =
        host.texts("select distinct body::json -> 'data' ->> 'dedup_key' from delivery where host_id is not null");
    assert_eq!(keys.await?.len(), 1, "one silence, one ticket");
    let items = get("/api/v1/deliveries").await?;
    assert!(items["items"].to_string().contains("\"transition\":\"heard\""), "{items}");
    Ok(())
}
