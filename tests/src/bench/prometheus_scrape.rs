//! Prometheus of Debian as a yardstick: it scrapes the state of every service as one series each. Either one page tells of
//! all hosts, which is the least that a scrape can cost, or every host is a target of its own over mutual TLS, as our agents
//! speak with us; exporters mostly serve plain HTTP. <https://prometheus.io/docs/prometheus/latest/configuration/configuration/>

#![expect(clippy::cast_precision_loss, reason = "figures are far below 2^52")]

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::routing::get;
use axum::serve::Listener;
use portreeve_server::listeners::accept::{Connection, handshakes};
use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio_rustls::server::TlsStream;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use crate::bench::cost::Tree;
use crate::bench::service_fleet::SERVICES;
use crate::server::{eventually, free_address};

const PROGRAM: &str = "/usr/bin/prometheus";
const EVERY: Duration = Duration::from_secs(2);
/// What the targets show.
const NAME: &str = "exporter.test";

/// What is scraped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Targets {
    Hosts,
    OnePage,
}

/// What so many scrapes cost.
#[derive(Clone, Copy, Debug)]
pub struct Scraped {
    pub samples: f64,
    pub cpu: Duration,
    pub memory: u64,
}

/// Has all services of `hosts` scraped `rounds` times; two rounds before are not counted.
pub async fn measure(targets: Targets, hosts: usize, rounds: usize) -> Result<Scraped> {
    let folder = tempfile::Builder::new().prefix("portreeve-bench-").tempdir()?;
    let scrapes = Arc::new(AtomicUsize::new(0));
    let (addresses, scheme) = match targets {
        Targets::Hosts => {
            let trust = Trust::found(folder.path())?;
            let mut addresses = Vec::with_capacity(hosts);
            for host in 0..hosts {
                addresses.push(serve_over_tls(&trust, page(host..host + 1, &scrapes)).await?);
            }
            (addresses, trust.scheme)
        }
        Targets::OnePage => (vec![serve(page(0..hosts, &scrapes)).await?], "http".to_owned()),
    };
    let mut server = start(folder.path(), &addresses, &scheme)?;
    let tree = Tree(server.id().context("Prometheus runs")?);
    let pages = addresses.len();
    reach(&scrapes, 3 * pages).await?;
    let (before, first) = (tree.cpu()?, scrapes.load(Ordering::Relaxed));
    reach(&scrapes, first + rounds * pages).await?;
    let done = scrapes.load(Ordering::Relaxed) - first;
    let spent = Scraped {
        samples: (done * hosts / pages * SERVICES) as f64,
        cpu: tree.cpu()?.saturating_sub(before),
        memory: tree.memory()?,
    };
    server.kill().await?;
    Ok(spent)
}

fn page(hosts: Range<usize>, scrapes: &Arc<AtomicUsize>) -> Router {
    let (scrapes, of_page) = (Arc::clone(scrapes), Arc::new(AtomicUsize::new(0)));
    let page = move || {
        scrapes.fetch_add(1, Ordering::Relaxed);
        let text = lines(hosts.clone(), of_page.fetch_add(1, Ordering::Relaxed));
        async move { text }
    };
    Router::new().route("/metrics", get(page))
}

/// One line for each service; 1 % of them differ from one scrape to the next.
fn lines(hosts: Range<usize>, round: usize) -> String {
    let mut text = String::with_capacity(hosts.len() * SERVICES * 48);
    for host in hosts {
        for service in 0..SERVICES {
            let state = (round + host + service) / 100 % 2;
            let _ = writeln!(text, "service_state{{host=\"BENCH{host:05}\",service=\"service-{service}\"}} {state}");
        }
    }
    text
}

async fn serve(router: Router) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

async fn serve_over_tls(trust: &Trust, router: Router) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let identify = |peer: SocketAddr, _, _: &_| Some(peer);
    let connections = handshakes(listener, Arc::clone(&trust.config), identify, CancellationToken::new());
    tokio::spawn(async move { axum::serve(Target { address, connections }, router).await });
    Ok(address)
}

struct Target {
    address: SocketAddr,
    connections: ReceiverStream<std::io::Result<Connection<SocketAddr>>>,
}

impl Listener for Target {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            if let Some(Ok(connection)) = self.connections.next().await {
                return (connection.io, connection.peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// Who targets and Prometheus trust: each other.
struct Trust {
    config: Arc<ServerConfig>,
    /// With the settings that belong to it.
    scheme: String,
}

impl Trust {
    fn found(folder: &Path) -> Result<Self> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&key)?;
        let issuer = Issuer::new(params, key);
        let issue = || -> Result<(Certificate, KeyPair)> {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
            Ok((CertificateParams::new(vec![NAME.to_owned()])?.signed_by(&key, &issuer)?, key))
        };
        let (client, client_key) = issue()?;
        for (name, text) in
            [("ca.pem", authority.pem()), ("client.pem", client.pem()), ("client.key", client_key.serialize_pem())]
        {
            std::fs::write(folder.join(name), text)?;
        }
        let (server, server_key) = issue()?;
        let folder = folder.display();
        let scheme = format!(
            "https, tls_config: {{ca_file: {folder}/ca.pem, cert_file: {folder}/client.pem, \
             key_file: {folder}/client.key, server_name: {NAME}}}"
        );
        Ok(Self { config: config(authority.der(), server.der().clone(), &server_key)?, scheme })
    }
}

fn config(
    authority: &CertificateDer<'static>,
    chain: CertificateDer<'static>,
    key: &KeyPair,
) -> Result<Arc<ServerConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone())?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![chain], PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())))?;
    Ok(Arc::new(config))
}

fn start(folder: &Path, targets: &[SocketAddr], scheme: &str) -> Result<Child> {
    let targets: Vec<String> = targets.iter().map(|target| format!("'{target}'")).collect();
    let configuration = format!(
        "global: {{scrape_interval: {seconds}s, scrape_timeout: {seconds}s}}\n\
         scrape_configs: [{{job_name: bench, scheme: {scheme}, static_configs: [{{targets: [{targets}]}}]}}]\n",
        seconds = EVERY.as_secs(),
        targets = targets.join(", "),
    );
    let path = folder.join("prometheus.yml");
    std::fs::write(&path, configuration)?;
    Command::new(PROGRAM)
        .arg(format!("--config.file={}", path.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
        .arg(format!("--web.listen-address={}", free_address()?))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{PROGRAM} comes with Debian's prometheus"))
}

async fn reach(scrapes: &AtomicUsize, count: usize) -> Result<()> {
    eventually("Prometheus scrapes", Duration::from_mins(10), async || {
        Ok((scrapes.load(Ordering::Relaxed) >= count).then_some(()))
    })
    .await
}
