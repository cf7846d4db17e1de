//! What is remembered of a host, from its rows: for a stream when a boot begins, and for whoever judges a host that is
//! not connected.

use rules::catalog::Catalog;
use rules::facts::Facts;
use rules::text::Text;
use sqlx::PgConnection;

use crate::db::history;
use crate::ingest::ledger;
use crate::ingest::memory::Memory;

/// Of the host as (client, host); `facts` are those of now.
pub async fn recall(
    connection: &mut PgConnection,
    host: (i32, i64),
    facts: &Facts,
    catalog: &Catalog,
) -> sqlx::Result<Memory> {
    let boot = ledger::boot_of(facts);
    let past = history::past(connection, host, boot.map(Text::as_str)).await?;
    let services = history::remembered(connection, host, boot.map(Text::as_str)).await?;
    Ok(Memory::new(boot.cloned(), &past, services, facts, catalog))
}
