//! Ends streams of hosts that left: their next report could commit nothing, and an agent that was moved is to come back
//! under its new record soon.

use std::time::Duration;

use tracing::warn;

use crate::clock;
use crate::db::departures;
use crate::ingest::Ingest;

/// How often it is looked for hosts that left, in whatever process.
const LOOK: Duration = Duration::from_secs(2);

impl Ingest {
    /// Until the server stops.
    pub async fn end_departed(self) {
        while self.app.stopping.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
            match departures::lately(&self.app.db, clock::now()).await {
                Ok(hosts) => hosts.into_iter().for_each(|host| self.streams.end(host)),
                Err(error) => warn!(%error, "Cannot look for hosts that left; their streams commit nothing meanwhile"),
            }
        }
    }
}
