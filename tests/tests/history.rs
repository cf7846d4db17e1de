//! What is remembered of a host, through the real stream: ports that a service held in earlier boots are its own when
//! something else has them, and a service that fails is told with what changed since it last ran.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use portreeve_server::db::{Scope, history};
use portreeve_server::people::Role;
use portreeve_server::{clock, learned_ports};
use proto::wire::Report;
use rules::facts::Facts;
use serde_json::{Value, json};
use tests::http_door::HttpDoor;
use tests::raw_agent::{RawAgent, changes, full, hello};
use tests::reporting_host::Host;

const ERP: &str = r"C:\Erp\erp.exe";
const OTHER: &str = r"C:\Other\other.exe";

fn at(boot: i64, minute: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_772_420_472, 0).expect("a time") + TimeDelta::weeks(boot) + TimeDelta::minutes(minute)
}

/// A server half an hour after its boot. Nothing in the catalog knows `ErpServer` or tcp/8123.
fn document(boot: i64) -> Value {
    json!({
        "schema": "portreeve.facts/1",
        "collected_at": at(boot, 30),
        "host": { "known": {
            "name": "ERP1", "os": { "name": "Windows Server 2022", "major": 10, "minor": 0, "build": 20348, "revision": 1970 },
            "booted_at": at(boot, 0), "boot_id": format!("boot {boot}"), "products": { "known": [] }, "roles": { "known": [] },
        } },
        "sockets": { "known": [socket(ERP, "ErpServer", 40, boot)] },
        "services": { "known": [
            { "name": "ErpServer", "state": "running", "start": "auto", "exit_code": 0, "pid": 40, "account": "LocalSystem", "image_path": ERP, "state_since": at(boot, 1) },
            { "name": "Other", "state": "running", "start": "auto", "exit_code": 0, "pid": 50, "image_path": OTHER, "state_since": at(boot, 1) },
        ] },
        "updates": { "known": [update("KB5030216", at(1, -600))] },
        "port_policy": { "known": {
            "dynamic_ranges": { "known": [{ "protocol": "tcp", "family": "ipv4", "range": "49152-65535" }] },
            "exclusions": { "known": [] }, "max_user_port": { "known": null },
        } },
        "events": { "known": [] },
        "connections": { "known": {} },
    })
}

fn socket(image: &str, service: &str, pid: u32, boot: i64) -> Value {
    json!({
        "protocol": "tcp", "address": "0.0.0.0", "port": 8123, "state": "listen", "pid": pid, "image": image,
        "services": [service], "bound_at": at(boot, 1),
    })
}

fn update(kb: &str, installed_at: DateTime<Utc>) -> Value {
    json!({
        "source": "component_package", "id": format!("Package_for_{kb}~31bf3856ad364e35~amd64~~1.0"), "kb": kb,
        "state": "installed", "installed_at": installed_at,
    })
}

fn failed(document: &mut Value, exit_code: u32, boot: i64) {
    let service = &mut document["services"]["known"][0];
    service["state"] = json!("stopped");
    service["exit_code"] = json!(exit_code);
    service["state_since"] = json!(at(boot, 2));
    service.as_object_mut().expect("a service").remove("pid");
}

fn facts(document: Value) -> Facts {
    serde_json::from_value(document).expect("facts")
}

/// Other was first in this boot.
fn lost(boot: i64) -> Facts {
    let mut document = document(boot);
    document["sockets"]["known"] = json!([socket(OTHER, "Other", 50, boot)]);
    failed(&mut document, 10048, boot);
    facts(document)
}

/// It has its port to itself and fails, after an update and with another account.
fn broken(boot: i64) -> Facts {
    let mut document = document(boot);
    document["sockets"]["known"] = json!([]);
    failed(&mut document, 1067, boot);
    document["services"]["known"][0]["account"] = json!(r"EXAMPLE\erp");
    document["updates"]["known"].as_array_mut().expect("a list").push(update("KB5999999", at(boot, -20)));
    document["host"]["known"]["os"]["revision"] = json!(2031);
    facts(document)
}

async fn tell(agent: &mut RawAgent, seq: u64, before: Option<&Facts>, after: &Facts) -> Result<()> {
    let told = before.map_or_else(|| full(seq, after), |before| changes(seq, before, after));
    agent.report(&Report { wall_clock: after.collected_at, ..told }).await?;
    Ok(())
}

/// Three boots in which it ran.
async fn three_boots(host: &Host) -> Result<(RawAgent, Facts)> {
    let mut agent = host.connect(&hello(1)).await?;
    let mut before = None;
    for boot in 1..=3 {
        let now = facts(document(boot));
        tell(&mut agent, u64::try_from(boot)?, before.as_ref(), &now).await?;
        before = Some(now);
    }
    Ok((agent, before.expect("three boots")))
}

async fn open(host: &Host) -> Result<Vec<String>> {
    host.texts("select concat_ws(' ', rule, subject->>'service', subject->>'port') from finding where state = 'open' order by 1").await
}

#[tokio::test]
async fn a_port_held_boot_after_boot_is_the_services_own() -> Result<()> {
    let host = Host::new("ERP1").await?;
    let (mut agent, third) = three_boots(&host).await?;
    let fourth = lost(4);
    tell(&mut agent, 4, Some(&third), &fourth).await?;
    assert_eq!(open(&host).await?, ["port-conflict/blocked ErpServer tcp/8123"]);

    let door = HttpDoor::open(&host.doors.app)?;
    let token = door.token("viewer", Role::Viewer, None).await?;
    let answer = door.get(&format!("/api/v1/hosts/{}/services", host.host_id), &token).await?.json();
    let service = &answer["items"][0];
    assert_eq!(service["name"], "ErpServer");
    assert_eq!(service["needs"][0]["port"], "tcp/8123");
    assert_eq!(service["needs"][0]["learned"], json!({ "from": "boots", "held": 3, "of": 3 }));
    assert_eq!(service["needs"][0]["holder"]["process"], "other.exe");

    // A stream that begins anew remembers the same.
    drop(agent);
    let mut agent = host.connect(&hello(1)).await?;
    tell(&mut agent, 5, None, &fourth).await?;
    assert_eq!(open(&host).await?, ["port-conflict/blocked ErpServer tcp/8123"]);
    Ok(())
}

