//! A signed release on its way into force: verified, read, tried on the whole fleet, and held for an admin when it would
//! open more findings than was said.
//!
//! Invariant: nothing counts that no trusted key has signed, and no release takes the place of a newer one unless told so.

use chrono::{DateTime, Utc};
use rules::catalog::Catalog;
use uuid::Uuid;

use crate::catalog::bundle::{self, Bundle, BundleFault};
use crate::catalog::signature::PublicKey;
use crate::catalog::{announce, shadow};
use crate::db::catalog::releases::{self, NewRelease, Untried};
use crate::db::{Db, catalog};
use crate::rulebook::{Files, Rulebook, composed, stored_files, told};

/// A release is held when it would open more findings, unless told otherwise.
pub const HOLD_ABOVE: i32 = 50;

/// What may follow what is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Newer,
    /// Also an older one, or the same again.
    Any,
}

/// A release as it was brought.
#[derive(Clone, Copy, Debug)]
pub struct Brought<'a> {
    pub text: &'a str,
    /// Base64.
    pub signature: &'a str,
    pub hold_above: i32,
    pub order: Order,
    pub by: &'a str,
}

/// Why a release was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseFault {
    #[error("no trusted key has signed this file as it is")]
    BadSignature,
    #[error(transparent)]
    Bundle(#[from] BundleFault),
    /// Faults by file and line.
    #[error("{0}")]
    Faulty(String),
    #[error("this is version {version}, and version {in_force} is in force")]
    Older { version: i64, in_force: i64 },
    #[error("another release waits: approve or discard it first")]
    OneWaits,
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

/// Verifies and keeps a release; [`finish`] tries it.
pub async fn import(db: &Db, brought: &Brought<'_>, now: DateTime<Utc>) -> Result<Uuid, ReleaseFault> {
    let key_id = signer(db, brought).await?.ok_or(ReleaseFault::BadSignature)?;
    let Bundle { version, title, files } = bundle::parse(brought.text)?;
    let (_, own) = stored_files(db).await?;
    composed(&files, &own).map_err(|faults| ReleaseFault::Faulty(told(&faults)))?;
    let new = NewRelease {
        release_id: Uuid::new_v4(),
        version,
        title,
        body: brought.text.to_owned(),
        key_id,
        hold_above: brought.hold_above,
        imported_by: brought.by.to_owned(),
    };
    let mut transaction = db.pool.begin().await?;
    let (in_force, one_waits) = releases::lock(&mut transaction).await?;
    if let Some(in_force) = in_force
        && brought.order == Order::Newer
        && version <= in_force
    {
        return Err(ReleaseFault::Older { version, in_force });
    }
    if one_waits {
        return Err(ReleaseFault::OneWaits);
    }
    releases::insert(&mut transaction, &new, now).await?;
    transaction.commit().await?;
    tracing::info!(release.id = %new.release_id, version, by = brought.by, "Imported a release of the catalog");
    Ok(new.release_id)
}

/// `None`: nobody who is trusted.
async fn signer(db: &Db, brought: &Brought<'_>) -> sqlx::Result<Option<String>> {
    let keys = catalog::keys(&db.pool).await?;
    let signed = keys.into_iter().find(|key| {
        PublicKey::from_bytes(&key.public_key)
            .is_some_and(|public| public.has_signed(brought.text.as_bytes(), brought.signature))
    });
    Ok(signed.map(|key| key.key_id))
}

/// Tries the release that waits for it, if nobody else does at present, and puts it in force unless it opens too much.
pub async fn finish(db: &Db, clock: fn() -> DateTime<Utc>) -> anyhow::Result<()> {
    let now = clock();
    let Some(untried) = releases::lease(&db.pool, now, now + shadow::LEASE).await? else { return Ok(()) };
    let Untried { release_id, body, hold_above } = untried;
    let candidate = Rulebook::load(db).await?.with_catalog(candidate(db, bundle::parse(&body)?.files).await?);
    let Some(sums) = shadow::run(db, &candidate, release_id, clock).await? else { return Ok(()) };
    let mut transaction = db.pool.begin().await?;
    if !releases::write_sums(&mut transaction, release_id, &sums).await? {
        return Ok(());
    }
    if sums.opens <= hold_above {
        releases::put_in_force(&mut transaction, release_id, None, clock()).await?;
    }
    transaction.commit().await?;
    let held = sums.opens > hold_above;
    tracing::info!(
        release.id = %release_id, held, hosts = sums.hosts, opens = sums.opens, resolves = sums.resolves,
        "Tried a release of the catalog on the fleet"
    );
    announce(db).await;
    Ok(())
}

async fn candidate(db: &Db, release: Files) -> anyhow::Result<Catalog> {
    let (_, own) = stored_files(db).await?;
    composed(&release, &own).map_err(|faults| anyhow::anyhow!(told(&faults)))
}

/// Puts a held release in force. `false`: it is not held.
pub async fn approve(db: &Db, release_id: Uuid, by: &str, now: DateTime<Utc>) -> sqlx::Result<bool> {
    let mut transaction = db.pool.begin().await?;
    let done = releases::put_in_force(&mut transaction, release_id, Some(by), now).await?;
    transaction.commit().await?;
    if done {
        announce(db).await;
        tracing::info!(release.id = %release_id, by, "Approved a release of the catalog");
    }
    Ok(done)
}

/// Drops a release that waits. `false`: it does not wait.
pub async fn discard(db: &Db, release_id: Uuid, by: &str, now: DateTime<Utc>) -> sqlx::Result<bool> {
    let done = releases::discard(&db.pool, release_id, by, now).await?;
    if done {
        announce(db).await;
        tracing::info!(release.id = %release_id, by, "Discarded a release of the catalog");
    }
    Ok(done)
}
