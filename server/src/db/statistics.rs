//! What Postgres knows of the sizes of its tables.

use crate::db::Db;

/// Counts the rows of what is known now.
pub async fn keep(db: &Db) -> sqlx::Result<()> {
    sqlx::query!("select keep_statistics()").execute(&db.pool).await.map(drop)
}
