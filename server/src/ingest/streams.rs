//! The streams that are open in this process: one per host, the newest. Signs of life are gathered here and written
//! together, because a row update per heartbeat is what brings inventory servers down.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use crate::db::Db;
use crate::db::instances::OpenStream;
use crate::db::stream::{self, Ended, Seen};
use crate::ingest::admission;
use crate::ingest::allowance::Allowance;

/// How often signs of life are written.
const FLUSH: Duration = Duration::from_secs(10);
/// How long the end of a stream waits for the ends of others, to be written with them.
const GATHER: Duration = Duration::from_millis(200);
/// Streams of one statement, so that no report waits long for the row of its host.
const AT_ONCE: usize = 500;
/// How long streams may take to end when the server stops.
const FAREWELLS: Duration = Duration::from_secs(8);

/// A host may open so many streams at once, and then one in `OPENING`.
const OPENINGS: u32 = 30;
const OPENING: Duration = Duration::from_secs(2);

/// (client, host).
type HostKey = (i32, i64);

#[derive(Clone, Debug, Default)]
pub(super) struct Streams(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    open: Mutex<Open>,
    /// A stream has ended.
    ended: Notify,
}

#[derive(Debug, Default)]
struct Open {
    sessions: HashMap<HostKey, (Uuid, CancellationToken)>,
    /// Most sessions that there were at once.
    most: usize,
    seen: HashMap<HostKey, Seen>,
    ended: Vec<Ended>,
    /// What hosts took of their allowance of openings.
    openings: HashMap<HostKey, Allowance>,
}

impl Streams {
    /// Counts an opening. `false`: the host opens streams too fast.
    pub(super) fn may_open(&self, host: HostKey) -> bool {
        let now = Instant::now();
        let mut open = self.lock();
        let allowance = open.openings.entry(host).or_insert_with(|| Allowance::new(now));
        allowance.take(now, OPENING, OPENING * OPENINGS).is_zero()
    }

    /// Within which time the agents of this server should come back to it.
    pub(super) fn spread(&self) -> Duration {
        admission::spread(self.lock().most)
    }

    /// Enters a stream and ends an older one of the same host. `fenced` is cancelled when a newer one enters.
    pub(super) fn enter(&self, host: HostKey, session_id: Uuid, fenced: CancellationToken) {
        let mut open = self.lock();
        if let Some((_, older)) = open.sessions.insert(host, (session_id, fenced)) {
            older.cancel();
        }
        open.most = open.most.max(open.sessions.len());
        metrics::gauge!("portreeve_streams").set(as_f64(open.sessions.len()));
    }

    /// A stream has ended, which is written soon.
    pub(super) fn leave(&self, host: HostKey, session_id: Uuid) {
        let mut open = self.lock();
        open.ended.push(Ended { client_id: host.0, host_id: host.1, session_id });
        self.0.ended.notify_one();
        if open.sessions.get(&host).is_some_and(|(present, _)| *present == session_id) {
            open.sessions.remove(&host);
        }
        metrics::gauge!("portreeve_streams").set(as_f64(open.sessions.len()));
    }

    /// Ends the stream of a host that left. Nothing, where none is open here.
    pub(super) fn end(&self, host: HostKey) {
        if let Some((_, present)) = self.lock().sessions.get(&host) {
            present.cancel();
        }
    }

    /// Those that are open now.
    pub(super) fn open(&self) -> Vec<OpenStream> {
        let open = self.lock();
        let streams = open.sessions.iter();
        streams.map(|(&(client_id, host_id), &(session_id, _))| OpenStream { client_id, host_id, session_id }).collect()
    }

    /// Ends this stream, which another server took over.
    pub(super) fn fence(&self, stream: &OpenStream) {
        let open = self.lock();
        if let Some((session_id, fenced)) = open.sessions.get(&(stream.client_id, stream.host_id))
            && *session_id == stream.session_id
        {
            fenced.cancel();
        }
    }

    /// Remembers a sign of life until the next flush.
    pub(super) fn saw(&self, seen: Seen) {
        self.lock().seen.insert((seen.client_id, seen.host_id), seen);
    }

    /// Writes what was gathered, again and again, until `stop` and every stream has ended.
    pub(super) async fn flush(&self, db: &Db, stop: &CancellationToken) {
        let mut seen_due = Instant::now() + FLUSH;
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep_until(seen_due) => {
                    seen_due = Instant::now() + FLUSH;
                    self.write_seen(db).await;
                    self.write_ended(db).await;
                }
                () = self.0.ended.notified() => {
                    tokio::time::sleep(GATHER).await;
                    self.write_ended(db).await;
                }
            }
        }
        let deadline = Instant::now() + FAREWELLS;
        while !self.lock().sessions.is_empty() && Instant::now() < deadline {
            // Another one has ended, or nobody will.
            drop(tokio::time::timeout(GATHER, self.0.ended.notified()).await);
        }
        self.write_seen(db).await;
        self.write_ended(db).await;
    }

    async fn write_seen(&self, db: &Db) {
        let now = Instant::now();
        let seen = {
            let mut open = self.lock();
            open.openings.retain(|_, allowance| !allowance.is_paid(now));
            std::mem::take(&mut open.seen)
        };
        if seen.is_empty() {
            return;
        }
        let seen: Vec<Seen> = seen.into_values().collect();
        for some in seen.chunks(AT_ONCE) {
            // What is lost here is said again by the next heartbeat.
            if let Err(error) = stream::write_seen(db, some).await {
                warn!(%error, hosts = seen.len(), "Could not write when hosts were last seen");
                return;
            }
        }
    }

    /// What could not be written waits for the next time.
    async fn write_ended(&self, db: &Db) {
        let ended = std::mem::take(&mut self.lock().ended);
        if ended.is_empty() {
            return;
        }
        for some in ended.chunks(AT_ONCE) {
            if let Err(error) = stream::close(db, some).await {
                warn!(%error, streams = ended.len(), "Could not note that streams have ended");
                // What was noted already is found so the next time.
                self.lock().ended.extend(ended);
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of streams is far below 2^52")]
fn as_f64(count: usize) -> f64 {
    count as f64
}
