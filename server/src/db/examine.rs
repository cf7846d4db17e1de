//! What `doctor` asks of a database. Nothing here writes, and nothing here knows what is good.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use crate::db::{Db, Scope};

/// The server that holds the database.
#[derive(Clone, Debug, Default)]
pub struct Postgres {
    /// Such as 150018.
    pub version: i32,
    pub checkpoint_timeout_seconds: i64,
    pub max_connections: i64,
    /// As Postgres writes them: `on`, `off`, `lz4`, `local` ….
    pub wal_compression: String,
    pub autovacuum: String,
    pub fsync: String,
    pub synchronous_commit: String,
    pub now: DateTime<Utc>,
}

pub async fn postgres(connection: &mut PgConnection) -> sqlx::Result<Postgres> {
    sqlx::query_as!(
        Postgres,
        r#"
        select
          current_setting('server_version_num')::int as "version!",
          extract(epoch from current_setting('checkpoint_timeout')::interval)::bigint as "checkpoint_timeout_seconds!",
          current_setting('max_connections')::bigint as "max_connections!",
          current_setting('wal_compression') as "wal_compression!",
          current_setting('autovacuum') as "autovacuum!",
          current_setting('fsync') as "fsync!",
          current_setting('synchronous_commit') as "synchronous_commit!",
          clock_timestamp() as "now!"
        "#
    )
    .fetch_one(connection)
    .await
}

/// Numbers of the migrations that were applied; empty where no server ever ran.
pub async fn migrations(connection: &mut PgConnection) -> sqlx::Result<BTreeSet<i64>> {
    let is_there: bool = sqlx::query_scalar("select to_regclass('public._sqlx_migrations') is not null")
        .fetch_one(&mut *connection)
        .await?;
    if !is_there {
        return Ok(BTreeSet::new());
    }
    // Not checked by the compiler: the table is that of sqlx.
    let applied: Vec<i64> =
        sqlx::query_scalar("select version from _sqlx_migrations where success").fetch_all(connection).await?;
    Ok(applied.into_iter().collect())
}

/// Roles of ours that are missing, that are superusers or that bypass row-level security.
pub async fn wrong_roles(connection: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"
        select wanted.name as "name!"
        from unnest(array['portreeve_owner', 'portreeve_app']) as wanted (name)
        left join pg_roles on rolname = wanted.name
        where rolname is null
          or (wanted.name = 'portreeve_app' and (rolsuper or rolbypassrls))
        "#
    )
    .fetch_all(connection)
    .await
}

/// Tables of clients whose rows every client could see. Not among them: those that are read before a client is known.
pub async fn open_tables(connection: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"
        select relname::text as "name!"
        from pg_class
        join pg_attribute on attrelid = pg_class.oid and attname = 'client_id' and not attisdropped
        where relnamespace = 'public'::regnamespace
          and relkind in ('r', 'p')
          and not relispartition
          and relname not in ('enroll_token', 'agent_certificate', 'endpoint')
          and not (relrowsecurity and relforcerowsecurity)
        order by relname
        "#
    )
    .fetch_all(connection)
    .await
}

/// The newest week for which each table of spans has a partition, such as 2026w48; `None`: it has none.
pub async fn newest_weeks(connection: &mut PgConnection) -> sqlx::Result<Vec<(String, Option<String>)>> {
    let rows = sqlx::query!(
        r#"
        select parent.relname::text as "span!", max(right(child.relname::text, 7)) as week
        from pg_class as parent
        left join pg_inherits on pg_inherits.inhparent = parent.oid
        left join pg_class as child on child.oid = pg_inherits.inhrelid and child.relname ~ '_[0-9]{4}w[0-9]{2}$'
        where parent.relnamespace = 'public'::regnamespace
          and parent.relkind = 'p'
        group by parent.relname
        order by parent.relname
        "#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.span, row.week)).collect())
}

/// How many of what wants somebody's attention.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub hosts: i64,
    /// Not heard of for a day.
    pub silent: i64,
    /// Reports set aside within a day.
    pub quarantined: i64,
    /// Hosts that lost reports.
    pub with_gaps: i64,
    /// Hosts of which a copy was seen.
    pub copied: i64,
    /// Hosts whose newest certificate ended or ends within three days, and was not revoked.
    pub ending_certificates: i64,
    pub pending_deliveries: i64,
    /// Given up within a week.
    pub dead_deliveries: i64,
    pub disabled_endpoints: Vec<String>,
    /// That took nothing for an hour while something was due.
    pub failing_endpoints: Vec<String>,
    /// Leases whose holder has not held them longer.
    pub lapsed_leases: Vec<String>,
}

pub async fn counts(scope: &Scope, db: &Db, now: DateTime<Utc>) -> sqlx::Result<Counts> {
    let day_ago = now - TimeDelta::days(1);
    let mut transaction = db.begin(scope).await?;
    let hosts = sqlx::query!(
        r#"
        select
          count(*) as "hosts!",
          count(*) filter (where agent_stream.last_seen_at < $2) as "silent!",
          count(*) filter (where agent_stream.gaps > 0) as "with_gaps!",
          count(*) filter (where coalesce(clone_seen_at, fork_seen_at) is not null) as "copied!",
          (select count(*) from quarantine where client_id = any ($1) and received_at > $2) as "quarantined!"
        from host
        left join agent_stream using (client_id, host_id)
        where host.client_id = any ($1)
          and host.retired_at is null
        "#,
        &scope.0,
        day_ago,
    )
    .fetch_one(&mut *transaction)
    .await?;
    let ending = sqlx::query_scalar!(
        r#"
        select count(*) as "count!"
        from (
          select max(expires_at) as ends_at, bool_or(revoked_at is not null) as is_revoked
          from agent_certificate
          join host using (client_id, host_id)
          where host.retired_at is null
          group by client_id, host_id
        ) as identity
        where not is_revoked
          and ends_at < $1
        "#,
        now + TimeDelta::days(3),
    )
    .fetch_one(&mut *transaction)
    .await?;
    let deliveries = sqlx::query!(
        r#"
        select
          count(*) filter (where state = 'pending') as "pending!",
          count(*) filter (where state = 'dead' and finished_at > $2) as "dead!"
        from delivery
        where client_id = any ($1)
        "#,
        &scope.0,
        now - TimeDelta::days(7),
    )
    .fetch_one(&mut *transaction)
    .await?;
    let failing = sqlx::query_scalar!(
        r#"
        select distinct endpoint.name
        from delivery
        join endpoint using (endpoint_id)
        where delivery.client_id = any ($1)
          and delivery.state = 'pending'
          and delivery.attempts > 0
          and delivery.created_at < $2
          and endpoint.disabled_at is null
        order by endpoint.name
        "#,
        &scope.0,
        now - TimeDelta::hours(1),
    )
    .fetch_all(&mut *transaction)
    .await?;
    let disabled = sqlx::query_scalar!("select name from endpoint where disabled_at is not null order by name")
        .fetch_all(&mut *transaction);
    let disabled = disabled.await?;
    let lapsed = sqlx::query_scalar!("select name from lease where until < now() - interval '5 minutes' order by name")
        .fetch_all(&mut *transaction);
    let lapsed = lapsed.await?;
    Ok(Counts {
        hosts: hosts.hosts,
        silent: hosts.silent,
        quarantined: hosts.quarantined,
        with_gaps: hosts.with_gaps,
        copied: hosts.copied,
        ending_certificates: ending,
        pending_deliveries: deliveries.pending,
        dead_deliveries: deliveries.dead,
        disabled_endpoints: disabled,
        failing_endpoints: failing,
        lapsed_leases: lapsed,
    })
}
