//! Imported releases of the catalog, from their shadow run to the day on which another one takes their place.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::db::{Db, Scope, catalog, read};

/// A release that was verified.
#[derive(Clone, Debug)]
pub struct NewRelease {
    pub release_id: Uuid,
    pub version: i64,
    pub title: String,
    /// The bundle exactly as signed.
    pub body: String,
    pub key_id: String,
    pub hold_above: i32,
    pub imported_by: String,
}

/// A release as a page shows it.
#[derive(Clone, Debug)]
pub struct ReleaseRow {
    pub release_id: Uuid,
    pub version: i64,
    pub title: String,
    pub key_id: String,
    /// `None`: the key is not trusted any more.
    pub key_name: Option<String>,
    pub hold_above: i32,
    /// `shadowing`, `held`, `in-force`, `replaced` or `discarded`.
    pub state: String,
    pub imported_at: DateTime<Utc>,
    pub imported_by: String,
    /// `None`, like the next three: the shadow run has not ended.
    pub hosts: Option<i32>,
    pub opens: Option<i32>,
    pub resolves: Option<i32>,
    pub changes: Option<i32>,
    pub settled_at: Option<DateTime<Utc>>,
    pub settled_by: Option<String>,
}

/// What a release would do to one finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShadowRow {
    pub client_id: i32,
    pub host_id: i64,
    pub finding_id: Uuid,
    pub rule: String,
    /// `opened`, `resolved` or `changed`.
    pub transition: String,
    pub severity: i16,
    pub title: String,
}

/// Sums of a shadow run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub hosts: i32,
    pub opens: i32,
    pub resolves: i32,
    pub changes: i32,
}

/// `None`: no release is in force.
pub async fn body_in_force(pool: &PgPool) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!("select body from catalog_release where state = 'in-force'").fetch_optional(pool).await
}

/// The version of the release in force, and whether another one waits. Until the transaction ends, no other change of
/// the catalog goes on.
pub async fn lock(connection: &mut PgConnection) -> sqlx::Result<(Option<i64>, bool)> {
    sqlx::query!("select revision from catalog_state for update").fetch_one(&mut *connection).await?;
    let row = sqlx::query!(
        r#"
        select
          (select version from catalog_release where state = 'in-force') as version,
          exists (select from catalog_release where state in ('shadowing', 'held')) as "one_waits!"
        "#
    )
    .fetch_one(connection)
    .await?;
    Ok((row.version, row.one_waits))
}

/// Its shadow run comes next.
pub async fn insert(connection: &mut PgConnection, new: &NewRelease, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "
        insert into catalog_release (release_id, version, title, body, key_id, hold_above, state, imported_at, imported_by)
        values ($1, $2, $3, $4, $5, $6, 'shadowing', $7, $8)
        ",
        new.release_id,
        new.version,
        new.title,
        new.body,
        new.key_id,
        new.hold_above,
        now,
        new.imported_by,
    )
    .execute(connection)
    .await
    .map(drop)
}

/// A release whose shadow run has not ended.
#[derive(Clone, Debug)]
pub struct Untried {
    pub release_id: Uuid,
    pub body: String,
    pub hold_above: i32,
}

/// Takes the release that waits for its shadow run, until `leased_until`. `None`: there is none, or another server has it.
pub async fn lease(pool: &PgPool, now: DateTime<Utc>, leased_until: DateTime<Utc>) -> sqlx::Result<Option<Untried>> {
    sqlx::query_as!(
        Untried,
        "
        update catalog_release
        set leased_until = $2
        where state = 'shadowing'
          and (leased_until is null or leased_until <= $1)
        returning release_id, body, hold_above
        ",
        now,
        leased_until,
    )
    .fetch_optional(pool)
    .await
}

