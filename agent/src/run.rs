//! Drives the stream: facts and messages in, messages out, certificates renewed on the way.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use proto::fleet::v1;
use proto::fleet::v1::server_message::Kind;
use proto::wire;
use rules::facts::Facts;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::collect::reading::Unreadable;
use crate::enroll::{EnrollFault, renew};
use crate::identity::Identity;
use crate::reporter::Reporter;
use crate::spool::{self, Spool};
use crate::stream::{Ending, Input, Now, Pacing, Stream, Wish};
use crate::transport::{Event, Link};

/// Where facts come from: a live host or a recorded one.
#[derive(Debug)]
pub struct Source {
    /// Every observation. When it ends, the agent leaves as soon as the server acknowledged the last one.
    pub facts: mpsc::Receiver<Facts>,
    /// How often the server wants the host to be read.
    pub collect_every: watch::Sender<Duration>,
    /// Lists the connections of this moment; it blocks. `None`: this source has none.
    pub connections: Option<ListConnections>,
}

/// Reads the table of connections; blocks.
pub type ListConnections = fn() -> Result<Vec<wire::Connection>, Unreadable>;

/// Who speaks, and how patiently.
#[derive(Debug)]
pub struct Agent {
    pub identity: Identity,
    /// Where a renewed identity is kept, and the spool.
    pub state_dir: PathBuf,
    /// Of the machine that is reported, see [`crate::fingerprint`]. Empty: not known.
    pub fingerprint: Vec<u8>,
    pub pacing: Pacing,
    /// Bytes that reports may take while the server is away.
    pub spool: spool::Limits,
    /// Reads the wall clock.
    pub clock: fn() -> DateTime<Utc>,
}

/// Why an agent stopped although nobody asked it to.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    #[error("this host was revoked at the server: nothing more is reported until it is enrolled again")]
    Revoked,
    #[error("the server does not renew this host's certificate: {0}; enroll it again")]
    NotRenewed(EnrollFault),
}

/// Reports `source` until it ends and everything is acknowledged, or until `shutdown`.
pub async fn run(agent: Agent, source: Source, shutdown: impl Future<Output = ()>) -> Result<(), Stopped> {
    let (spool, held) = Spool::open(&agent.state_dir.join(spool::FOLDER), agent.spool, rand::random());
    if let Some((first, last)) = held.reports.front().zip(held.reports.back()).map(|(front, back)| (front.0, back.1)) {
        info!("Reports {first} to {last} may not have arrived and are sent again");
    }
    let reporter = Reporter::new(Stream::new(held, agent.fingerprint.clone(), agent.pacing.clone()), spool);
    let started = Instant::now();
    let identity = Arc::new(agent.identity.clone());
    let mut session = Session { identity, agent, reporter, started, link: None, listing: None, renewed_at: None };
    tokio::select! {
        () = shutdown => Ok(()),
        stopped = session.report(source) => stopped,
    }
}

struct Session {
    agent: Agent,
    identity: Arc<Identity>,
    reporter: Reporter,
    started: Instant,
    link: Option<Link>,
    /// Reads the connections that somebody asked for.
    listing: Option<JoinHandle<()>>,
    /// `None`: not since the start.
    renewed_at: Option<Instant>,
}

/// What the session wakes up for.
enum Wake {
    Facts(Option<Box<Facts>>),
    Link(Option<Event>),
    Tick,
    Renewed(Result<Identity, EnrollFault>),
}

impl Session {
    async fn report(&mut self, mut source: Source) -> Result<(), Stopped> {
        let mut renewal = Renewal::due(&self.identity);
        let mut has_ended = false;
        loop {
            if has_ended && self.reporter.stream().is_settled() {
                return Ok(());
            }
            let wakes_at =
                self.reporter.stream().wakes_at(self.started.elapsed()).map(|elapsed| self.started + elapsed);
            let wake = tokio::select! {
                facts = source.facts.recv(), if !has_ended => Wake::Facts(facts.map(Box::new)),
                event = next(&mut self.link) => Wake::Link(event),
                () = until(wakes_at) => Wake::Tick,
                renewed = renewal.renewed(&self.identity) => Wake::Renewed(renewed),
            };
            let input = match wake {
                Wake::Facts(Some(facts)) => Input::Facts(facts),
                Wake::Facts(None) => {
                    has_ended = true;
                    continue;
                }
                Wake::Link(event) => self.hear(event),
                Wake::Tick => Input::Tick,
                Wake::Renewed(renewed) => match self.adopt(renewed, &mut renewal)? {
                    Some(input) => input,
                    None => continue,
                },
            };
            self.step(input, &mut renewal, &source)?;
        }
    }

    fn hear(&mut self, event: Option<Event>) -> Input {
        let server = &self.identity.server;
        match event {
            Some(Event::Connected) => Input::Connected,
            Some(Event::Message(message)) => {
                if matches!(message, Kind::Welcome(_)) {
                    info!("Connected to {}:{}", server.host, server.agents_port);
                }
                Input::Message(message)
            }
            Some(Event::Ended(ending, reason)) => {
                warn!("Not connected to {}:{}: {reason}", server.host, server.agents_port);
                self.link = None;
                Input::Disconnected(ending)
            }
            None => {
                self.link = None;
                Input::Disconnected(Ending::Lost)
            }
        }
    }

