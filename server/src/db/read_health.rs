//! How the installation itself is: streams and deliveries within a scope, Postgres and leases as a whole.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;

use crate::db::{Db, Scope, read};

/// What was learned longer ago tells nothing of the lag of today.
const LAG_WITHIN: TimeDelta = TimeDelta::minutes(15);

/// Tables that every report may write.
const HOT: &[&str] = &[
    "agent_stream",
    "host",
    "host_section",
    "socket_now",
    "service_now",
    "update_now",
    "event",
    "boot",
    "boot_entry",
    "finding",
    "host_judgement",
    "forecast",
    "delivery",
];

/// The streams of the hosts of a scope.
#[derive(Clone, Debug)]
pub struct Streams {
    pub open: i64,
    pub gaps: i64,
    pub quarantined: i64,
    pub dropped_rows: i64,
    /// From the host's look to the server's knowledge, of what came in the last 15 minutes. `None`: nothing came.
    pub lag_median: Option<f64>,
    pub lag_p99: Option<f64>,
}

pub async fn streams(scope: &Scope, db: &Db, now: DateTime<Utc>) -> sqlx::Result<Streams> {
    let mut transaction = read::begin(scope, db).await?;
    let streams = sqlx::query!(
        r#"
        select
          count(*) filter (where connected_at is not null) as "open!",
          coalesce(sum(gaps), 0)::bigint as "gaps!",
          coalesce(sum(quarantined), 0)::bigint as "quarantined!",
          coalesce(sum(dropped_rows), 0)::bigint as "dropped_rows!"
        from agent_stream
        where client_id = any ($1)
        "#,
        &scope.0,
    )
    .fetch_one(&mut *transaction)
    .await?;
    let lag = sqlx::query!(
        "
        select
          percentile_cont(0.5) within group (order by lag) as median,
          percentile_cont(0.99) within group (order by lag) as p99
        from host_section
        cross join lateral (
          select greatest(extract(epoch from learned_at - collected_at), 0)::double precision as lag
        ) as one
        where client_id = any ($1)
          and learned_at >= $2
          and collected_at is not null
          and unknown_reason is null
        ",
        &scope.0,
        now - LAG_WITHIN,
    )
    .fetch_one(&mut *transaction)
    .await?;
    Ok(Streams {
        open: streams.open,
        gaps: streams.gaps,
        quarantined: streams.quarantined,
        dropped_rows: streams.dropped_rows,
        lag_median: lag.median,
        lag_p99: lag.p99,
    })
}

/// The outbox of the clients of a scope.
#[derive(Clone, Copy, Debug)]
pub struct Outbox {
    pub pending: i64,
    /// `None`: nothing is pending.
    pub oldest_pending_at: Option<DateTime<Utc>>,
    pub dead: i64,
}

pub async fn outbox(scope: &Scope, db: &Db) -> sqlx::Result<Outbox> {
    let mut transaction = read::begin(scope, db).await?;
    sqlx::query_as!(
        Outbox,
        r#"
        select
          count(*) filter (where state = 'pending') as "pending!",
          min(created_at) filter (where state = 'pending') as oldest_pending_at,
          count(*) filter (where state = 'dead') as "dead!"
        from delivery
        where client_id = any ($1)
          and state <> 'delivered'
        "#,
        &scope.0,
    )
    .fetch_one(&mut *transaction)
    .await
}

/// Postgres as it is.
#[derive(Clone, Debug)]
pub struct Postgres {
    pub version: String,
    pub started_at: DateTime<Utc>,
    /// To our database.
    pub connections: i64,
    /// Transactions since the oldest row that was not frozen: at two thousand million Postgres stops.
    pub transaction_age: i64,
}

pub async fn postgres(pool: &PgPool) -> sqlx::Result<Postgres> {
    sqlx::query_as!(
        Postgres,
        r#"
        select
          current_setting('server_version') as "version!",
          pg_postmaster_start_time() as "started_at!",
          (select count(*) from pg_stat_activity where datname = current_database()) as "connections!",
          (select age(datfrozenxid)::bigint from pg_database where datname = current_database()) as "transaction_age!"
        "#
    )
    .fetch_one(pool)
    .await
}

/// How a table that reports write is kept tidy.
#[derive(Clone, Debug)]
pub struct HotTable {
    pub name: String,
    pub live_rows: i64,
    pub dead_rows: i64,
    pub bytes: i64,
    /// `None`: not since the statistics began.
    pub vacuumed_at: Option<DateTime<Utc>>,
}

pub async fn hot_tables(pool: &PgPool) -> sqlx::Result<Vec<HotTable>> {
    let names: Vec<String> = HOT.iter().map(|&name| name.to_owned()).collect();
    sqlx::query_as!(
        HotTable,
        r#"
        select
          relname::text as "name!",
          coalesce(n_live_tup, 0) as "live_rows!",
          coalesce(n_dead_tup, 0) as "dead_rows!",
          coalesce(pg_total_relation_size(relid), 0) as "bytes!",
          greatest(last_autovacuum, last_vacuum) as vacuumed_at
        from pg_stat_user_tables
        where schemaname = 'public'
          and relname = any ($1)
        order by n_dead_tup desc, relname
        "#,
        &names,
    )
    .fetch_all(pool)
    .await
}

/// Which server does what only one does.
#[derive(Clone, Debug)]
pub struct HeldLease {
    pub name: String,
    pub holder: uuid::Uuid,
    pub until: DateTime<Utc>,
    pub is_held: bool,
}

pub async fn leases(pool: &PgPool) -> sqlx::Result<Vec<HeldLease>> {
    sqlx::query_as!(HeldLease, r#"select name, holder, until, until > now() as "is_held!" from lease order by name"#)
        .fetch_all(pool)
        .await
}
