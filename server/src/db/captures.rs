//! Hosts that are known by captures, and the captures that they are known by, inside the transaction of an import.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

/// Until the transaction ends no other import at the site goes on, so that no two make the same host. Enrollment does
/// not wait. `false`: the client has no such site.
pub async fn lock_site(connection: &mut PgConnection, client_id: i32, site_id: i64) -> sqlx::Result<bool> {
    let site = sqlx::query_scalar!(
        "select site_id from site where client_id = $1 and site_id = $2 for no key update",
        client_id,
        site_id,
    )
    .fetch_optional(connection)
    .await?;
    Ok(site.is_some())
}

/// A host of a site, as an import looks at it.
#[derive(Clone, Debug)]
pub struct NamedHost {
    pub host_id: i64,
    /// Whether an agent ever reported for it, or may.
    pub has_agent: bool,
    /// When its newest capture was taken. `None`: it has none.
    pub captured_at: Option<DateTime<Utc>>,
}

/// The host of this name at the site; names compare without case, as Windows has it. Of several, one with an agent
/// comes first: to import beside it would show one machine twice.
pub async fn host_by_name(
    connection: &mut PgConnection,
    (client_id, site_id): (i32, i64),
    name: &str,
) -> sqlx::Result<Option<NamedHost>> {
    sqlx::query_as!(
        NamedHost,
        r#"
        select
          host.host_id,
          agent.has_agent as "has_agent!",
          (
            select max(captured_at)
            from capture
            where capture.client_id = host.client_id
              and capture.host_id = host.host_id
          ) as captured_at
        from host
        cross join lateral (
          select host.collected_by = 'agent'
            or exists (
              select
              from agent_certificate
              where agent_certificate.client_id = host.client_id
                and agent_certificate.host_id = host.host_id
            ) as has_agent
        ) as agent
        where host.client_id = $1
          and host.site_id = $2
          and lower(host.name) = lower($3)
          and host.retired_at is null
        order by agent.has_agent desc, host.host_id
        limit 1
        "#,
        client_id,
        site_id,
        name,
    )
    .fetch_optional(connection)
    .await
}

/// A host that is known by captures alone.
pub async fn insert_host(
    connection: &mut PgConnection,
    (client_id, site_id): (i32, i64),
    name: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        "
        insert into host (client_id, site_id, name, enrolled_at, collected_by)
        values ($1, $2, $3, $4, 'capture')
        returning host_id
        ",
        client_id,
        site_id,
        name,
        now,
    )
    .fetch_one(connection)
    .await
}

/// A capture that was understood, at least in part.
#[derive(Clone, Debug)]
pub struct NewCapture {
    pub capture_id: Uuid,
    pub captured_at: DateTime<Utc>,
    /// `None`: by command line.
    pub operator_id: Option<Uuid>,
    pub pieces: Value,
    pub lines_not_understood: i32,
}

pub async fn insert(
    connection: &mut PgConnection,
    (client_id, host_id): (i32, i64),
    capture: &NewCapture,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "
        insert into capture (client_id, capture_id, host_id, captured_at, imported_at, operator_id, pieces,
          lines_not_understood)
        values ($1, $2, $3, $4, $5, $6, $7, $8)
        ",
        client_id,
        capture.capture_id,
        host_id,
        capture.captured_at,
        now,
        capture.operator_id,
        capture.pieces,
        capture.lines_not_understood,
    )
    .execute(connection)
    .await
    .map(drop)
}
