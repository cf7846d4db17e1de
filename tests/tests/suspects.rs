//! Suspect updates on a real database: what a look at the fleet finds in what hosts reported, who is named to whom, and
//! that of many servers one looks.

use anyhow::Result;
use chrono::TimeDelta;
use portreeve_server::db::suspects as stored;
use portreeve_server::people::Role;
use portreeve_server::rulebook::{self, rejudge::Progress};
use portreeve_server::{clock, suspects};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tests::doors::Doors;
use tests::http_door::HttpDoor;

async fn rolled_out() -> Result<(Doors, HttpDoor)> {
    let doors = Doors::open().await?;
    let mut superuser = doors.database.superuser().await?;
    sqlx::raw_sql(include_str!("../seeds/rollout.sql")).execute(&mut superuser).await?;
    let http = HttpDoor::open(&doors.app)?;
    Ok((doors, http))
}

async fn listed(http: &HttpDoor, authorization: &str, query: &str) -> Result<Value> {
    let answer = http.get(&format!("/api/v1/suspects{query}"), authorization).await?;
    assert_eq!(answer.status, 200, "{}", answer.body);
    Ok(answer.json())
}

#[tokio::test]
async fn a_look_finds_the_update_after_which_services_fail() -> Result<()> {
    let (doors, http) = rolled_out().await?;
    let all = http.token("ada", Role::Admin, None).await?;
    assert_eq!(listed(&http, &all, "").await?["looked_at"], Value::Null);

    suspects::look(&doors.app, clock::now()).await?;
    let said = listed(&http, &all, "").await?;
    let suspects = said["suspects"].as_array().unwrap();
    let mut named: Vec<_> = suspects.iter().map(|suspect| (&suspect["kbs"], &suspect["service"])).collect();
    named.sort_by_key(|(_, service)| service.to_string());
    assert_eq!(named, [(&json!(["KB5034439"]), &json!("IAS")), (&json!(["KB5034439"]), &json!("W3SVC"))], "{said}");
    let web = suspects.iter().find(|suspect| suspect["service"] == "W3SVC").unwrap();
    assert_eq!(
        (&web["exposed"], &web["compared"]),
        (&json!({"failed": 13, "hosts": 100}), &json!({"failed": 1, "hosts": 200}))
    );
    assert_eq!(
        (&web["clients"], &web["same_weeks"], &web["confidence"]),
        (&json!(2), &json!(true), &json!("likely")),
        "{web}"
    );
    assert_eq!(web["hosts"].as_array().map(Vec::len), Some(100));
    let ias = suspects.iter().find(|suspect| suspect["service"] == "IAS").unwrap();
    assert_eq!(ias["exposed"]["failed"], 12, "a port that another took counts as a failure: {ias}");
    assert!(said["tests"].as_i64().unwrap() >= 4, "both updates and both services were tested: {said}");
    assert!(listed(&http, &all, "?kb=KB5031111").await?["suspects"].as_array().unwrap().is_empty());
    Ok(())
}

#[tokio::test]
async fn one_client_sees_counts_of_all_and_hosts_of_its_own() -> Result<()> {
    let (doors, http) = rolled_out().await?;
    suspects::look(&doors.app, clock::now()).await?;
    let own = http.token("eve", Role::Viewer, Some(&[1])).await?;
    let answer = http.get("/api/v1/suspects", &own).await?;
    assert!(!answer.body.contains("quagga"), "{}", answer.body);
    let said = answer.json();
    let web = said["suspects"].as_array().unwrap().iter().find(|suspect| suspect["service"] == "W3SVC").unwrap();
    assert_eq!(web["exposed"], json!({"failed": 13, "hosts": 100}));
    let hosts = web["hosts"].as_array().unwrap();
    assert_eq!((hosts.len(), hosts.iter().filter(|host| host["failed"] == true).count()), (67, 9));

    let none = http.token("mallory", Role::Viewer, Some(&[])).await?;
    let answer = http.get("/api/v1/suspects", &none).await?;
    assert!(answer.status != 200 || !answer.body.contains("\"name\""), "{}", answer.body);
    Ok(())
}

