//! What agents send, taken in: the Fleet service. Read in this order: [`session`] is one stream until its end, [`talk`] what
//! is said on it; [`admission`] who may come in, and [`allowance`] how much he may say; [`opening`] answers the Hello;
//! [`state`] applies a report to what is known of the host, [`memory`] holds what is remembered of it, [`held`] keeps both
//! between reports; [`desk`] asks the database, [`writer`] and [`commit`] write it, with findings and deliveries, in one transaction with those of
//! other hosts.
//!
//! Invariants: who speaks follows from the client certificate alone. An acknowledgement follows the commit. A report
//! that cannot be applied never blocks the ones behind it, and what is stored stays.

mod admission;
mod allowance;
mod claim;
mod commit;
mod departed;
mod desk;
pub mod held;
pub mod ledger;
pub mod memory;
mod opening;
mod outgoing;
mod recall;
mod session;
pub mod skew;
pub mod state;
mod streams;
mod talk;
mod writer;

pub use commit::{Changed, Judged, Outcome, Store};
pub use recall::recall;

use std::sync::Arc;

use futures::channel::mpsc::UnboundedReceiver;
use proto::fleet::v1::fleet_server::{Fleet, FleetServer};
use proto::fleet::v1::{AgentMessage, ServerMessage};
use proto::wire::MAX_MESSAGE;
use tokio_stream::StreamExt as _;
use tokio_stream::adapters::Map;
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::app::App;
use crate::clock;
use crate::coded;
use crate::db::identity::{CertifiedHost, host_of_certificate};
use crate::db::instances::OpenStream;
use crate::ingest::admission::Admission;
use crate::ingest::desk::Desk;
use crate::ingest::held::Held;
use crate::ingest::outgoing::{Sent, outgoing};
use crate::ingest::session::{Session, refused};
use crate::ingest::streams::Streams;
use crate::ingest::writer::Writers;
use crate::listeners::{AgentPeer, agents};

/// What every stream shares.
#[derive(Clone, Debug)]
pub struct Ingest {
    app: Arc<App>,
    streams: Streams,
    admission: Admission,
    held: Held,
    desk: Arc<Desk>,
    writers: Writers,
}

impl Ingest {
    /// To be called where tasks can be spawned: starts the writers.
    pub fn new(app: Arc<App>) -> Self {
        let budget = app.config.held_bytes();
        Self::holding(app, budget)
    }

    /// With another budget of bytes for what is held of connected hosts than the configured one.
    pub fn holding(app: Arc<App>, budget: usize) -> Self {
        let held = Held::new(budget);
        let desk = Arc::new(Desk::open(&app.db));
        let writers = Writers::start(&app.store, &desk);
        Self { app, streams: Streams::default(), admission: Admission::new(), held, desk, writers }
    }

    /// The streams that are open in this process.
    pub fn open_streams(&self) -> Vec<OpenStream> {
        self.streams.open()
    }

    /// Ends a stream that another server took over.
    pub fn fence(&self, stream: &OpenStream) {
        self.streams.fence(stream);
    }

    /// The service, for the listener of agents.
    pub fn routes(&self) -> Routes {
        Routes::new(FleetServer::new(self.clone()).max_decoding_message_size(MAX_MESSAGE))
    }

    /// Writes when hosts were last seen, until the server stops.
    pub async fn keep_presence(self) {
        self.streams.flush(&self.app.db, &self.app.stopping).await;
    }

    /// Whom the certificate speaks for.
    async fn certified(&self, peer: &AgentPeer) -> Result<CertifiedHost, Status> {
        let (db, serial) = (self.desk.db.clone(), peer.serial.0.clone());
        let host = self.desk.ask(async move { host_of_certificate(&db, &serial).await }).await;
        let host = host.map_err(|error| coded::unavailable(&error))?;
        let unknown = || coded::status(Code::Unauthenticated, "certificate.unknown", "this certificate is not ours");
        let host = host.ok_or_else(unknown)?;
        if host.revoked_at.is_some() || self.app.identity.revocations.is_revoked(&peer.serial) {
            return Err(agents::revoked());
        }
        Ok(host)
    }
}

#[tonic::async_trait]
impl Fleet for Ingest {
    type StreamStream = Map<UnboundedReceiver<Sent>, fn(Sent) -> Result<ServerMessage, Status>>;

    async fn stream(&self, request: Request<Streaming<AgentMessage>>) -> Result<Response<Self::StreamStream>, Status> {
        let unknown = || coded::status(Code::Unauthenticated, "certificate.unknown", "no client certificate was shown");
        let peer = request.extensions().get::<AgentPeer>().cloned().ok_or_else(unknown)?;
        let host = {
            let _place = self.admission.open().await?;
            self.certified(&peer).await?
        };
        if !self.streams.may_open((host.client_id, host.host_id)) {
            let text = "this agent opens streams faster than one in two seconds; come later";
            return Err(refused(Code::ResourceExhausted, "stream.too-many", text));
        }
        let (outgoing, messages) = outgoing();
        let session = Session::new(self.clone(), host, peer, clock::now);
        let mut incoming = request.into_inner();
        tokio::spawn(async move { session.run(&mut incoming, &outgoing).await });
        Ok(Response::new(messages.map(Sent::read)))
    }
}
