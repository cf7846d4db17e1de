//! What is remembered of a host, from its rows: for a stream when a boot begins, and for whoever judges a host that is
//! not connected.

use std::collections::BTreeMap;

use rules::catalog::Catalog;
use rules::facts::Facts;
use rules::text::Text;
use sqlx::PgConnection;

use crate::db::history::{self, Past};
use crate::ingest::ledger;
use crate::ingest::memory::{Memory, Remembered};

/// Of the host as (client, host); `facts` are those of now.
pub async fn recall(
    connection: &mut PgConnection,
    host: (i32, i64),
    facts: &Facts,
    catalog: &Catalog,
) -> sqlx::Result<Memory> {
    Ok(read(connection, host, ledger::boot_of(facts).map(Text::as_str)).await?.memory(facts, catalog))
}

/// Rows of what is remembered.
#[derive(Debug)]
pub(super) struct Recalled {
    past: Past,
    services: BTreeMap<String, Remembered>,
}

/// While the host is in this boot. `None`: it is not known.
pub(super) async fn read(
    connection: &mut PgConnection,
    host: (i32, i64),
    boot: Option<&str>,
) -> sqlx::Result<Recalled> {
    let past = history::past(connection, host, boot).await?;
    let services = history::remembered(connection, host, boot).await?;
    Ok(Recalled { past, services })
}

impl Recalled {
    pub(super) fn memory(self, facts: &Facts, catalog: &Catalog) -> Memory {
        Memory::new(ledger::boot_of(facts).cloned(), &self.past, self.services, facts, catalog)
    }
}
