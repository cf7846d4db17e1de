//! What the parts of a running server share.

use crate::{config::Config, db::Db, identity::Identity, live::Bus};

/// Built once by `run` (and by tests), then shared as `Arc<App>`.
#[derive(Debug)]
pub struct App {
    pub db: Db,
    pub bus: Bus,
    pub identity: Identity,
    pub config: Config,
}
