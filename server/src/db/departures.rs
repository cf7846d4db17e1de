//! Hosts that are watched no longer, and those whose agent speaks for another record now.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::{Db, Scope};

/// A host as one looks at it who ends or moves it.
#[derive(Clone, Debug)]
pub struct Watched {
    pub client_id: i32,
    pub site_id: i64,
    pub name: String,
    pub retired_at: Option<DateTime<Utc>>,
    /// Whether its agent speaks for another record now.
    pub has_moved: bool,
    /// Whether it has an identity, and it was not revoked.
    pub has_identity: bool,
}

/// Locks whatever writes findings of the host: its cursor, of a host that is known by captures its site, and the host. Nothing of it
/// commits until the transaction ends. `None`: there is no such host in the scope of the transaction.
pub async fn lock(connection: &mut PgConnection, host_id: i64) -> sqlx::Result<Option<Watched>> {
    sqlx::query!("select seq from agent_stream where host_id = $1 for update", host_id)
        .fetch_optional(&mut *connection)
        .await?;
    sqlx::query!(
        "
        select site_id
        from site
        where (client_id, site_id) in (
          select client_id, site_id from host where host_id = $1 and collected_by = 'capture')
        for no key update
        ",
        host_id,
    )
    .fetch_optional(&mut *connection)
    .await?;
    sqlx::query_as!(
        Watched,
        r#"
        select
          client_id,
          site_id,
          name,
          retired_at,
          moved_to_host_id is not null as "has_moved!",
          (
            select count(*) > 0 and bool_and(revoked_at is null)
            from agent_certificate
            where agent_certificate.client_id = host.client_id
              and agent_certificate.host_id = host.host_id
          ) as "has_identity!"
        from host
        where host_id = $1
        for update
        "#,
        host_id,
    )
    .fetch_optional(connection)
    .await
}

/// Takes the host out of every list and count, and the cursor away from the stream that has it.
pub async fn retire(
    connection: &mut PgConnection,
    (client_id, host_id): (i32, i64),
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!("update host set retired_at = $3 where client_id = $1 and host_id = $2", client_id, host_id, now)
        .execute(&mut *connection)
        .await?;
    sqlx::query!(
        "update agent_stream set session_id = $3, connected_at = null where client_id = $1 and host_id = $2",
        client_id,
        host_id,
        Uuid::new_v4(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Puts a retired host back into lists. What it lost by retiring it gets back from an agent or a capture only.
pub async fn bring_back(connection: &mut PgConnection, (client_id, host_id): (i32, i64)) -> sqlx::Result<()> {
    sqlx::query!("update host set retired_at = null where client_id = $1 and host_id = $2", client_id, host_id)
        .execute(connection)
        .await?;
    Ok(())
}

/// To another site of its client.
pub async fn change_site(
    connection: &mut PgConnection,
    (client_id, host_id): (i32, i64),
    site_id: i64,
) -> sqlx::Result<()> {
    sqlx::query!("update host set site_id = $3 where client_id = $1 and host_id = $2", client_id, host_id, site_id)
        .execute(connection)
        .await?;
    Ok(())
}

/// Makes the record of a host at another client, and lets its identity speak for that one from now on; the id of the new
/// record. The old one keeps its rows. The scope of the transaction holds both clients.
pub async fn hand_over(
    connection: &mut PgConnection,
    (client_id, host_id): (i32, i64),
    name: &str,
    (to_client_id, to_site_id): (i32, i64),
    now: DateTime<Utc>,
) -> sqlx::Result<i64> {
    let to_host_id = sqlx::query_scalar!(
        "
        insert into host (client_id, site_id, name, enrolled_at, moved_from_client_id, moved_from_host_id)
        values ($1, $2, $3, $4, $5, $6)
        returning host_id
        ",
        to_client_id,
        to_site_id,
        name,
        now,
        client_id,
        host_id,
    )
    .fetch_one(&mut *connection)
    .await?;
    sqlx::query!(
        "
        update host
        set moved_to_client_id = $3, moved_to_host_id = $4
        where client_id = $1 and host_id = $2
        ",
        client_id,
        host_id,
        to_client_id,
        to_host_id,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "
        update agent_certificate
        set client_id = $3, host_id = $4
        where client_id = $1 and host_id = $2
        ",
        client_id,
        host_id,
        to_client_id,
        to_host_id,
    )
    .execute(connection)
    .await?;
    Ok(to_host_id)
}

/// Whether the host is watched no longer: nothing may begin for it.
pub async fn has_left(connection: &mut PgConnection, (client_id, host_id): (i32, i64)) -> sqlx::Result<bool> {
    let left = sqlx::query_scalar!(
        r#"select retired_at is not null as "has_left!" from host where client_id = $1 and host_id = $2"#,
        client_id,
        host_id,
    )
    .fetch_optional(connection)
    .await?;
    Ok(left.unwrap_or(true))
}

/// Hosts that left within the last ten minutes: a stream of theirs may still be open somewhere.
pub async fn lately(db: &Db, now: DateTime<Utc>) -> sqlx::Result<Vec<(i32, i64)>> {
    let everything: Scope = db.everything().await?;
    let mut transaction = db.begin(&everything).await?;
    let rows = sqlx::query!(
        "select client_id, host_id from host where client_id = any($1) and retired_at > $2",
        &everything.0,
        now - TimeDelta::minutes(10),
    )
    .fetch_all(&mut *transaction)
    .await?;
    Ok(rows.into_iter().map(|row| (row.client_id, row.host_id)).collect())
}
