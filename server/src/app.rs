//! What the parts of a running server share.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rules::catalog::Catalog;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    alerts::egress::Egress,
    config::Config,
    db::Db,
    identity::{Identity, seal::Sealer},
    ingest::Store,
    live::Bus,
    questions::Questions,
    rulebook::Rulebook,
};

/// Built once by `run` (and by tests), then shared as `Arc<App>`.
#[derive(Debug)]
pub struct App {
    /// Of this process, new at each start: several servers may share the database.
    pub server_id: Uuid,
    pub db: Db,
    pub bus: Bus,
    /// To agents that are connected to this process.
    pub questions: Questions,
    /// What reports and captures are stored with.
    pub store: Store,
    pub identity: Identity,
    pub sealer: Sealer,
    /// The one door out, for webhooks.
    pub egress: Egress,
    pub config: Config,
    /// Read on every report and page; replaced whole.
    pub rulebook: ArcSwap<Rulebook>,
    /// Cancelled when the server begins to stop: whoever holds a connection open (streams, SSE) ends it then.
    pub stopping: CancellationToken,
}

impl App {
    /// What is known beforehand at this moment.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.rulebook.load().catalog)
    }
}
