//! TLS settings of the three listeners. One provider: ring.

use std::{path::Path, sync::Arc};

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring::default_provider},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::{TLS12, TLS13},
};

use crate::identity::authority::{AGENTS_NAME, Authority, ENROLL_NAME};

/// For streams: a client certificate of our authority is demanded in the handshake itself.
pub fn for_agents(authority: &Authority, now: DateTime<Utc>) -> anyhow::Result<Arc<ServerConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone())?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build()?;
    let (chain, key) = authority.server_certificate(AGENTS_NAME, now)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    remember_nobody(&mut config);
    Ok(Arc::new(config))
}

/// For enrollment: the agent has no certificate yet, or one that has expired.
pub fn for_enrollment(authority: &Authority, now: DateTime<Utc>) -> anyhow::Result<Arc<ServerConfig>> {
    let (chain, key) = authority.server_certificate(ENROLL_NAME, now)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    remember_nobody(&mut config);
    Ok(Arc::new(config))
}

/// Agents hold their connections for days, and tickets are worth nothing after a restart, when all come back: they would
/// cost memory and time for nothing.
fn remember_nobody(config: &mut ServerConfig) {
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
}

/// For browsers: the certificate that the operator of this server provides.
pub fn for_http(certificate: &Path, key: &Path) -> anyhow::Result<Arc<ServerConfig>> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .with_context(|| format!("cannot read certificates from {}", certificate.display()))?;
    if chain.is_empty() {
        bail!("{} holds no certificate", certificate.display());
    }
    let key = PrivateKeyDer::from_pem_file(key)
        .with_context(|| format!("cannot read a private key from {}", key.display()))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS12, &TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("--tls-cert and --tls-key do not fit together")?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}
