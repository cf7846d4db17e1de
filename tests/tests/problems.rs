//! Problems and forecasts at their doors: findings of one cause come and go as members, reports of its hosts never wait
//! for each other, and the next reboot adds up.

#![expect(clippy::unwrap_used, reason = "a panic in a helper fails the test that called it")]

use anyhow::Result;
use portreeve_server::db::{Db, Scope, forecasts};
use portreeve_server::people::Role;
use portreeve_server::{clock, findings};
use rules::finding::{Confidence, Finding, Judgement, Remedy, Restart, Severity, Subject};
use rules::forecast::{Draw, Forecast};
use serde_json::{Value, json};
use sqlx::postgres::PgPoolOptions;
use tests::doors::Doors;
use tests::http_door::HttpDoor;
use tests::raw_agent::{changes, full, hello};
use tests::reporting_host::{Host, blocked, mended};
use tokio::task::JoinSet;

const POOL: &str = "taker/dns-socket-pool";

fn finding(service: &str, problem: &str) -> Finding {
    Finding {
        rule: "port-conflict/blocked".to_owned(),
        subject: Subject::from([("service".to_owned(), service.to_owned())]),
        problem: problem.to_owned(),
        severity: Severity::Critical,
        confidence: Confidence::Certain,
        title: format!("{service} did not start"),
        cause: String::new(),
        evidence: Vec::new(),
        remedy: Remedy {
            summary: "Keep its ports out of the pool".to_owned(),
            applies_to: "Server 2019".to_owned(),
            steps: Vec::new(),
            risk: String::new(),
            restart: Restart::Service,
            undo: Vec::new(),
            proven_when: String::new(),
        },
        since: None,
        probability: None,
    }
}

fn judgement(findings: Vec<Finding>) -> Judgement {
    Judgement { findings, ..Judgement::default() }
}

/// Brings the findings of a host in line in a transaction of its own, as a report does.
async fn judge(db: &Db, (client_id, host_id): (i32, i64), judgement: &Judgement) -> Result<()> {
    let mut transaction = db.begin(&Scope::of(client_id)).await?;
    findings::reconcile(&mut transaction, client_id, &[(host_id, judgement, "basis")], clock::now()).await?;
    Ok(transaction.commit().await?)
}

async fn foresee(db: &Db, (client_id, host_id): (i32, i64), forecasts: &[Forecast]) -> Result<()> {
    let mut transaction = db.begin(&Scope::of(client_id)).await?;
    forecasts::write(&mut transaction, client_id, &[(host_id, forecasts)], clock::now()).await?;
    Ok(transaction.commit().await?)
}

/// Makes hosts at the sites of these clients: 1 is Contoso, 2 is Fabrikam.
async fn fleet(doors: &Doors, hosts: &[(i32, i64)]) -> Result<()> {
    let mut superuser = doors.database.superuser().await?;
    for (client_id, host_id) in hosts {
        sqlx::query(
            "insert into host (client_id, host_id, site_id, name, enrolled_at) overriding system value
             select client_id, $2, site_id, 'HOST' || $2, now() from site where client_id = $1",
        )
        .bind(client_id)
        .bind(host_id)
        .execute(&mut superuser)
        .await?;
    }
    Ok(())
}

async fn two_clients(hosts: &[(i32, i64)]) -> Result<(Doors, HttpDoor)> {
    let doors = Doors::open().await?;
    assert_eq!(doors.site("Contoso").await?.client_id, 1);
    assert_eq!(doors.site("Fabrikam").await?.client_id, 2);
    fleet(&doors, hosts).await?;
    let http = HttpDoor::open(&doors.app)?;
    Ok((doors, http))
}

