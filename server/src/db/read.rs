//! What every read of the API starts with: a transaction that sees only the clients of its scope, cannot write, and
//! ends itself after five seconds. It may read a replica, which is a little behind: what is decided or written rests on
//! [`Db::begin`] instead.

use anyhow::Context;
use serde::de::DeserializeOwned;
use sqlx::{Postgres, Transaction};

use crate::db::{Db, Scope};

/// How a query is planned that is asked again and again.
#[derive(Clone, Copy, Debug)]
pub enum Plans {
    /// As Postgres sees fit: for each asking, where the values make a difference.
    ByValue,
    /// Once for each connection. Over many partitions a plan takes longer to make than to carry out, and Postgres, which
    /// compares the costs of plans alone, would make it each time.
    Once,
}

/// Begins a read. `scope` narrows twice: row-level security by the setting, and each query by its own condition.
pub async fn begin(scope: &Scope, db: &Db) -> sqlx::Result<Transaction<'static, Postgres>> {
    begin_with(scope, db, Plans::ByValue).await
}

/// The same for queries that are best planned in one way.
pub async fn begin_with(scope: &Scope, db: &Db, plans: Plans) -> sqlx::Result<Transaction<'static, Postgres>> {
    let replicated = match &db.reading {
        Some(reading) => reading.begin().await,
        None => None,
    };
    let mut transaction = match replicated {
        Some(transaction) => transaction,
        None => db.pool.begin().await?,
    };
    // All of it in one statement: a short read is mostly waiting for answers.
    sqlx::query!(
        "
        select
          set_config('app.clients', $1, true) as clients,
          set_config('statement_timeout', '5s', true) as timeout,
          set_config('plan_cache_mode', $2, true) as plans,
          set_config('transaction_read_only', 'on', true) as read_only
        ",
        scope.as_array(),
        match plans {
            Plans::ByValue => "auto",
            Plans::Once => "force_generic_plan",
        },
    )
    .fetch_one(&mut *transaction)
    .await?;
    Ok(transaction)
}

/// A stored word as the enum that writes it so.
pub fn word<T: DeserializeOwned>(text: String) -> anyhow::Result<T> {
    serde_json::from_value(serde_json::Value::String(text))
        .context("a table holds a word that this server does not know")
}

/// Succeeds when the database answers.
pub async fn ping(db: &Db) -> sqlx::Result<()> {
    sqlx::query!("select 1 as one").fetch_one(&db.pool).await?;
    Ok(())
}
