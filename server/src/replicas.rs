//! This server among others over one database: it says that it lives, tells the others what changed, hears what they
//! tell, answers what they ask of agents that are connected here, and ends streams that agents opened anew elsewhere.
//!
//! Invariant: what counts is in the database. A bulletin that is lost is noticed by its number within two heartbeats,
//! and a server whose connection cannot listen at all goes on in the same way, only later.

mod hearing;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use crate::app::App;
use crate::db::hints::{self, Bulletin, Ear};
use crate::db::instances::{self, Before, Instance, OpenStream};
use crate::ingest::Ingest;
use crate::live::News;
use crate::questions;
use crate::replicas::hearing::Hearing;

/// How often a server says that it lives.
const BEAT: Duration = Duration::from_secs(5);
/// A server that was silent for so long is dead.
const SILENT: Duration = Duration::from_secs(20);
/// Hints are gathered for so long before they are told.
const WINDOW: Duration = Duration::from_millis(100);
/// Without a bulletin, streams are compared with the database this often.
const COMPARE: Duration = Duration::from_secs(30);
/// Between two attempts to listen.
const LISTEN_AGAIN: Duration = Duration::from_secs(5);

/// What is known of the other servers when one starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// This one owns the database: whoever was here before is gone.
    Dead,
    /// They may live.
    MayLive,
}

/// One server, as it lives among the others.
#[derive(Debug)]
pub struct Replica {
    app: Arc<App>,
    ingest: Ingest,
    instance: Instance,
    /// Bulletins that were told.
    told: AtomicI64,
    has_others: AtomicBool,
    hearing: Mutex<Hearing>,
}

impl Replica {
    /// Enters the server, and closes the streams of dead ones. To be done before the listener of agents opens.
    pub async fn enter(app: Arc<App>, ingest: Ingest, instance: Instance, others: Others) -> sqlx::Result<Self> {
        if others == Others::Dead {
            instances::bury(&app.db.pool, Duration::ZERO).await?;
        }
        instances::beat(&app.db.pool, &instance, 0).await?;
        let replica = Self {
            app,
            ingest,
            instance,
            told: AtomicI64::new(0),
            has_others: AtomicBool::new(true),
            hearing: Mutex::default(),
        };
        replica.bury().await?;
        replica.compare_counts().await?;
        Ok(replica)
    }

    /// Until the server stops; then it takes its leave.
    pub async fn live(self) {
        let live = async { tokio::join!(self.keep_beating(), self.keep_telling(), self.keep_hearing()) };
        self.app.stopping.run_until_cancelled(Box::pin(live)).await;
        self.tell().await;
        // Its streams end now, and each says so itself. Those that cannot are closed by the next server that looks.
        if let Err(error) = instances::leave(&self.app.db.pool, self.instance.server_id).await {
            debug!(%error, "Could not take leave; the other servers will notice");
        }
    }

    async fn keep_beating(&self) {
        let mut well_since = Instant::now();
        let mut compared_at = Instant::now();
        loop {
            sleep(BEAT).await;
            // After the database was away everybody looks dead for a while.
            let may_bury = well_since.elapsed() > SILENT;
            if let Err(error) = self.beat(may_bury).await {
                warn!(%error, "Could not say that this server lives; trying again");
                well_since = Instant::now();
            }
            if compared_at.elapsed() >= COMPARE {
                compared_at = Instant::now();
                self.compare_streams(&self.ingest.open_streams()).await;
            }
        }
    }

    async fn beat(&self, may_bury: bool) -> sqlx::Result<()> {
        let told = self.told.load(Ordering::Relaxed);
        if instances::beat(&self.app.db.pool, &self.instance, told).await? == Before::Unknown {
            let open = self.ingest.open_streams();
            warn!(streams = open.len(), "Other servers had taken this one for dead; saying again what is open here");
            instances::claim_back(&self.app.db, self.instance.server_id, &open).await?;
        }
        if may_bury {
            self.bury().await?;
        }
        self.compare_counts().await?;
        self.answer_others().await;
        Ok(())
    }

