//! Sessions of people who signed in. An installation table: no scope.

use chrono::{DateTime, Duration, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use crate::db::operator::{NOTE_USE_EVERY, Principal, PrincipalRow};
use crate::people::Secret;

/// A session that is not used for so long has ended.
pub const IDLE: Duration = Duration::minutes(30);
/// A session ends after so long, used or not.
pub const ABSOLUTE: Duration = Duration::hours(12);

/// Begins a session, and clears away those that have ended. Returns its absolute end.
pub async fn create_session(
    pool: &PgPool,
    secret: &Secret,
    operator_id: Uuid,
    now: DateTime<Utc>,
) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query!("delete from session where expires_at <= $1 or last_seen_at <= $2", now, now - IDLE)
        .execute(pool)
        .await?;
    let expires_at = now + ABSOLUTE;
    sqlx::query!(
        "
        insert into session (token_hash, operator_id, created_at, last_seen_at, expires_at)
        values ($1, $2, $3, $3, $4)
        ",
        &secret.hash(),
        operator_id,
        now,
        expires_at,
    )
    .execute(pool)
    .await?;
    Ok(expires_at)
}

/// Whom a session speaks for, without using it. `None`: it has ended, or its operator is disabled.
pub async fn by_session(pool: &PgPool, secret: &Secret, now: DateTime<Utc>) -> anyhow::Result<Option<Principal>> {
    let row = sqlx::query_as!(
        PrincipalRow,
        r#"
        select
          operator.operator_id,
          operator.name,
          operator.role,
          operator.client_ids,
          case when operator.client_ids is null then all_client_ids() end as all_client_ids,
          session.expires_at as "expires_at?"
        from session
        join operator using (operator_id)
        where token_hash = $1
          and expires_at > $2
          and last_seen_at > $3
          and operator.disabled_at is null
        "#,
        &secret.hash(),
        now,
        now - IDLE,
    )
    .fetch_optional(pool)
    .await?;
    row.map(Principal::try_from).transpose()
}

/// Notes that the session is used.
pub async fn touch_session(pool: &PgPool, secret: &Secret, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "
        update session
        set last_seen_at = $2
        where token_hash = $1
          and last_seen_at < $3
        ",
        &secret.hash(),
        now,
        now - NOTE_USE_EVERY,
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Ends a session; one that has ended stays so.
pub async fn delete_session(pool: &PgPool, secret: &Secret) -> sqlx::Result<()> {
    sqlx::query!("delete from session where token_hash = $1", &secret.hash()).execute(pool).await?;
    Ok(())
}
