//! The catalog as an installation has it: own entries and trusted keys here, releases and overrides below. Every change
//! moves the revision on, which is how other servers notice.

pub mod overrides;
pub mod releases;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgPool};

/// Counts the changes.
pub async fn revision(pool: &PgPool) -> sqlx::Result<i64> {
    sqlx::query_scalar!("select revision from catalog_state").fetch_one(pool).await
}

/// Moves the revision on. Until the transaction ends, no other change goes on.
pub async fn change(connection: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!("update catalog_state set revision = revision + 1").execute(connection).await.map(drop)
}

/// An entry of this installation's own.
#[derive(Clone, Debug)]
pub struct OwnEntry {
    /// The folder of its kind.
    pub kind: String,
    pub entry_id: String,
    /// TOML.
    pub body: String,
    pub added_at: DateTime<Utc>,
    pub added_by: String,
}

/// All of them, by kind and id.
pub async fn entries(pool: &PgPool) -> sqlx::Result<Vec<OwnEntry>> {
    sqlx::query_as!(
        OwnEntry,
        "select kind, entry_id, body, added_at, added_by from catalog_entry order by kind, entry_id"
    )
    .fetch_all(pool)
    .await
}

/// Adds an entry, or puts it in the place of the one with its id.
pub async fn put_entry(pool: &PgPool, entry: &OwnEntry) -> sqlx::Result<()> {
    let mut transaction = pool.begin().await?;
    change(&mut transaction).await?;
    sqlx::query!(
        "
        insert into catalog_entry (kind, entry_id, body, added_at, added_by)
        values ($1, $2, $3, $4, $5)
        on conflict (kind, entry_id) do update
        set body = excluded.body, added_at = excluded.added_at, added_by = excluded.added_by
        ",
        entry.kind,
        entry.entry_id,
        entry.body,
        entry.added_at,
        entry.added_by,
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

/// `false`: there is none.
pub async fn remove_entry(pool: &PgPool, kind: &str, entry_id: &str) -> sqlx::Result<bool> {
    let mut transaction = pool.begin().await?;
    change(&mut transaction).await?;
    let removed = sqlx::query!("delete from catalog_entry where kind = $1 and entry_id = $2", kind, entry_id)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(removed.rows_affected() > 0)
}

/// Whose signatures are believed.
#[derive(Clone, Debug)]
pub struct TrustedKey {
    pub key_id: String,
    pub name: String,
    pub public_key: Vec<u8>,
    pub trusted_at: DateTime<Utc>,
    pub trusted_by: String,
}

/// By name.
pub async fn keys(pool: &PgPool) -> sqlx::Result<Vec<TrustedKey>> {
    sqlx::query_as!(
        TrustedKey,
        "select key_id, name, public_key, trusted_at, trusted_by from catalog_key order by name, key_id"
    )
    .fetch_all(pool)
    .await
}

/// A key that is trusted already gets its new name.
pub async fn trust_key(pool: &PgPool, key: &TrustedKey) -> sqlx::Result<()> {
    sqlx::query!(
        "
        insert into catalog_key (key_id, name, public_key, trusted_at, trusted_by)
        values ($1, $2, $3, $4, $5)
        on conflict (key_id) do update
        set name = excluded.name
        ",
        key.key_id,
        key.name,
        key.public_key,
        key.trusted_at,
        key.trusted_by,
    )
    .execute(pool)
    .await
    .map(drop)
}

/// `false`: it was not trusted. Releases that it signed stay.
pub async fn distrust_key(pool: &PgPool, key_id: &str) -> sqlx::Result<bool> {
    let removed = sqlx::query!("delete from catalog_key where key_id = $1", key_id).execute(pool).await?;
    Ok(removed.rows_affected() > 0)
}
