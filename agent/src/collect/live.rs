//! Reads this host again and again, on a thread of its own, and hands every look to the stream.
//!
//! Invariant: there is one look at a time, so no table is read twice at once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc as blocking;
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use proto::wire;
use rules::facts::Facts;
use tokio::sync::{mpsc, watch};

use crate::collect::cadence::{Pace, rest};
#[cfg(not(windows))]
use crate::collect::elsewhere as platform;
use crate::collect::reading::Unreadable;
#[cfg(windows)]
use crate::collect::windows as platform;
use crate::run::Source;

/// Until the server names another interval.
const COLLECT_EVERY: Duration = Duration::from_secs(5);

/// One look at this host.
pub fn snapshot(now: DateTime<Utc>) -> Facts {
    let mut collector = platform::Collector::new(|| {}, None);
    collector.settle(now);
    collector.look(now)
}

/// How long each source took in one look, by the name of its collector.
pub type Took = BTreeMap<&'static str, Duration>;

/// Looks `reads` times without a pause: the host at the last look, and what each look took.
pub fn measure(clock: fn() -> DateTime<Utc>, reads: usize) -> (Facts, Vec<Took>) {
    let mut collector = platform::Collector::new(|| {}, None);
    collector.settle(clock());
    let mut facts = Facts::default();
    let mut took = Vec::with_capacity(reads);
    for _ in 0..reads {
        facts = collector.look(clock());
        took.push(collector.took().clone());
    }
    (facts, took)
}

/// Memory that this process has for itself. `None`: not known.
pub fn private_bytes() -> Option<u64> {
    platform::private_bytes()
}

/// The connections of this moment, those of the processes with most of them first. It blocks.
pub fn list_connections() -> Result<Vec<wire::Connection>, Unreadable> {
    platform::list_connections()
}

/// Looks at this host until nobody wants to know any more. `folder` keeps what a restart of the agent
/// must not forget; `None`: nothing is kept.
pub fn watch(clock: fn() -> DateTime<Utc>, folder: Option<PathBuf>) -> std::io::Result<Source> {
    let (sender, facts) = mpsc::channel(1);
    let (collect_every, interval) = watch::channel(COLLECT_EVERY);
    thread::Builder::new().name("collect".to_owned()).spawn(move || {
        let (push, pushes) = blocking::channel::<()>();
        let on_change = {
            let push = push.clone();
            // Nobody waits any more when the program ends.
            move || {
                let _ = push.send(());
            }
        };
        let mut collector = platform::Collector::new(on_change, folder);
        let mut pushed_at: Option<Instant> = None;
        loop {
            let started = Instant::now();
            let facts = collector.look(clock());
            let mut pace = pace(&facts);
            if sender.blocking_send(facts).is_err() {
                break;
            }
            let ended = Instant::now();
            pace.every = *interval.borrow();
            pace.since_push = pushed_at.map(|at| ended - at);
            if pushes.recv_timeout(pace.pause()).is_ok() {
                pushed_at = Some(Instant::now());
                settle(&pushes, ended + rest(ended - started));
            }
        }
        // It lives as long as this thread, so that waiting ends by a push or by the time.
        drop(push);
    })?;
    Ok(Source { facts, collect_every, connections: Some(list_connections) })
}

/// Waits for the end of the rest; what is pushed meanwhile is seen by the look that follows.
fn settle(pushes: &blocking::Receiver<()>, end: Instant) {
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            while pushes.try_recv().is_ok() {}
            return;
        }
        let _ = pushes.recv_timeout(left);
    }
}

fn pace(facts: &Facts) -> Pace {
    let booted_at = facts.host.known().and_then(|host| host.booted_at);
    let uptime = facts.collected_at.zip(booted_at).and_then(|(now, booted_at)| (now - booted_at).to_std().ok());
    let sockets = facts.sockets.known().map_or(0, Vec::len);
    Pace { every: COLLECT_EVERY, uptime, sockets, since_push: None }
}