#[tokio::test]
async fn what_changed_since_it_last_ran_is_told() -> Result<()> {
    let host = Host::new("ERP1").await?;
    let (mut agent, third) = three_boots(&host).await?;
    tell(&mut agent, 4, Some(&third), &broken(4)).await?;
    assert_eq!(open(&host).await?, ["service/failed ErpServer"]);
    let changed = host
        .texts("select each->>'text' from finding, jsonb_array_elements(evidence) as each where each->>'source' = 'changed since it last ran'")
        .await?;
    assert_eq!(
        changed,
        [
            r#"KB5999999 was installed ("Package_for_KB5999999~31bf3856ad364e35~amd64~~1.0")"#,
            "Windows is 10.0.20348.2031 (before: 10.0.20348.1970)",
            r"the account of the service is EXAMPLE\erp (before: LocalSystem)",
        ]
    );

    // It runs again: nothing is left to tell.
    let mended = facts(document(5));
    tell(&mut agent, 5, Some(&broken(4)), &mended).await?;
    assert_eq!(open(&host).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn what_ran_well_is_noted_once_and_by_client() -> Result<()> {
    let host = Host::new("ERP1").await?;
    let (mut agent, third) = three_boots(&host).await?;
    let rows = "select name || ' ' || boot || ' ' || array_to_string(ports, ',') || ' ' || noted_at from service_good order by 1";
    let noted = host.texts(rows).await?;
    assert_eq!(noted.len(), 2, "{noted:?}");
    assert!(noted[0].starts_with("ErpServer 3 tcp/8123 "), "{noted:?}");
    assert_eq!(host.number("select count(*) from service_setting").await?, 1);

    // The same, later and on another stream.
    let mut later = third.clone();
    later.collected_at = Some(at(3, 45));
    tell(&mut agent, 4, Some(&third), &later).await?;
    drop(agent);
    let mut agent = host.connect(&hello(1)).await?;
    tell(&mut agent, 5, None, &later).await?;
    assert_eq!(host.texts(rows).await?, noted);
    Ok(())
}

/// When `ErpServer` last ran, as one remembers it who reads in this boot.
async fn last_ran(host: &Host, boot: &str) -> Result<String> {
    let client_id = host.site.client_id;
    let mut transaction = host.db().begin(&Scope::of(client_id)).await?;
    let remembered = history::remembered(&mut transaction, (client_id, host.host_id), Some(boot)).await?;
    let ran = &remembered.get("erpserver").expect("it ran well").ran;
    Ok(ran.at.expect("a time").format("%F %T").to_string())
}

#[tokio::test]
async fn a_service_ran_until_it_stopped_in_an_earlier_boot() -> Result<()> {
    let host = Host::new("ERP1").await?;
    let (mut agent, third) = three_boots(&host).await?;
    let mut stopped = document(3);
    failed(&mut stopped, 0, 3);
    stopped["services"]["known"][0]["state_since"] = json!(at(3, 40));
    stopped["collected_at"] = json!(at(3, 41));
    tell(&mut agent, 4, Some(&third), &facts(stopped)).await?;

    let noted = "select to_char(noted_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') from service_good where key = 'erpserver'";
    assert_eq!(host.texts(noted).await?, [last_ran(&host, "boot 3").await?]);
    let ended = "select to_char(at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') from boot_entry where number = 3 and kind in (4, 5)";
    assert_eq!(host.texts(ended).await?, [last_ran(&host, "boot 4").await?]);
    assert_ne!(last_ran(&host, "boot 3").await?, last_ran(&host, "boot 4").await?);
    Ok(())
}

#[tokio::test]
async fn ports_are_counted_over_the_installation_from_three_hosts_on() -> Result<()> {
    let host = Host::new("ERP1").await?;
    let mut agent = host.connect(&hello(1)).await?;
    tell(&mut agent, 1, None, &facts(document(1))).await?;
    assert_eq!(counted(&host).await?, Vec::<String>::new(), "what one host shows is nobody else's business");
    host.meddle(
        "insert into host (client_id, site_id, name, enrolled_at)
         select client_id, site_id, name || copy, now() from host, generate_series(2, 3) as copy;
         insert into boot (client_id, host_id, number, boot_id, first_seen_at, last_seen_at, sockets_seen, services_seen)
         select client_id, host_id, 1, 'x', now(), now(), true, true from host where name <> 'ERP1';
         insert into boot_entry (key, host_id, at, learned_at, client_id, number, port, image_id, kind, basis, protocol, address, services)
         select key, host.host_id, at, learned_at, host.client_id, 1, port, image_id, kind, basis, protocol, address, services
         from boot_entry, host where host.name <> 'ERP1' and kind = 1",
    )
    .await?;
    assert_eq!(counted(&host).await?, ["erpserver erp.exe 6 8123 3 3"]);
    Ok(())
}

async fn counted(host: &Host) -> Result<Vec<String>> {
    learned_ports::count(&host.doors.app, clock::now()).await?;
    host.texts("select concat_ws(' ', service, image, protocol, port, hosts, of) from learned_port order by 1").await
}
