//! The ledger of boots through the real stream: what a host tells of its boots is in the tables once, in order and
//! bounded, however often it is told.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use portreeve_server::people::Role;
use prost::Message as _;
use proto::fleet::v1::server_message::Kind;
use proto::fleet::v1::{Connection, ConnectionList, ListConnections, TcpState};
use proto::wire::{Report, digests_to_wire};
use rules::facts::{Event, EventDatum, Facts, Section};
use serde_json::{Value, json};
use tests::http_door::HttpDoor;
use tests::raw_agent::{RawAgent, RawMessage, changes, full, hello};
use tests::reporting_host::Host;
use tests::server::eventually;

/// Boot number `boot` was so many weeks after this.
fn booted(boot: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_772_420_472, 0).expect("a time") + TimeDelta::weeks(boot)
}

fn at(boot: i64, second: i64) -> DateTime<Utc> {
    booted(boot) + TimeDelta::seconds(second)
}

/// A domain controller 90 s after its boot: `winner` took udp/1812.
fn facts(boot: i64, winner: &str) -> Facts {
    let (pid, image, service) = match winner {
        "DNS" => (1420, r"C:\Windows\System32\dns.exe", "DNS"),
        _ => (900, r"C:\Windows\System32\svchost.exe", "IAS"),
    };
    let socket = |port: u16, pid: u32, image: &str, service: &str, second: i64| {
        json!({
            "protocol": "udp", "address": "0.0.0.0", "port": port, "pid": pid, "image": image, "services": [service],
            "bound_at": at(boot, second),
        })
    };
    let mut sockets = vec![
        socket(53, 1420, r"C:\Windows\System32\dns.exe", "DNS", 28),
        socket(1812, pid, image, service, if winner == "DNS" { 28 } else { 58 }),
    ];
    sockets.extend((55_000..57_500).map(|port| socket(port, 1420, r"C:\Windows\System32\dns.exe", "DNS", 29)));
    let ias: Value = if winner == "IAS" {
        json!({ "name": "IAS", "state": "running", "start": "auto", "exit_code": 0, "pid": 900, "state_since": at(boot, 57) })
    } else {
        json!({ "name": "IAS", "state": "stopped", "start": "auto", "exit_code": 10048, "state_since": at(boot, 59) })
    };
    let document = json!({
        "schema": "portreeve.facts/1",
        "collected_at": at(boot, 90),
        "host": { "known": {
            "name": "DC2", "os": { "name": "Windows Server 2008 R2", "major": 6, "minor": 1, "build": 7601 },
            "booted_at": booted(boot), "boot_id": format!("boot {boot}"),
        } },
        "sockets": { "known": sockets },
        "services": { "known": [
            { "name": "DNS", "state": "running", "start": "auto", "exit_code": 0, "pid": 1420, "state_since": at(boot, 27) },
            ias,
        ] },
        "updates": { "known": [] },
        "port_policy": { "known": {} },
        "connections": { "known": {} },
    });
    let mut facts: Facts = serde_json::from_value(document).expect("facts");
    let mut events = vec![event(boot * 10, at(boot, 1), "Microsoft-Windows-Kernel-General", 12, None, &[])];
    if winner == "DNS" {
        events.push(event(
            boot * 10 + 1,
            at(boot, 59),
            "Service Control Manager",
            7023,
            Some("IAS"),
            &["IAS", "%%10048"],
        ));
    }
    facts.events = Section::Known(events);
    facts
}

fn event(record: i64, at: DateTime<Utc>, provider: &str, id: u32, service: Option<&str>, data: &[&str]) -> Event {
    Event {
        log: "System".into(),
        record_id: u64::try_from(record).expect("a record"),
        at: Some(at),
        provider: provider.into(),
        id,
        service: service.map(Into::into),
        data: data.iter().map(|value| EventDatum { name: None, value: (*value).into() }).collect(),
    }
}

/// The clock of the agent is right, and the facts were read when they say.
fn report(report: Report, facts: &Facts) -> Report {
    Report { wall_clock: facts.collected_at, ..report }
}

async fn tell(agent: &mut RawAgent, seq: u64, before: Option<&Facts>, after: &Facts) -> Result<()> {
    let told = before.map_or_else(|| full(seq, after), |before| changes(seq, before, after));
    agent.report(&report(told, after)).await?;
    Ok(())
}