/// Keeps a lease. `false`: the release was discarded meanwhile.
pub async fn extend(pool: &PgPool, release_id: Uuid, leased_until: DateTime<Utc>) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update catalog_release set leased_until = $2 where release_id = $1 and state = 'shadowing'",
        release_id,
        leased_until,
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Some rows of a shadow run, all of one client.
pub async fn write_shadow(db: &Db, client_id: i32, release_id: Uuid, rows: &[ShadowRow]) -> sqlx::Result<()> {
    let mut transaction = db.begin(&Scope::of(client_id)).await?;
    let hosts: Vec<i64> = rows.iter().map(|row| row.host_id).collect();
    let findings: Vec<Uuid> = rows.iter().map(|row| row.finding_id).collect();
    let rules: Vec<String> = rows.iter().map(|row| row.rule.clone()).collect();
    let transitions: Vec<String> = rows.iter().map(|row| row.transition.clone()).collect();
    let severities: Vec<i16> = rows.iter().map(|row| row.severity).collect();
    let titles: Vec<String> = rows.iter().map(|row| row.title.clone()).collect();
    sqlx::query!(
        "
        insert into catalog_shadow (client_id, release_id, host_id, finding_id, rule, transition, severity, title)
        select $1, $2, row.*
        from unnest($3::int8[], $4::uuid[], $5::text[], $6::text[], $7::int2[], $8::text[]) as row
        ",
        client_id,
        release_id,
        &hosts,
        &findings,
        &rules,
        &transitions,
        &severities,
        &titles,
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

/// Rows of a run that was broken off, of these clients.
pub async fn clear_shadow(scope: &Scope, db: &Db, release_id: Uuid) -> sqlx::Result<()> {
    let mut transaction = db.begin(scope).await?;
    sqlx::query!("delete from catalog_shadow where client_id = any ($1) and release_id = $2", &scope.0, release_id)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

/// The shadow run has ended, and the release is held. `false`: it was discarded meanwhile.
pub async fn write_sums(connection: &mut PgConnection, release_id: Uuid, sums: &Sums) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "
        update catalog_release
        set state = 'held', hosts = $2, opens = $3, resolves = $4, changes = $5
        where release_id = $1
          and state = 'shadowing'
        ",
        release_id,
        sums.hosts,
        sums.opens,
        sums.resolves,
        sums.changes,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// A held release takes the place of the one in force. `false`: there is none of this id that is held.
pub async fn put_in_force(
    connection: &mut PgConnection,
    release_id: Uuid,
    by: Option<&str>,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    catalog::change(connection).await?;
    let held = sqlx::query_scalar!(
        "select release_id from catalog_release where release_id = $1 and state = 'held' for update",
        release_id,
    )
    .fetch_optional(&mut *connection)
    .await?;
    if held.is_none() {
        return Ok(false);
    }
    sqlx::query!("update catalog_release set state = 'replaced' where state = 'in-force'")
        .execute(&mut *connection)
        .await?;
    sqlx::query!(
        "update catalog_release set state = 'in-force', settled_at = $2, settled_by = $3 where release_id = $1",
        release_id,
        now,
        by,
    )
    .execute(connection)
    .await?;
    Ok(true)
}

/// `false`: there is none of this id that waits.
pub async fn discard(pool: &PgPool, release_id: Uuid, by: &str, now: DateTime<Utc>) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "
        update catalog_release
        set state = 'discarded', settled_at = $2, settled_by = $3
        where release_id = $1
          and state in ('shadowing', 'held')
        ",
        release_id,
        now,
        by,
    )
    .execute(pool)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Newest first.
pub async fn list(pool: &PgPool) -> sqlx::Result<Vec<ReleaseRow>> {
    sqlx::query_as!(
        ReleaseRow,
        r#"
        select release_id, version, title, key_id, catalog_key.name as "key_name?", hold_above, state, imported_at,
          imported_by, hosts, opens, resolves, changes, settled_at, settled_by
        from catalog_release
        left join catalog_key using (key_id)
        order by imported_at desc
        limit 100
        "#
    )
    .fetch_all(pool)
    .await
}

/// How many findings of a rule a release would change, and on how many hosts.
#[derive(Clone, Debug)]
pub struct ShadowSum {
    pub rule: String,
    pub transition: String,
    pub findings: i64,
    pub hosts: i64,
}

/// What a page shows of one finding.
#[derive(Clone, Debug)]
pub struct ShadowFinding {
    pub client_id: i32,
    pub client_name: String,
    pub host_id: i64,
    pub host_name: String,
    pub rule: String,
    pub transition: String,
    pub severity: i16,
    pub title: String,
}

/// A shadow run as far as `scope` may see: sums by rule, and the first findings, those that would open before others.
pub async fn shadow(
    scope: &Scope,
    db: &Db,
    release_id: Uuid,
    limit: i64,
) -> sqlx::Result<(Vec<ShadowSum>, Vec<ShadowFinding>)> {
    let mut transaction = read::begin(scope, db).await?;
    let sums = sqlx::query_as!(
        ShadowSum,
        r#"
        select rule, transition, count(*) as "findings!", count(distinct (client_id, host_id)) as "hosts!"
        from catalog_shadow
        where client_id = any ($1)
          and release_id = $2
        group by rule, transition
        order by transition = 'opened' desc, count(*) desc, rule
        "#,
        &scope.0,
        release_id,
    )
    .fetch_all(&mut *transaction)
    .await?;
    let findings = sqlx::query_as!(
        ShadowFinding,
        "
        select client_id, client.name as client_name, host_id, host.name as host_name, rule, transition, severity, title
        from catalog_shadow
        join client using (client_id)
        join host using (client_id, host_id)
        where client_id = any ($1)
          and release_id = $2
        order by transition = 'opened' desc, transition = 'resolved' desc, severity desc, client.name, host.name, rule
        limit $3
        ",
        &scope.0,
        release_id,
        limit,
    )
    .fetch_all(&mut *transaction)
    .await?;
    Ok((sums, findings))
}
