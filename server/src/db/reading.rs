//! A streaming replica of the database, for what pages read.
//!
//! Invariants: it is read only while it holds what the primary held two seconds ago, and whatever was changed over the
//! API of this server. Nothing that is decided or written rests on it.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgPool, Postgres, Transaction};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::db::bootstrap::{APP, SETTINGS};

/// A replica that is further behind is not read.
const MAX_LAG: Duration = Duration::from_secs(2);
/// Between two measurements, and between two looks of one.
const MEASURE: Duration = Duration::from_millis(250);
const LOOK: Duration = Duration::from_millis(50);

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reading(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: PgPool,
    state: watch::Sender<State>,
}

#[derive(Debug)]
struct State {
    /// The replica holds what the primary held then. `None`: it is late, or does not answer.
    holds: Option<Instant>,
    /// It is not read until it holds what the primary held then.
    needs: Instant,
    /// Requests under way that may change something.
    writing: usize,
}

/// A request that may change something: while it lives, and until the replica holds what it changed, the primary is read.
#[derive(Debug)]
#[must_use]
pub struct Writing(Reading);

impl Reading {
    /// The replica need not be there yet.
    pub fn new(url: &str) -> anyhow::Result<Self> {
        let options = PgConnectOptions::from_str(url)
            .context("--read-database-url is not an address such as postgres://user@host/database")?
            .application_name("portreeve-server")
            .options([("role", APP)])
            .options(SETTINGS);
        let pool =
            PgPoolOptions::new().max_connections(20).acquire_timeout(Duration::from_secs(1)).connect_lazy_with(options);
        let state = State { holds: None, needs: Instant::now(), writing: 0 };
        Ok(Self(Arc::new(Inner { pool, state: watch::Sender::new(state) })))
    }

    /// A transaction at the replica. `None`: read at the primary.
    pub async fn begin(&self) -> Option<Transaction<'static, Postgres>> {
        if !self.0.state.borrow().is_current() {
            return None;
        }
        let begun = self.0.pool.begin().await;
        if begun.is_err() {
            self.0.state.send_modify(|state| state.holds = None);
        }
        begun.ok()
    }

    pub fn writing(&self) -> Writing {
        self.0.state.send_modify(|state| state.writing += 1);
        Writing(self.clone())
    }

    /// Returns when whoever reads next reads what the primary held `then`, or something later.
    pub async fn catch_up(&self, then: Instant) {
        let mut state = self.0.state.subscribe();
        let caught_up = state.wait_for(|state| state.holds.is_none_or(|holds| holds >= then));
        // After so long without, the replica is late, and is not read.
        drop(timeout_at(then + MAX_LAG, caught_up).await);
        // It may be away now, and come back before it holds that.
        self.0.state.send_modify(|state| state.needs = state.needs.max(then));
    }

    /// Measures how far the replica is behind, until `stop`.
    pub async fn keep_measured(&self, primary: &PgPool, stop: &CancellationToken) {
        let mut was_current = None;
        loop {
            let begun = Instant::now();
            let Some(measured) = stop.run_until_cancelled(self.measure(primary)).await else { return };
            let is_current = measured.is_ok();
            self.0.state.send_modify(|state| state.holds = is_current.then_some(begun));
            let lag = if is_current { begun.elapsed().as_secs_f64() } else { f64::INFINITY };
            metrics::gauge!("portreeve_read_replica_lag_seconds").set(lag);
            if was_current.replace(is_current) != Some(is_current) {
                match measured {
                    Ok(()) => info!(lag, "Pages are read from the read replica"),
                    Err(error) => {
                        let error = format!("{error:#}");
                        warn!(error, "The read replica is away or late; pages are read from the primary");
                    }
                }
            }
            stop.run_until_cancelled(sleep(MEASURE)).await;
        }
    }

    /// Returns when the replica holds what the primary held at the call.
    async fn measure(&self, primary: &PgPool) -> anyhow::Result<()> {
        let caught_up = async {
            let held = sqlx::query!(
                r#"select pg_current_wal_lsn()::text as "position!", system_identifier as "cluster!" from pg_control_system()"#
            )
            .fetch_one(primary)
            .await
            .context("the primary does not answer")?;
            while !self.holds(&held.position, held.cluster).await.context("it does not answer")? {
                sleep(LOOK).await;
            }
            Ok(())
        };
        timeout(MAX_LAG, caught_up).await.context("it is more than two seconds behind, or of another primary")?
    }

    /// Positions mean nothing in another cluster.
    async fn holds(&self, position: &str, cluster: i64) -> sqlx::Result<bool> {
        sqlx::query_scalar!(
            r#"
            select
              pg_is_in_recovery()
              and system_identifier = $2
              and pg_last_wal_replay_lsn() >= $1::text::pg_lsn as "holds!"
            from pg_control_system()
            "#,
            position,
            cluster,
        )
        .fetch_one(&self.0.pool)
        .await
    }
}

impl State {
    fn is_current(&self) -> bool {
        self.writing == 0 && self.holds.is_some_and(|holds| holds >= self.needs && holds.elapsed() <= MAX_LAG)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.0.0.state.send_modify(|state| {
            state.writing -= 1;
            state.needs = Instant::now();
        });
    }
}
