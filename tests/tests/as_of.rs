//! The past at the door of the API: what was true of a host at a moment, what changed between two, and who held a port.

use anyhow::Result;
use portreeve_server::people::Role;
use serde_json::{Value, json};
use tests::doors::Doors;
use tests::http_door::HttpDoor;

struct Seeded {
    _doors: Doors,
    http: HttpDoor,
    token: String,
}

impl Seeded {
    /// Client 1 with host 11, and client 2, of which the token sees nothing.
    async fn open() -> Result<Self> {
        let doors = Doors::open().await?;
        let mut superuser = doors.database.superuser().await?;
        sqlx::raw_sql(include_str!("../seeds/two_clients.sql")).execute(&mut superuser).await?;
        sqlx::raw_sql(include_str!("../seeds/past.sql")).execute(&mut superuser).await?;
        let http = HttpDoor::open(&doors.app)?;
        let token = http.token("ada", Role::Viewer, Some(&[1])).await?;
        Ok(Self { _doors: doors, http, token })
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let answer = self.http.get(&format!("/api/v1/{path}"), &self.token).await?;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert!(!answer.body.contains("quagga"), "{path} leaks: {}", answer.body);
        Ok(answer.json())
    }

    /// Who had udp/1812 at a time of the Sunday.
    async fn holder(&self, time: &str) -> Result<Value> {
        let ports = self.get(&format!("hosts/11/ports?at=2026-11-01T{time}Z")).await?;
        Ok(ports["items"][0]["process"].clone())
    }
}

#[tokio::test]
async fn a_port_has_the_holder_that_it_had_then() -> Result<()> {
    let seeded = Seeded::open().await?;
    assert_eq!(seeded.holder("02:00:00").await?, "svchost.exe");
    assert_eq!(seeded.holder("02:59:59").await?, "svchost.exe");
    assert_eq!(seeded.holder("03:00:00").await?, Value::Null);
    assert_eq!(seeded.holder("03:10:00").await?, "dns.exe");
    assert_eq!(seeded.holder("12:00:00").await?, "dns.exe");
    Ok(())
}

#[tokio::test]
async fn what_was_unknown_then_is_unknown_still() -> Result<()> {
    let seeded = Seeded::open().await?;
    let before = seeded.get("hosts/11/services?at=2026-11-01T01:59:59Z").await?;
    assert_eq!((&before["services"]["state"], &before["items"]), (&json!("unknown"), &json!([])));
    assert_eq!(before["services"]["reason"], "not reported yet");
    let denied = seeded.get("hosts/11/ports?at=2026-11-01T04:30:00Z").await?;
    assert_eq!(denied["sockets"]["reason"], "access denied");
    assert_eq!(denied["items"][0]["process"], "dns.exe", "what was known last is shown");
    let read = seeded.get("hosts/11/ports?at=2026-11-01T05:00:00Z").await?;
    assert_eq!(read["sockets"]["state"], "known");
    Ok(())
}

#[tokio::test]
async fn an_answer_says_whether_the_host_was_heard_of() -> Result<()> {
    let seeded = Seeded::open().await?;
    let silent = seeded.get("hosts/11/updates?at=2026-11-01T06:30:00Z").await?;
    assert_eq!(silent["as_of"]["silence"], json!({ "since": "2026-11-01T06:00:00Z", "until": "2026-11-01T07:00:00Z" }));
    let heard = seeded.get("hosts/11/updates?at=2026-11-01T07:00:00Z").await?;
    assert_eq!(heard["as_of"], json!({ "at": "2026-11-01T07:00:00Z", "silence": null }));
    assert_eq!(seeded.get("hosts/11/updates").await?["as_of"], Value::Null);
    Ok(())
}

#[tokio::test]
async fn services_updates_and_facts_are_those_of_then() -> Result<()> {
    let seeded = Seeded::open().await?;
    let services = seeded.get("hosts/11/services?at=2026-11-01T02:30:00Z").await?;
    assert_eq!((&services["items"][0]["state"], &services["items"][0]["pid"]), (&json!("running"), &json!(900)));
    let need = services["items"][0]["needs"].as_array().into_iter().flatten().find(|need| need["port"] == "udp/1812");
    assert_eq!(need.map(|need| &need["holder"]["kind"]), Some(&json!("self")));
    let updates = |at: &'static str| seeded.get(at);
    assert_eq!(updates("hosts/11/updates?at=2026-11-01T02:20:00Z").await?["items"][0]["state"], "staged");
    assert_eq!(updates("hosts/11/updates?at=2026-11-01T02:30:00Z").await?["items"][0]["state"], "installed");
    assert_eq!(updates("hosts/11/updates?at=2026-11-01T02:09:59Z").await?["items"], json!([]));
    let facts = seeded.get("hosts/11/facts?at=2026-11-01T03:04:59Z").await?;
    assert_eq!(facts["host"]["os_name"], "the system of before");
    assert_eq!(seeded.get("hosts/11/facts").await?["host"]["os_name"], "Windows Server 2008 R2");
    Ok(())
}

