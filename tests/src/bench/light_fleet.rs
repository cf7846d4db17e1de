//! Ten thousand agents in one process: real connections, certificates and messages, and of each agent only what the wire
//! needs. They come back as real ones do whose sessions lasted for hours. Their certificates are signed here, because the
//! real door admits one host a second from one address.
//!
//! All hosts hold the same facts, in one of two states, so that what they say is made once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use hyper_util::rt::TokioIo;
use portreeve_agent::stream::Pacing;
use portreeve_server::cli::open::Opened;
use portreeve_server::config::Place;
use portreeve_server::db::identity::{NewCertificate, TokenSite, insert_certificate, insert_host};
use portreeve_server::db::{Db, Scope, installation};
use portreeve_server::identity::authority::{AGENTS_NAME, Authority, read_request};
use portreeve_server::{clock, coded};
use proto::fleet::v1::agent_message::Kind as Said;
use proto::fleet::v1::fleet_client::FleetClient;
use proto::fleet::v1::server_message::Kind as Answer;
use proto::fleet::v1::{AgentMessage, Heartbeat, Report, SectionDigest, ServerMessage};
use proto::wire::{digests_to_wire, to_report_parts};
use rules::facts::Facts;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};

use crate::bench::mean_host;
use crate::doors::{new_key, request_for};
use crate::raw_agent::{changes, full, hello};
use crate::server::{Server, eventually};

/// Hosts that connect, or report for the first time, in a second.
pub const CONNECT_A_SECOND: f64 = 400.0;
pub const FULL_A_SECOND: f64 = 60.0;
pub const PATIENCE: Duration = Duration::from_mins(15);

const HEARTBEAT: Duration = Duration::from_mins(1);
/// How long it waits for its connection, and for its Welcome.
const OPENED_WITHIN: Duration = Duration::from_secs(30);

/// Hosts with certificates, and who they are to connect to.
#[derive(Debug)]
pub struct Enrolled {
    configs: Vec<Arc<ClientConfig>>,
    agents: SocketAddr,
}

/// Hosts that are connected, or try to be.
#[derive(Debug)]
pub struct LightFleet {
    hosts: usize,
    wanted: watch::Sender<Wanted>,
    counts: Arc<Counts>,
}

/// What the hosts are to have reported.
#[derive(Clone, Copy, Debug, Default)]
struct Wanted {
    reports: u64,
    /// Each reports at a random moment of this.
    within: Duration,
}

#[derive(Debug, Default)]
struct Counts {
    open: AtomicU64,
    welcomed: AtomicU64,
    acknowledged: AtomicU64,
    asked_full: AtomicU64,
    ends: Mutex<BTreeMap<String, u64>>,
}

/// Two states of one host, and all that is said of them.
#[derive(Debug)]
struct Story {
    full: [Vec<Report>; 2],
    change_to: [Vec<Report>; 2],
    digests: [Vec<SectionDigest>; 2],
}

/// Signs for so many hosts of a new client.
pub async fn enroll(server: &Server, hosts: usize) -> Result<Enrolled> {
    let place = Place { data_dir: server.data_dir(), database_url: None, log: String::new() };
    let opened = Opened::open(&place).await?;
    let authority = opened.identity(clock::now()).await?.authority;
    let enrolled = enroll_at(&opened.db, &authority, server.agents(), hosts).await;
    opened.close().await?;
    enrolled
}