#[tokio::test]
async fn one_cause_on_several_hosts_is_one_problem_within_what_one_may_see() -> Result<()> {
    let hosts = [(1, 101), (1, 102), (2, 201)];
    let (doors, http) = two_clients(&hosts).await?;
    let db = &doors.database.db;
    for host in hosts {
        judge(db, host, &judgement(vec![finding("IAS", POOL), finding("PolicyAgent", POOL)])).await?;
    }
    judge(db, hosts[0], &judgement(vec![finding("IAS", POOL), finding("W3SVC", "holder/apache.exe")])).await?;
    let everything = http.token("eve", Role::Viewer, None).await?;
    let confined = http.token("ada", Role::Viewer, Some(&[1])).await?;

    let list = http.get("/api/v1/problems?state=open", &everything).await?.json();
    let shown: Vec<_> = list["items"].as_array().unwrap().iter().map(|item| (&item["key"], &item["hosts"])).collect();
    assert_eq!(shown, [(&json!(POOL), &json!(3)), (&json!("holder/apache.exe"), &json!(1))], "most hosts first");
    assert_eq!(list["items"][0]["title"], "Services lose their ports to the DNS server's socket pool");
    let first = http.get("/api/v1/problems?state=open&limit=1", &everything).await?.json();
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = http.get(&format!("/api/v1/problems?state=open&limit=1&cursor={cursor}"), &everything).await?.json();
    assert_eq!((&second["items"][0]["key"], &second["next_cursor"]), (&json!("holder/apache.exe"), &Value::Null));

    for path in ["/api/v1/problems/taker/dns-socket-pool", "/api/v1/problems/taker%2Fdns-socket-pool"] {
        let problem = http.get(path, &everything).await?.json();
        assert_eq!((&problem["hosts"], &problem["clients"], &problem["findings"]), (&json!(3), &json!(2), &json!(5)));
        assert_eq!(
            problem["by_client"][1],
            json!({"client": {"id": 2, "name": "Fabrikam"}, "hosts": 1, "findings": 2})
        );
        assert_eq!(problem["remedies"][0]["hosts"], 3, "the same steps mend all");
        assert_eq!(problem["members"]["items"].as_array().unwrap().len(), 6);
        assert!(problem["members"]["items"][5]["left_at"].is_string(), "who left stands last");
        let changes: Vec<_> = problem["timeline"].as_array().unwrap().iter().map(|each| &each["change"]).collect();
        assert_eq!(changes, ["joined", "joined", "joined"], "a host that keeps one of two findings does not leave");
    }
    for path in ["/api/v1/problems/taker/dns-socket-pool", "/api/v1/problems/taker/dns-socket-pool?client=1"] {
        let problem = http.get(path, if path.ends_with('1') { &everything } else { &confined }).await?.json();
        assert_eq!((&problem["hosts"], &problem["clients"]), (&json!(2), &json!(1)), "{path}");
        assert!(!problem.to_string().contains("Fabrikam"), "{path} leaks");
    }
    assert_eq!(http.get("/api/v1/problems/taker/dns-socket-pool?client=2", &confined).await?.status, 404);

    let page = http.get("/api/v1/problems/taker/dns-socket-pool?limit=2", &everything).await?.json();
    let cursor = page["members"]["next_cursor"].as_str().unwrap();
    let next = http.get(&format!("/api/v1/problems/{POOL}?limit=4&cursor={cursor}"), &everything).await?.json();
    assert_eq!(next["members"]["items"].as_array().unwrap().len(), 4, "no member twice, none left out");
    Ok(())
}

