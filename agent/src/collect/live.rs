//! Reads this host again and again, on a thread of its own, and hands every look to the stream.
//!
//! Invariants: there is one look at a time, so no table is read twice at once. Who stops gives back what the system holds
//! for it: see [`Collecting`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc as blocking;
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use proto::wire;
use rules::facts::{Exclusion, Facts};
use tokio::sync::{mpsc, watch};

use crate::collect::cadence::{Pace, rest};
#[cfg(not(windows))]
use crate::collect::elsewhere as platform;
use crate::collect::reading::Unreadable;
#[cfg(windows)]
use crate::collect::windows as platform;
use crate::run::Source;

/// How long an end waits for the thread, which may be in the middle of a look.
const ENDS_WITHIN: Duration = Duration::from_secs(15);

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

/// Exclusions that netsh says to last across boots. It blocks.
pub fn lasting_exclusions() -> Result<Vec<Exclusion>, Unreadable> {
    platform::lasting_exclusions()
}

/// The connections of this moment, those of the processes with most of them first. It blocks.
pub fn list_connections() -> Result<Vec<wire::Connection>, Unreadable> {
    platform::list_connections()
}

/// The thread that looks. Dropping it ends the thread in order and waits for that, some seconds at most: what the service
/// control manager keeps for whoever hears of services is given back, so that they can be removed. Drop the [`Source`]
/// first, or declare it later.
#[derive(Debug)]
pub struct Collecting {
    wake: blocking::Sender<Wake>,
    /// Closed when the thread has ended.
    ended: blocking::Receiver<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wake {
    Changed,
    Over,
}

impl Drop for Collecting {
    fn drop(&mut self) {
        // It may have ended by itself: then nobody hears it, and the wait is over at once.
        let _ = self.wake.send(Wake::Over);
        let _ = self.ended.recv_timeout(ENDS_WITHIN);
    }
}

/// Looks at this host until nobody wants to know any more. `folder` keeps what a restart of the agent
/// must not forget; `None`: nothing is kept.
pub fn watch(clock: fn() -> DateTime<Utc>, folder: Option<PathBuf>) -> std::io::Result<(Source, Collecting)> {
    let (sender, facts) = mpsc::channel(1);
    let (collect_every, interval) = watch::channel(COLLECT_EVERY);
    let (wake, wakes) = blocking::channel();
    let (ending, ended) = blocking::channel::<()>();
    let push = wake.clone();
    thread::Builder::new().name("collect".to_owned()).spawn(move || {
        // Dropped last: by then everything else of this thread is gone.
        let _ending = ending;
        let on_change = move || {
            // Nobody waits any more when the program ends.
            let _ = push.send(Wake::Changed);
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
            match wakes.recv_timeout(pace.pause()) {
                Ok(Wake::Changed) => {
                    pushed_at = Some(Instant::now());
                    if settle(&wakes, ended + rest(ended - started)) == Wake::Over {
                        break;
                    }
                }
                Err(blocking::RecvTimeoutError::Timeout) => {}
                Ok(Wake::Over) | Err(blocking::RecvTimeoutError::Disconnected) => break,
            }
        }
    })?;
    let source = Source { facts, collect_every, connections: Some(list_connections) };
    Ok((source, Collecting { wake, ended }))
}

/// Waits for the end of the rest; what is pushed meanwhile is seen by the look that follows.
fn settle(wakes: &blocking::Receiver<Wake>, end: Instant) -> Wake {
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let woken = if left.is_zero() { wakes.try_recv().ok() } else { wakes.recv_timeout(left).ok() };
        match woken {
            Some(Wake::Over) => return Wake::Over,
            None if left.is_zero() => return Wake::Changed,
            Some(Wake::Changed) | None => {}
        }
    }
}

fn pace(facts: &Facts) -> Pace {
    let booted_at = facts.host.known().and_then(|host| host.booted_at);
    let uptime = facts.collected_at.zip(booted_at).and_then(|(now, booted_at)| (now - booted_at).to_std().ok());
    let sockets = facts.sockets.known().map_or(0, Vec::len);
    Pace { every: COLLECT_EVERY, uptime, sockets, since_push: None }
}
