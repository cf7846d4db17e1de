//! How the server is known. One provider (ring), TLS 1.3, and no root but the server's own authority: pinned by the
//! enrollment token at first, kept as a certificate afterwards. There is no switch that weakens this.
//!
//! Invariant: the clock of this host decides nothing here. The server's certificate is verified at a time inside its own
//! validity, because a host whose clock is wrong must be able to say so; ours is judged by the server's clock.

use std::error::Error;
use std::io;
use std::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::client::WantsClientCert;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore,
    SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::identity::{Identity, Server, pin_of};
use crate::proxy;
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

    pub(crate) fn port(self, server: &Server) -> u16 {
        match self {
            Self::Agents => server.agents_port,
            Self::Enroll => server.enroll_port,
        }
    }
}

/// For the first enrollment: any chain that ends in the authority with this pin.
pub(crate) fn pinned(pin: Pin) -> Result<ClientConfig, rustls::Error> {
    Ok(with_http2(trusting(Known::Pin(pin))?.with_no_client_auth()))
}

/// For renewal: the kept authority, and no certificate of our own, because it may have ended.
pub(crate) fn anonymous(identity: &Identity) -> Result<ClientConfig, rustls::Error> {
    let known = Known::Certificate(identity.authority().clone());
    Ok(with_http2(trusting(known)?.with_no_client_auth()))
}

/// For the stream: the kept authority, and our certificate.
pub(crate) fn mutual(identity: &Identity) -> Result<ClientConfig, rustls::Error> {
    let chain = vec![identity.certificate().clone(), identity.authority().clone()];
    let known = Known::Certificate(identity.authority().clone());
    Ok(with_http2(trusting(known)?.with_client_auth_cert(chain, identity.private_key())?))
}

/// Dials and shakes hands. Nothing but the handshake has left when this fails.
pub(crate) async fn connect(server: &Server, listener: Listener, config: ClientConfig) -> io::Result<Overheard> {
    let name = ServerName::try_from(listener.name()).map_err(io::Error::other)?;
    let stream = proxy::dial(&server.proxy, &server.host, listener.port(server)).await?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    Ok(Overheard { stream, fault: Fault::default() })
}

/// What TLS itself failed with. In TLS 1.3 a server refuses our certificate after our half of the handshake is over, and
/// HTTP/2 hands the error on as text, from which nothing may be concluded.
pub(crate) type Fault = Arc<OnceLock<rustls::Error>>;

/// A connection that keeps the error of TLS that ended it.
#[derive(Debug)]
pub(crate) struct Overheard {
    stream: TlsStream<TcpStream>,
    pub(crate) fault: Fault,
}

impl Overheard {
    fn hear<T>(&self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &polled
            && let Some(fault) = find(error)
        {
            // The first one is the cause of the others.
            self.fault.get_or_init(|| fault.clone());
        }
        polled
    }
}

impl AsyncRead for Overheard {
    fn poll_read(
        mut self: pin::Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = pin::Pin::new(&mut self.stream).poll_read(context, into);
        self.hear(polled)
    }
}

impl AsyncWrite for Overheard {
    fn poll_write(mut self: pin::Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = pin::Pin::new(&mut self.stream).poll_write(context, bytes);
        self.hear(polled)
    }

    fn poll_flush(mut self: pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = pin::Pin::new(&mut self.stream).poll_flush(context);
        self.hear(polled)
    }

    fn poll_shutdown(mut self: pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        pin::Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// What went wrong with TLS, in words that name the remedy. `None`: the cause lies elsewhere.
pub(crate) fn explain(error: &(dyn Error + 'static)) -> Option<String> {
    let text = match find(error)? {
        rustls::Error::InvalidCertificate(fault) => match fault {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "the server is not the one that this agent knows: its certificate comes from another authority"
                    .to_owned()
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

/// Whether the server refused our certificate because it has ended, by the server's clock.
pub(crate) fn says_expired(fault: &rustls::Error) -> bool {
    matches!(fault, rustls::Error::AlertReceived(AlertDescription::CertificateExpired))
}

fn trusting(known: Known) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(OwnAuthority { known, provider: Arc::clone(&provider) });
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13])?;
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier))
}

fn with_http2(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// What is known of the server's authority.
#[derive(Debug)]
enum Known {
    /// The hash of its public key: it stands somewhere in the chain that the server shows.
    Pin(Pin),
    Certificate(CertificateDer<'static>),
}

/// Trusts one authority and asks no clock.
#[derive(Debug)]
struct OwnAuthority {
    known: Known,
    provider: Arc<CryptoProvider>,
}

impl OwnAuthority {
    fn verifier(&self, shown: &[CertificateDer<'_>]) -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
        let authority = match &self.known {
            Known::Certificate(authority) => authority.clone(),
            Known::Pin(pin) => shown
                .iter()
                .find(|certificate| pin_of(certificate) == Some(*pin))
                .ok_or(CertificateError::UnknownIssuer)?
                .clone()
                .into_owned(),
        };
        let mut roots = RootCertStore::empty();
        roots.add(authority)?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&self.provider))
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))
    }
}

/// The first moment at which the certificate holds.
fn beginning_of(certificate: &CertificateDer<'_>) -> Result<UnixTime, rustls::Error> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let seconds = u64::try_from(parsed.validity().not_before.timestamp()).map_err(|_| CertificateError::BadEncoding)?;
    Ok(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
}

impl ServerCertVerifier for OwnAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _by_our_clock: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let then = beginning_of(end_entity)?;
        self.verifier(intermediates)?.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, then)
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
