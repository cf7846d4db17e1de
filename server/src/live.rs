//! Hints to whoever is listening (SSE, workers) that something changed. Published after the commit, never before; a
//! hint carries no data, so that a listener reads what its own scope lets it see. What is published here is gathered for
//! the other servers ([`crate::replicas`]), whose hints arrive here too.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::Instant;
use uuid::Uuid;

use crate::db::hints::Bulletin;

/// Above, others are told that anything may have changed.
const GATHERED: usize = 1000;

/// What a hint is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HintKind {
    Host,
    Finding,
    Delivery,
    /// The catalog or an override, of every client.
    Catalog,
}

/// Something of this client changed; read it again. `id`: a host's number, a finding's or a delivery's UUID.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hint {
    pub client_id: i32,
    pub kind: HintKind,
    pub id: String,
}

/// What a listener hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    Hint(Hint),
    /// Hints were missed: anything may have changed.
    Anything,
}

/// In-process broadcast, and what other servers are still to be told.
#[derive(Debug, Clone)]
pub struct Bus {
    here: broadcast::Sender<(Instant, News)>,
    elsewhere: Arc<Elsewhere>,
}

#[derive(Debug, Default)]
struct Elsewhere {
    gathered: Mutex<Gathered>,
    some: Notify,
}

#[derive(Debug, Default)]
struct Gathered {
    hints: HashSet<Hint>,
    anything: bool,
    opened: Vec<(i32, i64)>,
    asked: HashSet<Uuid>,
}

impl Bus {
    pub fn new() -> Self {
        Self { here: broadcast::Sender::new(1024), elsewhere: Arc::default() }
    }

    /// To listeners of this server at once, to others soon.
    pub fn publish(&self, hint: Hint) {
        self.gather(|gathered| {
            if gathered.hints.len() < GATHERED {
                gathered.hints.insert(hint.clone());
            } else {
                gathered.anything = true;
            }
        });
        self.pass_on(News::Hint(hint));
    }

    /// To listeners of this server only.
    pub fn pass_on(&self, news: News) {
        // An error means that nobody listens, which is fine.
        drop(self.here.send((Instant::now(), news)));
    }

    /// Tells other servers that the host has a stream here, in case that one of them holds an older one.
    pub fn opened(&self, host: (i32, i64)) {
        self.gather(|gathered| {
            // Each server also compares its streams with the database from time to time.
            if gathered.opened.len() < GATHERED {
                gathered.opened.push(host);
            }
        });
    }

    /// Tells another server that a question for it lies in the database.
    pub fn asked(&self, server_id: Uuid) {
        self.gather(|gathered| {
            gathered.asked.insert(server_id);
        });
    }

    /// Returns when there is something to tell.
    pub async fn something_to_tell(&self) {
        self.elsewhere.some.notified().await;
    }

    /// What was gathered for the other servers, which is up to the caller now.
    pub fn take_gathered(&self, from: Uuid) -> Bulletin {
        let Gathered { hints, anything, opened, asked } =
            std::mem::take(&mut *self.elsewhere.gathered.lock().unwrap_or_else(PoisonError::into_inner));
        Bulletin {
            from,
            number: 0,
            hints: hints.into_iter().collect(),
            anything,
            opened,
            asked: asked.into_iter().collect(),
        }
    }

    pub fn subscribe(&self) -> Listener {
        Listener(self.here.subscribe())
    }

    fn gather(&self, add: impl FnOnce(&mut Gathered)) {
        add(&mut self.elsewhere.gathered.lock().unwrap_or_else(PoisonError::into_inner));
        self.elsewhere.some.notify_one();
    }
}

impl Default for Bus {
    fn default() -> Self {
        Self::new()
    }
}

/// Hears what is published from now on.
#[derive(Debug)]
pub struct Listener(broadcast::Receiver<(Instant, News)>);

impl Listener {
    /// With the time since when it can be read. One that is slow loses hints, and is told so.
    pub async fn next(&mut self) -> (Instant, News) {
        match self.0.recv().await {
            Ok(news) => news,
            Err(RecvError::Lagged(_)) => (Instant::now(), News::Anything),
            // Cannot happen while the server holds the bus; waiting is the harmless answer.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }

    /// Returns when something of this kind may have changed.
    pub async fn something_of(&mut self, kind: HintKind) {
        while matches!(self.next().await, (_, News::Hint(hint)) if hint.kind != kind) {}
    }
}