/// `1 28 s bound udp/1812 dns.exe DNS`, boot by boot in the order of time.
async fn lines(host: &Host) -> Result<Vec<String>> {
    host.texts(
        r"
        select concat_ws(' ', boot.number, extract(epoch from at - booted_at)::int || ' s',
          (array['bound', 'pool', 'runs', 'stopped', 'failed', 'noted'])[kind],
          (array['bind-time', 'event', 'watched', 'seen'])[basis],
          case protocol when 17 then 'udp/' when 6 then 'tcp/' end || port || case when kind = 2 then '-' || last_port || ' ' || port_count else '' end,
          regexp_replace(image.path, '.*\\', ''), nullif(array_to_string(services, ','), ''), exit_code, nullif(gone_at is not null, false))
        from boot_entry join boot using (client_id, host_id, number) left join image using (image_id)
        order by boot.number, at, kind, basis, port",
    )
    .await
}

fn lost(number: i32) -> Vec<String> {
    [
        "1 s noted event",
        "27 s runs watched DNS",
        "28 s bound bind-time udp/53 dns.exe DNS",
        "28 s bound bind-time udp/1812 dns.exe DNS",
        "29 s pool bind-time udp/55000-57499 2500 dns.exe DNS",
        "59 s failed event IAS 10048",
        "59 s failed watched IAS 10048",
    ]
    .map(|line| format!("{number} {line}"))
    .to_vec()
}

fn won(number: i32) -> Vec<String> {
    [
        "1 s noted event",
        "27 s runs watched DNS",
        "28 s bound bind-time udp/53 dns.exe DNS",
        "29 s pool bind-time udp/55000-57499 2500 dns.exe DNS",
        "57 s runs watched IAS",
        "58 s bound bind-time udp/1812 svchost.exe IAS",
    ]
    .map(|line| format!("{number} {line}"))
    .to_vec()
}

#[tokio::test]
async fn three_boots_and_a_race_are_told_as_they_were_and_once() -> Result<()> {
    let host = Host::new("DC2").await?;
    let (first, second, third) = (facts(1, "IAS"), facts(2, "DNS"), facts(3, "IAS"));
    let mut agent = host.connect(&hello(1)).await?;
    tell(&mut agent, 1, None, &first).await?;
    tell(&mut agent, 2, Some(&first), &second).await?;
    tell(&mut agent, 3, Some(&second), &third).await?;
    let expected = [won(1), lost(2), won(3)].concat();
    assert_eq!(lines(&host).await?, expected);

    // The same report again, the same facts in full, and both on another stream.
    tell(&mut agent, 3, Some(&second), &third).await?;
    tell(&mut agent, 4, None, &third).await?;
    drop(agent);
    let greeting = proto::fleet::v1::Hello { digests: digests_to_wire(&full(4, &third).digests), ..hello(1) };
    let mut agent = host.connect(&greeting).await?;
    assert!(agent.welcome.send_full.is_empty());
    tell(&mut agent, 5, None, &third).await?;
    assert_eq!(lines(&host).await?, expected);
    assert_eq!(host.number("select sum(kept) from boot").await?, 19);
    let learned = "select count(*) from boot_entry where learned_at > (select first_seen_at from boot where boot.number = boot_entry.number)";
    assert_eq!(host.number(learned).await?, 0, "nothing was written anew");
    Ok(())
}

