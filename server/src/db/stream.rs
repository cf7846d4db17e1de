//! The cursor of an agent's stream, and what could not be applied. A statement here that touches no row means that
//! another stream of the same agent has taken over.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use ipnet::IpNet;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::db::{Db, Scope};

/// The cursor as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub stream_id: Uuid,
    pub seq: i64,
    pub epoch: i64,
    pub pending_epoch: i64,
    pub clock_skew_ms: i64,
}

/// The machine that speaks with the identity.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// `None`: the next one that says Hello is it.
    pub fingerprint: Option<Vec<u8>>,
    /// When it last came with an older state.
    pub restored_at: Option<DateTime<Utc>>,
    /// The row comes from a backup, and nothing was heard of the agent since it was restored.
    pub is_from_backup: bool,
}

/// Locks the cursor until the end of the transaction. `None`: the host's first stream.
pub async fn lock_cursor(
    connection: &mut PgConnection,
    client_id: i32,
    host_id: i64,
) -> sqlx::Result<Option<(Cursor, Machine)>> {
    let row = sqlx::query!(
        r#"
        select stream_id, seq, epoch, pending_epoch, clock_skew_ms, fingerprint, restored_at,
          backup_at is not null and backup_heard_at is null as "is_from_backup!"
        from agent_stream
        where client_id = $1 and host_id = $2
        for update
        "#,
        client_id,
        host_id,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| {
        let cursor = Cursor {
            stream_id: row.stream_id,
            seq: row.seq,
            epoch: row.epoch,
            pending_epoch: row.pending_epoch,
            clock_skew_ms: row.clock_skew_ms,
        };
        (
            cursor,
            Machine { fingerprint: row.fingerprint, restored_at: row.restored_at, is_from_backup: row.is_from_backup },
        )
    }))
}

/// What a Hello makes of the cursor.
#[derive(Clone, Debug)]
pub struct Opening<'a> {
    pub client_id: i32,
    pub host_id: i64,
    pub cursor: Cursor,
    pub boot_id: &'a [u8],
    pub session_id: Uuid,
    pub server_id: Uuid,
    pub agent_version: Option<&'a str>,
    /// Empty: not said.
    pub fingerprint: &'a [u8],
}

