//! Own entries and overrides: what is checked before they are kept.

use chrono::{DateTime, TimeDelta, Utc};
use rules::catalog::{Catalog, Kind, kind_of};
use rules::overrides::Override;
use uuid::Uuid;

use crate::catalog::announce;
use crate::db::catalog::overrides::{self, NewOverride};
use crate::db::catalog::{self, OwnEntry};
use crate::db::{Db, Scope, refuses};
use crate::rulebook::{Files, composed, stored_files, told};

/// A decision is looked at again after a year at most.
const LONGEST: TimeDelta = TimeDelta::days(366);
const MAX_REASON: usize = 500;
const MAX_ENTRY: usize = 256 * 1024;

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum EntryFault {
    /// Faults by line.
    #[error("{0}")]
    Faulty(String),
    #[error("own entries are added one by one, and this file holds {0}")]
    NotOne(usize),
    #[error("there is no bad update and no taker with the id {0}")]
    NoSuchEntry(String),
    #[error("an override says why, in 1 to {MAX_REASON} characters")]
    NoReason,
    #[error("an override ends within a year, and not in the past")]
    BadEnd,
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

/// Adds the one entry that `text` holds, or puts it in the place of the own one with its id; returns what it is.
pub async fn add(db: &Db, text: &str, by: &str, now: DateTime<Utc>) -> Result<(Kind, String), EntryFault> {
    if text.len() > MAX_ENTRY {
        return Err(EntryFault::Faulty("the entry is larger than 256 KiB".to_owned()));
    }
    let kind = kind_of(text);
    let name = format!("{}/entry.toml", kind.folder());
    let alone = Catalog::parse(&[(name.as_str(), text)]).map_err(|faults| EntryFault::Faulty(told(&faults)))?;
    let ids: Vec<&str> = alone.ids().map(|(_, id)| id).collect();
    let [id] = ids.as_slice() else { return Err(EntryFault::NotOne(ids.len())) };
    let entry = OwnEntry {
        kind: kind.folder().to_owned(),
        entry_id: (*id).to_owned(),
        body: text.to_owned(),
        added_at: now,
        added_by: by.to_owned(),
    };
    check_beside_others(db, &entry).await?;
    catalog::put_entry(&db.pool, &entry).await.map_err(|error| {
        let text = error.to_string();
        if refuses(&error) { EntryFault::Faulty(text) } else { EntryFault::Database(error) }
    })?;
    announce(db).await;
    tracing::info!(kind = entry.kind, entry = entry.entry_id, by, "Added an entry to the catalog");
    Ok((kind, entry.entry_id))
}

async fn check_beside_others(db: &Db, entry: &OwnEntry) -> Result<(), EntryFault> {
    let (release, own) = stored_files(db).await?;
    let name = format!("{}/{}.toml", entry.kind, entry.entry_id);
    let others = own.into_iter().filter(|(other, _)| *other != name);
    let own: Files = others.chain([(name.clone(), entry.body.clone())]).collect();
    composed(&release, &own).map(drop).map_err(|faults| EntryFault::Faulty(told(&faults)))
}

/// `false`: there is no own entry of this id.
pub async fn remove(db: &Db, kind: Kind, id: &str, by: &str) -> sqlx::Result<bool> {
    let removed = catalog::remove_entry(&db.pool, kind.folder(), id).await?;
    if removed {
        announce(db).await;
        tracing::info!(kind = kind.folder(), entry = id, by, "Removed an entry from the catalog");
    }
    Ok(removed)
}

/// Decides for all clients of `scope`; `known` is the catalog in force.
pub async fn decide(
    db: &Db,
    scope: &Scope,
    known: &Catalog,
    decided: Override,
    now: DateTime<Utc>,
) -> Result<Uuid, EntryFault> {
    let is_known = known.ids().any(|(kind, id)| kind != Kind::Claim && id == decided.entry);
    if !is_known {
        return Err(EntryFault::NoSuchEntry(decided.entry));
    }
    let reason = decided.reason.trim();
    if reason.is_empty() || reason.chars().count() > MAX_REASON || reason.chars().any(char::is_control) {
        return Err(EntryFault::NoReason);
    }
    if decided.until <= now || decided.until > now + LONGEST {
        return Err(EntryFault::BadEnd);
    }
    let new = NewOverride { override_id: Uuid::new_v4(), decided: Override { reason: reason.to_owned(), ..decided } };
    overrides::put(scope, db, &new, now).await?;
    announce(db).await;
    let Override { entry, by, .. } = &new.decided;
    tracing::info!(clients = scope.0.len(), entry, by, "Overrode an entry of the catalog");
    Ok(new.override_id)
}

/// `false`: no client of `scope` has it.
pub async fn withdraw(db: &Db, scope: &Scope, override_id: Uuid, by: &str) -> sqlx::Result<bool> {
    let removed = overrides::remove(scope, db, override_id).await?;
    if removed {
        announce(db).await;
        tracing::info!(override.id = %override_id, by, "Withdrew an override");
    }
    Ok(removed)
}
