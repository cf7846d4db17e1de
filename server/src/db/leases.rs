//! Leases: which server does what only one may do at a time. Time is the database's, so that servers whose clocks differ
//! agree.

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::types::PgInterval;
use uuid::Uuid;

/// Takes the lease, or holds it longer. `false`: another server has it.
pub async fn take(pool: &PgPool, name: &str, holder: Uuid, length: Duration) -> sqlx::Result<bool> {
    let length = PgInterval::try_from(length).map_err(sqlx::Error::Encode)?;
    let taken = sqlx::query!(
        "
        insert into lease as present (name, holder, until)
        values ($1, $2, now() + $3)
        on conflict (name) do update
        set holder = excluded.holder, until = excluded.until
        where present.holder = excluded.holder or present.until < now()
        ",
        name,
        holder,
        length,
    )
    .execute(pool)
    .await?;
    Ok(taken.rows_affected() == 1)
}

/// Lets the next server have it at once.
pub async fn give_up(pool: &PgPool, name: &str, holder: Uuid) -> sqlx::Result<()> {
    sqlx::query!("delete from lease where name = $1 and holder = $2", name, holder).execute(pool).await.map(drop)
}
