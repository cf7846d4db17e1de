//! The server's two doors for agents in this process, on a database of the test's own, and a client for them that can
//! do what a real agent never would.

#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "only tests use this, and a panic fails the test that caused it"
)]

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context as _, Result};
use arc_swap::ArcSwap;
use clap::Parser as _;
use hyper_util::rt::TokioIo;
use portreeve_server::{
    alerts::egress::Egress,
    app::App,
    clock,
    config::Config,
    db::{
        self,
        identity::{NewEnrollToken, TokenSite},
    },
    identity::{
        Identity,
        authority::{AGENTS_NAME, ENROLL_NAME},
        enrollment::Enrollment,
        seal::Sealer,
        token::{FreshToken, secret_hash},
    },
    ingest::Store,
    listeners::{agents, enroll, tls},
    live::Bus,
    questions::Questions,
    rulebook::Rulebook,
};
use proto::fleet::v1::{EnrollRequest, enroll_client::EnrollClient, fleet_client::FleetClient};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{
    service::Routes,
    transport::{Channel, Endpoint},
};
use uuid::Uuid;

use crate::database::Database;

/// Where links in webhooks lead.
pub const DASHBOARD: &str = "http://127.0.0.1:8080";

/// Both listeners, until it is dropped.
#[derive(Debug)]
pub struct Doors {
    pub app: Arc<App>,
    pub database: Database,
    pub agents: SocketAddr,
    pub enroll: SocketAddr,
    _stop: DropGuard,
}

/// What an agent keeps of its identity.
#[derive(Debug)]
pub struct Credentials {
    pub key: KeyPair,
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
}

#[derive(Debug, clap::Parser)]
struct Defaults {
    #[command(flatten)]
    config: Config,
}

impl Doors {
    /// Opens them with an empty Fleet service: whoever is let in hears `Unimplemented`.
    pub async fn open() -> Result<Self> {
        Self::open_with(|_| Routes::default()).await
    }

    /// Opens them with a Fleet service of the caller's.
    pub async fn open_with(fleet: impl FnOnce(Arc<App>) -> Routes) -> Result<Self> {
        // Whoever builds an HTTP client needs it. An error means that another test was first.
        drop(rustls::crypto::ring::default_provider().install_default());
        let database = Database::fresh().await?;
        let now = clock::now();
        let sealer = Sealer::new(&[7; 32]);
        let identity = Identity::load(&database.db, &sealer, now).await?;
        let agents_tls = tls::for_agents(&identity.authority, now)?;
        let enroll_tls = tls::for_enrollment(&identity.authority, now)?;
        let stopping = CancellationToken::new();
        let config = Defaults::try_parse_from(["test"])?.config;
        let bus = Bus::new();
        let app = Arc::new(App {
            server_id: Uuid::new_v4(),
            store: Store::new(database.db.clone(), bus.clone(), DASHBOARD),
            db: database.db.clone(),
            bus,
            questions: Questions::default(),
            identity,
            sealer,
            egress: Egress::new(&config.egress_allow)?,
            config,
            rulebook: ArcSwap::from_pointee(Rulebook::load(&database.db).await?),
            stopping: stopping.clone(),
        });
        let (agents_listener, enroll_listener) =
            (TcpListener::bind(("127.0.0.1", 0)).await?, TcpListener::bind(("127.0.0.1", 0)).await?);
        let (agents_at, enroll_at) = (agents_listener.local_addr()?, enroll_listener.local_addr()?);

        let revocations = Arc::clone(&app.identity.revocations);
        let routes = fleet(Arc::clone(&app));
        tokio::spawn(agents::serve(agents_listener, agents_tls, routes, revocations, stopping.clone()));
        tokio::spawn(enroll::serve(enroll_listener, enroll_tls, Enrollment::new(Arc::clone(&app)), stopping.clone()));
        let (sweeper, stop) = (Arc::clone(&app), stopping.clone());
        tokio::spawn(async move { sweeper.identity.sweep_revocations(&sweeper.db, stop).await });
        Ok(Self { app, database, agents: agents_at, enroll: enroll_at, _stop: stopping.drop_guard() })
    }

