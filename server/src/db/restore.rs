//! What a database says of itself when it is backed up, and what is set when it was made from a backup.

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, Connection, PgConnection, postgres::PgConnectOptions};
use uuid::Uuid;

use crate::db::bootstrap::OWNER;
use crate::db::{Db, Scope};

/// Which installation a database holds, and how far it was migrated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Described {
    pub installation_id: Uuid,
    /// Number of the newest migration.
    pub migration: i64,
}

/// `None`: no server ever ran on this database. Changes nothing.
pub async fn describe(options: &PgConnectOptions) -> sqlx::Result<Option<Described>> {
    let mut connection = PgConnection::connect_with(options).await?;
    // Not checked by the compiler: the tables need not be there.
    let is_ours: bool =
        sqlx::query_scalar("select to_regclass('public.installation') is not null").fetch_one(&mut connection).await?;
    if !is_ours {
        return Ok(None);
    }
    let installation_id =
        sqlx::query_scalar!("select installation_id from installation").fetch_optional(&mut connection);
    let Some(installation_id) = installation_id.await? else { return Ok(None) };
    let migration: i64 = sqlx::query_scalar("select max(version) from _sqlx_migrations where success")
        .fetch_one(&mut connection)
        .await?;
    connection.close().await?;
    Ok(Some(Described { installation_id, migration }))
}

/// Whether the server has a database of this name.
pub async fn exists(connection: &mut PgConnection, database: &str) -> sqlx::Result<bool> {
    let exists =
        sqlx::query_scalar!(r#"select exists (select from pg_database where datname = $1) as "exists!""#, database);
    exists.fetch_one(connection).await
}

pub async fn create(connection: &mut PgConnection, database: &str) -> sqlx::Result<()> {
    run(connection, format!("create database \"{database}\" owner {OWNER}")).await
}

/// Also while somebody is connected to it.
pub async fn drop_database(connection: &mut PgConnection, database: &str) -> sqlx::Result<()> {
    run(connection, format!("drop database if exists \"{database}\" with (force)")).await
}

/// Puts `new` in the place of `database`, which, where there is one, is called `old` from then on. Both or neither.
pub async fn switch(connection: &mut PgConnection, new: &str, database: &str, old: &str) -> sqlx::Result<()> {
    let is_there = exists(connection, database).await?;
    let mut transaction = connection.begin().await?;
    if is_there {
        run(&mut transaction, format!("alter database \"{database}\" rename to \"{old}\"")).await?;
    }
    run(&mut transaction, format!("alter database \"{new}\" rename to \"{database}\"")).await?;
    transaction.commit().await
}

async fn run(connection: &mut PgConnection, statement: String) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await.map(drop)
}

/// Marks a database as made from a backup: the outbox is held, no session of a browser goes on, and what agents told
/// after the backup counts as missing until each of them was heard of.
pub async fn mark(db: &Db, backup_at: DateTime<Utc>, now: DateTime<Utc>) -> sqlx::Result<()> {
    let everything = db.everything().await?;
    let mut transaction = db.begin(&everything).await?;
    sqlx::query!("insert into restore (restored_at, backup_at) values ($1, $2)", now, backup_at)
        .execute(&mut *transaction)
        .await?;
    sqlx::query!(
        "
        update agent_stream
        set connected_at = null, backup_at = $2, backup_heard_at = null
        where client_id = any ($1)
        ",
        &everything.0,
        backup_at,
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query!("delete from session").execute(&mut *transaction).await?;
    transaction.commit().await
}

/// An outbox that waits for an operator.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    pub restored_at: DateTime<Utc>,
    pub backup_at: DateTime<Utc>,
}

/// `None`: deliveries are sent.
pub async fn held(db: &Db) -> sqlx::Result<Option<Held>> {
    sqlx::query_as!(
        Held,
        "select restored_at, backup_at from restore where released_at is null order by restored_at desc limit 1"
    )
    .fetch_optional(&db.pool)
    .await
}

/// What becomes of deliveries that the backup says are still owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owed {
    Send,
    /// They are given up: whoever got them since the backup gets none twice.
    GiveUp,
}

/// Lets deliveries go; how many are given up. `None`: none were held.
pub async fn release(db: &Db, owed: Owed, now: DateTime<Utc>) -> sqlx::Result<Option<u64>> {
    let everything: Scope = db.everything().await?;
    let mut transaction = db.begin(&everything).await?;
    let restored_at =
        sqlx::query_scalar!("update restore set released_at = $1 where released_at is null returning restored_at", now)
            .fetch_all(&mut *transaction)
            .await?;
    let Some(&restored_at) = restored_at.iter().max() else { return Ok(None) };
    let mut given_up = 0;
    if owed == Owed::GiveUp {
        let dead = sqlx::query!(
            "
            update delivery
            set state = 'dead', finished_at = $2
            where client_id = any ($1) and state = 'pending' and created_at < $3
            ",
            &everything.0,
            now,
            restored_at,
        );
        given_up = dead.execute(&mut *transaction).await?.rows_affected();
    }
    transaction.commit().await?;
    Ok(Some(given_up))
}
