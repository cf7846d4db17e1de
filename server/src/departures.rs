//! Hosts leave: retired for good, or handed over to another client. One transaction each: the identity, the record, the
//! findings that end with it and the webhooks about them.
//!
//! Invariants: after it nothing more is written under the old record, whatever a stream of its agent still sends; no row
//! ever changes its client.

use chrono::{DateTime, Utc};

use crate::db::{Scope, departures as rows, identity as certificates};
use crate::ingest::Store;
use crate::live::{Hint, HintKind};

/// What people read as the reason of findings that ended.
const RETIRED: &str = "host retired";
const MOVED: &str = "host moved to another client";

/// Why a host stays where and as it is.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("there is no such host")]
    NoSuchHost,
    #[error("this host is retired")]
    Retired,
    #[error("this host is not retired")]
    NotRetired,
    #[error("the agent of this host speaks for another record now; move that one")]
    HasMoved,
    #[error(
        "this host has no identity that could be moved: it has no agent, or was revoked; enroll it at the other client"
    )]
    NoIdentity,
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Where a host is after a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// The same record, at another site of its client.
    Site,
    /// This record, at another client.
    Client { client_id: i32, host_id: i64 },
}

/// Takes a host's identity away, ends its findings and leaves it out of every list. Its history stays.
pub async fn retire(store: &Store, scope: &Scope, host_id: i64, now: DateTime<Utc>) -> Result<(), Fault> {
    let mut transaction = store.db.begin(scope).await?;
    let host = rows::lock(&mut transaction, host_id).await?.ok_or(Fault::NoSuchHost)?;
    if host.retired_at.is_some() {
        return Err(Fault::Retired);
    }
    let key = (host.client_id, host_id);
    certificates::revoke_certificates(&mut transaction, key, now).await?;
    rows::retire(&mut transaction, key, now).await?;
    let outcome = store.end_findings(&mut transaction, key, RETIRED, now).await?;
    transaction.commit().await?;
    store.hint(key, &outcome);
    tracing::info!(host.id = host_id, "Retired {}", host.name);
    Ok(())
}

/// Puts a retired host back into lists, as one that is silent: its identity is gone for good.
pub async fn bring_back(store: &Store, scope: &Scope, host_id: i64) -> Result<(), Fault> {
    let mut transaction = store.db.begin(scope).await?;
    let host = rows::lock(&mut transaction, host_id).await?.ok_or(Fault::NoSuchHost)?;
    if host.retired_at.is_none() {
        return Err(Fault::NotRetired);
    }
    if host.has_moved {
        return Err(Fault::HasMoved);
    }
    let key = (host.client_id, host_id);
    rows::bring_back(&mut transaction, key).await?;
    transaction.commit().await?;
    store.publish(Hint { client_id: key.0, kind: HintKind::Host, id: host_id.to_string() });
    tracing::info!(host.id = host_id, "Brought {} back into lists", host.name);
    Ok(())
}

/// To a site of its own client, or, as a new record, to one of another client. `scope` holds both clients.
pub async fn move_to(
    store: &Store,
    scope: &Scope,
    host_id: i64,
    (client_id, site_id): (i32, i64),
    now: DateTime<Utc>,
) -> Result<Moved, Fault> {
    let mut transaction = store.db.begin(scope).await?;
    let host = rows::lock(&mut transaction, host_id).await?.ok_or(Fault::NoSuchHost)?;
    if host.has_moved {
        return Err(Fault::HasMoved);
    }
    if host.retired_at.is_some() {
        return Err(Fault::Retired);
    }
    let key = (host.client_id, host_id);
    if client_id == host.client_id {
        rows::change_site(&mut transaction, key, site_id).await?;
        transaction.commit().await?;
        store.publish(Hint { client_id, kind: HintKind::Host, id: host_id.to_string() });
        return Ok(Moved::Site);
    }
    if !host.has_identity {
        return Err(Fault::NoIdentity);
    }
    let to_host_id = rows::hand_over(&mut transaction, key, &host.name, (client_id, site_id), now).await?;
    rows::retire(&mut transaction, key, now).await?;
    let outcome = store.end_findings(&mut transaction, key, MOVED, now).await?;
    transaction.commit().await?;
    store.hint(key, &outcome);
    store.publish(Hint { client_id, kind: HintKind::Host, id: to_host_id.to_string() });
    tracing::info!(host.id = host_id, to.client.id = client_id, to.host.id = to_host_id, "Moved {}", host.name);
    Ok(Moved::Client { client_id, host_id: to_host_id })
}
