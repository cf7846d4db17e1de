//! The installation's one row, its clients, sites and hosts by name.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::db::{Db, Scope};

/// The one row of this deployment.
#[derive(Debug)]
pub struct Installation {
    pub installation_id: Uuid,
    /// DER.
    pub ca_certificate: Vec<u8>,
    pub ca_key_sealed: Vec<u8>,
}

/// `None`: this database has never been used by a server.
pub async fn read(db: &Db) -> sqlx::Result<Option<Installation>> {
    sqlx::query_as!(Installation, "select installation_id, ca_certificate, ca_key_sealed from installation")
        .fetch_optional(&db.pool)
        .await
}

/// Writes the row unless another server was faster; read it again to know which one counts.
pub async fn insert_once(db: &Db, installation: &Installation, name: &str, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "
        insert into installation (installation_id, name, created_at, ca_certificate, ca_key_sealed)
        values ($1, $2, $3, $4, $5)
        on conflict (one_row) do nothing
        ",
        installation.installation_id,
        name,
        now,
        installation.ca_certificate,
        installation.ca_key_sealed
    )
    .execute(&db.pool)
    .await
    .map(drop)
}

/// A new client; `None`: the name is taken.
pub async fn insert_client(db: &Db, name: &str, now: DateTime<Utc>) -> sqlx::Result<Option<i32>> {
    let mut transaction = db.begin(&Scope::default()).await?;
    // Neither `returning` nor a named conflict: both ask to see the row, and until its id is known no scope shows it.
    let inserted =
        sqlx::query!("insert into client (name, created_at) values ($1, $2) on conflict do nothing", name, now)
            .execute(&mut *transaction)
            .await?;
    if inserted.rows_affected() == 0 {
        return Ok(None);
    }
    sqlx::query!("select set_config('app.clients', all_client_ids()::text, true) as applied")
        .fetch_one(&mut *transaction)
        .await?;
    let client_id =
        sqlx::query_scalar!("select client_id from client where name = $1", name).fetch_one(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(Some(client_id))
}

/// A client by its id or its name.
pub async fn find_client(db: &Db, scope: &Scope, id_or_name: &str) -> sqlx::Result<Option<i32>> {
    let mut transaction = db.begin(scope).await?;
    sqlx::query_scalar!(
        "select client_id from client where client_id::text = $1 or name = $1 order by (client_id::text = $1) desc limit 1",
        id_or_name
    )
    .fetch_optional(&mut *transaction)
    .await
}

/// A new site of a client; `None`: the client has one of that name.
pub async fn insert_site(db: &Db, client_id: i32, name: &str, now: DateTime<Utc>) -> sqlx::Result<Option<i64>> {
    let mut transaction = db.begin(&Scope::of(client_id)).await?;
    let site_id = sqlx::query_scalar!(
        "
        insert into site (client_id, name, created_at)
        values ($1, $2, $3)
        on conflict (client_id, name) do nothing
        returning site_id
        ",
        client_id,
        name,
        now
    )
    .fetch_optional(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(site_id)
}

/// A site by its id or its name: (client, site). A name must be of one site only within the scope, else `None`.
pub async fn find_site(db: &Db, scope: &Scope, id_or_name: &str) -> sqlx::Result<Option<(i32, i64)>> {
    let mut transaction = db.begin(scope).await?;
    let mut found = sqlx::query!(
        "select client_id, site_id from site where site_id::text = $1 or name = $1 order by (site_id::text = $1) desc",
        id_or_name
    )
    .fetch_all(&mut *transaction)
    .await?;
    let is_id = found.first().is_some_and(|site| site.site_id.to_string() == id_or_name);
    if found.len() != 1 && !is_id {
        return Ok(None);
    }
    Ok(found.drain(..).next().map(|site| (site.client_id, site.site_id)))
}
