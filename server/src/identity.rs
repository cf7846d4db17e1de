//! Who may speak: our own certificate authority, enrollment, renewal and revocation.
//!
//! A stream is identified by its client certificate alone: serial → (client, host). The authority's key lies in Postgres,
//! sealed under DIR/master.key: a database without that file signs nothing.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use crate::{
    clock,
    db::{self, Db, Scope, installation::Installation},
    identity::{
        authority::Authority,
        revocations::{Revocations, Serial},
        seal::{Purpose, Sealer},
    },
};

pub mod seal;

pub mod authority;

pub mod token;

pub mod enrollment;

pub mod revocations;

/// A revocation made by another process counts within this and the time of one query.
const REVOCATION_SWEEP: Duration = Duration::from_secs(1);

/// Shared by the listeners, the enrollment service and the streams.
#[derive(Debug, Clone)]
pub struct Identity {
    pub authority: Arc<Authority>,
    pub revocations: Arc<Revocations>,
}

impl Identity {
    /// Opens the authority of this installation, or founds it on first use.
    pub async fn load(db: &Db, sealer: &Sealer, now: DateTime<Utc>) -> anyhow::Result<Self> {
        let installation = match db::installation::read(db).await? {
            Some(installation) => installation,
            None => found(db, sealer, now).await?,
        };
        let key = sealer.open(Purpose::CaKey, &installation.ca_key_sealed).context(
            "the master.key in the data folder is not the one under which this database's authority was sealed; \
             put the right file there (a replica needs a copy of it)",
        )?;
        let authority = Authority::open(installation.installation_id, installation.ca_certificate, &key)?;
        let identity = Self { authority: Arc::new(authority), revocations: Arc::new(Revocations::new()) };
        identity.refresh_revocations(db, now).await?;
        Ok(identity)
    }

    /// Takes every certificate of the host away, and cuts its live stream in this process at once. How many
    /// certificates there were; `None`: no such host in this scope.
    pub async fn revoke_host(
        &self,
        db: &Db,
        scope: &Scope,
        host_id: i64,
        now: DateTime<Utc>,
    ) -> sqlx::Result<Option<u64>> {
        let revoked = db::identity::revoke_host(db, scope, host_id, now).await?;
        self.refresh_revocations(db, now).await?;
        Ok(revoked)
    }

    /// Reads the revoked serials again and again, until `stop`. While the database is away, the last set holds.
    pub async fn sweep_revocations(&self, db: &Db, stop: CancellationToken) {
        let mut interval = tokio::time::interval(REVOCATION_SWEEP);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut was_reached = true;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = interval.tick() => {}
            }
            let result = self.refresh_revocations(db, clock::now()).await;
            if let Err(error) = &result
                && was_reached
            {
                warn!(%error, "Cannot read revocations; those known stay in force");
            }
            was_reached = result.is_ok();
        }
    }

    async fn refresh_revocations(&self, db: &Db, now: DateTime<Utc>) -> sqlx::Result<()> {
        let serials = db::identity::revoked_serials(db, now).await?;
        self.revocations.replace(serials.into_iter().map(|serial| Serial(serial.into())).collect());
        Ok(())
    }
}

/// Makes the authority of a new installation. Of two servers that start at once on one database, one founds it.
async fn found(db: &Db, sealer: &Sealer, now: DateTime<Utc>) -> anyhow::Result<Installation> {
    let installation_id = Uuid::new_v4();
    let (certificate, key) = authority::found(now)?;
    let founded =
        Installation { installation_id, ca_certificate: certificate, ca_key_sealed: sealer.seal(Purpose::CaKey, &key) };
    db::installation::insert_once(db, &founded, "Portreeve", now).await?;
    let counts = db::installation::read(db).await?.context("the installation row vanished")?;
    if counts.installation_id == installation_id {
        info!(installation.id = %installation_id, "Made this installation's certificate authority");
    }
    Ok(counts)
}
