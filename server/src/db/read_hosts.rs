//! Hosts for people: lists with their open findings, and one with the state of its sections and stream.

use chrono::{DateTime, Duration, Utc};
use ipnet::IpNet;
use serde_json::Value;

use crate::db::{Db, Scope, facts, read};

/// A connected agent that was heard of since is reporting. Three heartbeats.
pub const REPORTING_WITHIN: Duration = Duration::seconds(90);
/// A host whose stream has ended is not heard of any more after this. Three heartbeats.
pub const UNHEARD_AFTER_END: Duration = Duration::minutes(3);
/// An agent that was heard of since is stale, and otherwise silent.
pub const STALE_WITHIN: Duration = Duration::minutes(15);

/// Which hosts. `None` does not restrict.
#[derive(Clone, Debug, Default)]
pub struct HostFilter {
    pub host_id: Option<i64>,
    pub client_id: Option<i32>,
    /// `reporting`, `stale`, `silent`, `capture` or `retired`. Without it, and unless a host is named, retired ones are left out.
    pub freshness: Option<&'static str>,
    /// For `ilike`, over the names of host, site and system.
    pub pattern: Option<String>,
}

/// Where a page starts: behind this host.
pub type HostKey = (String, i64);

/// A host with the names around it and its open findings by severity.
#[derive(Clone, Debug)]
pub struct HostRow {
    pub host_id: i64,
    pub name: String,
    pub client_id: i32,
    pub client_name: String,
    pub site_id: i64,
    pub site_name: String,
    pub os_name: Option<String>,
    pub os_generation: Option<String>,
    pub os_build: Option<String>,
    pub collected_by: String,
    pub freshness: String,
    pub last_seen_at: Option<DateTime<Utc>>,
    pub booted_at: Option<DateTime<Utc>>,
    pub critical: i64,
    pub warning: i64,
    pub info: i64,
}

impl HostRow {
    pub fn key(&self) -> HostKey {
        (self.name.clone(), self.host_id)
    }
}