/// As [`enroll`], for doors of this process.
pub async fn enroll_at(db: &Db, authority: &Authority, agents: SocketAddr, hosts: usize) -> Result<Enrolled> {
    let now = clock::now();
    let client_id = installation::insert_client(db, "Fleet", now).await?.context("the name is free")?;
    let site_id = installation::insert_site(db, client_id, "Head office", now).await?.context("the name is free")?;
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone())?;
    let roots = Arc::new(roots);
    let mut configs = Vec::with_capacity(hosts);
    let mut transaction = db.begin(&Scope::of(client_id)).await?;
    for number in 0..hosts {
        let key = new_key();
        let name = format!("LIGHT{number:05}");
        let host_id = insert_host(&mut transaction, TokenSite { client_id, site_id }, &name, now).await?;
        let certificate = authority.issue(&read_request(&request_for(&key))?, client_id, host_id, now)?;
        let row = NewCertificate {
            serial: &certificate.serial.0,
            client_id,
            host_id,
            public_key_hash: &certificate.public_key_hash,
            expires_at: certificate.expires_at,
        };
        insert_certificate(&mut transaction, &row, now).await?;
        let chain = vec![certificate.der, authority.certificate().clone()];
        configs.push(Arc::new(config(&roots, chain, key.serialize_der())?));
    }
    transaction.commit().await?;
    Ok(Enrolled { configs, agents })
}

