//! Figures and news of the first page.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::db::read_hosts::{REPORTING_WITHIN, STALE_WITHIN, UNHEARD_AFTER_END};
use crate::db::{Db, Scope, read};

/// How many of what.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    pub down: i64,
    pub down_hosts: i64,
    pub harmful: i64,
    pub harmful_hosts: i64,
    pub possible: i64,
    pub possible_hosts: i64,
    /// Open findings of hosts that were not heard of for a while: they are in none of those above.
    pub stale_findings: i64,
    pub stale_hosts: i64,
    pub critical: i64,
    pub warning: i64,
    pub info: i64,
    pub cannot_tell_hosts: i64,
    pub reporting: i64,
    pub stale: i64,
    pub silent: i64,
    pub capture: i64,
}

pub async fn counts(scope: &Scope, db: &Db, now: DateTime<Utc>) -> sqlx::Result<Counts> {
    let mut transaction = read::begin(scope, db).await?;
    let findings = sqlx::query!(
        r#"
        select
          count(*) filter (where severity = 3) as "critical!",
          count(*) filter (where severity = 2) as "warning!",
          count(*) filter (where severity = 1) as "info!",
          count(*) filter (where not is_stale and rule = 'port-conflict/blocked') as "down!",
          count(distinct host_id) filter (where not is_stale and rule = 'port-conflict/blocked') as "down_hosts!",
          count(distinct rule) filter (where not is_stale and is_update and confidence > 1) as "harmful!",
          count(distinct host_id) filter (where not is_stale and is_update and confidence > 1) as "harmful_hosts!",
          count(distinct rule) filter (where not is_stale and is_update and confidence = 1) as "possible!",
          count(distinct host_id) filter (where not is_stale and is_update and confidence = 1) as "possible_hosts!",
          count(*) filter (where is_stale) as "stale!",
          count(distinct host_id) filter (where is_stale) as "stale_hosts!"
        from finding
        join host using (client_id, host_id)
        left join agent_stream using (client_id, host_id)
        cross join lateral (
          select
            starts_with(rule, 'bad-update/') as is_update,
            host.collected_by = 'agent' and coalesce(agent_stream.last_seen_at
              < case when agent_stream.connected_at is null then $2::timestamptz else $3 end, false) as is_stale
        ) as family
        where client_id = any ($1)
          and state = 'open'
        "#,
        &scope.0,
        now - UNHEARD_AFTER_END,
        now - STALE_WITHIN,
    )
    .fetch_one(&mut *transaction)
    .await?;
    let hosts = sqlx::query!(
        r#"
        select
          count(*) filter (where freshness = 'reporting') as "reporting!",
          count(*) filter (where freshness = 'stale') as "stale!",
          count(*) filter (where freshness = 'silent') as "silent!",
          count(*) filter (where freshness = 'capture') as "capture!",
          count(*) filter (where host_judgement.cannot_tell <> '[]') as "cannot_tell!"
        from host
        left join agent_stream using (client_id, host_id)
        left join host_judgement using (client_id, host_id)
        cross join lateral (
          select case
            when host.collected_by = 'capture' then 'capture'
            when agent_stream.connected_at is not null and agent_stream.last_seen_at >= $2 then 'reporting'
            when agent_stream.last_seen_at >= $3 then 'stale'
            else 'silent'
          end as freshness
        ) as fresh
        where host.client_id = any ($1)
          and host.retired_at is null
        "#,
        &scope.0,
        now - REPORTING_WITHIN,
        now - STALE_WITHIN,
    )
    .fetch_one(&mut *transaction)
    .await?;
    Ok(Counts {
        down: findings.down,
        down_hosts: findings.down_hosts,
        harmful: findings.harmful,
        harmful_hosts: findings.harmful_hosts,
        possible: findings.possible,
        possible_hosts: findings.possible_hosts,
        stale_findings: findings.stale,
        stale_hosts: findings.stale_hosts,
        critical: findings.critical,
        warning: findings.warning,
        info: findings.info,
        cannot_tell_hosts: hosts.cannot_tell,
        reporting: hosts.reporting,
        stale: hosts.stale,
        silent: hosts.silent,
        capture: hosts.capture,
    })
}

/// A step of a finding's life, with the names around it.
#[derive(Clone, Debug)]
pub struct RecentRow {
    pub at: DateTime<Utc>,
    pub transition: String,
    pub title: String,
    pub finding_id: Uuid,
    pub rule: String,
    pub severity: i16,
    pub client_id: i32,
    pub client_name: String,
    pub host_id: i64,
    pub host_name: String,
}

/// The newest twenty.
pub async fn recent(scope: &Scope, db: &Db) -> sqlx::Result<Vec<RecentRow>> {
    let mut transaction = read::begin(scope, db).await?;
    sqlx::query_as!(
        RecentRow,
        "
        select
          finding_event.at,
          finding_event.transition,
          finding_event.title,
          finding.finding_id,
          finding.rule,
          finding.severity,
          finding.client_id,
          client.name as client_name,
          finding.host_id,
          host.name as host_name
        from finding_event
        join finding using (client_id, finding_id)
        join client using (client_id)
        join host using (client_id, host_id)
        where finding_event.client_id = any ($1)
        order by finding_event.at desc, finding_event.event_id
        limit 20
        ",
        &scope.0,
    )
    .fetch_all(&mut *transaction)
    .await
}
