//! Which hosts were judged by another catalog or other overrides than those of now.

use sqlx::PgConnection;

use crate::db::{Db, Scope};

/// Hosts of the client behind `after`, in the order of their ids, that stand on another basis.
pub async fn hosts_on_other_basis(
    db: &Db,
    client_id: i32,
    basis: &str,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<i64>> {
    let mut transaction = db.begin(&Scope::of(client_id)).await?;
    sqlx::query_scalar!(
        "
        select host_id
        from host_judgement
        where client_id = $1
          and basis <> $2
          and host_id > $3
        order by host_id
        limit $4
        ",
        client_id,
        basis,
        after,
        limit,
    )
    .fetch_all(&mut *transaction)
    .await
}

/// Hosts of the client behind `after` that were ever judged.
pub async fn judged_hosts(db: &Db, client_id: i32, after: i64, limit: i64) -> sqlx::Result<Vec<i64>> {
    let mut transaction = db.begin(&Scope::of(client_id)).await?;
    sqlx::query_scalar!(
        "
        select host_id
        from host_judgement
        where client_id = $1
          and host_id > $2
        order by host_id
        limit $3
        ",
        client_id,
        after,
        limit,
    )
    .fetch_all(&mut *transaction)
    .await
}

/// `None`: the client has no such host.
pub async fn site_of(connection: &mut PgConnection, client_id: i32, host_id: i64) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!("select site_id from host where client_id = $1 and host_id = $2", client_id, host_id)
        .fetch_optional(connection)
        .await
}
