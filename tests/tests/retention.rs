//! What is older than it is kept goes, and nothing else: spans by weeks, the rest by rows; what is open, pending, or still
//! reported stays however old it is. Budgets are warned of, and shorten spans only where an admin said so.

use anyhow::Result;
use chrono::{DateTime, TimeDelta, Utc};
use portreeve_server::clock;
use portreeve_server::db::retention as rows;
use portreeve_server::people::Role;
use portreeve_server::retention::forecast::Forecast;
use portreeve_server::retention::kind::Kind;
use portreeve_server::retention::{self, Change, SetFault};
use serde_json::json;
use sqlx::{AssertSqlSafe, PgConnection};
use tests::doors::Doors;
use tests::http_door::HttpDoor;

/// One host of a client; rows of every kind, old ones and such as must stay.
const SEED: &str = include_str!("../seeds/old_and_new.sql");

async fn count(connection: &mut PgConnection, of: &str) -> Result<i64> {
    let query = AssertSqlSafe(format!("select count(*) from {of}"));
    Ok(sqlx::query_scalar(query).fetch_one(connection).await?)
}

async fn seeded() -> Result<(Doors, PgConnection)> {
    let doors = Doors::open().await?;
    doors.site("Contoso").await?;
    let mut superuser = doors.database.superuser().await?;
    sqlx::raw_sql(SEED).execute(&mut superuser).await?;
    Ok((doors, superuser))
}

#[tokio::test]
async fn what_is_old_goes_and_what_is_open_stays() -> Result<()> {
    let (doors, mut superuser) = seeded().await?;
    let db = &doors.database.db;
    retention::tidy(db, clock::now()).await;

    for run in rows::runs(&db.pool).await? {
        assert_eq!(run.fault, None, "{}", run.name);
        assert!(run.ended_at.is_some(), "{}", run.name);
    }
    let left = [
        ("socket_span", 1),
        ("service_span", 1),
        ("host_silence", 1),
        ("event", 2),
        ("boot", 2),
        ("boot_entry", 1),
        ("finding", 4),
        ("finding_event", 4),
        ("problem_member", 1),
        ("delivery", 2),
        ("delivery_attempt", 2),
        ("quarantine", 1),
    ];
    for (table, expected) in left {
        assert_eq!(count(&mut superuser, table).await?, expected, "{table}");
    }
    assert_eq!(count(&mut superuser, "finding where title like 'goes%'").await?, 0);
    assert_eq!(count(&mut superuser, "event where provider = 'goes'").await?, 0);
    let weeks = rows::prepared_until(&db.pool).await?;
    assert!(weeks.is_some_and(|until| until > clock::now() + TimeDelta::weeks(4)), "{weeks:?}");
    Ok(())
}

#[tokio::test]
async fn more_than_a_batch_goes_in_one_run() -> Result<()> {
    let (doors, mut superuser) = seeded().await?;
    let many = "insert into event (client_id, host_id, record_id, at, learned_at, id, in_window, log, provider, data)
                select 1, 1, 10000 + n, null, now() - interval '3 years', 7036, false, 'System', 'goes', '[]'
                from generate_series(1, 2500) n";
    sqlx::raw_sql(many).execute(&mut superuser).await?;
    let db = &doors.database.db;
    let removed = retention::remove_before(db, Kind::Events, clock::now() - TimeDelta::days(400)).await?;
    assert_eq!(removed, 2501);
    Ok(())
}

#[tokio::test]
async fn a_run_is_one_servers_and_is_due_again_when_it_failed() -> Result<()> {
    let doors = Doors::open().await?;
    let pool = &doors.database.db.pool;
    let (now, day) = (clock::now(), TimeDelta::days(1));
    assert!(rows::begin_run(pool, "sizes", now, day).await?);
    assert!(!rows::begin_run(pool, "sizes", now, day).await?);
    rows::end_run(pool, "sizes", Err("the table was held"), now).await?;
    assert!(!rows::begin_run(pool, "sizes", now + TimeDelta::minutes(59), day).await?);
    assert!(rows::begin_run(pool, "sizes", now + TimeDelta::hours(1), day).await?);
    rows::end_run(pool, "sizes", Ok(3), now).await?;
    assert!(!rows::begin_run(pool, "sizes", now + TimeDelta::hours(2), day).await?);
    assert!(rows::begin_run(pool, "sizes", now + TimeDelta::hours(25), day).await?);
    Ok(())
}

#[tokio::test]
async fn settings_have_bounds() -> Result<()> {
    let doors = Doors::open().await?;
    let db = &doors.database.db;
    let days = |days| Change { keep_days: Some(days), ..Change::default() };
    let set = async |kind, change| retention::set(db, kind, change, "kim", clock::now()).await;
    assert!(matches!(set(Kind::Events, days(3)).await, Err(SetFault::OutOfBounds { least: 30, .. })));
    assert!(matches!(set(Kind::Facts, days(30)).await, Err(SetFault::NoEnd(Kind::Facts))));
    let shorten = Change { may_shorten: Some(true), ..Change::default() };
    assert!(matches!(set(Kind::Events, shorten).await, Err(SetFault::NoSpans(Kind::Events))));
    let setting = set(Kind::Events, days(31)).await?;
    assert_eq!((setting.keep_days, setting.budget_bytes), (Some(31), None));
    let stored = rows::settings(&db.pool).await?;
    let events = stored.iter().find(|setting| setting.kind == Kind::Events);
    assert_eq!(events.and_then(|setting| setting.changed_by.as_deref()), Some("kim"));
    Ok(())
}

