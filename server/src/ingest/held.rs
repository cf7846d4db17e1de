//! What is held of connected hosts between their reports, within a budget of bytes: past it, what belongs to the hosts that
//! reported longest ago is dropped, and loaded again with their next report. Texts that several hosts say are held once.
//!
//! Invariants: a host that is being written is not here, so that nothing is dropped under a report. What a stream held ends
//! with it: another server may write the host then. What is dropped can always be loaded, so that no host can push
//! another out of service, only out of memory. No I/O.

mod shelf;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rules::delta::Delta;
use rules::finding::Judgement;

use crate::ingest::held::shelf::Shelf;
use crate::ingest::memory::Memory;
use crate::ingest::state::HostState;

/// What words and steps of a finding take, about.
const FINDING: usize = 3 * 1024;

/// All that is held, of all streams of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Held {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    budget: usize,
    hosts: Mutex<Hosts>,
    shelf: Mutex<Shelf>,
}

/// What is known of one host. Empty: to be loaded.
#[derive(Debug, Default)]
pub struct Known {
    pub state: Option<Box<HostState>>,
    pub memory: Option<Box<Memory>>,
    /// What was reconciled last.
    pub judgement: Option<Arc<Judgement>>,
}

#[derive(Debug, Default)]
struct Hosts {
    /// By the place.
    known: HashMap<u64, Entry>,
    /// Places by when they were used.
    used: BTreeMap<u64, u64>,
    bytes: usize,
    /// Of the next place or use.
    next: u64,
}

#[derive(Debug)]
struct Entry {
    known: Known,
    bytes: usize,
    used: u64,
}

/// The place of one stream; what is held there ends with it.
#[derive(Debug)]
pub struct Place {
    held: Held,
    number: u64,
}

impl Held {
    pub fn new(budget: usize) -> Self {
        Self { shared: Arc::new(Shared { budget, hosts: Mutex::default(), shelf: Mutex::default() }) }
    }

    pub fn place(&self) -> Place {
        Place { held: self.clone(), number: lock(&self.shared.hosts).number() }
    }

    /// Bytes of all that is held now, as they are counted, and of how many hosts.
    pub fn size(&self) -> (usize, usize) {
        let hosts = lock(&self.shared.hosts);
        (hosts.bytes, hosts.known.len())
    }
}

impl Place {
    /// Takes what is known of the host, for a report.
    pub fn take(&self) -> Known {
        let entry = lock(&self.held.shared.hosts).remove(self.number);
        entry.map(|entry| entry.known).unwrap_or_default()
    }

    /// Puts it back, and drops what is too much.
    pub fn put(&self, known: Known) {
        let Some(bytes) = size(&known) else { return };
        let mut hosts = lock(&self.held.shared.hosts);
        let used = hosts.number();
        hosts.bytes += bytes;
        hosts.used.insert(used, self.number);
        let replaced = hosts.known.insert(self.number, Entry { known, bytes, used });
        let mut dropped = Vec::new();
        while hosts.bytes > self.held.shared.budget
            && let Some((_, oldest)) = hosts.used.first_key_value().map(|(used, place)| (*used, *place))
        {
            dropped.extend(hosts.remove(oldest));
        }
        let (bytes, count) = (hosts.bytes, hosts.known.len());
        // Thousands of rows are not given back under the lock.
        drop(hosts);
        drop(replaced);
        metrics::gauge!("portreeve_held_hosts").set(as_f64(count));
        metrics::gauge!("portreeve_held_bytes").set(as_f64(bytes));
        metrics::counter!("portreeve_held_hosts_dropped_total").increment(dropped.len() as u64);
    }

    /// Lets what a report says share the texts of other hosts.
    pub fn share(&self, delta: &mut Delta) {
        lock(&self.held.shared.shelf).share(delta);
    }

    /// The same of what was loaded.
    pub fn share_state(&self, state: &mut HostState) {
        lock(&self.held.shared.shelf).share(state);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let entry = lock(&self.held.shared.hosts).remove(self.number);
        drop(entry);
    }
}

impl Hosts {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn remove(&mut self, place: u64) -> Option<Entry> {
        let entry = self.known.remove(&place)?;
        self.used.remove(&entry.used);
        self.bytes -= entry.bytes;
        Some(entry)
    }
}

/// `None`: there is nothing to hold.
fn size(known: &Known) -> Option<usize> {
    let state = known.state.as_ref()?;
    let judged = known.judgement.as_ref().map_or(0, |judgement| {
        (judgement.findings.len() + judgement.cannot_tell.len() + judgement.forecasts.len()) * FINDING
    });
    Some(state.bytes() + known.memory.as_ref().map_or(0, |memory| memory.bytes()) + judged)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::cast_precision_loss, reason = "bytes of one machine are far below 2^52")]
fn as_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