    async fn bury(&self) -> sqlx::Result<()> {
        for dead in instances::bury(&self.app.db.pool, SILENT).await? {
            warn!(server.id = %dead, "A server has not been heard of for 20 s; its streams count as closed");
        }
        instances::close_orphans(&self.app.db).await?;
        Ok(())
    }

    /// Whether all bulletins arrived that others say they sent.
    async fn compare_counts(&self) -> sqlx::Result<()> {
        let told = instances::told_by_others(&self.app.db.pool, self.instance.server_id).await?;
        self.has_others.store(!told.is_empty(), Ordering::Relaxed);
        if self.hearing(|hearing| hearing.compare(&told)) {
            self.missed_some();
        }
        Ok(())
    }

    async fn keep_telling(&self) {
        loop {
            self.app.bus.something_to_tell().await;
            sleep(WINDOW).await;
            self.tell().await;
        }
    }

    async fn tell(&self) {
        let gathered = self.app.bus.take_gathered(self.instance.server_id);
        if gathered == (Bulletin { from: gathered.from, ..Bulletin::default() }) {
            return;
        }
        let bulletins = gathered.split(self.told.load(Ordering::Relaxed) + 1);
        let Some(last) = bulletins.last() else { return };
        // Counted also where nobody else is known: a server that has just started compares.
        self.told.store(last.number, Ordering::Relaxed);
        if !self.has_others.load(Ordering::Relaxed) {
            return;
        }
        if let Err(error) = hints::tell(&self.app.db, &bulletins).await {
            debug!(error = format!("{error:#}"), "Could not tell other servers what changed; they will notice");
        }
    }

    async fn keep_hearing(&self) {
        loop {
            if let Err(error) = self.hear().await {
                debug!(%error, "Cannot hear other servers at present");
            }
            sleep(LISTEN_AGAIN).await;
        }
    }

    async fn hear(&self) -> sqlx::Result<()> {
        let mut ear = Ear::open(&self.app.db).await?;
        loop {
            match ear.next().await? {
                Some(bulletin) if bulletin.from == self.instance.server_id => {}
                Some(bulletin) => self.heard(bulletin).await,
                None => self.missed_some(),
            }
        }
    }

    async fn heard(&self, bulletin: Bulletin) {
        if !bulletin.from.is_nil() {
            // It may have started after the last heartbeat.
            self.has_others.store(true, Ordering::Relaxed);
        }
        let has_missed =
            !bulletin.from.is_nil() && self.hearing(|hearing| hearing.heard(bulletin.from, bulletin.number));
        if has_missed || bulletin.anything {
            self.missed_some();
        }
        for hint in bulletin.hints {
            self.app.bus.pass_on(News::Hint(hint));
        }
        if !bulletin.opened.is_empty() {
            let mut open = self.ingest.open_streams();
            open.retain(|stream| bulletin.opened.contains(&(stream.client_id, stream.host_id)));
            self.compare_streams(&open).await;
        }
        if bulletin.asked.contains(&self.instance.server_id) {
            self.answer_others().await;
        }
    }

    fn missed_some(&self) {
        self.app.bus.pass_on(News::Anything);
    }

    /// Ends the streams among these that another server took over.
    async fn compare_streams(&self, open: &[OpenStream]) {
        if open.is_empty() || !self.has_others.load(Ordering::Relaxed) {
            return;
        }
        match instances::taken_over(&self.app.db, open).await {
            Ok(taken) => {
                for stream in &taken {
                    info!(host.id = stream.host_id, "An agent has opened a stream at another server");
                    self.ingest.fence(stream);
                }
            }
            Err(error) => warn!(%error, "Could not ask whether streams were opened anew elsewhere; asking again"),
        }
    }

    /// Asks agents of this server what others want to know.
    async fn answer_others(&self) {
        if let Err(error) = questions::answer_others(&self.app).await {
            warn!(%error, "Could not answer what another server asked");
        }
    }

    fn hearing<T>(&self, look: impl FnOnce(&mut Hearing) -> T) -> T {
        look(&mut self.hearing.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