#[tokio::test]
async fn a_budget_shortens_only_where_an_admin_said_so() -> Result<()> {
    let (doors, mut superuser) = seeded().await?;
    let db = &doors.database.db;
    let now = clock::now();
    make_weeks(&mut superuser, now).await?;
    let weeks = rows::weeks(&db.pool, "socket_span").await?.len();
    let change = Change { budget_bytes: Some(Some(1)), ..Change::default() };
    retention::set(db, Kind::SocketSpans, change, "kim", now).await?;
    // Kept for long: only the budget removes anything here.
    let long = Change { keep_days: Some(3000), ..Change::default() };
    retention::set(db, Kind::SocketSpans, long, "kim", now).await?;
    retention::tidy(db, now).await;
    assert_eq!(rows::weeks(&db.pool, "socket_span").await?.len(), weeks, "nobody allowed it");

    let standings = retention::standings(db, now).await?;
    let sockets = standings.iter().find(|standing| standing.setting.kind == Kind::SocketSpans);
    let warning = sockets.and_then(retention::Standing::warning);
    assert_eq!(warning.as_deref(), Some("socket-spans takes more room than its budget."));

    let allow = Change { may_shorten: Some(true), ..Change::default() };
    retention::set(db, Kind::SocketSpans, allow, "kim", now).await?;
    retention::tidy(db, now + TimeDelta::hours(2)).await;
    let left = rows::weeks(&db.pool, "socket_span").await?;
    assert!(left.len() < weeks, "{left:?}");
    let newest_gone = now - TimeDelta::days(7);
    assert!(left.iter().all(|week| week.ends_at > newest_gone - TimeDelta::days(1)), "{left:?}");
    let stored = rows::settings(&db.pool).await?;
    let setting = stored.iter().find(|setting| setting.kind == Kind::SocketSpans);
    assert!(setting.is_some_and(|setting| setting.shortened_to_days.is_some_and(|days| days >= 7)), "{setting:?}");
    Ok(())
}

#[tokio::test]
async fn sizes_are_known_at_once_and_forecasts_after_a_day() -> Result<()> {
    let (doors, mut superuser) = seeded().await?;
    let db = &doors.database.db;
    let now = clock::now();
    let standings = retention::standings(db, now).await?;
    for standing in &standings {
        assert!(standing.bytes.is_some() || standing.setting.kind == Kind::Wal, "{standing:?}");
        assert_eq!(standing.forecast, Forecast::CannotTell);
    }
    let grown = "insert into size_sample (kind, at, bytes)
                 select 'total', now() - interval '1 hour' * n, 1000000000 - n * 1000000 from generate_series(1, 48) n";
    sqlx::raw_sql(grown).execute(&mut superuser).await?;
    let change = Change { budget_bytes: Some(Some(1 << 40)), ..Change::default() };
    retention::set(db, Kind::Total, change, "kim", now).await?;
    let standings = retention::standings(db, now).await?;
    let total = standings.iter().find(|standing| standing.setting.kind == Kind::Total);
    let days = total.and_then(|total| total.forecast.days());
    assert!(days.is_some_and(|days| days > 30_000.0), "24 MB a day into a TiB: {days:?}");
    Ok(())
}

/// Ten weeks that have ended, none of which the migration made.
async fn make_weeks(connection: &mut PgConnection, now: DateTime<Utc>) -> Result<()> {
    for ago in 3..13 {
        let make = format!(
            "do $$ declare week timestamptz := date_trunc('week', timestamptz '{now}', 'UTC') - interval '{ago} weeks'; begin
               execute format('create table socket_span_%s partition of socket_span for values from (%L) to (%L)',
                 to_char(week at time zone 'UTC', 'IYYY\"w\"IW'), week, week + interval '1 week');
             end $$"
        );
        sqlx::raw_sql(AssertSqlSafe(make)).execute(&mut *connection).await?;
    }
    Ok(())
}

#[tokio::test]
async fn only_admins_of_every_client_set_what_is_kept() -> Result<()> {
    let (doors, _) = seeded().await?;
    let door = HttpDoor::open(&doors.app)?;
    let viewer = door.token("vera", Role::Viewer, None).await?;
    let operator = door.token("olaf", Role::Operator, Some(&[1])).await?;
    let confined = door.token("cora", Role::Admin, Some(&[1])).await?;
    let admin = door.token("anna", Role::Admin, None).await?;
    let send = async |token: &str, method: &str, path: &str, body: &str| {
        let headers = [("authorization", token), ("content-type", "application/json")];
        door.send(method, path, &headers, body).await
    };

    assert_eq!(send(&viewer, "GET", "/api/v1/health", "").await?.code().as_deref(), Some("access.role-too-low"));
    let health = send(&operator, "GET", "/api/v1/health", "").await?.json();
    assert_eq!((&health["hosts"]["total"], &health["deliveries"]["pending"]), (&json!(1), &json!(1)), "{health}");

    let (path, body) = ("/api/v1/retention/events", r#"{"keep_days": 60, "budget_bytes": 1000000}"#);
    for token in [&operator, &confined] {
        assert_eq!(send(token, "PUT", path, body).await?.code().as_deref(), Some("access.role-too-low"));
    }
    let set = send(&admin, "PUT", path, body).await?;
    assert_eq!((set.status, &set.json()["keep_days"]), (200, &json!(60)), "{}", set.body);
    assert_eq!(set.json()["changed_by"], "anna");
    for wrong in [r#"{"keep_days": 1}"#, r#"{"may_shorten": true}"#, r#"{"budget_bytes": 0}"#] {
        assert_eq!(send(&admin, "PUT", path, wrong).await?.code().as_deref(), Some("retention.bad-setting"), "{wrong}");
    }
    let unknown = send(&admin, "PUT", "/api/v1/retention/everything", body).await?;
    assert_eq!(unknown.code().as_deref(), Some("resource.not-found"));
    Ok(())
}
