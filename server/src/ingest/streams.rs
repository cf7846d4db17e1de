//! The streams that are open in this process: one per host, the newest. Signs of life are gathered here and written
//! together, because a row update per heartbeat is what brings inventory servers down.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use crate::db::Db;
use crate::db::stream::{self, Seen};

/// How often signs of life are written.
const FLUSH: Duration = Duration::from_secs(10);

/// (client, host).
type HostKey = (i32, i64);

#[derive(Clone, Debug, Default)]
pub(super) struct Streams(Arc<Mutex<Open>>);

#[derive(Debug, Default)]
struct Open {
    sessions: HashMap<HostKey, (Uuid, CancellationToken)>,
    seen: HashMap<HostKey, Seen>,
}

impl Streams {
    /// Enters a stream and ends an older one of the same host. `fenced` is cancelled when a newer one enters.
    pub(super) fn enter(&self, host: HostKey, session_id: Uuid, fenced: CancellationToken) {
        let mut open = self.lock();
        if let Some((_, older)) = open.sessions.insert(host, (session_id, fenced)) {
            older.cancel();
        }
        metrics::gauge!("portreeve_streams").set(as_f64(open.sessions.len()));
    }

    pub(super) fn leave(&self, host: HostKey, session_id: Uuid) {
        let mut open = self.lock();
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

    /// Remembers a sign of life until the next flush.
    pub(super) fn saw(&self, seen: Seen) {
        self.lock().seen.insert((seen.client_id, seen.host_id), seen);
    }

    /// Writes what was gathered, again and again, until `stop` and once after it.
    pub(super) async fn flush(&self, db: &Db, stop: &CancellationToken) {
        loop {
            let stopped = stop.run_until_cancelled(tokio::time::sleep(FLUSH)).await.is_none();
            self.flush_once(db).await;
            if stopped {
                return;
            }
        }
    }

    async fn flush_once(&self, db: &Db) {
        let seen: Vec<Seen> = std::mem::take(&mut self.lock().seen).into_values().collect();
        if seen.is_empty() {
            return;
        }
        // What is lost here is said again by the next heartbeat.
        if let Err(error) = stream::write_seen(db, &seen).await {
            warn!(%error, hosts = seen.len(), "Could not write when hosts were last seen");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a count of streams is far below 2^52")]
fn as_f64(count: usize) -> f64 {
    count as f64
}
