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
    Ok(read(connection, host, ledger::boot_of(facts)).await?.memory(facts, catalog))
}

/// Rows of what is remembered.
#[derive(Debug)]
pub(super) struct Recalled {
    boot: Option<Text>,
    past: Past,
    services: BTreeMap<String, Remembered>,
}

/// While the host is in this boot. `None`: it is not known.
pub(super) async fn read(
    connection: &mut PgConnection,
    host: (i32, i64),
    boot: Option<&Text>,
) -> sqlx::Result<Recalled> {
    let named = boot.map(Text::as_str);
    let past = history::past(connection, host, named).await?;
    let services = history::remembered(connection, host, named).await?;
    Ok(Recalled { boot: boot.cloned(), past, services })
}

impl Recalled {
    pub(super) fn is_of(&self, boot: Option<&Text>) -> bool {
        self.boot.as_ref() == boot
    }

    pub(super) fn memory(self, facts: &Facts, catalog: &Catalog) -> Memory {
        Memory::new(self.boot, &self.past, self.services, facts, catalog)
    }
}
