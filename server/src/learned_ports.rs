//! The count of ports over the whole installation: a few times a day one server looks which service holds which port on
//! how many hosts. What that means for a host without a past of its own is decided in [`crate::ingest::memory`].
//!
//! Invariant: what is stored names no client and no host, and nothing that fewer than three hosts show.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::app::App;
use crate::clock;
use crate::db::Scope;
use crate::db::learned_ports::{self, Counted, LearnedPort};

const EVERY: Duration = Duration::from_hours(6);
/// After the start of a server: by then its hosts have reported.
const SETTLED: Duration = Duration::from_mins(5);
/// Fewer hosts may be one customer's own program.
pub const MIN_HOSTS: i64 = 3;

/// Counts again and again, and not while a fleet comes back to a server that starts. A count that fails is left to the
/// next one. To be run by one server, under a lease.
pub async fn keep_counting(app: &App) {
    let left = match learned_ports::learned_at(&app.db).await {
        Ok(Some(at)) => EVERY.saturating_sub((clock::now() - at).to_std().unwrap_or_default()),
        Ok(None) | Err(_) => Duration::ZERO,
    };
    let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + left.max(SETTLED), EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if let Err(error) = count(app, clock::now()).await {
            tracing::warn!(error = %error, "Could not count which services hold which ports; trying again in six hours");
        }
    }
}

/// One count of all hosts, client by client and a few hosts at a time.
pub async fn count(app: &App, now: DateTime<Utc>) -> sqlx::Result<()> {
    let mut all = Counted::default();
    for client_id in app.db.everything().await?.0 {
        let mut after = 0;
        while let Some((last, counted)) = learned_ports::count(&Scope::of(client_id), &app.db, after).await? {
            add(&mut all.held, counted.held);
            add(&mut all.ran, counted.ran);
            after = last;
        }
    }
    let number = |count: i64| i32::try_from(count).unwrap_or(i32::MAX);
    let learned = all.held.into_iter().filter(|(_, hosts)| *hosts >= MIN_HOSTS).map(|(held, hosts)| {
        let of = all.ran.get(&held.service).copied().unwrap_or(hosts).max(hosts);
        LearnedPort { held, hosts: number(hosts), of: number(of) }
    });
    let learned: Vec<LearnedPort> = learned.collect();
    learned_ports::replace(&app.db, &learned, now).await
}

fn add<K: Ord>(all: &mut BTreeMap<K, i64>, more: BTreeMap<K, i64>) {
    for (key, count) in more {
        *all.entry(key).or_default() += count;
    }
}