#[tokio::test]
async fn what_happens_later_in_a_boot_is_added() -> Result<()> {
    let host = Host::new("DC2").await?;
    let before = facts(1, "DNS");
    let mut agent = host.connect(&hello(1)).await?;
    tell(&mut agent, 1, None, &before).await?;
    // Somebody stopped DNS and started IAS; then the system is restarted.
    let mut after = facts(1, "IAS");
    after.collected_at = Some(at(1, 400));
    if let (Section::Known(sockets), Section::Known(services)) = (&mut after.sockets, &mut after.services) {
        sockets.retain(|socket| socket.port == 1812);
        sockets[0].bound_at = Some(at(1, 380));
        services.retain(|service| &*service.name == "IAS");
        services[0].state_since = Some(at(1, 379));
    }
    if let (Section::Known(events), Section::Known(old)) = (&mut after.events, &before.events) {
        events.clone_from(old);
        events.push(event(12, at(1, 399), "User32", 1074, None, &["shutdown.exe"]));
    }
    tell(&mut agent, 2, Some(&before), &after).await?;
    let mut expected = lost(1);
    for index in [2, 3] {
        expected[index] += " t";
    }
    expected.extend(
        ["379 s runs watched IAS", "380 s bound bind-time udp/1812 svchost.exe IAS", "399 s noted event"]
            .map(|line| format!("1 {line}")),
    );
    assert_eq!(lines(&host).await?, expected);
    let next = facts(2, "IAS");
    tell(&mut agent, 3, Some(&after), &next).await?;
    assert_eq!(
        host.texts("select coalesce(shutdown, 'not known') from boot order by number").await?,
        ["asked", "not known"]
    );

    let mut third = facts(3, "IAS");
    if let Section::Known(events) = &mut third.events {
        events.push(event(33, at(3, 2), "EventLog", 6008, None, &[]));
    }
    tell(&mut agent, 4, Some(&next), &third).await?;
    assert_eq!(
        host.texts("select coalesce(shutdown, 'not known') from boot order by number").await?,
        ["asked", "unexpected", "not known"]
    );
    Ok(())
}

