//! Hints to whoever is listening (SSE, workers) that something changed. Published after the commit, never before; a
//! hint carries no data, so that a listener reads what its own scope lets it see. Subcommands beside a running server
//! send theirs through the database.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::db::{Db, hints};

/// Between two attempts to hear other processes.
const LISTEN_AGAIN: Duration = Duration::from_secs(5);

/// What a hint is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HintKind {
    Host,
    Finding,
    Delivery,
    /// The catalog or an override, of every client.
    Catalog,
}

/// Something of this client changed; read it again. `id`: a host's number, a finding's or a delivery's UUID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    pub client_id: i32,
    pub kind: HintKind,
    pub id: String,
}

/// In-process broadcast. A slow listener loses hints and is told so (`RecvError::Lagged`): it then reads all anew.
#[derive(Debug, Clone)]
pub struct Bus(broadcast::Sender<Hint>);

impl Bus {
    pub fn new() -> Self {
        Self(broadcast::Sender::new(1024))
    }

    pub fn publish(&self, hint: Hint) {
        // An error means that nobody listens, which is fine.
        drop(self.0.send(hint));
    }

    /// Publishes what other processes send, until the server stops.
    pub async fn hear_others(&self, db: &Db, stopping: &CancellationToken) {
        loop {
            let end = tokio::select! {
                () = stopping.cancelled() => return,
                end = hints::pass_on(db, self) => end,
            };
            if let Err(error) = end {
                tracing::debug!(%error, "Cannot hear other processes at present");
            }
            tokio::select! {
                () = stopping.cancelled() => return,
                () = tokio::time::sleep(LISTEN_AGAIN) => {}
            }
        }
    }

    pub fn subscribe(&self) -> broadcast::Receiver<Hint> {
        self.0.subscribe()
    }
}

impl Default for Bus {
    fn default() -> Self {
        Self::new()
    }
}