#[tokio::test]
async fn two_moments_differ_by_who_took_over() -> Result<()> {
    let seeded = Seeded::open().await?;
    let changes = seeded.get("hosts/11/changes?from=2026-11-01T02:20:00Z&to=2026-11-01T03:30:00Z").await?;
    let taken = &changes["sockets"]["value"]["taken_over"][0];
    assert_eq!(
        [&taken["port"], &taken["before"][0]["process"], &taken["after"][0]["process"]],
        ["udp/1812", "svchost.exe", "dns.exe"]
    );
    let ias = &changes["services"]["value"]["changed"][0];
    assert_eq!((&ias["service"]["name"], &ias["service"]["state"]), (&json!("IAS"), &json!("stopped")));
    assert!(ias["members"].as_array().is_some_and(|members| {
        members.contains(&json!({ "member": "exit_code", "before": "0", "after": "10048" }))
    }));
    assert_eq!(changes["updates"]["value"][0]["after"], "installed");
    assert!(changes["port_policy"]["unknown"].as_str().is_some_and(|reason| reason.contains("access denied DC2")));
    assert!(changes["host"]["value"].to_string().contains("the system of before"));
    let unknown = seeded.get("hosts/11/changes?from=2026-11-01T04:30:00Z&to=2026-11-01T05:30:00Z").await?;
    assert_eq!(unknown["sockets"], json!({ "value": null, "unknown": "not known before: access denied" }));
    let around = seeded.get("hosts/11/changes?around=kb948601").await?;
    assert_eq!(around["from"]["at"], "2026-11-01T02:29:59.999Z");
    assert_eq!(around["to"]["at"], "2026-11-02T02:30:00Z");
    Ok(())
}

#[tokio::test]
async fn the_history_of_a_port_says_how_it_is_known() -> Result<()> {
    let seeded = Seeded::open().await?;
    let history = seeded.get("hosts/11/ports/udp/1812/history").await?;
    let held = history["held"]["items"].as_array().cloned().unwrap_or_default();
    let told: Vec<_> = held.iter().map(|one| [&one["process"], &one["basis"], &one["since"], &one["until"]]).collect();
    assert_eq!(
        json!(told),
        json!([
            ["dns.exe", "bind_time", "2026-11-01T03:09:30Z", null],
            ["svchost.exe", "seen", "2026-11-01T02:00:00Z", "2026-11-01T03:00:00Z"],
        ])
    );
    assert_eq!(history["boots"][0]["holder"]["process"], "dns.exe");
    let first = seeded.get("hosts/11/ports/udp/1812/history?limit=1").await?;
    let cursor = first["held"]["next_cursor"].as_str().unwrap_or_default().to_owned();
    let second = seeded.get(&format!("hosts/11/ports/udp/1812/history?limit=1&cursor={cursor}")).await?;
    assert_eq!(second["held"]["items"], json!([held[1]]));
    assert_eq!(second["held"]["next_cursor"], Value::Null);
    let then = seeded.get("hosts/11/ports/udp/1812/history?at=2026-11-01T02:30:00Z").await?;
    assert_eq!(then["held"]["items"], json!([held[1]]));
    Ok(())
}

#[tokio::test]
async fn a_port_is_found_on_every_host_that_one_may_see() -> Result<()> {
    let seeded = Seeded::open().await?;
    let now = seeded.get("ports/udp/1812").await?;
    assert_eq!(now["hosts"]["items"][0]["holders"][0]["process"], "dns.exe");
    assert_eq!(now["hosts"]["items"].as_array().map(Vec::len), Some(1));
    let then = seeded.get("ports/udp/1812?at=2026-11-01T02:30:00Z").await?;
    assert_eq!(then["hosts"]["items"][0]["holders"][0]["services"], json!(["IAS"]));
    assert_eq!(then["unknown_hosts"], 0);
    let between = seeded.get("ports/udp/1812?at=2026-11-01T03:05:00Z").await?;
    assert_eq!(between["hosts"]["items"], json!([]));
    let denied = seeded.get("ports/udp/1812?at=2026-11-01T04:30:00Z").await?;
    assert_eq!(
        (&denied["hosts"]["items"][0]["unknown"], &denied["unknown_hosts"]),
        (&json!("access denied"), &json!(1))
    );
    let silent = seeded.get("ports/udp/1812?at=2026-11-01T06:30:00Z").await?;
    assert_eq!(silent["hosts"]["items"][0]["silent_since"], "2026-11-01T06:00:00Z");
    let early = seeded.get("ports/udp/1812?at=2026-11-01T01:00:00Z").await?;
    assert_eq!((&early["hosts"]["items"], &early["unknown_hosts"]), (&json!([]), &json!(1)));
    Ok(())
}

#[tokio::test]
async fn services_and_updates_have_lives_and_changes_have_neighbours() -> Result<()> {
    let seeded = Seeded::open().await?;
    let life = seeded.get("hosts/11/services/ias/history").await?;
    let told: Vec<_> =
        life["items"].as_array().into_iter().flatten().map(|one| (&one["state"], &one["until"])).collect();
    assert_eq!(json!(told), json!([["stopped", null], ["running", "2026-11-01T03:00:00Z"]]));
    let update = seeded.get("updates/KB948601/history").await?;
    assert_eq!(update["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(update["items"][0]["listed_from"], "2026-11-01T02:10:00Z");
    assert_eq!(update["items"][0]["installed_from"], "2026-11-01T02:30:00Z");
    assert_eq!((&update["items"][0]["older"], &update["items"][0]["installed_until"]), (&json!(false), &Value::Null));
    let steps = seeded.get("hosts/11/steps?at=2026-11-01T02:45:00Z").await?;
    assert_eq!((&steps["previous"], &steps["next"]), (&json!("2026-11-01T02:30:00Z"), &json!("2026-11-01T03:00:00Z")));
    Ok(())
}