    /// A client with one site.
    pub async fn site(&self, name: &str) -> Result<TokenSite> {
        let db = &self.database.db;
        let client_id = db::installation::insert_client(db, name, clock::now()).await?.context("the name is free")?;
        let site_id = db::installation::insert_site(db, client_id, "Head office", clock::now())
            .await?
            .context("the name is free")?;
        Ok(TokenSite { client_id, site_id })
    }

    /// A token for the site, which ends at `expires_in` from now; negative: it has ended.
    pub async fn token(&self, site: TokenSite, uses: i32, expires_in: chrono::TimeDelta) -> Result<FreshToken> {
        let token = FreshToken::random();
        let row = NewEnrollToken {
            id: &token.id,
            secret_hash: &secret_hash(&token.secret),
            client_id: site.client_id,
            site_id: site.site_id,
            uses,
            expires_at: clock::now() + expires_in,
        };
        db::identity::insert_enroll_token(&self.database.db, &row, clock::now()).await?;
        Ok(token)
    }

    /// Enrolls a host of this name; the refusal is the server's.
    pub async fn enroll(&self, token: &FreshToken, host_name: &str) -> Result<Credentials, tonic::Status> {
        let key = new_key();
        let request = EnrollRequest {
            token_id: token.id.clone(),
            token_secret: token.secret.clone(),
            certificate_request: request_for(&key),
            host_name: host_name.to_owned(),
        };
        let identity = self.enroll_client().await.enroll(request).await?.into_inner();
        let chain = identity.certificate_chain.into_iter().map(CertificateDer::from).collect();
        Ok(Credentials { key, chain })
    }

    /// Speaks to the enrollment door, trusting our authority only.
    pub async fn enroll_client(&self) -> EnrollClient<Channel> {
        let config = self.client_config().with_no_client_auth();
        EnrollClient::new(channel(self.enroll, ENROLL_NAME, config).await.expect("the door is open"))
    }

    /// Speaks to the door for streams. An error: not let in.
    pub async fn fleet_client(&self, credentials: &Credentials) -> Result<FleetClient<Channel>> {
        Ok(FleetClient::new(self.fleet_connection(credentials).await?))
    }

    /// The connection under [`Doors::fleet_client`], for whoever says what no client would.
    pub async fn fleet_connection(&self, credentials: &Credentials) -> Result<Channel> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(credentials.key.serialize_der()));
        let config = self.client_config().with_client_auth_cert(credentials.chain.clone(), key)?;
        channel(self.agents, AGENTS_NAME, config).await
    }

    /// As [`Doors::fleet_client`], without showing a certificate.
    pub async fn anonymous_fleet_client(&self) -> Result<FleetClient<Channel>> {
        let config = self.client_config().with_no_client_auth();
        Ok(FleetClient::new(channel(self.agents, AGENTS_NAME, config).await?))
    }

    fn client_config(&self) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
        let mut roots = RootCertStore::empty();
        roots.add(self.app.identity.authority.certificate().clone()).expect("our authority is a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("ring speaks TLS 1.3")
            .with_root_certificates(roots)
    }
}

pub fn new_key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("P-256 keys can be made")
}

/// PKCS#10, DER.
pub fn request_for(key: &KeyPair) -> Vec<u8> {
    let params = CertificateParams::new(Vec::<String>::new()).expect("no names are fine");
    params.serialize_request(key).expect("the key signs").der().to_vec()
}

async fn channel(address: SocketAddr, name: &'static str, mut config: ClientConfig) -> Result<Channel> {
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let connect = tower::service_fn(move |_: http::Uri| {
        let connector = connector.clone();
        async move {
            let stream = TcpStream::connect(address).await?;
            let name = ServerName::try_from(name).expect("a fixed name");
            std::io::Result::Ok(TokioIo::new(connector.connect(name, stream).await?))
        }
    });
    Ok(Endpoint::from_static("http://portreeve.internal").connect_with_connector(connect).await?)
}
