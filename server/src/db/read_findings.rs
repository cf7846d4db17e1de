//! Findings for people: lists, one with its timeline and deliveries, and where else the same is true.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::db::read_hosts::{STALE_WITHIN, UNHEARD_AFTER_END};
use crate::db::{Db, Scope, read};

/// Which findings. `None` does not restrict.
#[derive(Clone, Debug, Default)]
pub struct FindingFilter {
    /// `open` or `resolved`.
    pub state: Option<&'static str>,
    pub severity: Option<i16>,
    pub confidence: Option<i16>,
    pub client_id: Option<i32>,
    pub host_id: Option<i64>,
    /// A rule, or a family of rules: `bad-update` finds `bad-update/kb948609-exchange`.
    pub rule: Option<String>,
    /// Whether nothing was heard of the host of an open finding for a while.
    pub is_stale: Option<bool>,
    /// For `ilike`, over title, cause and host name.
    pub pattern: Option<String>,
}

/// Where a page starts: behind this finding.
pub type FindingKey = (i16, DateTime<Utc>, Uuid);

/// A finding with the names around it.
#[derive(Clone, Debug)]
pub struct FindingRow {
    pub finding_id: Uuid,
    pub rule: String,
    pub subject: Value,
    pub problem: String,
    pub severity: i16,
    pub confidence: i16,
    pub title: String,
    pub cause: String,
    pub client_id: i32,
    pub client_name: String,
    pub site_id: i64,
    pub site_name: String,
    pub host_id: i64,
    pub host_name: String,
    pub state: String,
    pub since: Option<DateTime<Utc>>,
    pub opened_at: DateTime<Utc>,
    pub resolved_at: Option<DateTime<Utc>>,
    pub updated_at: DateTime<Utc>,
    pub episode: i32,
    pub cannot_tell: Option<String>,
    pub resolved_because: Option<String>,
    /// `None`: its host is heard of, or has no agent, or it is resolved.
    pub not_heard_since: Option<DateTime<Utc>>,
}

impl FindingRow {
    pub fn key(&self) -> FindingKey {
        (self.severity, self.opened_at, self.finding_id)
    }
}

