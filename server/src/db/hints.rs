//! Hints between processes, through Postgres: what a subcommand changed beside a running server. Sent after the commit,
//! never in it; one that is lost leaves a page stale, never wrong.

use sqlx::postgres::PgListener;

use crate::db::Db;
use crate::live::{Bus, Hint};

/// What they are sent under.
const TOPIC: &str = "portreeve_hints";

/// To every server on this database.
pub async fn send(db: &Db, hints: &[Hint]) -> anyhow::Result<()> {
    for hint in hints {
        let text = serde_json::to_string(hint)?;
        sqlx::query!("select pg_notify($1, $2) as sent", TOPIC, text).fetch_one(&db.pool).await?;
    }
    Ok(())
}

/// Passes on what others send, until the connection fails for good.
pub async fn pass_on(db: &Db, bus: &Bus) -> sqlx::Result<()> {
    let mut listener = PgListener::connect_with(&db.pool).await?;
    listener.listen(TOPIC).await?;
    loop {
        let said = listener.recv().await?;
        // Another version may say what this one does not know.
        if let Ok(hint) = serde_json::from_str(said.payload()) {
            bus.publish(hint);
        }
    }
}