fn config(roots: &Arc<RootCertStore>, chain: Vec<CertificateDer<'static>>, key: Vec<u8>) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(Arc::clone(roots))
        .with_client_auth_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// A time in which so many hosts do something at this rate.
#[expect(clippy::cast_precision_loss, reason = "hosts are far below 2^52")]
pub fn at_a_rate(hosts: usize, a_second: f64) -> Duration {
    Duration::from_secs_f64(hosts as f64 / a_second)
}

impl LightFleet {
    /// So many hosts of mean size that have connected and reported all that they are.
    pub async fn settled(server: &Server, hosts: usize, sockets: usize) -> Result<Self> {
        let [before, after] = mean_host::states(sockets)?;
        let enrolled = enroll(server, hosts).await?;
        let fleet = Self::start(enrolled, [&before, &after], at_a_rate(hosts, CONNECT_A_SECOND))?;
        fleet.connected(PATIENCE).await?;
        fleet.report(1, at_a_rate(hosts, FULL_A_SECOND));
        fleet.acknowledged(1, PATIENCE).await?;
        Ok(fleet)
    }

    /// Starts all hosts; the first connections are spread over `within`. Each holds what `before` says, or what `after`
    /// says, in turns.
    pub fn start(enrolled: Enrolled, [before, after]: [&Facts; 2], within: Duration) -> Result<Self> {
        let story = Arc::new(Story::new(before, after)?);
        let (wanted, _) = watch::channel(Wanted::default());
        let counts = Arc::new(Counts::default());
        let hosts = enrolled.configs.len();
        for (number, config) in enrolled.configs.into_iter().enumerate() {
            let host = LightHost {
                number: number as u128 + 1,
                config,
                agents: enrolled.agents,
                story: Arc::clone(&story),
                wanted: wanted.subscribe(),
                counts: Arc::clone(&counts),
                epoch: 0,
                acknowledged: 0,
                sent: 0,
            };
            tokio::spawn(host.live(within.mul_f64(rand_part())));
        }
        Ok(Self { hosts, wanted, counts })
    }

    /// Has every host report until its report number `reports` is acknowledged, each at a random moment `within` now.
    pub fn report(&self, reports: u64, within: Duration) {
        self.wanted.send_replace(Wanted { reports, within });
    }

    /// Waits until all hosts are connected.
    pub async fn connected(&self, limit: Duration) -> Result<()> {
        let all = self.hosts as u64;
        eventually("every host is connected", limit, async || Ok((self.open() == all).then_some(()))).await
    }

    /// Waits until so many reports of every host are acknowledged.
    pub async fn acknowledged(&self, reports: u64, limit: Duration) -> Result<()> {
        let all = self.hosts as u64 * reports;
        eventually("every report is acknowledged", limit, async || {
            Ok((self.counts.acknowledged.load(Ordering::Relaxed) >= all).then_some(()))
        })
        .await
    }

    /// Streams that are open.
    pub fn open(&self) -> u64 {
        self.counts.open.load(Ordering::Relaxed)
    }

    /// Streams that were ever open.
    pub fn welcomed(&self) -> u64 {
        self.counts.welcomed.load(Ordering::Relaxed)
    }

    /// Sections that the server wanted in full although a report of the host was acknowledged.
    pub fn asked_full(&self) -> u64 {
        self.counts.asked_full.load(Ordering::Relaxed)
    }

    /// Why streams ended, by code.
    pub fn ends(&self) -> BTreeMap<String, u64> {
        self.counts.ends.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Story {
    fn new(before: &Facts, after: &Facts) -> Result<Self> {
        let digests = |facts: &Facts| digests_to_wire(&proto::digests(&proto::wire::canonical(facts)));
        Ok(Self {
            full: [to_report_parts(&full(1, before))?, to_report_parts(&full(1, after))?],
            change_to: [to_report_parts(&changes(1, after, before))?, to_report_parts(&changes(1, before, after))?],
            digests: [digests(before), digests(after)],
        })
    }
}

/// Which of the two states a host is in after this report.
fn state_after(seq: u64) -> usize {
    usize::from(seq.is_multiple_of(2))
}

struct LightHost {
    number: u128,
    config: Arc<ClientConfig>,
    agents: SocketAddr,
    story: Arc<Story>,
    wanted: watch::Receiver<Wanted>,
    counts: Arc<Counts>,
    epoch: u64,
    acknowledged: u64,
    /// Highest number that was ever sent.
    sent: u64,
}

impl LightHost {
    async fn live(mut self, first: Duration) {
        let pacing = Pacing::default();
        let mut wait = first;
        let mut failures = 0_u32;
        loop {
            tokio::time::sleep(wait).await;
            let Err(error) = self.stream(&mut failures).await;
            let status = error.downcast_ref::<Status>();
            let code = status.and_then(coded::code_of).unwrap_or("lost").to_owned();
            *self.counts.ends.lock().unwrap_or_else(PoisonError::into_inner).entry(code).or_default() += 1;
            let named =
                status.and_then(|status| status.metadata().get(coded::RETRY_TRAILER)?.to_str().ok()?.parse().ok());
            let window = match named {
                Some(milliseconds) => Duration::from_millis(milliseconds).min(pacing.later),
                None if failures == 0 => pacing.spread,
                None => pacing.base.saturating_mul(2_u32.saturating_pow((failures - 1).min(16))).min(pacing.cap),
            };
            failures += 1;
            wait = window.mul_f64(rand_part());
        }
    }

    /// One stream, until it ends.
    async fn stream(&mut self, failures: &mut u32) -> Result<std::convert::Infallible> {
        let connect = connect(self.agents, Arc::clone(&self.config));
        let mut client = FleetClient::new(tokio::time::timeout(OPENED_WITHIN, connect).await??);
        let (outgoing, messages) = mpsc::channel(4);
        outgoing.send(message(Said::Hello(self.hello()))).await?;
        let open = async {
            let mut incoming = client.stream(ReceiverStream::new(messages)).await?.into_inner();
            match next(&mut incoming).await? {
                Answer::Welcome(welcome) => Ok((incoming, welcome)),
                other => anyhow::bail!("expected a Welcome, got {other:?}"),
            }
        };
        let (mut incoming, welcome) = tokio::time::timeout(OPENED_WITHIN, open).await??;
        *failures = 0;
        self.counts.welcomed.fetch_add(1, Ordering::Relaxed);
        self.counts.open.fetch_add(1, Ordering::Relaxed);
        let _open = Leaving(Arc::clone(&self.counts));
        self.epoch = welcome.epoch;
        let was_lost = self.sent > welcome.committed_seq;
        self.settle(welcome.committed_seq);
        if !welcome.send_full.is_empty() && !was_lost && self.acknowledged > 0 {
            self.counts.asked_full.fetch_add(welcome.send_full.len() as u64, Ordering::Relaxed);
        }
        let paced = Duration::from_millis(welcome.pace.map_or(0, |pace| pace.send_after_ms.into()));
        let mut whole = !welcome.send_full.is_empty();
        let mut due = Instant::now() + paced + if was_lost { Duration::ZERO } else { self.delay() };
        let mut beat = Instant::now() + HEARTBEAT.mul_f64(rand_part());
        loop {
            let may_report = self.sent == self.acknowledged && self.acknowledged < self.wanted.borrow().reports;
            tokio::select! {
                answer = next(&mut incoming) => match answer? {
                    Answer::Ack(ack) => {
                        self.settle(ack.seq);
                        beat = Instant::now() + HEARTBEAT;
                    }
                    Answer::SendFull(wanted) => {
                        self.counts.asked_full.fetch_add(wanted.sections.len() as u64, Ordering::Relaxed);
                        whole = true;
                    }
                    _ => {}
                },
                () = tokio::time::sleep_until(due), if may_report => {
                    self.sent = self.acknowledged + 1;
                    let whole = std::mem::take(&mut whole) || self.sent == 1;
                    let parts = if whole { &self.story.full } else { &self.story.change_to };
                    for part in &parts[state_after(self.sent)] {
                        outgoing.send(message(Said::Report(now(part, self.sent)))).await?;
                    }
                }
                changed = self.wanted.changed() => {
                    changed?;
                    due = Instant::now() + self.delay();
                }
                () = tokio::time::sleep_until(beat) => {
                    outgoing.send(message(Said::Heartbeat(heartbeat(self.sent)))).await?;
                    beat = Instant::now() + HEARTBEAT;
                }
            }
        }
    }

    fn hello(&self) -> proto::fleet::v1::Hello {
        let is_pending = self.sent > self.acknowledged;
        let digests = if self.sent == 0 { Vec::new() } else { self.story.digests[state_after(self.sent)].clone() };
        proto::fleet::v1::Hello {
            epoch: self.epoch,
            digests,
            pending_from: if is_pending { self.sent } else { 0 },
            pending_to: if is_pending { self.sent } else { 0 },
            ..hello(self.number)
        }
    }

    /// Everything up to this number is committed; what was sent beyond is sent again.
    fn settle(&mut self, committed: u64) {
        if committed > self.acknowledged {
            self.counts.acknowledged.fetch_add(committed - self.acknowledged, Ordering::Relaxed);
            self.acknowledged = committed;
        }
        self.sent = self.acknowledged;
    }

    fn delay(&self) -> Duration {
        self.wanted.borrow().within.mul_f64(rand_part())
    }
}

/// Counts an open stream out again, however it ends.
struct Leaving(Arc<Counts>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn connect(address: SocketAddr, config: Arc<ClientConfig>) -> Result<Channel> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let stream = TlsConnector::from(config).connect(ServerName::try_from(AGENTS_NAME)?, stream).await?;
    let stream = Mutex::new(Some(TokioIo::new(stream)));
    let take = tower::service_fn(move |_: http::Uri| {
        let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        std::future::ready(stream.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotConnected)))
    });
    Ok(Endpoint::from_static("http://portreeve.internal").connect_with_connector(take).await?)
}

async fn next(incoming: &mut Streaming<ServerMessage>) -> Result<Answer> {
    incoming.message().await?.and_then(|message| message.kind).context("the server ended the stream")
}

fn message(said: Said) -> AgentMessage {
    AgentMessage { kind: Some(said) }
}

fn now(part: &Report, seq: u64) -> Report {
    Report { seq, wall_clock_ms: clock::now().timestamp_millis(), ..part.clone() }
}

fn heartbeat(seq: u64) -> Heartbeat {
    let wall_clock_ms = clock::now().timestamp_millis();
    Heartbeat { wall_clock_ms, digests: Vec::new(), seq }
}

/// Uniform in 0 to 1.
fn rand_part() -> f64 {
    let bits = u32::from_be_bytes(uuid::Uuid::new_v4().into_bytes()[..4].try_into().unwrap_or_default());
    f64::from(bits) / f64::from(u32::MAX)
}