    fn step(&mut self, input: Input, renewal: &mut Renewal, source: &Source) -> Result<(), Stopped> {
        for output in self.reporter.step(self.now(), input) {
            match output {
                Wish::Connect => self.link = Some(Link::open(Arc::clone(&self.identity))),
                Wish::Send(message) => {
                    if let Some(link) = &self.link {
                        link.send(message);
                    }
                }
                Wish::Disconnect => self.link = None,
                // A recorded host has nobody who listens.
                Wish::CollectEvery(interval) => drop(source.collect_every.send(interval)),
                Wish::Renew => self.renew(renewal),
                Wish::ListConnections(question) => self.list_connections(question, source),
                Wish::Stop => return Err(Stopped::Revoked),
            }
        }
        Ok(())
    }

    /// Answers when they are read, unless the link is another one by then.
    fn list_connections(&mut self, question: v1::ListConnections, source: &Source) {
        let Some(link) = &self.link else { return };
        let is_reading = self.listing.as_ref().is_some_and(|listing| !listing.is_finished());
        let list = match source.connections {
            None => return link.send(connection_list(question, Err("a recorded host has no connections".to_owned()))),
            Some(_) if is_reading => {
                return link.send(connection_list(question, Err("they are being read for somebody else".to_owned())));
            }
            Some(list) => list,
        };
        let outgoing = link.outgoing();
        self.listing = Some(tokio::task::spawn_blocking(move || {
            let answer = connection_list(question, list().map_err(|reason| reason.to_string()));
            // A link that has ended takes the question with it.
            drop(outgoing.send(answer));
        }));
    }

    /// Keeps a renewed identity and comes back with it.
    fn adopt(
        &mut self,
        renewed: Result<Identity, EnrollFault>,
        renewal: &mut Renewal,
    ) -> Result<Option<Input>, Stopped> {
        let identity = match renewed {
            Ok(identity) => identity,
            Err(fault @ EnrollFault::Refused { .. }) => return Err(Stopped::NotRenewed(fault)),
            Err(fault) => {
                warn!("The certificate could not be renewed and holds until {}: {fault}", self.identity.valid().until);
                *renewal = Renewal::At(Instant::now() + self.agent.pacing.later);
                return Ok(None);
            }
        };
        if let Err(error) = identity.save(&self.agent.state_dir) {
            // The old one on disk still renews.
            warn!("{error:#}");
        }
        info!("Renewed the certificate: it holds until {}", identity.valid().until);
        self.identity = Arc::new(identity);
        let now = Instant::now();
        self.renewed_at = Some(now);
        *renewal = Renewal::due(&self.identity);
        self.link = None;
        Ok(Some(Input::Disconnected(Ending::Renewed)))
    }

    /// Because the server asks for it. A server that is never content gets one certificate each `later`, not one a second.
    fn renew(&self, renewal: &mut Renewal) {
        let is_fresh = self.renewed_at.is_some_and(|renewed_at| renewed_at.elapsed() < self.agent.pacing.later);
        if !is_fresh {
            renewal.start(&self.identity);
        }
    }

    fn now(&self) -> Now {
        Now {
            elapsed: self.started.elapsed(),
            wall_clock: (self.agent.clock)(),
            random: rand::random(),
            fresh_id: rand::random(),
        }
    }
}

/// When the certificate is to be renewed, or that it is being. Waiting for it may be broken off and taken up again.
enum Renewal {
    At(Instant),
    Running(JoinHandle<Result<Identity, EnrollFault>>),
}

impl Renewal {
    /// Half of the lifetime from now, whatever the clock says, which may be wrong by decades. The server, which has the
    /// clock that counts, asks for it earlier where it is due.
    fn due(identity: &Identity) -> Self {
        Self::At(Instant::now() + identity.valid().lifetime() / 2)
    }

    /// Now, unless it is running already.
    fn start(&mut self, identity: &Arc<Identity>) {
        if let Self::At(_) = self {
            let identity = Arc::clone(identity);
            *self = Self::Running(tokio::spawn(async move { renew(&identity).await }));
        }
    }

    async fn renewed(&mut self, identity: &Arc<Identity>) -> Result<Identity, EnrollFault> {
        loop {
            match self {
                Self::At(instant) => {
                    tokio::time::sleep_until(*instant).await;
                    self.start(identity);
                }
                Self::Running(task) => {
                    return task.await.unwrap_or_else(|error| Err(EnrollFault::Failed(error.into())));
                }
            }
        }
    }
}

fn connection_list(question: v1::ListConnections, rows: Result<Vec<wire::Connection>, String>) -> v1::AgentMessage {
    let list = wire::answer_connections(question, rows);
    v1::AgentMessage { kind: Some(v1::agent_message::Kind::ConnectionList(list)) }
}

async fn next(link: &mut Option<Link>) -> Option<Event> {
    match link {
        Some(link) => link.next().await,
        None => std::future::pending().await,
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
