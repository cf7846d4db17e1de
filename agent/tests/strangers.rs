//! An agent that meets the wrong server says nothing to it: every way of being the wrong one, over real TLS.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use portreeve_agent::clock;
use portreeve_agent::collect::replay::{AfterLast, play, read};
use portreeve_agent::enroll::enroll;
use portreeve_agent::identity::{Identity, Server, pin_of};
use portreeve_agent::proxy::ProxyChoice;
use portreeve_agent::run::{Agent, run};
use portreeve_agent::spool::Limits;
use portreeve_agent::stream::Pacing;
use portreeve_agent::token::Token;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::version::TLS13;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

const ENROLL: &str = "enroll.portreeve.internal";
const AGENTS: &str = "agents.portreeve.internal";
/// Far beyond what any of this takes.
const PATIENCE: Duration = Duration::from_secs(30);

struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

#[derive(Clone, Copy)]
enum Lifetime {
    Present,
    Past,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    fn leaf(&self, name: &str, usage: ExtendedKeyUsagePurpose, lifetime: Lifetime) -> (Vec<Vec<u8>>, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        if let Lifetime::Past = lifetime {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 31);
        }
        let leaf = params.signed_by(&key, &self.issuer).unwrap();
        (vec![leaf.der().to_vec(), self.certificate.der().to_vec()], key.serialize_der())
    }

    fn token(&self) -> Token {
        let pin = pin_of(self.certificate.der()).unwrap();
        Token { id: "a1".to_owned(), secret: "never to be heard".to_owned(), pin }
    }

    fn identity(&self, server: Server, lifetime: Lifetime) -> Identity {
        let (chain, key) = self.leaf("host", ExtendedKeyUsagePurpose::ClientAuth, lifetime);
        Identity::new(server, key, chain).unwrap()
    }
}

/// A listener that counts who comes and what they say after the handshake.
struct Stranger {
    port: u16,
    connections: watch::Receiver<usize>,
    heard: Arc<AtomicUsize>,
}

impl Stranger {
    async fn listen(authority: &Authority, name: &str, lifetime: Lifetime) -> Self {
        let (chain, key) = authority.leaf(name, ExtendedKeyUsagePurpose::ServerAuth, lifetime);
        let chain = chain.into_iter().map(Into::into).collect();
        let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, PrivatePkcs8KeyDer::from(key).into())
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (count, connections) = watch::channel(0);
        let heard = Arc::new(AtomicUsize::new(0));
        let ears = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    // However it ends: what counts is what was said.
                    while let Ok(1..) = stream.read(&mut [0; 64]).await {
                        ears.fetch_add(1, Ordering::SeqCst);
                    }
                }
                count.send_modify(|count| *count += 1);
            }
        });
        Self { port, connections, heard }
    }

    async fn visited(&mut self, times: usize) {
        let visited = self.connections.wait_for(|count| *count >= times);
        tokio::time::timeout(PATIENCE, visited).await.unwrap().unwrap();
    }
}

fn server(enroll_port: u16, agents_port: u16) -> Server {
    Server { host: "127.0.0.1".to_owned(), enroll_port, agents_port, proxy: ProxyChoice::Direct }
}

async fn check_enroll(shown: &Authority, name: &str, token: &Token, expected: &str) {
    let mut stranger = Stranger::listen(shown, name, Lifetime::Present).await;
    let fault = enroll(&server(stranger.port, 1), token, "host").await.unwrap_err().to_string();
    assert!(fault.contains(expected), "{fault}");
    stranger.visited(1).await;
    assert_eq!(stranger.heard.load(Ordering::SeqCst), 0, "nothing was said to {name}");
}

#[tokio::test]
async fn a_token_is_never_shown_to_another_authority() {
    let (ours, other) = (Authority::new(), Authority::new());
    check_enroll(&other, ENROLL, &ours.token(), "another authority").await;
}

#[tokio::test]
async fn a_token_is_never_shown_to_another_listener() {
    let ours = Authority::new();
    check_enroll(&ours, AGENTS, &ours.token(), "check the port").await;
}

/// The clock of a host cannot be trusted to say so: what counts is who signed.
#[tokio::test]
async fn a_certificate_of_our_authority_is_taken_whatever_the_clock_says() {
    let ours = Authority::new();
    let server_of_2020 = Stranger::listen(&ours, ENROLL, Lifetime::Past).await;
    let (server, token) = (server(server_of_2020.port, 1), ours.token());
    let enrolling = enroll(&server, &token, "host");
    let heard = async {
        while server_of_2020.heard.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        fault = enrolling => panic!("{fault:?}"),
        heard = tokio::time::timeout(PATIENCE, heard) => heard.unwrap(),
    }
}

#[tokio::test]
async fn a_token_is_never_sent_in_the_clear() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said).await;
        said
    });
    let fault = enroll(&server(port, 1), &Authority::new().token(), "host").await.unwrap_err().to_string();
    assert!(fault.contains("does not speak TLS"), "{fault}");
    let said = answer.await.unwrap();
    assert!(!String::from_utf8_lossy(&said).contains("never to be heard"));
}

fn agent(identity: Identity, state_dir: &Path) -> Agent {
    let (base, cap) = (Duration::from_millis(1), Duration::from_millis(20));
    let pacing = Pacing { base, cap, later: cap, ..Pacing::default() };
    Agent {
        identity,
        state_dir: state_dir.to_owned(),
        fingerprint: Vec::new(),
        pacing,
        spool: Limits::default(),
        clock: clock::now,
    }
}

#[tokio::test]
async fn a_report_never_leaves_for_another_authority() {
    let (ours, other) = (Authority::new(), Authority::new());
    for (authority, name) in [(&other, AGENTS), (&ours, ENROLL)] {
        let mut stranger = Stranger::listen(authority, name, Lifetime::Present).await;
        let state = tempfile::tempdir().unwrap();
        let identity = ours.identity(server(1, stranger.port), Lifetime::Present);
        let source = play(read(br#"{"schema": "portreeve.facts/1"}"#).unwrap(), 1.0, AfterLast::Stay);
        run(agent(identity, state.path()), source, stranger.visited(3)).await.unwrap();
        assert_eq!(stranger.heard.load(Ordering::SeqCst), 0, "nothing was said to {name}");
    }
}

#[test]
fn an_identity_is_kept_whole_and_for_its_owner_only() {
    let ours = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    assert!(Identity::load(&state).unwrap().is_none());
    let identity = ours.identity(server(8444, 8443), Lifetime::Present);
    identity.save(&state).unwrap();
    identity.save(&state).unwrap();
    let kept = Identity::load(&state).unwrap().unwrap();
    assert_eq!(
        (kept.server.clone(), kept.key(), kept.certificate()),
        (server(8444, 8443), identity.key(), identity.certificate())
    );
    assert!(!format!("{kept:?}").contains("key"));
    #[cfg(unix)]
    {
        let mode =
            |path: &Path| std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions()) & 0o777;
        assert_eq!((mode(&state), mode(&state.join("identity.json"))), (0o700, 0o600));
    }
    std::fs::write(state.join("identity.json"), "{").unwrap();
    assert!(Identity::load(&state).unwrap_err().to_string().contains("enroll this agent again"));
}
