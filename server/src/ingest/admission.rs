//! Who may come in, and how many may do at once what costs most: opening a stream, loading what is stored of a host,
//! and taking in a large report.
//!
//! Invariant: who has to wait is told when to come, or waits where nothing of him is held but his connection. Nobody waits
//! for a place while he holds another of the same kind.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::coded;
use crate::ingest::allowance::Allowance;
use crate::ingest::session::refused;

/// Most streams that are being opened at once, and most hosts that are being loaded. Where there are few processors they are
/// fewer: of more at once each takes longer, and none is done sooner.
const OPENINGS: usize = 8;
const LOADS: usize = 6;
/// Streams that wait to be opened: at some hundred a second, as long as an agent waits for its Welcome.
const WAITING: usize = 4_000;
/// How long one waits for a place before it is told to come later.
const PATIENCE: Duration = Duration::from_secs(20);
/// Room for parts of reports that are not complete, of all streams together: four of the longest.
const PARTS_KIBIBYTES: usize = 64 * 1024;
/// Agents that come back in a second when the server says so. At 250 two processors fall behind, but none of ten thousand had
/// to be sent away (`bench_storm`); at 400 half of them were, each for a handshake more.
const RETURNS_PER_SECOND: u32 = 250;
/// Whoever is sent away comes back within a time between these.
const SOONEST: Duration = Duration::from_secs(1);
const LATEST: Duration = Duration::from_mins(5);
/// What a full report is taken to cost until one was seen, and the bounds of what is believed.
const FULL_REPORT: Duration = Duration::from_millis(50);
const CHEAPEST: Duration = Duration::from_millis(4);
const DEAREST: Duration = Duration::from_secs(1);
/// Full reports that may arrive together before they are paced.
const FULL_BURST: Duration = Duration::from_secs(1);

/// Shared by all streams.
#[derive(Clone, Debug)]
pub(super) struct Admission(Arc<Places>);

#[derive(Debug)]
struct Places {
    openings: Semaphore,
    waiting: Semaphore,
    loads: Semaphore,
    large: Semaphore,
    parts: Semaphore,
    workers: u32,
    full: Mutex<FullReports>,
}

/// When full reports are due, and what one costs.
#[derive(Debug)]
struct FullReports {
    booked: Allowance,
    cost: Duration,
}

impl Admission {
    /// For as many processors as there are.
    pub(super) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = 2 * cores;
        Self(Arc::new(Places {
            openings: Semaphore::new(workers.min(OPENINGS)),
            waiting: Semaphore::new(WAITING),
            loads: Semaphore::new(cores.min(LOADS)),
            large: Semaphore::new(workers),
            parts: Semaphore::new(PARTS_KIBIBYTES),
            workers: u32::try_from(workers).unwrap_or(u32::MAX),
            full: Mutex::new(FullReports { booked: Allowance::new(Instant::now()), cost: FULL_REPORT }),
        }))
    }

    /// A place for opening a stream, before anything of it is read from the database.
    pub(super) async fn open(&self) -> Result<SemaphorePermit<'_>, Status> {
        let Ok(_waits) = self.0.waiting.try_acquire() else { return Err(busy()) };
        match tokio::time::timeout(PATIENCE, self.0.openings.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            _ => Err(busy()),
        }
    }

    /// A place for loading what is stored of a host. `None` never comes: the places are not closed.
    pub(super) async fn load(&self) -> Option<SemaphorePermit<'_>> {
        self.0.loads.acquire().await.ok()
    }

    /// A place for taking in a large report.
    pub(super) async fn large(&self) -> Option<Large<'_>> {
        let place = self.0.large.acquire().await.ok()?;
        Some(Large { admission: self, since: Instant::now(), _place: place })
    }

    /// Room for a part of a report that is not complete.
    pub(super) async fn part(&self, kibibytes: u32) -> Result<SemaphorePermit<'_>, Status> {
        match tokio::time::timeout(PATIENCE, self.0.parts.acquire_many(kibibytes.saturating_add(1))).await {
            Ok(Ok(room)) => Ok(room),
            _ => Err(busy()),
        }
    }

    /// How long an agent should wait with the full report that it is asked for: the ones before it are booked.
    pub(super) fn book_full(&self) -> Duration {
        let mut full = self.full();
        let cost = full.cost;
        full.booked.take(Instant::now(), cost, FULL_BURST).min(LATEST)
    }

    fn learn(&self, taken: Duration) {
        let mut full = self.full();
        let seen = (taken / self.0.workers).clamp(CHEAPEST, DEAREST);
        full.cost = (full.cost * 7 + seen) / 8;
    }

    fn full(&self) -> MutexGuard<'_, FullReports> {
        self.0.full.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place for a large report; how long it was held tells how to pace the next.
#[derive(Debug)]
pub(super) struct Large<'a> {
    admission: &'a Admission,
    since: Instant,
    _place: SemaphorePermit<'a>,
}

impl Drop for Large<'_> {
    fn drop(&mut self) {
        self.admission.learn(self.since.elapsed());
    }
}

/// Within which time this many agents should come back, each at a moment of its own choice.
pub(super) fn spread(streams: usize) -> Duration {
    let streams = u32::try_from(streams).unwrap_or(u32::MAX);
    (Duration::from_secs(1) * streams / RETURNS_PER_SECOND).clamp(SOONEST, LATEST)
}

fn busy() -> Status {
    let text = "more agents come, or send large reports, at once than the server takes in; come later";
    coded::retry_within(refused(Code::Unavailable, "server.busy", text), spread(2 * WAITING))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Admission, spread};

    #[test]
    fn a_fleet_comes_back_spread_and_a_few_at_once() {
        assert_eq!(spread(0), Duration::from_secs(1));
        assert_eq!(spread(10_000), Duration::from_secs(40));
        assert_eq!(spread(usize::MAX), Duration::from_mins(5));
    }

    #[tokio::test]
    async fn full_reports_are_booked_one_after_the_other() {
        let admission = Admission::new();
        let waits: Vec<_> = (0..60).map(|_| admission.book_full()).collect();
        assert_eq!(waits[0], Duration::ZERO, "the first come at once");
        assert!(waits.is_sorted() && waits[59] > Duration::from_secs(1), "{waits:?}");
    }

    #[tokio::test]
    async fn who_finds_no_room_to_wait_is_told_to_come_later() {
        let admission = Admission::new();
        let all = admission.0.waiting.try_acquire_many(4_000).expect("nobody waits");
        let refusal = admission.open().await.expect_err("there is no room");
        assert_eq!(crate::coded::code_of(&refusal), Some("server.busy"));
        assert_eq!(refusal.metadata().get(crate::coded::RETRY_TRAILER).expect("a time"), "32000");
        drop(all);
        assert!(admission.open().await.is_ok());
    }
}
