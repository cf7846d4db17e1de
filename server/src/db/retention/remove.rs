//! Removes what is older than it is kept: weeks of spans as they are, everything else a thousand rows a statement, in
//! transactions of their own that give up soon where others hold what they need.
//!
//! Invariant: what is open, pending, or reported by a host at present is never removed.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Postgres, Transaction};
use uuid::Uuid;

use crate::db::{Db, Scope};
use crate::retention::kind::Kind;

/// Rows that one statement removes at most.
pub const BATCH: i64 = 1000;

/// A transaction that waits two seconds for a lock and no more.
pub(super) async fn begin(db: &Db, scope: &Scope) -> sqlx::Result<Transaction<'static, Postgres>> {
    let mut transaction = db.begin(scope).await?;
    sqlx::query!("select set_config('lock_timeout', '2s', true) as timeout").fetch_one(&mut *transaction).await?;
    Ok(transaction)
}

/// Drops the weeks of spans that ended before a time; how many.
pub async fn weeks(db: &Db, span_table: &str, before: DateTime<Utc>) -> sqlx::Result<u64> {
    let mut transaction = begin(db, &Scope::default()).await?;
    let dropped = sqlx::query_scalar!(r#"select drop_span_partitions($1, $2) as "dropped!""#, span_table, before)
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(u64::try_from(dropped).unwrap_or_default())
}

/// One batch of spans that lie in no week.
pub async fn strays(db: &Db, span_table: &str, before: DateTime<Utc>) -> sqlx::Result<u64> {
    let mut transaction = begin(db, &Scope::default()).await?;
    let batch = i32::try_from(BATCH).unwrap_or(i32::MAX);
    let removed =
        sqlx::query_scalar!(r#"select trim_span_default($1, $2, $3) as "removed!""#, span_table, before, batch)
            .fetch_one(&mut *transaction)
            .await?;
    transaction.commit().await?;
    Ok(u64::try_from(removed).unwrap_or_default())
}

/// One batch of a client's rows of a kind that goes by rows; 0: none is left.
pub async fn batch(db: &Db, client_id: i32, kind: Kind, before: DateTime<Utc>) -> sqlx::Result<u64> {
    let mut transaction = begin(db, &Scope::of(client_id)).await?;
    let removed = match kind {
        Kind::Silences => silences(&mut transaction, client_id, before).await?,
        Kind::Events => events(&mut transaction, client_id, before).await?,
        Kind::Boots => boots(&mut transaction, client_id, before).await?,
        Kind::Findings => findings(&mut transaction, client_id, before).await?,
        Kind::Deliveries => deliveries(&mut transaction, client_id, before).await?,
        Kind::Quarantine => quarantine(&mut transaction, client_id, before).await?,
        _ => 0,
    };
    transaction.commit().await?;
    Ok(removed)
}

async fn silences(connection: &mut PgConnection, client_id: i32, before: DateTime<Utc>) -> sqlx::Result<u64> {
    let removed = sqlx::query!(
        "
        delete from host_silence
        where client_id = $1
          and ctid = any (array(
            select ctid
            from host_silence
            where client_id = $1
              and until_at < $2
            limit $3
          ))
        ",
        client_id,
        before,
        BATCH,
    );
    Ok(removed.execute(connection).await?.rows_affected())
}

async fn quarantine(connection: &mut PgConnection, client_id: i32, before: DateTime<Utc>) -> sqlx::Result<u64> {
    let removed = sqlx::query!(
        "
        delete from quarantine
        where client_id = $1
          and ctid = any (array(
            select ctid
            from quarantine
            where client_id = $1
              and received_at < $2
            limit $3
          ))
        ",
        client_id,
        before,
        BATCH,
    );
    Ok(removed.execute(connection).await?.rows_affected())
}

/// Host by host, as the index of the page of events has them. One that its host still reports stays.
async fn events(connection: &mut PgConnection, client_id: i32, before: DateTime<Utc>) -> sqlx::Result<u64> {
    let removed = sqlx::query!(
        "
        delete from event
        where client_id = $1
          and not in_window
          and learned_at < $2
          and ctid = any (array(
            select old.ctid
            from host
            cross join lateral (
              select event.ctid
              from event
              where event.client_id = $1
                and event.host_id = host.host_id
                and coalesce(event.at, event.learned_at) < $2
                and event.learned_at < $2
                and not event.in_window
              limit $3
            ) as old
            where host.client_id = $1
            limit $3
          ))
        ",
        client_id,
        before,
        BATCH,
    );
    Ok(removed.execute(connection).await?.rows_affected())
}

/// Entries first, then boots that have none. The newest boot of a host stays.
async fn boots(connection: &mut PgConnection, client_id: i32, before: DateTime<Utc>) -> sqlx::Result<u64> {
    let entries = sqlx::query!(
        "
        delete from boot_entry
        where client_id = $1
          and ctid = any (array(
            select boot_entry.ctid
            from boot
            join boot_entry using (client_id, host_id, number)
            where boot.client_id = $1
              and boot.last_seen_at < $2
              and exists (
                select
                from boot as newer
                where newer.client_id = $1
                  and newer.host_id = boot.host_id
                  and newer.number > boot.number
              )
            limit $3
          ))
        ",
        client_id,
        before,
        BATCH,
    );
    let entries = entries.execute(&mut *connection).await?.rows_affected();
    if entries > 0 {
        return Ok(entries);
    }
    let boots = sqlx::query!(
        "
        delete from boot
        where client_id = $1
          and ctid = any (array(
            select boot.ctid
            from boot
            where boot.client_id = $1
              and boot.last_seen_at < $2
              and exists (
                select
                from boot as newer
                where newer.client_id = $1
                  and newer.host_id = boot.host_id
                  and newer.number > boot.number
              )
            limit $3
          ))
        ",
        client_id,
        before,
        BATCH,
    );
    Ok(boots.execute(connection).await?.rows_affected())
}

/// Those that were resolved before the time, have nothing pending, and are members of no problem: first what belongs to
/// them, then themselves. Held meanwhile, so that none returns half removed.
async fn findings(connection: &mut PgConnection, client_id: i32, before: DateTime<Utc>) -> sqlx::Result<u64> {
    let ids = sqlx::query_scalar!(
        "
        select finding_id
        from finding
        where client_id = $1
          and state = 'resolved'
          and resolved_at < $2
          and not exists (
            select
            from delivery
            where delivery.client_id = $1
              and delivery.finding_id = finding.finding_id
              and delivery.state = 'pending'
          )
        limit 100
        for update skip locked
        ",
        client_id,
        before,
    )
    .fetch_all(&mut *connection)
    .await?;
    if ids.is_empty() {
        return Ok(0);
    }
    let owed = sqlx::query_scalar!(
        "select delivery_id from delivery where client_id = $1 and finding_id = any ($2) limit $3",
        client_id,
        &ids,
        BATCH / 4,
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut removed = with_attempts(&mut *connection, client_id, &owed).await?;
    removed += sqlx::query!(
        "
        delete from finding_event
        where client_id = $1
          and ctid = any (array(
            select ctid from finding_event where client_id = $1 and finding_id = any ($2) limit $3
          ))
        ",
        client_id,
        &ids,
        BATCH,
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    removed += sqlx::query!(
        "
        delete from problem_member
        where client_id = $1
          and ctid = any (array(
            select ctid from problem_member where client_id = $1 and finding_id = any ($2) limit $3
          ))
        ",
        client_id,
        &ids,
        BATCH,
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    removed += sqlx::query!(
        "
        delete from finding
        where client_id = $1
          and finding_id = any ($2)
          and not exists (
            select from delivery where delivery.client_id = $1 and delivery.finding_id = finding.finding_id
          )
          and not exists (
            select from finding_event as step where step.client_id = $1 and step.finding_id = finding.finding_id
          )
          and not exists (
            select from problem_member as member where member.client_id = $1 and member.finding_id = finding.finding_id
          )
        ",
        client_id,
        &ids,
    )
    .execute(connection)
    .await?
    .rows_affected();
    Ok(removed)
}

/// Those that came to an end.
async fn deliveries(connection: &mut PgConnection, client_id: i32, before: DateTime<Utc>) -> sqlx::Result<u64> {
    let ids = sqlx::query_scalar!(
        "
        select delivery_id
        from delivery
        where client_id = $1
          and state <> 'pending'
          and finished_at < $2
        limit $3
        for update skip locked
        ",
        client_id,
        before,
        BATCH / 4,
    )
    .fetch_all(&mut *connection)
    .await?;
    with_attempts(connection, client_id, &ids).await
}

async fn with_attempts(connection: &mut PgConnection, client_id: i32, ids: &[Uuid]) -> sqlx::Result<u64> {
    let attempts = sqlx::query!(
        "
        delete from delivery_attempt
        where client_id = $1
          and ctid = any (array(
            select ctid from delivery_attempt where client_id = $1 and delivery_id = any ($2) limit $3
          ))
        ",
        client_id,
        ids,
        BATCH,
    )
    .execute(&mut *connection)
    .await?
    .rows_affected();
    let deliveries = sqlx::query!(
        "
        delete from delivery
        where client_id = $1
          and delivery_id = any ($2)
          and not exists (
            select from delivery_attempt as attempt
            where attempt.client_id = $1 and attempt.delivery_id = delivery.delivery_id
          )
        ",
        client_id,
        ids,
    )
    .execute(connection)
    .await?
    .rows_affected();
    Ok(attempts + deliveries)
}