#[tokio::test]
async fn members_join_and_leave_with_the_reports_of_their_hosts() -> Result<()> {
    let host = Host::new("SRV1").await?;
    let http = HttpDoor::open(&host.doors.app)?;
    let token = http.token("ada", Role::Viewer, None).await?;
    let mut agent = host.connect(&hello(1)).await?;
    agent.report(&full(1, &blocked())).await?;
    let list = http.get("/api/v1/problems", &token).await?.json();
    let key = list["items"][0]["key"].as_str().unwrap().to_owned();
    assert_eq!((&list["items"][0]["state"], &list["items"][0]["hosts"]), (&json!("open"), &json!(1)));
    let finding = &http.get("/api/v1/findings", &token).await?.json()["items"][0];
    assert_eq!(finding["problem"], *key);
    let finding = http.get(&format!("/api/v1/findings/{}", finding["id"].as_str().unwrap()), &token).await?.json();
    assert_eq!((&finding["membership"]["key"], &finding["membership"]["hosts"]), (&json!(key), &json!(1)));

    agent.report(&changes(2, &blocked(), &mended())).await?;
    assert_eq!(http.get("/api/v1/problems?state=open", &token).await?.json()["items"], json!([]));
    let list = http.get("/api/v1/problems?state=resolved", &token).await?.json();
    let problem = &list["items"][0];
    assert_eq!((&problem["hosts"], &problem["hosts_ever"], &problem["episode"]), (&json!(0), &json!(1), &json!(1)));
    assert!(problem["resolved_at"].as_str() > problem["opened_at"].as_str());

    agent.report(&changes(3, &mended(), &blocked())).await?;
    let problem = http.get(&format!("/api/v1/problems/{key}"), &token).await?.json();
    assert_eq!((&problem["state"], &problem["episode"]), (&json!("open"), &json!(2)));
    assert!(problem["opened_at"].as_str() > problem["first_opened_at"].as_str());
    let changes: Vec<_> = problem["timeline"].as_array().unwrap().iter().map(|each| &each["change"]).collect();
    assert_eq!(changes, ["joined", "left", "joined"]);
    Ok(())
}

