//! What Postgres knows of the sizes of its tables.

use crate::db::Db;

/// Counts the rows of what is known now, where there are more than Postgres knows. On a slow disk that takes longer than
/// statements may take.
pub async fn keep(db: &Db) -> sqlx::Result<()> {
    let mut transaction = db.pool.begin_with("begin; set local statement_timeout = '5min'").await?;
    sqlx::query!("select keep_statistics()").execute(&mut *transaction).await?;
    transaction.commit().await
}