/// The worst first, of those the newest first.
pub async fn list(
    scope: &Scope,
    db: &Db,
    filter: &FindingFilter,
    after: Option<FindingKey>,
    limit: i64,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<FindingRow>> {
    let mut transaction = read::begin(scope, db).await?;
    let (severity, opened_at, finding_id) = after.map_or((None, None, None), |(a, b, c)| (Some(a), Some(b), Some(c)));
    sqlx::query_as!(
        FindingRow,
        r#"
        select
          finding.finding_id,
          finding.rule,
          finding.subject,
          finding.problem,
          finding.severity,
          finding.confidence,
          finding.title,
          finding.cause,
          finding.client_id,
          client.name as client_name,
          host.site_id,
          site.name as site_name,
          finding.host_id,
          host.name as host_name,
          finding.state,
          finding.since,
          finding.opened_at,
          finding.resolved_at,
          finding.updated_at,
          finding.episode,
          finding.cannot_tell,
          finding.resolved_because,
          unheard.since as not_heard_since
        from finding
        join client using (client_id)
        join host using (client_id, host_id)
        join site using (client_id, site_id)
        left join agent_stream using (client_id, host_id)
        cross join lateral (
          select case
            when finding.state = 'open'
              and host.collected_by = 'agent'
              and agent_stream.last_seen_at < case when agent_stream.connected_at is null then $13::timestamptz else $14 end
            then agent_stream.last_seen_at
          end as since
        ) as unheard
        where finding.client_id = any ($1)
          and ($2::text is null or finding.state = $2)
          and ($3::smallint is null or finding.severity = $3)
          and ($4::smallint is null or finding.confidence = $4)
          and ($5::int is null or finding.client_id = $5)
          and ($6::bigint is null or finding.host_id = $6)
          and ($7::text is null or finding.rule = $7 or starts_with(finding.rule, $7 || '/'))
          and ($8::text is null or finding.title ilike $8 or finding.cause ilike $8 or host.name ilike $8)
          and ($15::bool is null or (unheard.since is not null) = $15)
          and ($9::smallint is null or (finding.severity, finding.opened_at, finding.finding_id) < ($9, $10, $11))
        order by finding.severity desc, finding.opened_at desc, finding.finding_id desc
        limit $12
        "#,
        &scope.0,
        filter.state,
        filter.severity,
        filter.confidence,
        filter.client_id,
        filter.host_id,
        filter.rule,
        filter.pattern,
        severity,
        opened_at,
        finding_id,
        limit,
        now - UNHEARD_AFTER_END,
        now - STALE_WITHIN,
        filter.is_stale,
    )
    .fetch_all(&mut *transaction)
    .await
}

/// All that is known of one finding.
#[derive(Debug)]
pub struct FindingDetail {
    pub finding: FindingRow,
    pub evidence: Value,
    pub remedy: Value,
    pub probability: Option<f64>,
    /// Oldest first.
    pub timeline: Vec<EventRow>,
    pub also_on: Vec<AlsoOnRow>,
}

/// A step of a finding's life.
#[derive(Debug)]
pub struct EventRow {
    pub at: DateTime<Utc>,
    pub transition: String,
    pub title: String,
    pub episode: i32,
}

/// Another host for which the same rule says the same.
#[derive(Debug)]
pub struct AlsoOnRow {
    pub finding_id: Uuid,
    pub client_id: i32,
    pub client_name: String,
    pub host_id: i64,
    pub host_name: String,
}

/// `None`: no such finding in `scope`.
pub async fn one(scope: &Scope, db: &Db, finding_id: Uuid, now: DateTime<Utc>) -> sqlx::Result<Option<FindingDetail>> {
    let mut transaction = read::begin(scope, db).await?;
    let Some(row) = sqlx::query!(
        "
        select
          finding.rule,
          finding.subject,
          finding.problem,
          finding.subject_key,
          finding.severity,
          finding.confidence,
          finding.title,
          finding.cause,
          finding.evidence,
          finding.remedy,
          finding.probability,
          finding.client_id,
          client.name as client_name,
          host.site_id,
          site.name as site_name,
          finding.host_id,
          host.name as host_name,
          finding.state,
          finding.since,
          finding.opened_at,
          finding.resolved_at,
          finding.updated_at,
          finding.episode,
          finding.cannot_tell,
          finding.resolved_because,
          unheard.since as not_heard_since
        from finding
        join client using (client_id)
        join host using (client_id, host_id)
        join site using (client_id, site_id)
        left join agent_stream using (client_id, host_id)
        cross join lateral (
          select case
            when finding.state = 'open'
              and host.collected_by = 'agent'
              and agent_stream.last_seen_at < case when agent_stream.connected_at is null then $3::timestamptz else $4 end
            then agent_stream.last_seen_at
          end as since
        ) as unheard
        where finding.client_id = any ($1)
          and finding.finding_id = $2
        ",
        &scope.0,
        finding_id,
        now - UNHEARD_AFTER_END,
        now - STALE_WITHIN,
    )
    .fetch_optional(&mut *transaction)
    .await?
    else {
        return Ok(None);
    };
    let timeline = sqlx::query_as!(
        EventRow,
        "
        select at, transition, title, episode
        from finding_event
        where client_id = any ($1)
          and finding_id = $2
        order by at, event_id
        limit 500
        ",
        &scope.0,
        finding_id,
    )
    .fetch_all(&mut *transaction)
    .await?;
    let also_on = sqlx::query_as!(
        AlsoOnRow,
        "
        select
          finding.finding_id,
          finding.client_id,
          client.name as client_name,
          finding.host_id,
          host.name as host_name
        from finding
        join client using (client_id)
        join host using (client_id, host_id)
        where finding.client_id = any ($1)
          and finding.rule = $2
          and finding.subject_key = $3
          and finding.state = 'open'
          and finding.finding_id <> $4
        order by host.name, finding.host_id
        limit 100
        ",
        &scope.0,
        row.rule,
        row.subject_key,
        finding_id,
    )
    .fetch_all(&mut *transaction)
    .await?;
    Ok(Some(FindingDetail {
        finding: FindingRow {
            finding_id,
            rule: row.rule,
            subject: row.subject,
            problem: row.problem,
            severity: row.severity,
            confidence: row.confidence,
            title: row.title,
            cause: row.cause,
            client_id: row.client_id,
            client_name: row.client_name,
            site_id: row.site_id,
            site_name: row.site_name,
            host_id: row.host_id,
            host_name: row.host_name,
            state: row.state,
            since: row.since,
            opened_at: row.opened_at,
            resolved_at: row.resolved_at,
            updated_at: row.updated_at,
            episode: row.episode,
            cannot_tell: row.cannot_tell,
            resolved_because: row.resolved_because,
            not_heard_since: row.not_heard_since,
        },
        evidence: row.evidence,
        remedy: row.remedy,
        probability: row.probability,
        timeline,
        also_on,
    }))
}
