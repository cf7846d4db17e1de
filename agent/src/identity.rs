//! Who this agent is: its key, its certificate and the authority that it trusts, in one file of the state folder.
//!
//! Invariants: the file is replaced whole or not at all, so that key and certificate always belong together, and only its
//! owner may read it (on Windows: SYSTEM and Administrators). No system root is ever trusted.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, Utc};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::private::write_whole;
use crate::proxy::ProxyChoice;
use crate::token::Pin;

/// In the state folder.
pub(crate) const FILE: &str = "identity.json";

/// Where the server listens. The names in its certificates are fixed, whatever address is dialled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    pub host: String,
    pub enroll_port: u16,
    pub agents_port: u16,
    #[serde(default)]
    pub proxy: ProxyChoice,
}

impl Server {
    /// Unless told otherwise.
    pub const AGENTS_PORT: u16 = 8443;
    const ENROLL_PORT: u16 = 8444;

    /// `HOST`, `HOST:PORT` or `[IPV6]:PORT`, where the port is that of enrollment. It may look like an address of the web.
    pub fn parse_address(text: &str) -> Result<(String, u16), String> {
        let text = text.trim();
        let text = text.strip_prefix("https://").unwrap_or(text);
        let text = text.strip_suffix('/').unwrap_or(text);
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or("write [ADDRESS]:PORT")?)),
            // A bare IPv6 address has several colons and no port.
            None if text.matches(':').count() > 1 => (text, None),
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        if host.is_empty() || host.contains('/') {
            return Err("write HOST or HOST:PORT".to_owned());
        }
        let port = match port {
            Some(port) => port.parse().map_err(|_| format!("`{port}` is not a port"))?,
            None => Self::ENROLL_PORT,
        };
        Ok((host.to_owned(), port))
    }
}

/// An enrolled agent.
#[derive(Clone)]
pub struct Identity {
    pub server: Server,
    /// PKCS#8, DER. ECDSA P-256.
    key: Vec<u8>,
    certificate: CertificateDer<'static>,
    authority: CertificateDer<'static>,
    valid: Validity,
}

/// When the certificate holds, as it says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    pub from: DateTime<Utc>,
    pub until: DateTime<Utc>,
}

impl Validity {
    pub fn lifetime(self) -> Duration {
        (self.until - self.from).to_std().unwrap_or_default()
    }
}

/// As it lies in the file; bytes in base64.
#[derive(Serialize, Deserialize)]
struct Stored {
    server: Server,
    key: String,
    certificate: String,
    authority: String,
}

impl Identity {
    /// `chain` is the leaf and then the authority.
    pub fn new(server: Server, key: Vec<u8>, chain: Vec<Vec<u8>>) -> anyhow::Result<Self> {
        let [certificate, authority] = <[Vec<u8>; 2]>::try_from(chain)
            .map_err(|chain| anyhow::anyhow!("a chain of two certificates is needed, {} came", chain.len()))?;
        let (_, parsed) = X509Certificate::from_der(&certificate).context("the agent's certificate is damaged")?;
        let time = |time: x509_parser::time::ASN1Time| DateTime::from_timestamp(time.timestamp(), 0);
        let validity = parsed.validity();
        let (Some(from), Some(until)) = (time(validity.not_before), time(validity.not_after)) else {
            anyhow::bail!("the agent's certificate has no end");
        };
        X509Certificate::from_der(&authority).context("the authority's certificate is damaged")?;
        let (certificate, authority) = (certificate.into(), authority.into());
        Ok(Self { server, key, certificate, authority, valid: Validity { from, until } })
    }

    /// Of the folder. `None`: this agent was not enrolled.
    pub fn load(folder: &Path) -> anyhow::Result<Option<Self>> {
        let path = folder.join(FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let damaged = || format!("{} is damaged: enroll this agent again", path.display());
        let stored: Stored = serde_json::from_slice(&bytes).with_context(damaged)?;
        let decode = |text: &str| BASE64.decode(text).with_context(damaged);
        let chain = vec![decode(&stored.certificate)?, decode(&stored.authority)?];
        Self::new(stored.server, decode(&stored.key)?, chain).with_context(damaged).map(Some)
    }

    pub fn save(&self, folder: &Path) -> anyhow::Result<()> {
        let stored = Stored {
            server: self.server.clone(),
            key: BASE64.encode(&self.key),
            certificate: BASE64.encode(&self.certificate),
            authority: BASE64.encode(&self.authority),
        };
        write_whole(folder, FILE, &serde_json::to_vec_pretty(&stored)?)
            .with_context(|| format!("cannot keep the identity in {}", folder.display()))
    }

    pub fn valid(&self) -> Validity {
        self.valid
    }

    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    pub fn authority(&self) -> &CertificateDer<'static> {
        &self.authority
    }

    /// PKCS#8, DER.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.clone()).into()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Identity")
            .field("server", &self.server)
            .field("valid", &self.valid)
            .finish_non_exhaustive()
    }
}

/// The pin that `certificate` would have as an authority. `None`: not a certificate.
pub fn pin_of(certificate: &CertificateDer<'_>) -> Option<Pin> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(Sha256::digest(parsed.public_key().raw).into())
}

#[cfg(test)]
mod tests {
    use super::Server;

    #[test]
    fn reads_servers() {
        let server = |host: &str, port| Ok((host.to_owned(), port));
        assert_eq!(Server::parse_address("ports.example.net"), server("ports.example.net", 8444));
        assert_eq!(Server::parse_address(" https://ports.example.net/ "), server("ports.example.net", 8444));
        assert_eq!(Server::parse_address("10.0.0.5:9000"), server("10.0.0.5", 9000));
        assert_eq!(Server::parse_address("[2001:db8::1]:9000"), server("2001:db8::1", 9000));
        assert_eq!(Server::parse_address("[2001:db8::1]"), server("2001:db8::1", 8444));
        assert_eq!(Server::parse_address("2001:db8::1"), server("2001:db8::1", 8444));
        for wrong in
            ["", "https://", "http://ports.example.net", "host:port", ":8444", "[::1]8444", "host:70000", "a/b"]
        {
            assert!(Server::parse_address(wrong).is_err(), "{wrong}");
        }
    }
}
