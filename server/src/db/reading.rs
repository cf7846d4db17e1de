//! A replica of the database for what pages read: used while it is hardly behind the primary, which answers otherwise.
//!
//! Invariant: nothing that is decided or written rests on what is read here.

use std::str::FromStr as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::db::bootstrap::APP;

/// A replica that is further behind is not used.
const MAX_LAG: Duration = Duration::from_secs(2);
/// Between two measurements, and between two looks of one.
const MEASURE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);
/// Whoever changed something wants to see it.
const AFTER_WRITE: Duration = Duration::from_secs(5);
/// A hint says that something can be read; on the replica, a little later than was measured.
const MARGIN: Duration = Duration::from_millis(300);

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reading(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: PgPool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// How far it was behind. `None`: too far, or it does not answer.
    lag: Option<Duration>,
    primary_until: Instant,
}

impl Reading {
    /// The replica need not be there yet.
    pub fn new(url: &str) -> anyhow::Result<Self> {
        let options = PgConnectOptions::from_str(url)
            .context("--read-database-url is not an address such as postgres://user@host/database")?
            .application_name("portreeve-server")
            .options([("role", APP), ("statement_timeout", "10s"), ("tcp_user_timeout", "10s")]);
        let pool = PgPoolOptions::new()
            .max_connections(20)
            .acquire_timeout(Duration::from_secs(1))
            .connect_lazy_with(options);
        let state = Mutex::new(State { lag: None, primary_until: Instant::now() });
        Ok(Self(Arc::new(Inner { pool, state })))
    }

    /// The replica, while it may be read.
    pub fn pool(&self) -> Option<&PgPool> {
        let state = self.state();
        (state.lag.is_some() && Instant::now() >= state.primary_until).then_some(&self.0.pool)
    }

    /// It did not answer.
    pub fn failed(&self) {
        self.state().lag = None;
    }

    /// Something was changed by somebody who reads next.
    pub fn wrote(&self) {
        self.state().primary_until = Instant::now() + AFTER_WRITE;
    }

    /// How long after a hint what it tells of can be read.
    pub fn delay(&self) -> Duration {
        self.state().lag.map_or(Duration::ZERO, |lag| lag + MARGIN)
    }

    /// Measures how far it is behind, until `stop`.
    pub async fn keep_measured(&self, primary: &PgPool, stop: &CancellationToken) {
        let mut was_used = false;
        while !stop.is_cancelled() {
            let measured = tokio::time::timeout(MAX_LAG, self.measure(primary)).await;
            let lag = match measured {
                Ok(Ok(lag)) => Some(lag),
                Ok(Err(_)) | Err(_) => None,
            };
            self.state().lag = lag;
            metrics::gauge!("portreeve_read_replica_lag_seconds").set(lag.unwrap_or(MAX_LAG).as_secs_f64());
            metrics::gauge!("portreeve_read_replica_used").set(if lag.is_some() { 1.0 } else { 0.0 });
            match lag {
                Some(lag) if !was_used => info!(lag = ?lag, "Pages are read from the replica"),
                None if was_used => warn!("The read replica is away or late; pages are read from the primary"),
                _ => {}
            }
            was_used = lag.is_some();
            stop.run_until_cancelled(sleep(MEASURE)).await;
        }
    }

    /// How long it takes until the replica has what the primary has written up to now.
    async fn measure(&self, primary: &PgPool) -> sqlx::Result<Duration> {
        let begun = Instant::now();
        let written = sqlx::query_scalar!(r#"select pg_current_wal_lsn()::text as "written!""#).fetch_one(primary).await?;
        loop {
            // What is no replica has everything.
            let is_there = sqlx::query_scalar!(
                r#"select coalesce(pg_last_wal_replay_lsn() >= $1::text::pg_lsn, not pg_is_in_recovery()) as "is_there!""#,
                written
            )
            .fetch_one(&self.0.pool)
            .await?;
            if is_there {
                return Ok(begun.elapsed());
            }
            sleep(LOOK).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