#[tokio::test]
async fn a_stream_sees_the_boot_that_it_tells_of() -> Result<()> {
    let host = Host::new("DC2").await?;
    let told = facts(1, "DNS");
    tell(&mut host.connect(&hello(1)).await?, 1, None, &told).await?;
    host.meddle("update boot set last_seen_at = now() - interval '2 hours'").await?;
    host.meddle("update agent_stream set last_seen_at = now() - interval '1 hour'").await?;
    let since = "select extract(epoch from now() - last_seen_at)::int8 / 60 from boot";
    let mut agent = host.connect(&hello(1)).await?;
    assert_eq!(host.number(since).await?, 60, "as long as it tells nothing");
    tell(&mut agent, 2, None, &told).await?;
    assert_eq!(host.number(since).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_stream_that_comes_back_tells_its_ledger_what_changed() -> Result<()> {
    let host = Host::new("DC2").await?;
    let told = facts(1, "DNS");
    tell(&mut host.connect(&hello(1)).await?, 1, None, &told).await?;
    host.meddle("delete from boot_entry where port = 53").await?;
    let entries = "select count(*) from boot_entry where port = 53";
    tell(&mut host.connect(&hello(1)).await?, 2, None, &told).await?;
    assert_eq!(host.number(entries).await?, 0, "all of it was told before");
    host.meddle("update boot set derived_by = 'another catalog'").await?;
    tell(&mut host.connect(&hello(1)).await?, 3, None, &told).await?;
    assert_eq!(host.number(entries).await?, 1, "entries may be others now");
    Ok(())
}

/// What an index names cannot change without a new row in every index of the table.
#[tokio::test]
async fn an_entry_of_the_ledger_ends_in_place() -> Result<()> {
    let host = Host::new("DC2").await?;
    let naming = "select count(*) from pg_indexes where tablename = 'boot_entry' and indexdef like '%gone_at%'";
    assert_eq!(host.number(naming).await?, 0);
    Ok(())
}

#[tokio::test]
async fn postgres_counts_the_rows_of_hosts_that_join() -> Result<()> {
    let host = Host::new("DC2").await?;
    // As long as it has its say, nobody else counts.
    host.meddle("alter table socket_now set (autovacuum_enabled = off)").await?;
    let counted = "select reltuples::int8 from pg_class where relname = 'socket_now'";
    assert_eq!(host.number(counted).await?, -1, "never");
    tell(&mut host.connect(&hello(1)).await?, 1, None, &facts(1, "DNS")).await?;
    let sockets = eventually("the rows are counted", Duration::from_mins(1), async || {
        Ok(Some(host.number(counted).await?).filter(|rows| *rows >= 0))
    })
    .await?;
    assert_eq!(sockets, 2_502);
    Ok(())
}

#[tokio::test]
async fn the_sixty_first_boot_drops_the_first_with_its_events() -> Result<()> {
    let host = Host::new("DC2").await?;
    let mut agent = host.connect(&hello(1)).await?;
    let mut before = facts(1, "DNS");
    tell(&mut agent, 1, None, &before).await?;
    for boot in 2..=61 {
        let after = facts(boot, "IAS");
        tell(&mut agent, u64::try_from(boot)?, Some(&before), &after).await?;
        before = after;
    }
    assert_eq!(host.number("select count(*) from boot").await?, 60);
    assert_eq!(host.number("select min(number)::int8 from boot").await?, 2);
    assert_eq!(host.number("select count(*) from boot_entry where number = 1").await?, 0);
    assert_eq!(host.number("select count(*) from event").await?, 60, "of each boot that is kept its first");
    Ok(())
}

#[tokio::test]
async fn a_boot_in_which_too_much_happens_is_bounded_and_says_so() -> Result<()> {
    let host = Host::new("DC2").await?;
    let mut crowded = facts(1, "DNS");
    if let Section::Known(services) = &mut crowded.services {
        let service = services[0].clone();
        services.extend((0..2_500).map(|number| {
            let mut service = service.clone();
            service.name = format!("Service{number:04}").into();
            service
        }));
    }
    let mut agent = host.connect(&hello(1)).await?;
    tell(&mut agent, 1, None, &crowded).await?;
    let kept = "select count(*) from boot_entry";
    assert_eq!(host.number(kept).await?, 2_000);
    let omitted = "select omitted::int8 from boot";
    assert_eq!(host.number(omitted).await?, 507);
    drop(agent);
    let mut agent = host.connect(&hello(1)).await?;
    tell(&mut agent, 2, None, &crowded).await?;
    assert_eq!((host.number(kept).await?, host.number(omitted).await?), (2_000, 507), "the same ones, told again");
    Ok(())
}

#[tokio::test]
async fn one_client_never_sees_the_boots_of_another() -> Result<()> {
    let host = Host::new("DC2").await?;
    let mut agent = host.connect(&hello(1)).await?;
    tell(&mut agent, 1, None, &facts(1, "DNS")).await?;
    for table in ["boot", "boot_entry", "event"] {
        assert!(host.count(table).await? > 0, "{table}");
        assert_eq!(host.count_as(host.stranger, table).await?, 0, "{table}");
    }
    Ok(())
}

#[tokio::test]
async fn who_held_a_port_is_answered_boot_by_boot() -> Result<()> {
    let host = Host::new("DC2").await?;
    let http = HttpDoor::open(&host.doors.app)?;
    let token = http.token("vera", Role::Viewer, None).await?;
    let mut agent = host.connect(&hello(1)).await?;
    let mut before = facts(1, "IAS");
    tell(&mut agent, 1, None, &before).await?;
    for (boot, winner) in [(2, "DNS"), (3, "IAS")] {
        let after = facts(boot, winner);
        tell(&mut agent, u64::try_from(boot)?, Some(&before), &after).await?;
        before = after;
    }
    let unread = Facts { sockets: Section::Unknown("access denied".into()), ..facts(4, "IAS") };
    tell(&mut agent, 4, Some(&before), &unread).await?;

    let at = format!("/api/v1/hosts/{}", host.host_id);
    let held = async |port: &str| -> Result<Vec<String>> {
        let answer = http.get(&format!("{at}/boots/holders?port={port}"), &token).await?.json();
        let boots = answer["boots"].as_array().cloned().unwrap_or_default();
        let word = |boot: &Value| match boot["holder"]["services"][0].as_str() {
            Some(service) => service.to_owned(),
            None => boot["state"].as_str().unwrap_or_default().to_owned(),
        };
        Ok(boots.iter().map(word).collect())
    };
    assert_eq!(held("udp/1812").await?, ["unknown", "IAS", "DNS", "IAS"]);
    assert_eq!(held("udp/1813").await?, ["unknown", "nobody", "nobody", "nobody"]);
    assert_eq!(held("udp/55001").await?, ["unknown"; 4], "one of a pool is not kept alone");

    let boots = http.get(&format!("{at}/boots"), &token).await?.json();
    let numbers: Vec<_> = boots["items"].as_array().into_iter().flatten().map(|boot| boot["number"].as_i64()).collect();
    assert_eq!(numbers, [Some(4), Some(3), Some(2), Some(1)]);
    assert_eq!((&boots["items"][2]["failed_services"], &boots["items"][2]["ports"]), (&json!(["IAS"]), &json!(2)));

    let boot = http.get(&format!("{at}/boots/2"), &token).await?.json();
    let told: Vec<_> = boot["entries"].as_array().into_iter().flatten().map(|entry| entry["text"].as_str()).collect();
    let expected = [
        "The system started.",
        "DNS runs.",
        "dns.exe (DNS) bound udp/1812.",
        "dns.exe (DNS) bound udp/53.",
        "dns.exe (DNS) took 2,500 ports of udp/55000-57499 for IPv4.",
        "IAS failed with 10048 (address already in use).",
    ];
    let mut told: Vec<&str> = told.into_iter().flatten().collect();
    told[2..4].sort_unstable();
    assert_eq!(told, expected);
    let holder = &boot["entries"][5]["holders"][0];
    assert_eq!((&holder["port"], &holder["process"]), (&json!("udp/1812"), &json!("dns.exe")));

    let events = http.get(&format!("{at}/events?id=7023&service=ias"), &token).await?.json();
    assert_eq!(events["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(events["items"][0]["sentence"], "IAS stopped with 10048 (address already in use).");
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = http.get(&format!("{at}/events?limit=2{cursor}"), &token).await?.json();
        seen.extend(page["items"].as_array().into_iter().flatten().map(|event| event["record_id"].as_i64()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, [40, 30, 21, 20, 10].map(Some));
    Ok(())
}

#[tokio::test]
async fn connections_are_asked_for_over_the_stream() -> Result<()> {
    let host = Host::new("DC2").await?;
    let http = HttpDoor::open(&host.doors.app)?;
    let operator = http.token("olga", Role::Operator, None).await?;
    let viewer = http.token("vera", Role::Viewer, None).await?;
    let path = format!("/api/v1/hosts/{}/connections", host.host_id);
    let headers = |token: &str| [("content-type", "application/json".to_owned()), ("authorization", token.to_owned())];
    let ask = async |token: &str| {
        let headers = headers(token);
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        http.send("POST", &path, &headers, "{}").await
    };
    assert_eq!(ask(&viewer).await?.code().as_deref(), Some("access.role-too-low"));
    assert_eq!(ask(&operator).await?.code().as_deref(), Some("host.not-connected"));

    let mut agent = host.connect(&hello(1)).await?;
    let answer = async {
        let Kind::ListConnections(ListConnections { request_id, limit }) = agent.next().await? else {
            anyhow::bail!("expected the question");
        };
        assert!(limit > 0);
        let connection = Connection {
            local_address: vec![10, 0, 0, 1],
            local_port: 445,
            remote_address: vec![10, 0, 0, 9],
            remote_port: 50_123,
            state: TcpState::Established.into(),
            pid: 4,
            image: "System\u{202e}".to_owned(),
        };
        let nonsense = Connection { local_address: vec![1], ..connection.clone() };
        let connections = vec![connection, nonsense];
        let list = ConnectionList { request_id, connections, omitted: 7, unknown: String::new() };
        // One that nobody asked for comes first, and is passed over.
        for list in [ConnectionList { request_id: 999, ..list.clone() }, list] {
            agent.say(RawMessage { connection_list: Some(list.encode_to_vec()), ..RawMessage::default() }).await?;
        }
        Ok(())
    };
    let (asked, answered) = tokio::join!(ask(&operator), answer);
    answered?;
    let asked = asked?;
    assert_eq!(asked.status, 200, "{}", asked.body);
    let list = asked.json();
    assert_eq!((&list["omitted"], &list["unknown"]), (&json!(8), &json!(null)));
    let row = &list["items"][0];
    assert_eq!((&row["local_address"], &row["state"]), (&json!("10.0.0.1"), &json!("established")));
    assert_eq!(row["process"], "System\u{fffd}");

    // A stream that ends takes its questions with it.
    let leave = async {
        let question = agent.next().await;
        drop(agent);
        question.map(drop)
    };
    let (asked, left) = tokio::join!(ask(&operator), leave);
    left?;
    assert_eq!(asked?.code().as_deref(), Some("host.not-connected"));
    Ok(())
}
