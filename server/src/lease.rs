//! What only one server does at a time: looks at the whole fleet, sweeps, judging again. Whoever holds the lease works;
//! when its server ends or is cut off, another one goes on within [`LENGTH`] and one look.
//!
//! Invariant: work stops before its lease ends. A transaction that is committed in that very moment may come after the
//! first one of the next holder: what runs here can be done twice and converges.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{info, warn};

use crate::app::App;
use crate::db::leases;

/// From one renewal to the end. A holder that was killed is missed for so long.
pub const LENGTH: Duration = Duration::from_secs(15);
/// How often a lease is renewed, and how often others ask for it.
const EVERY: Duration = Duration::from_secs(5);
/// How long the database may take to answer. With it, work stops a while before the lease ends.
const PATIENCE: Duration = Duration::from_secs(3);

/// Runs `work` whenever this server holds the lease `name`, until the server stops. What `work` returns is dropped at an
/// await point when the lease is lost, and made anew when it is held again; it is expected to run for ever.
pub async fn hold<F, W>(app: &App, name: &'static str, work: W)
where
    F: Future<Output = ()>,
    W: Fn() -> F,
{
    while !app.stopping.is_cancelled() {
        let asked_at = Instant::now();
        if is_taken(app, name).await {
            info!(lease = name, "This server does it from now on");
            tokio::select! {
                () = work() => {}
                () = lost(app, name, asked_at) => warn!(lease = name, "Lost the lease; another server does it"),
                () = app.stopping.cancelled() => {}
            }
            give_up(app, name).await;
        }
        app.stopping.run_until_cancelled(sleep(EVERY)).await;
    }
}

/// Renews until that is not possible any more.
async fn lost(app: &App, name: &str, taken_at: Instant) {
    let mut ends_at = taken_at + LENGTH - PATIENCE;
    loop {
        sleep(EVERY).await;
        let asked_at = Instant::now();
        match timeout_at(ends_at, take(app, name)).await {
            Ok(Ok(true)) => ends_at = asked_at + LENGTH - PATIENCE,
            Ok(Ok(false)) | Err(_) => return,
            Ok(Err(error)) => warn!(%error, lease = name, "Could not renew a lease; trying again"),
        }
        if Instant::now() >= ends_at {
            return;
        }
    }
}

async fn is_taken(app: &App, name: &str) -> bool {
    match timeout(PATIENCE, take(app, name)).await {
        Ok(Ok(is_taken)) => is_taken,
        Ok(Err(error)) => {
            warn!(%error, lease = name, "Could not ask for a lease; trying again");
            false
        }
        Err(_) => false,
    }
}

async fn take(app: &App, name: &str) -> sqlx::Result<bool> {
    leases::take(&app.db.pool, name, app.server_id, LENGTH).await
}

/// A lease that could not be given up ends by itself.
async fn give_up(app: &App, name: &str) {
    let given = timeout(PATIENCE, leases::give_up(&app.db.pool, name, app.server_id)).await;
    if let Ok(Err(error)) = given {
        warn!(%error, lease = name, "Could not give a lease up; it ends by itself");
    }
}
