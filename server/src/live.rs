//! Hints to whoever is listening (SSE, workers) that something changed. Published after the commit, never before; a
//! hint carries no data, so that a listener reads what its own scope lets it see.

use tokio::sync::broadcast;

/// What a hint is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HintKind {
    Host,
    Finding,
    Delivery,
}

/// Something of this client changed; read it again. `id`: a host's number, a finding's or a delivery's UUID.
#[derive(Debug, Clone, PartialEq, Eq)]
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

    pub fn subscribe(&self) -> broadcast::Receiver<Hint> {
        self.0.subscribe()
    }
}

impl Default for Bus {
    fn default() -> Self {
        Self::new()
    }
}
