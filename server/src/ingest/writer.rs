//! Group commit. A stream hands its applied report to the writer of its host and waits for the outcome; the writer
//! stores what comes within [`GATHER`], of one client, in one transaction.
//!
//! Invariants: all reports of a host go to one writer, so that no two transactions of a process touch one host. Queues
//! are bounded: a stream whose writer is behind waits, and then its agent does. Nobody hears of a report before its
//! transaction is committed.

mod batch;
mod growth;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use rules::facts::Host;
use rules::finding::Judgement;
use sqlx::error::DatabaseError;
use tokio::sync::{mpsc, oneshot};

use crate::clock;
use crate::db::facts::{SectionRow, Words};
use crate::db::refuses;
use crate::db::stream::{Session, Step};
use crate::ingest::commit::{CommitFault, Events, Outcome, Store, took, words};
use crate::ingest::desk::Desk;
use crate::ingest::ledger::LedgerChange;
use crate::ingest::memory::Noted;
use crate::ingest::state::RowChanges;
use crate::ingest::writer::growth::Growth;

/// Most hosts of a transaction: sixteen have nine tenths of the gain of any number.
const HOSTS: usize = 16;
/// Rows after which no further host joins a transaction, so that full reports do not make one that takes long.
const ROWS: usize = 4_000;
/// Rows that do not wait for more: their transaction costs little beside them.
const ENOUGH_ROWS: usize = 1_000;
/// How long a report waits for others.
const GATHER: Duration = Duration::from_millis(20);
/// Reports that wait in the queue of a writer, and as many again before it for others of their client.
const QUEUE: usize = 64;

/// A report that was applied to the state of its host and is to be stored.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) session: Session,
    pub(super) step: Step,
    pub(super) rows: RowChanges,
    pub(super) sections: Vec<SectionRow>,
    /// As `HostChange::collected_at`.
    pub(super) collected_at: Option<DateTime<Utc>>,
    /// `None`: not said anew.
    pub(super) host: Option<Host>,
    /// `None`: the boot of the host is not known.
    pub(super) ledger: Option<LedgerChange>,
    /// `None`: nothing new of services that run well.
    pub(super) noted: Option<Noted>,
    pub(super) events: Events,
    pub(super) judgement: Arc<Judgement>,
    /// As [`crate::rulebook::Rulebook::basis`] says.
    pub(super) basis: Arc<str>,
    /// What the stream reconciled last; `None`: nothing yet.
    pub(super) before: Option<Arc<Judgement>>,
}

impl Job {
    /// Rows that it may write, about.
    fn size(&self) -> usize {
        self.rows.count() + self.ledger.as_ref().map_or(0, |ledger| ledger.entries.len())
    }

    fn words(&self) -> Words {
        let mut words = words(&self.rows);
        for entry in self.ledger.iter().flat_map(|ledger| &ledger.entries) {
            words.add_image(entry.image.as_ref());
        }
        words
    }
}

/// The writers of a process, one for each processor, up to some. Cheap to clone, and one word for each stream that holds
/// it; they end with the last clone.
#[derive(Clone, Debug)]
pub(super) struct Writers(Arc<Box<[mpsc::Sender<Queued>]>>);

#[derive(Debug)]
struct Queued {
    job: Job,
    since: Instant,
    done: oneshot::Sender<Result<(), CommitFault>>,
}

impl Writers {
    pub(super) fn start(store: &Store, desk: &Desk) -> Self {
        let store = store.at(&desk.writing);
        let growth = Growth::new(&desk.db);
        let start = |number: u32| {
            let (sender, queue) = mpsc::channel(QUEUE);
            desk.spawn(run(store.clone(), growth.clone(), queue, number));
            sender
        };
        Self(Arc::new((0..desk.writers).map(start).collect()))
    }

    /// Returns when the report is committed, or will not be.
    pub(super) async fn write(&self, job: Job) -> Result<(), CommitFault> {
        let number = usize::try_from(job.session.host_id.unsigned_abs()).unwrap_or_default() % self.0.len();
        let (done, outcome) = oneshot::channel();
        let stopped = || CommitFault::Unavailable(Arc::new(sqlx::Error::WorkerCrashed));
        let queued = Queued { job, since: Instant::now(), done };
        self.0[number].send(queued).await.map_err(|_| stopped())?;
        outcome.await.map_err(|_| stopped())?
    }
}

#[expect(clippy::cast_precision_loss, reason = "reports that wait are far below 2^52")]
fn count(reports: usize) -> f64 {
    reports as f64
}

