//! Reports that are committed together are acknowledged each for itself.

use anyhow::Result;
use chrono::TimeDelta;
use portreeve_server::api::metrics;
use portreeve_server::db::Scope;
use portreeve_server::ingest::Ingest;
use proto::fleet::v1::Outcome;
use sqlx::AssertSqlSafe;
use tests::doors::Doors;
use tests::raw_agent::{RawAgent, changes, full, hello};
use tests::reporting_host::{blocked, mended};
use tokio::task::JoinSet;

const HOSTS: usize = 6;

#[tokio::test]
async fn a_report_that_the_database_refuses_costs_its_host_only() -> Result<()> {
    let figures = metrics::install();
    let doors = Doors::open_with(|app| Ingest::new(app).routes()).await?;
    let site = doors.site("Contoso").await?;
    let token = doors.token(site, i32::try_from(HOSTS)?, TimeDelta::hours(1)).await?;
    let mut agents = Vec::new();
    for number in 0..HOSTS {
        let credentials = doors.enroll(&token, &format!("SRV{number}")).await?;
        agents.push(RawAgent::connect(&doors, &credentials, &hello(number as u128 + 1)).await?);
    }
    let told = at_once(agents, |_| full(1, &blocked())).await?;
    assert!(told.iter().all(|(_, outcome, _)| *outcome == Outcome::Applied));
    let agents = told.into_iter().map(|(_, _, agent)| agent).collect();

    let mut superuser = doors.database.superuser().await?;
    let refusal = "alter table socket_now add constraint refusal check (pid <> 900)";
    sqlx::raw_sql(refusal).execute(&mut superuser).await?;
    // Of one host the holder is another process now, of the others the service runs.
    let running = || {
        let mut facts = blocked();
        facts.services = mended().services;
        facts
    };
    let told =
        at_once(agents, |number| changes(2, &blocked(), &if number == 3 { mended() } else { running() })).await?;
    for (number, outcome, _) in &told {
        let expected = if *number == 3 { Outcome::Quarantined } else { Outcome::Applied };
        assert_eq!(*outcome, expected, "host {number}");
    }
    let mut transaction = doors.database.db.begin(&Scope::of(site.client_id)).await?;
    for (sql, expected) in [
        ("select count(*) from agent_stream where seq = 2", 6),
        ("select count(*) from quarantine", 1),
        ("select count(*) from service_span", 10),
        ("select count(distinct host_id) from service_now where state = 'running'", 6),
    ] {
        let counted: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut *transaction).await?;
        assert_eq!(counted, expected, "{sql}");
    }
    let figures = figures.render();
    let figure =
        |name: &str| -> Option<f64> { figures.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok() };
    let (hosts, batches) = (figure("portreeve_writer_batch_hosts_sum "), figure("portreeve_writer_batch_hosts_count "));
    assert!(hosts > batches, "no two reports were committed together: {hosts:?} hosts in {batches:?} transactions");
    Ok(())
}

/// All agents report at the same time: number, outcome and agent of each, in order.
async fn at_once(
    agents: Vec<RawAgent>,
    report: impl Fn(usize) -> proto::wire::Report,
) -> Result<Vec<(usize, Outcome, RawAgent)>> {
    let mut told = JoinSet::new();
    for (number, mut agent) in agents.into_iter().enumerate() {
        let report = report(number);
        told.spawn(async move { anyhow::Ok((number, agent.report(&report).await?, agent)) });
    }
    let mut outcomes = told.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    outcomes.sort_by_key(|(number, ..)| *number);
    Ok(outcomes)
}
