//! Findings as rows, inside the transaction of the reports that changed them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rules::finding::{Confidence, Evidence, Finding, Judgement, Remedy, Severity, Subject};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::findings::plan::{NAMESPACE, Plan, State, Stored, Transition, subject_key};

struct FindingRow {
    host_id: i64,
    finding_id: Uuid,
    rule: String,
    subject: Json<Subject>,
    problem: String,
    severity: i16,
    confidence: i16,
    title: String,
    cause: String,
    evidence: Json<Vec<Evidence>>,
    remedy: Json<Remedy>,
    probability: Option<f64>,
    since: Option<DateTime<Utc>>,
    state: String,
    episode: i32,
    opened_at: DateTime<Utc>,
    cannot_tell: Option<String>,
}

impl From<FindingRow> for Stored {
    fn from(row: FindingRow) -> Self {
        Self {
            id: row.finding_id,
            is: if row.state == "open" { State::Open } else { State::Resolved },
            episode: row.episode,
            opened_at: row.opened_at,
            cannot_tell: row.cannot_tell,
            finding: Finding {
                rule: row.rule,
                subject: row.subject.0,
                problem: row.problem,
                severity: severity_of(row.severity),
                confidence: confidence_of(row.confidence),
                title: row.title,
                cause: row.cause,
                evidence: row.evidence.0,
                remedy: row.remedy.0,
                since: row.since,
                probability: row.probability,
            },
        }
    }
}

/// As `finding.severity` is stored.
pub fn severity_number(severity: Severity) -> i16 {
    match severity {
        Severity::Info => 1,
        Severity::Warning => 2,
        Severity::Critical => 3,
    }
}

/// What is not a number of ours counts as critical: better seen than missed.
pub fn severity_of(number: i16) -> Severity {
    match number {
        1 => Severity::Info,
        2 => Severity::Warning,
        _ => Severity::Critical,
    }
}

/// As `finding.confidence` is stored.
pub fn confidence_number(confidence: Confidence) -> i16 {
    match confidence {
        Confidence::Possible => 1,
        Confidence::Likely => 2,
        Confidence::Certain => 3,
    }
}

pub fn confidence_of(number: i16) -> Confidence {
    match number {
        3 => Confidence::Certain,
        2 => Confidence::Likely,
        _ => Confidence::Possible,
    }
}

/// The host's open findings, and those of any state that `judgement` names.
pub async fn of_host(
    connection: &mut PgConnection,
    client_id: i32,
    host_id: i64,
    judgement: &Judgement,
) -> sqlx::Result<Vec<Stored>> {
    let mut stored = of_hosts(connection, client_id, &[(host_id, judgement)]).await?;
    Ok(stored.remove(&host_id).unwrap_or_default())
}

/// As [`of_host`], of hosts of one client.
pub async fn of_hosts(
    connection: &mut PgConnection,
    client_id: i32,
    judged: &[(i64, &Judgement)],
) -> sqlx::Result<BTreeMap<i64, Vec<Stored>>> {
    let hosts: Vec<i64> = judged.iter().map(|(host_id, _)| *host_id).collect();
    let named =
        || judged.iter().flat_map(|(host_id, judgement)| judgement.findings.iter().map(move |it| (host_id, it)));
    let named_hosts: Vec<i64> = named().map(|(host_id, _)| *host_id).collect();
    let rules: Vec<String> = named().map(|(_, finding)| finding.rule.clone()).collect();
    let subjects: Vec<String> = named().map(|(_, finding)| subject_key(&finding.subject)).collect();
    let rows = sqlx::query_as!(
        FindingRow,
        r#"
        select host_id, finding_id, rule, subject as "subject: Json<Subject>", problem, severity, confidence, title,
          cause, evidence as "evidence: Json<Vec<Evidence>>", remedy as "remedy: Json<Remedy>", probability, since,
          state, episode, opened_at, cannot_tell
        from finding
        where client_id = $1 and host_id = any($2)
          and (state = 'open'
            or (host_id, rule, subject_key) in (select * from unnest($3::int8[], $4::text[], $5::text[])))
        "#,
        client_id,
        &hosts,
        &named_hosts,
        &rules,
        &subjects,
    )
    .fetch_all(connection)
    .await?;
    let mut stored: BTreeMap<i64, Vec<Stored>> = BTreeMap::new();
    for row in rows {
        stored.entry(row.host_id).or_default().push(row.into());
    }
    Ok(stored)
}

pub async fn write(
    connection: &mut PgConnection,
    client_id: i32,
    host_id: i64,
    plan: &Plan,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    write_changes(connection, client_id, host_id, plan, now).await?;
    write_events(connection, client_id, plan, now).await?;
    write_marks(connection, client_id, plan, now).await
}

