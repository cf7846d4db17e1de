//! How the server is known. One provider (ring), TLS 1.3, and no root but the server's own authority: pinned by the
//! enrollment token at first, kept as a certificate afterwards. There is no switch that weakens this.

use std::error::Error;
use std::io;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::identity::{Identity, pin_of};
use crate::token::Pin;

/// A listener of the server, by the name in its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listener {
    Agents,
    Enroll,
}

impl Listener {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Agents => "agents.portreeve.internal",
            Self::Enroll => "enroll.portreeve.internal",
        }
    }
}

/// For the first enrollment: any chain that ends in the authority with this pin.
pub(crate) fn pinned(pin: Pin) -> Result<ClientConfig, rustls::Error> {
    let provider = provider();
    let verifier = Arc::new(PinnedAuthority { pin, provider: Arc::clone(&provider) });
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(with_http2(config))
}

/// For renewal: the kept authority, and no certificate of our own, because it may have ended.
pub(crate) fn anonymous(identity: &Identity) -> Result<ClientConfig, rustls::Error> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots(identity.authority())?)
        .with_no_client_auth();
    Ok(with_http2(config))
}

/// For the stream: the kept authority, and our certificate.
pub(crate) fn mutual(identity: &Identity) -> Result<ClientConfig, rustls::Error> {
    let chain = vec![identity.certificate().clone(), identity.authority().clone()];
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots(identity.authority())?)
        .with_client_auth_cert(chain, identity.private_key())?;
    Ok(with_http2(config))
}

/// Dials and shakes hands. Nothing but the handshake has left when this fails.
pub(crate) async fn connect(
    address: (&str, u16),
    listener: Listener,
    config: ClientConfig,
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(listener.name()).map_err(io::Error::other)?;
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// What went wrong with TLS, in words that name the remedy. `None`: the cause lies elsewhere.
pub(crate) fn explain(error: &(dyn Error + 'static)) -> Option<String> {
    let text = match find(error)? {
        rustls::Error::InvalidCertificate(fault) => match fault {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "the server is not the one that this agent knows: its certificate comes from another authority"
                    .to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the server's certificate has ended, or the clock of this host is ahead".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the server's certificate is not valid yet: the clock of this host is probably behind".to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "this is not the listener that was meant: check the port".to_owned()
            }
            fault => format!("the server's certificate is not acceptable: {fault}"),
        },
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateExpired => {
                "the server says that this agent's certificate has ended".to_owned()
            }
            AlertDescription::UnknownCA | AlertDescription::BadCertificate | AlertDescription::DecryptError => {
                "the server does not know this agent's certificate: enroll the agent again".to_owned()
            }
            AlertDescription::CertificateRevoked => "the server says that this agent was revoked".to_owned(),
            alert => format!("the server refused the connection: {alert:?}"),
        },
        rustls::Error::InvalidMessage(_) => "the other end does not speak TLS: check the port".to_owned(),
        other => other.to_string(),
    };
    Some(text)
}

fn find<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // What an io::Error wraps is not among its sources.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn roots(authority: &CertificateDer<'static>) -> Result<RootCertStore, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone())?;
    Ok(roots)
}

fn with_http2(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// Trusts the authority whose public key has this hash, wherever it stands in the chain that the server shows.
#[derive(Debug)]
struct PinnedAuthority {
    pin: Pin,
    provider: Arc<CryptoProvider>,
}

impl PinnedAuthority {
    fn verifier(&self, shown: &[CertificateDer<'_>]) -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
        let authority = shown
            .iter()
            .find(|certificate| pin_of(certificate) == Some(self.pin))
            .ok_or(CertificateError::UnknownIssuer)?;
        let roots = Arc::new(roots(&authority.clone().into_owned())?);
        WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&self.provider))
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))
    }
}

impl ServerCertVerifier for PinnedAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verifier(intermediates)?.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not offered".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