#[tokio::test]
async fn an_episode_lasts_from_the_first_to_the_last_of_overlapping_members() -> Result<()> {
    let hosts = [(1, 101), (2, 201)];
    let (doors, http) = two_clients(&hosts).await?;
    let db = &doors.database.db;
    let token = http.token("eve", Role::Viewer, None).await?;
    let (ill, well) = (judgement(vec![finding("IAS", POOL)]), judgement(Vec::new()));
    judge(db, hosts[0], &ill).await?;
    judge(db, hosts[1], &ill).await?;
    judge(db, hosts[0], &well).await?;
    judge(db, hosts[0], &ill).await?;
    judge(db, hosts[1], &well).await?;
    let path = "/api/v1/problems/taker/dns-socket-pool";
    let problem = http.get(path, &token).await?.json();
    assert_eq!((&problem["episode"], &problem["hosts"]), (&json!(1), &json!(1)), "it had a member at every time");
    assert_eq!(problem["opened_at"], problem["first_opened_at"]);

    // Another cause is found for what is still open.
    judge(db, hosts[0], &judgement(vec![finding("IAS", "holder/apache.exe")])).await?;
    let problem = http.get(path, &token).await?.json();
    assert_eq!((&problem["state"], &problem["findings"]), (&json!("resolved"), &json!(0)));
    let other = http.get("/api/v1/problems/holder/apache.exe", &token).await?.json();
    assert_eq!(other["members"]["items"].as_array().unwrap().len(), 1);

    let turns: Vec<_> =
        problem["timeline"].as_array().unwrap().iter().map(|each| (&each["change"], &each["host"]["id"])).collect();
    let turn = |change, host| (json!(change), json!(host));
    let expected = [
        turn("left", 101),
        turn("left", 201),
        turn("joined", 101),
        turn("left", 101),
        turn("joined", 201),
        turn("joined", 101),
    ];
    assert_eq!(turns, expected.iter().map(|(change, host)| (change, host)).collect::<Vec<_>>());

    judge(db, hosts[1], &ill).await?;
    let problem = http.get(path, &token).await?.json();
    assert_eq!(
        (&problem["state"], &problem["episode"], &problem["resolved_at"]),
        (&json!("open"), &json!(2), &Value::Null)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_hosts_of_one_problem_never_wait_for_each_other() -> Result<()> {
    const ROUNDS: i64 = 6;
    let hosts: Vec<(i32, i64)> = (0..64).map(|number| (1, 1000 + number)).collect();
    let (doors, http) = two_clients(&hosts).await?;
    // As many connections as writers: none waits for another's.
    let pool = PgPoolOptions::new().max_connections(64).connect_with(doors.database.access.app.clone()).await?;
    let db = Db { pool, reading: None };
    let (ill, well) = (judgement(vec![finding("IAS", POOL), finding("DNS", POOL)]), judgement(Vec::new()));
    let mut writers = JoinSet::new();
    for host in hosts {
        let (db, ill, well) = (db.clone(), ill.clone(), well.clone());
        writers.spawn(async move {
            for round in 0..ROUNDS {
                judge(&db, host, if (round + host.1) % 2 == 0 { &ill } else { &well }).await?;
            }
            judge(&db, host, &ill).await
        });
    }
    while let Some(written) = writers.join_next().await {
        written??;
    }
    let token = http.token("eve", Role::Viewer, None).await?;
    let problem = http.get("/api/v1/problems/taker/dns-socket-pool", &token).await?.json();
    assert_eq!((&problem["hosts"], &problem["findings"]), (&json!(64), &json!(128)));
    let mut superuser = doors.database.superuser().await?;
    let deadlocks: i64 = sqlx::query_scalar(
        "select coalesce(sum(deadlocks), 0)::bigint from pg_stat_database where datname = current_database()",
    )
    .fetch_one(&mut superuser)
    .await?;
    assert_eq!(deadlocks, 0);
    Ok(())
}

fn forecast(service: &str, taker: &str, ports: &[&str], probability: Option<f64>) -> Forecast {
    let draw = |probability| Draw {
        family: rules::ports::Family::Ipv4,
        range: "49152-65535".parse().unwrap(),
        free: 16_384,
        excluded: 0,
        bound: 0,
        drawn: 2500,
        wanted: 1,
        probability,
    };
    Forecast {
        service: service.to_owned(),
        taker: taker.to_owned(),
        ports: ports.iter().map(|port| port.parse().unwrap()).collect(),
        probability,
        condition: "if DNS binds first".to_owned(),
        draws: probability.map(draw).into_iter().collect(),
        boots: probability.is_none().then_some((3, 7)),
    }
}

#[tokio::test]
async fn the_next_reboot_adds_up_over_services_hosts_and_clients() -> Result<()> {
    let hosts = [(1, 101), (1, 102), (2, 201)];
    let (doors, http) = two_clients(&hosts).await?;
    let db = &doors.database.db;
    for host in hosts {
        judge(db, host, &judgement(Vec::new())).await?;
    }
    let of_first = [
        forecast("IAS", "dns-socket-pool", &["udp/1645", "udp/1646", "udp/1812"], Some(0.5)),
        forecast("IAS", "exchange-dynamic-ports", &["udp/1813"], Some(0.5)),
        forecast("IAS", "lsass-dynamic-rpc", &["udp/1813"], None),
        forecast("Router", "lsass-dynamic-rpc", &["tcp/3101"], None),
    ];
    foresee(db, hosts[0], &of_first).await?;
    foresee(db, hosts[1], &[forecast("PolicyAgent", "dns-socket-pool", &["udp/4500"], Some(1.0))]).await?;
    let of_third = [forecast("IAS", "dns-socket-pool", &["udp/1812"], Some(0.152_587_890_625))];
    foresee(db, hosts[2], &of_third).await?;
    let everything = http.token("eve", Role::Viewer, None).await?;
    let confined = http.token("ada", Role::Viewer, Some(&[1])).await?;
    let near = |value: &Value, expected: f64| (value.as_f64().unwrap() - expected).abs() < 1e-9;

    let fleet = http.get("/api/v1/forecast", &everything).await?.json();
    assert!(near(&fleet["outlook"]["expected"], 0.75 + 1.0 + 0.152_587_890_625), "{fleet}");
    assert_eq!(
        (
            &fleet["outlook"]["services"],
            &fleet["outlook"]["without_number"],
            &fleet["plan"]["items"].as_array().unwrap().len()
        ),
        (&json!(4), &json!(1), &3)
    );
    assert_eq!(fleet["conditions"], json!(["if DNS binds first"]));
    assert_eq!(fleet["outlook"]["cannot_tell"], 0);
    let plan: Vec<_> = fleet["plan"]["items"].as_array().unwrap().iter().map(|each| &each["reserve"]).collect();
    assert_eq!(
        plan,
        [&json!(["udp/4500"]), &json!(["tcp/3101", "udp/1645-1646", "udp/1812-1813"]), &json!(["udp/1812"])]
    );
    assert_eq!(fleet["clients"][0]["client"]["name"], "Contoso");
    assert!(near(&fleet["clients"][0]["expected"], 1.75));
    let first = http.get("/api/v1/forecast?limit=1", &everything).await?.json();
    let cursor = first["plan"]["next_cursor"].as_str().unwrap();
    let rest = http.get(&format!("/api/v1/forecast?limit=2&cursor={cursor}"), &everything).await?.json();
    assert_eq!(rest["plan"]["items"][0]["host"]["id"], 101);
    assert!(near(
        &http.get("/api/v1/overview", &everything).await?.json()["next_reboot"]["expected"],
        1.902_587_890_625
    ));

    let ours = http.get("/api/v1/forecast", &confined).await?.json();
    assert!(near(&ours["outlook"]["expected"], 1.75) && !ours.to_string().contains("Fabrikam"), "{ours}");
    assert_eq!(http.get("/api/v1/hosts/201/forecast", &confined).await?.status, 404);

    let host = http.get("/api/v1/hosts/101/forecast", &everything).await?.json();
    assert!(near(&host["services"][0]["probability"], 0.75));
    assert_eq!(host["services"][0]["takers"][0]["name"], "the DNS server's socket pool");
    assert_eq!(host["services"][0]["takers"][0]["draws"][0]["free"], 16_384);
    assert_eq!(host["services"][1]["probability"], Value::Null);
    assert_eq!(host["services"][1]["takers"][0]["boots"], json!({"held": 3, "of": 7}));
    Ok(())
}

#[tokio::test]
async fn a_forecast_is_written_when_it_changes_and_unknown_is_told() -> Result<()> {
    let hosts = [(1, 101), (2, 201)];
    let (doors, http) = two_clients(&hosts).await?;
    let db = &doors.database.db;
    let token = http.token("eve", Role::Viewer, None).await?;
    // A fraction that has no short name in binary.
    let said =
        [forecast("IAS", "dns-socket-pool", &["udp/1812"], Some(0.1 + 0.2)), forecast("W3SVC", "x", &["tcp/80"], None)];
    foresee(db, hosts[0], &said).await?;
    let mut superuser = doors.database.superuser().await?;
    let versions = "select string_agg(xmin::text, ',' order by service) from forecast";
    let before: String = sqlx::query_scalar(versions).fetch_one(&mut superuser).await?;
    foresee(db, hosts[0], &said).await?;
    assert_eq!(sqlx::query_scalar::<_, String>(versions).fetch_one(&mut superuser).await?, before);
    foresee(db, hosts[0], &[forecast("IAS", "dns-socket-pool", &["udp/1812"], Some(0.25))]).await?;
    let host = http.get("/api/v1/hosts/101/forecast", &token).await?.json();
    assert_eq!((&host["expected"], &host["services"].as_array().unwrap().len()), (&json!(0.25), &1));

    let fleet = http.get("/api/v1/forecast", &token).await?.json();
    assert_eq!(fleet["outlook"]["cannot_tell"], 2, "none was judged yet");
    let doubt = |rule: &str, reason: &str| rules::finding::CannotTell {
        rule: rule.to_owned(),
        subject: Subject::from([("service".to_owned(), "IAS".to_owned())]),
        reason: reason.to_owned(),
    };
    for (host, rule) in hosts.into_iter().zip(["port-conflict/at-risk", "bad-update"]) {
        let judgement =
            Judgement { cannot_tell: vec![doubt(rule, "The exclusions could not be read")], ..Judgement::default() };
        judge(db, host, &judgement).await?;
    }
    assert_eq!(http.get("/api/v1/forecast", &token).await?.json()["outlook"]["cannot_tell"], 1);
    let host = http.get("/api/v1/hosts/101/forecast", &token).await?.json();
    assert_eq!(host["cannot_tell"], json!(["The exclusions could not be read"]));
    assert_eq!(http.get("/api/v1/hosts/201/forecast", &token).await?.json()["cannot_tell"], json!([]));
    Ok(())
}