/// By name.
pub async fn list(
    scope: &Scope,
    db: &Db,
    filter: &HostFilter,
    after: Option<HostKey>,
    limit: i64,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<HostRow>> {
    let mut transaction = read::begin(scope, db).await?;
    let (name, host_id) = after.unzip();
    sqlx::query_as!(
        HostRow,
        r#"
        select
          host.host_id,
          host.name,
          host.client_id,
          client.name as client_name,
          host.site_id,
          site.name as site_name,
          host.os_name,
          host.os_generation,
          host.os_build,
          host.collected_by,
          fresh.freshness as "freshness!",
          coalesce(agent_stream.last_seen_at, captured.captured_at) as last_seen_at,
          host.booted_at,
          open.critical as "critical!",
          open.warning as "warning!",
          open.info as "info!"
        from host
        join client using (client_id)
        join site using (client_id, site_id)
        left join agent_stream using (client_id, host_id)
        cross join lateral (
          select max(captured_at) as captured_at
          from capture
          where capture.client_id = host.client_id
            and capture.host_id = host.host_id
        ) as captured
        cross join lateral (
          select case
            when host.retired_at is not null then 'retired'
            when host.collected_by = 'capture' then 'capture'
            when agent_stream.connected_at is not null and agent_stream.last_seen_at >= $8 then 'reporting'
            when agent_stream.last_seen_at >= $9 then 'stale'
            else 'silent'
          end as freshness
        ) as fresh
        cross join lateral (
          select
            count(*) filter (where severity = 3) as critical,
            count(*) filter (where severity = 2) as warning,
            count(*) filter (where severity = 1) as info
          from finding
          where finding.client_id = host.client_id
            and finding.host_id = host.host_id
            and finding.state = 'open'
        ) as open
        where host.client_id = any ($1)
          and ($2::bigint is null or host.host_id = $2)
          and (host.retired_at is null or $2::bigint is not null or $4 = 'retired')
          and ($3::int is null or host.client_id = $3)
          and ($4::text is null or fresh.freshness = $4)
          and ($5::text is null or host.name ilike $5 or site.name ilike $5 or host.os_name ilike $5)
          and ($6::text is null or (host.name, host.host_id) > ($6, $7))
        order by host.name, host.host_id
        limit $10
        "#,
        &scope.0,
        filter.host_id,
        filter.client_id,
        filter.freshness,
        filter.pattern,
        name,
        host_id,
        now - REPORTING_WITHIN,
        now - STALE_WITHIN,
        limit,
    )
    .fetch_all(&mut *transaction)
    .await
}

/// A host with what is known about its facts.
#[derive(Debug)]
pub struct HostDetailRow {
    pub host: HostRow,
    pub enrolled_at: DateTime<Utc>,
    pub agent_version: Option<String>,
    pub sections: Vec<SectionRow>,
    /// `None`: no agent has ever connected.
    pub stream: Option<StreamRow>,
    /// `rules::finding::CannotTell[]`. `None`: never judged.
    pub cannot_tell: Option<Value>,
    /// `None`: it is watched.
    pub retired_at: Option<DateTime<Utc>>,
    /// (client, host) of the record that its agent speaks for now, and of the one that it spoke for before.
    pub moved_to: Option<(i32, i64)>,
    pub moved_from: Option<(i32, i64)>,
}

/// One section of a host's facts.
#[derive(Clone, Debug)]
pub struct SectionRow {
    pub section: String,
    /// `None`: known.
    pub unknown_reason: Option<String>,
    /// The section itself where it is one document.
    pub facts: Option<Value>,
    pub collected_at: Option<DateTime<Utc>>,
    pub learned_at: DateTime<Utc>,
}

/// The cursor of an agent's stream.
#[derive(Clone, Debug)]
pub struct StreamRow {
    pub connected_at: Option<DateTime<Utc>>,
    pub seq: i64,
    pub clock_skew_ms: i64,
    pub quarantined: i64,
    pub gaps: i64,
    pub dropped_rows: i64,
    pub fork_seen_at: Option<DateTime<Utc>>,
    pub restored_at: Option<DateTime<Utc>>,
    pub clone_seen_at: Option<DateTime<Utc>>,
    pub clone_fingerprint: Option<Vec<u8>>,
    pub clone_address: Option<IpNet>,
    pub backup_at: Option<DateTime<Utc>>,
    pub backup_heard_at: Option<DateTime<Utc>>,
}

/// `None`: no such host in `scope`.
pub async fn one(scope: &Scope, db: &Db, host_id: i64, now: DateTime<Utc>) -> sqlx::Result<Option<HostDetailRow>> {
    let filter = HostFilter { host_id: Some(host_id), ..HostFilter::default() };
    let Some(host) = list(scope, db, &filter, None, 1, now).await?.pop() else { return Ok(None) };
    let mut transaction = read::begin(scope, db).await?;
    let more = sqlx::query!(
        "
        select host.enrolled_at, host.agent_version, host.retired_at, host.moved_to_client_id, host.moved_to_host_id,
          host.moved_from_client_id, host.moved_from_host_id, host_judgement.cannot_tell as \"cannot_tell?\"
        from host
        left join host_judgement using (client_id, host_id)
        where host.client_id = $1
          and host.host_id = $2
        ",
        host.client_id,
        host_id,
    )
    .fetch_one(&mut *transaction)
    .await?;
    let sections = sections(host.client_id, host_id, &mut transaction).await?;
    let stream = sqlx::query_as!(
        StreamRow,
        "
        select connected_at, seq, clock_skew_ms, quarantined, gaps, dropped_rows, fork_seen_at, restored_at,
          clone_seen_at, clone_fingerprint, clone_address, backup_at, backup_heard_at
        from agent_stream
        where client_id = $1
          and host_id = $2
        ",
        host.client_id,
        host_id,
    )
    .fetch_optional(&mut *transaction)
    .await?;
    Ok(Some(HostDetailRow {
        host,
        enrolled_at: more.enrolled_at,
        agent_version: more.agent_version,
        sections,
        stream,
        cannot_tell: more.cannot_tell,
        retired_at: more.retired_at,
        moved_to: more.moved_to_client_id.zip(more.moved_to_host_id),
        moved_from: more.moved_from_client_id.zip(more.moved_from_host_id),
    }))
}

/// State of the sections of a host that the transaction may see.
pub async fn sections(
    client_id: i32,
    host_id: i64,
    transaction: &mut sqlx::PgConnection,
) -> sqlx::Result<Vec<SectionRow>> {
    let mut rows = sqlx::query_as!(
        SectionRow,
        "
        select section, unknown_reason, facts, collected_at, learned_at
        from host_section
        where client_id = $1
          and host_id = $2
        ",
        client_id,
        host_id,
    )
    .fetch_all(&mut *transaction)
    .await?;
    if let Some(row) = rows.iter_mut().find(|row| row.section == "connections") {
        row.facts = facts::connections(transaction, client_id, host_id).await?;
    }
    Ok(rows)
}