/// A finding that opens, reopens or changes is written whole; one that resolves keeps what it said last.
async fn write_changes(
    connection: &mut PgConnection,
    client_id: i32,
    host_id: i64,
    plan: &Plan,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    for change in &plan.changes {
        let finding = &change.finding;
        let resolved_at = (change.transition == Transition::Resolved).then_some(now);
        sqlx::query!(
            r#"
            insert into finding (client_id, finding_id, host_id, rule, subject_key, subject, severity, confidence,
              title, cause, evidence, remedy, probability, since, state, episode, first_opened_at, opened_at,
              resolved_at, updated_at, problem, resolved_because)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,
              case when $16::timestamptz is null then 'open' else 'resolved' end, $15, $17, $17, $16, $18, $19, $20)
            on conflict (client_id, finding_id) do update
            set severity = excluded.severity, confidence = excluded.confidence, title = excluded.title,
              cause = excluded.cause, evidence = excluded.evidence, remedy = excluded.remedy,
              probability = excluded.probability, since = excluded.since, state = excluded.state,
              episode = excluded.episode, opened_at = excluded.opened_at, resolved_at = excluded.resolved_at,
              updated_at = excluded.updated_at, problem = excluded.problem,
              resolved_because = excluded.resolved_because, cannot_tell = null
            "#,
            client_id,
            change.id,
            host_id,
            finding.rule,
            subject_key(&finding.subject),
            Json(&finding.subject) as _,
            severity_number(finding.severity),
            confidence_number(finding.confidence),
            finding.title,
            finding.cause,
            Json(&finding.evidence) as _,
            Json(&finding.remedy) as _,
            finding.probability,
            finding.since,
            change.episode,
            resolved_at,
            change.opened_at,
            now,
            finding.problem,
            change.because,
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn write_events(
    connection: &mut PgConnection,
    client_id: i32,
    plan: &Plan,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    for change in plan.changes.iter().filter(|change| change.is_news()) {
        let transition = change.transition.as_str();
        // A finding changes at most once with a report, and no two reports of a host share a moment.
        let name = format!("event/{}/{}/{transition}/{}", change.id, change.episode, now.timestamp_micros());
        sqlx::query!(
            r#"
            insert into finding_event (client_id, finding_id, event_id, at, episode, transition, title)
            values ($1, $2, $3, $4, $5, $6, $7)
            on conflict do nothing
            "#,
            client_id,
            change.id,
            Uuid::new_v5(&NAMESPACE, name.as_bytes()),
            now,
            change.episode,
            transition,
            change.finding.title,
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

async fn write_marks(
    connection: &mut PgConnection,
    client_id: i32,
    plan: &Plan,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    if plan.marks.is_empty() {
        return Ok(());
    }
    let (ids, reasons): (Vec<Uuid>, Vec<Option<String>>) = plan.marks.iter().cloned().unzip();
    sqlx::query!(
        r#"
        update finding
        set cannot_tell = mark.reason, updated_at = $4
        from unnest($2::uuid[], $3::text[]) as mark (finding_id, reason)
        where finding.client_id = $1 and finding.finding_id = mark.finding_id
        "#,
        client_id,
        &ids,
        &reasons as &[Option<String>],
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What the last judgement of each host could not tell, and what it stands on.
pub async fn write_judgements(
    connection: &mut PgConnection,
    client_id: i32,
    judged: &[(i64, &Judgement, &str)],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        insert into host_judgement (client_id, host_id, cannot_tell, judged_at, basis)
        select $1, host_id, cannot_tell, $5, basis
        from unnest($2::int8[], $3::jsonb[], $4::text[]) as said (host_id, cannot_tell, basis)
        on conflict (client_id, host_id) do update
        set cannot_tell = excluded.cannot_tell, judged_at = excluded.judged_at,
          basis = excluded.basis
        "#,
        client_id,
        &judged.iter().map(|(host_id, _, _)| *host_id).collect::<Vec<_>>(),
        &judged.iter().map(|(_, judgement, _)| Json(&judgement.cannot_tell)).collect::<Vec<_>>() as _,
        &judged.iter().map(|(_, _, basis)| (*basis).to_owned()).collect::<Vec<_>>(),
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Of a host that is judged no longer.
pub async fn delete_judgement(connection: &mut PgConnection, (client_id, host_id): (i32, i64)) -> sqlx::Result<()> {
    sqlx::query!("delete from host_judgement where client_id = $1 and host_id = $2", client_id, host_id)
        .execute(connection)
        .await?;
    Ok(())
}
