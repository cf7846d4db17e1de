//! How an installation's catalog changes: own entries and overrides, and signed releases, which are tried on the whole
//! fleet before they count. What is in force is [`crate::rulebook`]'s.

pub mod bundle;

pub mod entries;

pub mod release;

pub mod shadow;

pub mod signature;

use crate::db::{Db, hints};
use crate::live::{Hint, HintKind};

/// Tells every server, this one included, that the catalog or an override changed.
pub async fn announce(db: &Db) {
    // Of no client: it says nothing of any.
    let hint = Hint { client_id: 0, kind: HintKind::Catalog, id: String::new() };
    if let Err(error) = hints::send(db, &[hint]).await {
        tracing::debug!(error = format!("{error:#}"), "Servers will notice the change of the catalog by themselves");
    }
}