async fn run(store: Store, growth: Growth, mut queue: mpsc::Receiver<Queued>, number: u32) {
    let waits = metrics::gauge!("portreeve_writer_queue", "writer" => number.to_string());
    let mut waiting = VecDeque::new();
    while let Some(batch) = gather(&mut queue, &mut waiting).await {
        waits.set(count(queue.len() + waiting.len()));
        let (jobs, askers): (Vec<Job>, Vec<_>) = batch
            .into_iter()
            .map(|queued| {
                took("queue", queued.since);
                (queued.job, queued.done)
            })
            .unzip();
        metrics::histogram!("portreeve_writer_batch_hosts").record(count(jobs.len()));
        let mut rows = 0;
        for ((job, asker), outcome) in jobs.iter().zip(askers).zip(write(&store, &jobs).await) {
            rows += if outcome.is_ok() { job.rows.count() as u64 } else { 0 };
            // A stream that ended meanwhile asks again with its next Hello.
            drop(asker.send(outcome));
        }
        growth.add(rows);
    }
}

/// The reports for the next transaction: those of the client whose report waits longest, in the order of hosts. `None`:
/// nobody can send any more.
async fn gather(queue: &mut mpsc::Receiver<Queued>, waiting: &mut VecDeque<Queued>) -> Option<Vec<Queued>> {
    if waiting.is_empty() {
        waiting.push_back(queue.recv().await?);
    }
    let (client_id, due) = waiting.front().map(|first| (first.job.session.client_id, first.since + GATHER))?;
    while waiting.len() < QUEUE && !is_enough(waiting, client_id) {
        // Also past its time it takes what is there already.
        match tokio::time::timeout_at(due.into(), queue.recv()).await {
            Ok(Some(queued)) => waiting.push_back(queued),
            Ok(None) | Err(_) => break,
        }
    }
    Some(take(waiting, client_id))
}

/// Whether the reports of a client that wait are worth a transaction already.
fn is_enough(waiting: &VecDeque<Queued>, client_id: i32) -> bool {
    let mut of_client = waiting.iter().filter(|queued| queued.job.session.client_id == client_id);
    let sizes = of_client.try_fold((0, 0), |(hosts, rows), queued| {
        let (hosts, rows) = (hosts + 1, rows + queued.job.size());
        (hosts < HOSTS && rows < ENOUGH_ROWS).then_some((hosts, rows))
    });
    sizes.is_none()
}

fn take(waiting: &mut VecDeque<Queued>, client_id: i32) -> Vec<Queued> {
    let mut taken: Vec<Queued> = Vec::new();
    let mut rows = 0;
    for queued in std::mem::take(waiting) {
        let joins = queued.job.session.client_id == client_id && taken.len() < HOSTS && rows < ROWS;
        if joins {
            rows += queued.job.size();
            taken.push(queued);
        } else {
            waiting.push_back(queued);
        }
    }
    // So that two transactions lock rows in one order.
    taken.sort_by_key(|queued| queued.job.session.host_id);
    taken
}

/// All in one transaction. What Postgres refuses as a whole is done again host by host, so that one bad report costs its
/// host only.
async fn write(store: &Store, jobs: &[Job]) -> Vec<Result<(), CommitFault>> {
    match batch::write(store, jobs, clock::now()).await {
        Ok(outcomes) => jobs.iter().zip(outcomes).map(|(job, outcome)| told(store, job, outcome)).collect(),
        Err(error) if jobs.len() > 1 && concerns_one(&error) => {
            let mut outcomes = Vec::with_capacity(jobs.len());
            for job in jobs {
                let one = std::slice::from_ref(job);
                outcomes.push(match batch::write(store, one, clock::now()).await {
                    Ok(mut outcome) => told(store, job, outcome.pop().flatten()),
                    Err(error) => Err(error.into()),
                });
            }
            outcomes
        }
        Err(error) if refuses(&error) => jobs.iter().map(|_| Err(CommitFault::Unstorable(error.to_string()))).collect(),
        Err(error) => {
            let error = Arc::new(error);
            jobs.iter().map(|_| Err(CommitFault::Unavailable(Arc::clone(&error)))).collect()
        }
    }
}

/// Whether the same transaction may go well without one of its hosts.
fn concerns_one(error: &sqlx::Error) -> bool {
    // 40001 serialization failure, 40P01 deadlock.
    let is_conflict =
        error.as_database_error().and_then(DatabaseError::code).is_some_and(|code| code.starts_with("40"));
    refuses(error) || is_conflict
}

fn told(store: &Store, job: &Job, outcome: Option<Outcome>) -> Result<(), CommitFault> {
    let outcome = outcome.ok_or(CommitFault::Fenced)?;
    store.hint((job.session.client_id, job.session.host_id), &outcome);
    Ok(())
}
