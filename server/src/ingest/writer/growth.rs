//! How much was written since the start: whenever it is four times as much, Postgres counts its rows, so that plans are made
//! for tables as large as they are. A fleet that joins outruns autovacuum, which looks once a minute.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::warn;

use crate::db::{Db, statistics};

/// Rows of a few hosts: so many are still read through fast, should it come to that.
const FIRST: u64 = 2_000;
const FACTOR: u64 = 4;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Growth {
    db: Db,
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct Counts {
    written: AtomicU64,
    due: AtomicU64,
}

impl Growth {
    /// `db` is what the rows are counted through, which takes long: not what they are written through.
    pub(super) fn new(db: &Db) -> Self {
        Self { db: db.clone(), counts: Arc::new(Counts::new()) }
    }

    /// So many rows more were written.
    pub(super) fn add(&self, rows: u64) {
        if !self.counts.is_due(rows) {
            return;
        }
        let db = self.db.clone();
        tokio::spawn(async move {
            if let Err(error) = statistics::keep(&db).await {
                warn!(%error, "Postgres could not count its rows; until it does by itself, reports may take longer");
            }
        });
    }
}

impl Counts {
    fn new() -> Self {
        Self { written: AtomicU64::new(0), due: AtomicU64::new(FIRST) }
    }

    fn is_due(&self, rows: u64) -> bool {
        let written = self.written.fetch_add(rows, Ordering::Relaxed) + rows;
        let due = self.due.load(Ordering::Relaxed);
        let next = written.saturating_mul(FACTOR);
        written >= due && self.due.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[test]
    fn rows_are_counted_again_when_there_are_four_times_as_many() {
        let counts = Counts::new();
        let due: Vec<u64> = (1..=40).filter(|_| counts.is_due(1_000)).collect();
        assert_eq!(due, [2, 8, 32]);
    }
}