#[tokio::test]
async fn a_suspicion_ends_when_the_fleet_no_longer_bears_it_out() -> Result<()> {
    let (doors, http) = rolled_out().await?;
    let all = http.token("ada", Role::Admin, None).await?;
    suspects::look(&doors.app, clock::now()).await?;
    let since = listed(&http, &all, "").await?["suspects"][0]["since"].clone();
    suspects::look(&doors.app, clock::now()).await?;
    assert_eq!(listed(&http, &all, "").await?["suspects"][0]["since"], since, "found again, it is as old as it was");

    let mut superuser = doors.database.superuser().await?;
    sqlx::raw_sql("delete from boot_entry where kind = 5").execute(&mut superuser).await?;
    sqlx::raw_sql("update boot_entry set services = '{IAS}'").execute(&mut superuser).await?;
    suspects::look(&doors.app, clock::now()).await?;
    assert_eq!(listed(&http, &all, "").await?["suspects"], json!([]));
    Ok(())
}

/// One way for all findings: the hosts are judged again, those that report nothing as well.
#[tokio::test]
async fn hosts_with_a_suspect_have_a_finding_until_it_is_none() -> Result<()> {
    let (doors, http) = rolled_out().await?;
    let mut superuser = doors.database.superuser().await?;
    suspects::look(&doors.app, clock::now()).await?;
    rulebook::bring_up_to_date(&doors.app, &mut Progress::default()).await?;
    let mut count = async |rest: &str| -> Result<i64> {
        let count = format!("select count(*) from finding where rule = 'suspect-update/KB5034439' and {rest}");
        Ok(sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut superuser).await?)
    };
    assert_eq!(count("state = 'open'").await?, 200, "of W3SVC and of IAS, on each host that has it");
    assert_eq!(count("state = 'open' and severity = 2 and subject ->> 'service' = 'W3SVC'").await?, 3);
    assert_eq!(count("problem <> 'suspect-update/KB5034439'").await?, 0);

    let own = http.token("eve", Role::Viewer, Some(&[1])).await?;
    let findings = http.get("/api/v1/findings?limit=500", &own).await?;
    assert!(
        findings.body.contains("it failed on 13 of 100 hosts with it, 1 of 200 hosts without"),
        "{}",
        findings.body
    );
    let findings = findings.json();
    let is_failing = |item: &&Value| item["severity"] == "warning" && item["rule"] == "suspect-update/KB5034439";
    let failing = findings["items"].as_array().unwrap().iter().find(is_failing).unwrap();
    let id = failing["id"].as_str().unwrap();
    let one = http.get(&format!("/api/v1/findings/{id}"), &own).await?;
    assert!(one.body.contains("Of this client it failed on web1") && !one.body.contains("quagga"), "{}", one.body);

    sqlx::raw_sql("delete from boot_entry").execute(&mut doors.database.superuser().await?).await?;
    suspects::look(&doors.app, clock::now()).await?;
    rulebook::bring_up_to_date(&doors.app, &mut Progress::default()).await?;
    assert_eq!(count("state = 'open'").await?, 0);
    Ok(())
}

/// Where every host of a kind has it, there is nothing to compare with, and that is said.
#[tokio::test]
async fn an_update_that_all_have_is_not_judged() -> Result<()> {
    let (doors, http) = rolled_out().await?;
    let mut superuser = doors.database.superuser().await?;
    sqlx::raw_sql("delete from service_now where host_id > 100 and key = 'w3svc'").execute(&mut superuser).await?;
    suspects::look(&doors.app, clock::now()).await?;
    let said = listed(&http, &http.token("ada", Role::Admin, None).await?, "?kb=KB5034439").await?;
    let services: Vec<_> = said["suspects"].as_array().unwrap().iter().map(|suspect| &suspect["service"]).collect();
    assert_eq!(services, [&json!("IAS")]);
    assert_eq!(
        said["untold"],
        json!([{"kbs": ["KB5034439"], "service": "W3SVC", "exposed": {"failed": 13, "hosts": 100}, "compared": 0}])
    );
    Ok(())
}

#[tokio::test]
async fn of_many_servers_one_looks_in_an_hour() -> Result<()> {
    let doors = Doors::open().await?;
    let (pool, hour, now) = (&doors.database.db.pool, TimeDelta::hours(1), clock::now());
    let (one, other) = tokio::join!(stored::begin_look(pool, now, hour), stored::begin_look(pool, now, hour));
    assert!(one? ^ other?, "exactly one");
    assert!(!stored::begin_look(pool, now + TimeDelta::minutes(59), hour).await?);
    assert!(stored::begin_look(pool, now + TimeDelta::minutes(60), hour).await?);
    Ok(())
}