pub async fn open(connection: &mut PgConnection, opening: &Opening<'_>, now: DateTime<Utc>) -> sqlx::Result<()> {
    let cursor = &opening.cursor;
    sqlx::query!(
        r#"
        insert into agent_stream (client_id, host_id, stream_id, boot_id, seq, epoch, pending_epoch, session_id,
          connected_at, last_seen_at, clock_skew_ms, fingerprint, server_id)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10, nullif($11::bytea, ''), $12)
        on conflict (client_id, host_id) do update
        set stream_id = excluded.stream_id, boot_id = excluded.boot_id, seq = excluded.seq, epoch = excluded.epoch,
          pending_epoch = excluded.pending_epoch, session_id = excluded.session_id,
          connected_at = excluded.connected_at, last_seen_at = excluded.last_seen_at,
          clock_skew_ms = excluded.clock_skew_ms, server_id = excluded.server_id,
          backup_heard_at = case
            when agent_stream.backup_at is not null then coalesce(agent_stream.backup_heard_at, excluded.connected_at)
          end,
          fingerprint = coalesce(excluded.fingerprint, agent_stream.fingerprint)
        "#,
        opening.client_id,
        opening.host_id,
        cursor.stream_id,
        opening.boot_id,
        cursor.seq,
        cursor.epoch,
        cursor.pending_epoch,
        opening.session_id,
        now,
        cursor.clock_skew_ms,
        opening.fingerprint,
        opening.server_id,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        r#"
        update host
        set agent_version = $3
        where client_id = $1 and host_id = $2 and agent_version is distinct from $3
        "#,
        opening.client_id,
        opening.host_id,
        opening.agent_version,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that the machine came with an older state than it had.
pub async fn note_restored(
    connection: &mut PgConnection,
    (client_id, host_id): (i32, i64),
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update agent_stream set restored_at = $3 where client_id = $1 and host_id = $2",
        client_id,
        host_id,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that two machines with one fingerprint take turns.
pub async fn note_forked(
    connection: &mut PgConnection,
    (client_id, host_id): (i32, i64),
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update agent_stream set fork_seen_at = $3 where client_id = $1 and host_id = $2",
        client_id,
        host_id,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes that another machine came with the identity.
pub async fn note_cloned(
    connection: &mut PgConnection,
    (client_id, host_id): (i32, i64),
    fingerprint: &[u8],
    address: IpAddr,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        update agent_stream
        set clone_seen_at = $3, clone_fingerprint = $4, clone_address = $5
        where client_id = $1 and host_id = $2
        "#,
        client_id,
        host_id,
        now,
        fingerprint,
        IpNet::from(address),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Lets the next machine that says Hello speak with the identity, and takes back what was noted of others. `None`: no such
/// host in this scope, or it has no agent.
pub async fn accept_machine(db: &Db, scope: &Scope, host_id: i64) -> sqlx::Result<Option<i32>> {
    let mut transaction = db.begin(scope).await?;
    let client_id = sqlx::query_scalar!(
        r#"
        update agent_stream
        set fingerprint = null, restored_at = null, fork_seen_at = null, clone_seen_at = null,
          clone_fingerprint = null, clone_address = null
        where host_id = $1
        returning client_id
        "#,
        host_id,
    )
    .fetch_optional(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(client_id)
}

/// Whose cursor moves, and from where.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    pub client_id: i32,
    pub host_id: i64,
    pub stream_id: Uuid,
    pub session_id: Uuid,
}

/// One step of the cursor, with what is counted beside it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Step {
    pub from_seq: i64,
    pub to_seq: i64,
    pub clock_skew_ms: i64,
    pub quarantined: i64,
    pub dropped_rows: i64,
    pub gaps: i64,
    /// When the report was made, by the host's clock, corrected by its skew. `None`: not said, so now.
    pub told_at: Option<DateTime<Utc>>,
}

/// Compare and set, for sessions of one client in the order of hosts. For each step, when its report counts as made:
/// never before the host's last one and never after `now`. `None`: its session no longer owns the cursor, or another has
/// moved it.
pub async fn advance(
    connection: &mut PgConnection,
    client_id: i32,
    steps: &[(Session, Step)],
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Option<DateTime<Utc>>>> {
    let sessions = steps.iter().map(|(session, _)| session);
    let column = steps.iter().map(|(_, step)| step);
    let rows = sqlx::query!(
        r#"
        update agent_stream
        set seq = said.to_seq, last_seen_at = $2, clock_skew_ms = said.clock_skew_ms,
          quarantined = quarantined + said.more_quarantined, dropped_rows = dropped_rows + said.more_dropped_rows,
          gaps = gaps + said.more_gaps,
          told_at = greatest(agent_stream.told_at, least(coalesce(said.told_at, $2), $2))
        from unnest($3::int8[], $4::uuid[], $5::uuid[], $6::int8[], $7::int8[], $8::int8[], $9::int8[], $10::int8[],
          $11::int8[], $12::timestamptz[]) with ordinality
          as said (host_id, stream_id, session_id, from_seq, to_seq, clock_skew_ms, more_quarantined,
            more_dropped_rows, more_gaps, told_at, number)
        -- The list bounds what is read where a client has many hosts and few report.
        where agent_stream.client_id = $1 and agent_stream.host_id = any($3) and agent_stream.host_id = said.host_id
          and agent_stream.stream_id = said.stream_id and agent_stream.session_id = said.session_id
          and agent_stream.seq = said.from_seq
        returning said.number as "number!", agent_stream.told_at as "told_at!"
        "#,
        client_id,
        now,
        &sessions.clone().map(|session| session.host_id).collect::<Vec<_>>(),
        &sessions.clone().map(|session| session.stream_id).collect::<Vec<_>>(),
        &sessions.map(|session| session.session_id).collect::<Vec<_>>(),
        &column.clone().map(|step| step.from_seq).collect::<Vec<_>>(),
        &column.clone().map(|step| step.to_seq).collect::<Vec<_>>(),
        &column.clone().map(|step| step.clock_skew_ms).collect::<Vec<_>>(),
        &column.clone().map(|step| step.quarantined).collect::<Vec<_>>(),
        &column.clone().map(|step| step.dropped_rows).collect::<Vec<_>>(),
        &column.clone().map(|step| step.gaps).collect::<Vec<_>>(),
        &column.map(|step| step.told_at).collect::<Vec<_>>() as &[Option<DateTime<Utc>>],
    )
    .fetch_all(connection)
    .await?;
    let mut told = vec![None; steps.len()];
    for row in rows {
        // Counted from 1.
        if let Some(told) = usize::try_from(row.number).ok().and_then(|number| told.get_mut(number - 1)) {
            *told = Some(row.told_at);
        }
    }
    Ok(told)
}

/// A report that could not be applied.
#[derive(Clone, Debug)]
pub struct Rejected<'a> {
    pub quarantine_id: Uuid,
    pub seq: Option<i64>,
    pub code: &'a str,
    pub detail: &'a str,
    pub body: Option<&'a [u8]>,
}

/// Keeps the newest 100 of a host: one that sends nothing else must not fill the disk.
pub async fn quarantine(
    connection: &mut PgConnection,
    session: &Session,
    rejected: &Rejected<'_>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        insert into quarantine (client_id, quarantine_id, host_id, received_at, seq, code, detail, body)
        values ($1, $2, $3, $4, $5, $6, $7, $8)
        "#,
        session.client_id,
        rejected.quarantine_id,
        session.host_id,
        now,
        rejected.seq,
        rejected.code,
        rejected.detail,
        rejected.body,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        r#"
        delete from quarantine
        where client_id = $1 and quarantine_id in (
          select quarantine_id
          from quarantine
          where client_id = $1 and host_id = $2
          order by received_at desc
          offset 100)
        "#,
        session.client_id,
        session.host_id,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A stream that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    pub client_id: i32,
    pub host_id: i64,
    pub session_id: Uuid,
}

/// These streams have ended; one that took over stays connected. When a host was last heard of stays as it is: a stream
/// may end long after that.
pub async fn close(db: &Db, ended: &[Ended]) -> sqlx::Result<()> {
    let mut clients: Vec<i32> = ended.iter().map(|ended| ended.client_id).collect();
    clients.sort_unstable();
    clients.dedup();
    // In the order of the key, as pages lie.
    let mut ended = ended.to_vec();
    ended.sort_unstable_by_key(|ended| (ended.client_id, ended.host_id));
    let client_ids: Vec<i32> = ended.iter().map(|ended| ended.client_id).collect();
    let host_ids: Vec<i64> = ended.iter().map(|ended| ended.host_id).collect();
    let session_ids: Vec<Uuid> = ended.iter().map(|ended| ended.session_id).collect();
    let mut transaction = db.begin(&Scope(clients)).await?;
    sqlx::query!(
        r#"
        update agent_stream
        set connected_at = null
        from unnest($1::int[], $2::int8[], $3::uuid[]) as ended (client_id, host_id, session_id)
        where agent_stream.client_id = ended.client_id and agent_stream.host_id = ended.host_id
          and agent_stream.session_id = ended.session_id
        "#,
        &client_ids,
        &host_ids,
        &session_ids,
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

/// A sign of life.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub client_id: i32,
    pub host_id: i64,
    pub session_id: Uuid,
    pub at: DateTime<Utc>,
    pub clock_skew_ms: i64,
}

/// Many signs of life in one statement. Sessions that were fenced meanwhile are passed over, and hosts whose report is
/// just being committed: that tells the same.
pub async fn write_seen(db: &Db, seen: &[Seen]) -> sqlx::Result<()> {
    let mut clients: Vec<i32> = seen.iter().map(|seen| seen.client_id).collect();
    clients.sort_unstable();
    clients.dedup();
    // In the order of the key, so that two writers never wait for each other in a circle.
    let mut seen = seen.to_vec();
    seen.sort_unstable_by_key(|seen| (seen.client_id, seen.host_id));
    let client_ids: Vec<i32> = seen.iter().map(|seen| seen.client_id).collect();
    let host_ids: Vec<i64> = seen.iter().map(|seen| seen.host_id).collect();
    let session_ids: Vec<Uuid> = seen.iter().map(|seen| seen.session_id).collect();
    let times: Vec<DateTime<Utc>> = seen.iter().map(|seen| seen.at).collect();
    let skews: Vec<i64> = seen.iter().map(|seen| seen.clock_skew_ms).collect();
    let mut transaction = db.begin(&Scope(clients)).await?;
    sqlx::query!(
        r#"
        with seen as (
          select agent_stream.client_id, agent_stream.host_id, said.at, said.clock_skew_ms
          from unnest($1::int[], $2::int8[], $3::uuid[], $4::timestamptz[], $5::int8[])
            as said (client_id, host_id, session_id, at, clock_skew_ms)
          join agent_stream
            on agent_stream.client_id = said.client_id and agent_stream.host_id = said.host_id
              and agent_stream.session_id = said.session_id
          for no key update of agent_stream skip locked
        )
        update agent_stream
        set last_seen_at = greatest(agent_stream.last_seen_at, seen.at), clock_skew_ms = seen.clock_skew_ms
        from seen
        where agent_stream.client_id = seen.client_id and agent_stream.host_id = seen.host_id
        "#,
        &client_ids,
        &host_ids,
        &session_ids,
        &times,
        &skews,
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}
