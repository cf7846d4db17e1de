//! Settings of retention, sizes from the catalog of Postgres, their samples, and the runs of upkeep. Installation tables:
//! no scope. What is removed is in [`remove`].

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;

use crate::db::Db;
use crate::retention::{budget::Week, kind::Kind};

pub mod remove;

/// Samples this old serve no forecast.
const SAMPLES_KEPT: TimeDelta = TimeDelta::days(90);

/// When a run that did not come to its end is tried again.
const AGAIN_AFTER: TimeDelta = TimeDelta::hours(1);

/// How long a kind is kept, and how much room it has.
#[derive(Clone, Debug)]
pub struct Setting {
    pub kind: Kind,
    /// `None`: it has no end, nor bounds.
    pub keep_days: Option<i32>,
    pub least_days: Option<i32>,
    pub most_days: Option<i32>,
    /// `None`: no admin said one.
    pub budget_bytes: Option<i64>,
    pub may_shorten: bool,
    pub shortened_to_days: Option<i32>,
    pub shortened_at: Option<DateTime<Utc>>,
    pub changed_at: Option<DateTime<Utc>>,
    pub changed_by: Option<String>,
}

/// Kinds that this version does not know are left out: a newer server wrote them.
pub async fn settings(pool: &PgPool) -> sqlx::Result<Vec<Setting>> {
    let rows = sqlx::query!(
        "
        select
          kind,
          keep_days,
          least_days,
          most_days,
          budget_bytes,
          may_shorten,
          shortened_to_days,
          shortened_at,
          changed_at,
          changed_by
        from retention
        "
    )
    .fetch_all(pool)
    .await?;
    let mut settings: Vec<Setting> = rows
        .into_iter()
        .filter_map(|row| {
            Some(Setting {
                kind: Kind::parse(&row.kind)?,
                keep_days: row.keep_days,
                least_days: row.least_days,
                most_days: row.most_days,
                budget_bytes: row.budget_bytes,
                may_shorten: row.may_shorten,
                shortened_to_days: row.shortened_to_days,
                shortened_at: row.shortened_at,
                changed_at: row.changed_at,
                changed_by: row.changed_by,
            })
        })
        .collect();
    settings.sort_by_key(|setting| setting.kind);
    Ok(settings)
}

/// Writes what an admin set, and forgets what upkeep made of it.
pub async fn set(pool: &PgPool, setting: &Setting, by: &str, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "
        update retention
        set
          keep_days = $2,
          budget_bytes = $3,
          may_shorten = $4,
          shortened_to_days = null,
          shortened_at = null,
          changed_at = $5,
          changed_by = $6
        where kind = $1
        ",
        setting.kind.as_str(),
        setting.keep_days,
        setting.budget_bytes,
        setting.may_shorten,
        now,
        by,
    )
    .execute(pool)
    .await
    .map(drop)
}

/// Lets the next look remove of this kind: its last run counts as one that began no later than then.
pub async fn make_due(pool: &PgPool, kind: Kind, begun_at: DateTime<Utc>) -> sqlx::Result<()> {
    let name = format!("remove/{}", kind.as_str());
    sqlx::query!("update sweep set begun_at = least(begun_at, $2) where name = $1", name, begun_at)
        .execute(pool)
        .await
        .map(drop)
}

/// Notes that a kind is kept for fewer days than was set.
pub async fn note_shortened(pool: &PgPool, kind: Kind, days: i32, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "update retention set shortened_to_days = $2, shortened_at = $3 where kind = $1",
        kind.as_str(),
        days,
        now,
    )
    .execute(pool)
    .await
    .map(drop)
}

