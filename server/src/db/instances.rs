//! The servers over one database: which of them live, and whose streams are open. Time is the database's.
//!
//! Invariant: a stream that counts as open is open at a server that was heard of lately.

use std::time::Duration;

use sqlx::postgres::types::PgInterval;
use sqlx::{PgPool, types::Uuid};

use crate::db::{Db, Scope};

/// Streams that are closed in one statement.
const ORPHANS: i64 = 500;

/// A server as it says of itself.
#[derive(Clone, Debug)]
pub struct Instance {
    pub server_id: Uuid,
    /// The newest migration that it knows.
    pub schema_version: i64,
    /// Where people connect.
    pub http: String,
    /// Where agents connect.
    pub agents: String,
}

/// Whether others had taken the server for dead, or it had never been heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    Known,
    Unknown,
}

/// Says that the server lives, and how many bulletins it has sent.
pub async fn beat(pool: &PgPool, instance: &Instance, told: i64) -> sqlx::Result<Before> {
    let was_known = sqlx::query_scalar!(
        r#"
        insert into server_instance (server_id, version, schema_version, http, agents, started_at, heard_at, told)
        values ($1, $2, $3, $4, $5, now(), now(), $6)
        on conflict (server_id) do update
        set heard_at = now(), told = excluded.told
        returning xmax::text <> '0' as "was_known!"
        "#,
        instance.server_id,
        env!("CARGO_PKG_VERSION"),
        instance.schema_version,
        instance.http,
        instance.agents,
        told,
    )
    .fetch_one(pool)
    .await?;
    Ok(if was_known { Before::Known } else { Before::Unknown })
}

/// How many bulletins the servers but this one have sent.
pub async fn told_by_others(pool: &PgPool, server_id: Uuid) -> sqlx::Result<Vec<(Uuid, i64)>> {
    let rows = sqlx::query!("select server_id, told from server_instance where server_id <> $1", server_id);
    Ok(rows.fetch_all(pool).await?.into_iter().map(|row| (row.server_id, row.told)).collect())
}

/// Removes the servers that were silent for so long; which ones.
pub async fn bury(pool: &PgPool, silent_for: Duration) -> sqlx::Result<Vec<Uuid>> {
    let silent_for = PgInterval::try_from(silent_for).map_err(sqlx::Error::Encode)?;
    sqlx::query_scalar!(
        "delete from server_instance where heard_at < now() - $1::interval returning server_id",
        silent_for
    )
    .fetch_all(pool)
    .await
}

/// The server ends.
pub async fn leave(pool: &PgPool, server_id: Uuid) -> sqlx::Result<()> {
    sqlx::query!("delete from server_instance where server_id = $1", server_id).execute(pool).await.map(drop)
}

/// No stream is open at a server that is not there; how many there were. A few hundred at a time, as a fleet comes back to
/// another server meanwhile; a row that is in use is left for the next time, which comes within seconds.
pub async fn close_orphans(db: &Db) -> sqlx::Result<u64> {
    let scope = db.everything().await?;
    let mut closed = 0;
    loop {
        let mut transaction = db.begin(&scope).await?;
        // Both in one statement: a server is there before its first stream.
        let some = sqlx::query!(
            "
            with orphan as (
              select client_id, host_id
              from agent_stream
              where connected_at is not null
                and (server_id is null or server_id not in (select server_id from server_instance))
              limit $1
              for no key update skip locked
            )
            update agent_stream
            set connected_at = null
            from orphan
            where agent_stream.client_id = orphan.client_id and agent_stream.host_id = orphan.host_id
            ",
            ORPHANS,
        )
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        transaction.commit().await?;
        closed += some;
        if some < ORPHANS.unsigned_abs() {
            return Ok(closed);
        }
    }
}

/// A stream that is open in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenStream {
    pub client_id: i32,
    pub host_id: i64,
    pub session_id: Uuid,
}

/// Those of `open` that another one took over from.
pub async fn taken_over(db: &Db, open: &[OpenStream]) -> sqlx::Result<Vec<OpenStream>> {
    let columns = Columns::of(open);
    let mut transaction = db.begin(&columns.scope).await?;
    let taken = sqlx::query_as!(
        OpenStream,
        r#"
        select open.client_id as "client_id!", open.host_id as "host_id!", open.session_id as "session_id!"
        from unnest($1::int[], $2::int8[], $3::uuid[]) as open (client_id, host_id, session_id)
        join agent_stream using (client_id, host_id)
        where agent_stream.session_id <> open.session_id
        "#,
        &columns.client_ids,
        &columns.host_ids,
        &columns.session_ids,
    )
    .fetch_all(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(taken)
}

/// Says again that these are open, after others took their server for dead.
pub async fn claim_back(db: &Db, server_id: Uuid, open: &[OpenStream]) -> sqlx::Result<()> {
    let columns = Columns::of(open);
    let mut transaction = db.begin(&columns.scope).await?;
    sqlx::query!(
        "
        update agent_stream
        set connected_at = coalesce(connected_at, now()), server_id = $1
        from unnest($2::int[], $3::int8[], $4::uuid[]) as open (client_id, host_id, session_id)
        where agent_stream.client_id = open.client_id
          and agent_stream.host_id = open.host_id
          and agent_stream.session_id = open.session_id
        ",
        server_id,
        &columns.client_ids,
        &columns.host_ids,
        &columns.session_ids,
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

/// Streams as Postgres takes them, in the order of the key, so that two writers never wait for each other in a circle.
struct Columns {
    scope: Scope,
    client_ids: Vec<i32>,
    host_ids: Vec<i64>,
    session_ids: Vec<Uuid>,
}

impl Columns {
    fn of(open: &[OpenStream]) -> Self {
        let mut open = open.to_vec();
        open.sort_unstable_by_key(|stream| (stream.client_id, stream.host_id));
        let mut clients: Vec<i32> = open.iter().map(|stream| stream.client_id).collect();
        let client_ids = clients.clone();
        clients.dedup();
        Self {
            scope: Scope(clients),
            client_ids,
            host_ids: open.iter().map(|stream| stream.host_id).collect(),
            session_ids: open.iter().map(|stream| stream.session_id).collect(),
        }
    }
}