/// How large each kind is. `wal` is missing where Postgres does not tell it to us.
pub async fn sizes(pool: &PgPool) -> sqlx::Result<Vec<(Kind, i64)>> {
    let tables = sqlx::query!(
        r#"
        select
          coalesce(parent.relname, relation.relname)::text as "name!",
          coalesce(sum(pg_total_relation_size(relation.oid)), 0)::bigint as "bytes!"
        from pg_class as relation
        left join pg_inherits on pg_inherits.inhrelid = relation.oid
        left join pg_class as parent on parent.oid = pg_inherits.inhparent
        where relation.relnamespace = 'public'::regnamespace
          and relation.relkind = 'r'
        group by 1
        "#
    )
    .fetch_all(pool)
    .await?;
    let database =
        sqlx::query_scalar!(r#"select pg_database_size(current_database()) as "bytes!""#).fetch_one(pool).await?;
    let mut sizes: Vec<(Kind, i64)> =
        Kind::ALL.iter().filter(|kind| !matches!(kind, Kind::Wal | Kind::Total)).map(|&kind| (kind, 0)).collect();
    let mut named = 0;
    for table in tables {
        let kind = Kind::of_table(&table.name);
        if kind == Kind::Other {
            continue;
        }
        named += table.bytes;
        if let Some((_, bytes)) = sizes.iter_mut().find(|(one, _)| *one == kind) {
            *bytes += table.bytes;
        }
    }
    if let Some((_, bytes)) = sizes.iter_mut().find(|(kind, _)| *kind == Kind::Other) {
        *bytes = (database - named).max(0);
    }
    let wal = wal_bytes(pool).await?;
    sizes.extend(wal.map(|bytes| (Kind::Wal, bytes)));
    sizes.push((Kind::Total, database + wal.unwrap_or_default()));
    Ok(sizes)
}

/// `None`: our role may not look.
async fn wal_bytes(pool: &PgPool) -> sqlx::Result<Option<i64>> {
    let may = sqlx::query_scalar!(r#"select has_function_privilege('pg_ls_waldir()', 'execute') as "may!""#);
    if !may.fetch_one(pool).await? {
        return Ok(None);
    }
    // Not a checked query: the role that checks them may not call the function.
    sqlx::query_scalar::<_, i64>("select coalesce(sum(size), 0)::bigint from pg_ls_waldir()")
        .fetch_one(pool)
        .await
        .map(Some)
}

/// Keeps the sizes of this hour, and forgets those that are too old to tell anything.
pub async fn keep_sample(pool: &PgPool, sizes: &[(Kind, i64)], now: DateTime<Utc>) -> sqlx::Result<()> {
    let kinds: Vec<String> = sizes.iter().map(|(kind, _)| kind.as_str().to_owned()).collect();
    let bytes: Vec<i64> = sizes.iter().map(|(_, bytes)| *bytes).collect();
    sqlx::query!(
        "
        insert into size_sample (kind, at, bytes)
        select kind, $3, bytes
        from unnest($1::text[], $2::bigint[]) as sample (kind, bytes)
        on conflict do nothing
        ",
        &kinds,
        &bytes,
        now,
    )
    .execute(pool)
    .await?;
    sqlx::query!("delete from size_sample where at < $1", now - SAMPLES_KEPT).execute(pool).await.map(drop)
}

/// Samples since a time, in order of time.
pub async fn samples(pool: &PgPool, since: DateTime<Utc>) -> sqlx::Result<Vec<(Kind, DateTime<Utc>, i64)>> {
    let rows = sqlx::query!("select kind, at, bytes from size_sample where at >= $1 order by at", since)
        .fetch_all(pool)
        .await?;
    Ok(rows.into_iter().filter_map(|row| Some((Kind::parse(&row.kind)?, row.at, row.bytes))).collect())
}

/// The weeks of a table of spans.
pub async fn weeks(pool: &PgPool, span_table: &str) -> sqlx::Result<Vec<Week>> {
    sqlx::query_as!(
        Week,
        r#"
        select
          ((to_date(right(child.relname, 7), 'IYYY"w"IW') + 7)::timestamp at time zone 'UTC') as "ends_at!",
          coalesce(pg_total_relation_size(child.oid), 0) as "bytes!"
        from pg_inherits
        join pg_class child on child.oid = pg_inherits.inhrelid
        where pg_inherits.inhparent = to_regclass($1)
          and child.relname ~ '_[0-9]{4}w[0-9]{2}$'
        order by 1
        "#,
        span_table,
    )
    .fetch_all(pool)
    .await
}

/// How far ahead weeks are made in every table of spans. `None`: one of them has none.
pub async fn prepared_until(pool: &PgPool) -> sqlx::Result<Option<DateTime<Utc>>> {
    let mut until = None;
    for table in Kind::ALL.iter().filter_map(|kind| kind.span_table()) {
        let Some(last) = weeks(pool, table).await?.last().map(|week| week.ends_at) else { return Ok(None) };
        until = Some(until.map_or(last, |until: DateTime<Utc>| until.min(last)));
    }
    Ok(until)
}

/// Makes weeks up to a time. Gives up soon where others hold the tables: the next run tries again.
pub async fn prepare(db: &Db, until: DateTime<Utc>) -> sqlx::Result<u64> {
    let mut transaction = remove::begin(db, &crate::db::Scope::default()).await?;
    let made = sqlx::query_scalar!(r#"select keep_span_partitions($1) as "made!""#, until)
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(u64::try_from(made).unwrap_or_default())
}

/// The last run of a part of upkeep.
#[derive(Clone, Debug)]
pub struct Run {
    pub name: String,
    pub begun_at: DateTime<Utc>,
    /// `None`: it is under way, or its server died.
    pub ended_at: Option<DateTime<Utc>>,
    pub removed: i64,
    pub fault: Option<String>,
}

pub async fn runs(pool: &PgPool) -> sqlx::Result<Vec<Run>> {
    sqlx::query_as!(Run, "select name, begun_at, ended_at, removed, fault from sweep order by name")
        .fetch_all(pool)
        .await
}

/// Whether a run is due, which then has begun: `every` after the last one began, or an hour after one that failed or was
/// cut off.
pub async fn begin_run(pool: &PgPool, name: &str, now: DateTime<Utc>, every: TimeDelta) -> sqlx::Result<bool> {
    let begun = sqlx::query!(
        "
        insert into sweep (name, begun_at)
        values ($1, $2)
        on conflict (name) do update
        set begun_at = excluded.begun_at, ended_at = null
        where sweep.begun_at <= $3
          or ((sweep.fault is not null or sweep.ended_at is null) and sweep.begun_at <= $4)
        ",
        name,
        now,
        now - every,
        now - AGAIN_AFTER,
    )
    .execute(pool)
    .await?;
    Ok(begun.rows_affected() > 0)
}

pub async fn end_run(pool: &PgPool, name: &str, outcome: Result<u64, &str>, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "update sweep set ended_at = $2, removed = $3, fault = $4 where name = $1",
        name,
        now,
        outcome.map_or(0, |removed| i64::try_from(removed).unwrap_or(i64::MAX)),
        outcome.err(),
    )
    .execute(pool)
    .await
    .map(drop)
}
