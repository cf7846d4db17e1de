//! The installation's certificate authority: ECDSA P-256, made once, trusted by nobody but our own agents.
//!
//! Of a request for a certificate only the public key is used; names, extensions and lifetimes are ours.

use anyhow::{Context, bail, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use rand::Rng;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};
use uuid::Uuid;
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use crate::identity::revocations::Serial;

/// Name in the certificate of the listener for streams, whatever address is dialled.
pub const AGENTS_NAME: &str = "agents.portreeve.internal";

/// Name in the certificate of the listener for enrollment.
pub const ENROLL_NAME: &str = "enroll.portreeve.internal";

/// How long an agent's certificate lasts; agents renew at half of it.
pub const AGENT_LIFETIME: TimeDelta = TimeDelta::days(30);

/// How long after its end a certificate still renews by proof of possession.
pub const RENEWABLE_AFTER_END: TimeDelta = TimeDelta::days(90);

const CA_LIFETIME: TimeDelta = TimeDelta::days(20 * 365);

/// Clocks of agents may be late by this much.
const BACKDATED: TimeDelta = TimeDelta::hours(1);

/// What a renewal signs before the request, so that the signature means nothing elsewhere.
const RENEWAL_CONTEXT: &[u8] = b"portreeve renew v1\0";

/// Longest certificate or request that is parsed, bytes.
const LONGEST_DER: usize = 8 * 1024;

/// Signs certificates. Its key is in memory only.
#[derive(Debug)]
pub struct Authority {
    installation_id: Uuid,
    certificate: CertificateDer<'static>,
    expires_at: DateTime<Utc>,
    issuer: Issuer<'static, KeyPair>,
    pin: String,
}

/// Why a request is not answered with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    #[error("the certificate request is not a PKCS#10 with an ECDSA P-256 key that signed it")]
    Request,
    #[error("the certificate cannot be read")]
    Certificate,
    #[error("the certificate was not issued by this server's authority")]
    Foreign,
    #[error("the request is not signed with the key of the certificate")]
    Signature,
}

/// A freshly signed agent certificate.
#[derive(Debug)]
pub struct IssuedCertificate {
    pub der: CertificateDer<'static>,
    pub serial: Serial,
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub public_key_hash: [u8; 32],
    pub expires_at: DateTime<Utc>,
}

/// The public key of a verified certificate request.
#[derive(Debug)]
pub struct RequestedKey(rcgen::PublicKey);

/// A certificate that asks for its successor, and proved that it is ours and that its key signs.
#[derive(Debug)]
pub struct ProvenCertificate {
    pub serial: Serial,
    pub public_key_hash: [u8; 32],
}

/// A new authority: certificate (DER) and key (PKCS#8).
pub fn found(now: DateTime<Utc>) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = params_for("Portreeve authority", now - BACKDATED, now + CA_LIFETIME)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key)?;
    Ok((certificate.der().to_vec(), key.serialize_der()))
}

impl Authority {
    pub fn open(installation_id: Uuid, certificate: Vec<u8>, key: &[u8]) -> anyhow::Result<Self> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.to_vec()));
        let key = KeyPair::from_der_and_sign_algo(&key, &PKCS_ECDSA_P256_SHA256)?;
        let certificate = CertificateDer::from(certificate);
        let (_, parsed) = X509Certificate::from_der(&certificate).context("the authority's certificate is damaged")?;
        ensure!(
            parsed.public_key().subject_public_key.data.as_ref() == key.public_key_raw(),
            "the authority's certificate and key do not belong together"
        );
        let pin = hex::encode(Sha256::digest(parsed.public_key().raw));
        let Some(expires_at) = DateTime::from_timestamp(parsed.validity().not_after.timestamp(), 0) else {
            bail!("the authority's certificate has no end");
        };
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok(Self { installation_id, certificate, expires_at, issuer, pin })
    }

    /// DER.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    pub fn expires_at(&self) -> DateTime<Utc> {
        self.expires_at
    }

    /// SHA-256 of our SubjectPublicKeyInfo, hexadecimal: the last part of every enrollment token.
    pub fn pin(&self) -> &str {
        &self.pin
    }

    /// Chain and key for a listener. The key never leaves memory and only our agents trust the chain, so it may last as
    /// long as we do.
    pub fn server_certificate(
        &self,
        name: &str,
        now: DateTime<Utc>,
    ) -> anyhow::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params_for(name, now - BACKDATED, self.expires_at)?;
        params.subject_alt_names = vec![SanType::DnsName(name.try_into()?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = params.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok((vec![leaf.der().clone(), self.certificate.clone()], key))
    }

    /// A certificate for a host, backdated by an hour and good for 30 days.
    pub fn issue(
        &self,
        key: &RequestedKey,
        client_id: i32,
        host_id: i64,
        now: DateTime<Utc>,
    ) -> anyhow::Result<IssuedCertificate> {
        let expires_at = (now + AGENT_LIFETIME).min(self.expires_at);
        let mut params = params_for(&format!("host {host_id}"), now - BACKDATED, expires_at)?;
        let uri = format!("portreeve://{}/client/{client_id}/host/{host_id}", self.installation_id);
        params.subject_alt_names = vec![SanType::URI(uri.try_into()?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key.0, &self.issuer)?;
        let (serial, public_key_hash) = read_certificate(certificate.der(), |parsed| {
            (Serial(parsed.raw_serial().into()), Sha256::digest(parsed.public_key().raw).into())
        })
        .context("our own certificate cannot be read")?;
        Ok(IssuedCertificate { der: certificate.der().clone(), serial, public_key_hash, expires_at })
    }

    /// Checks that we issued `certificate` and that its key signed this request. Says nothing of expiry or revocation.
    pub fn verify_renewal(
        &self,
        certificate: &[u8],
        request: &[u8],
        signature: &[u8],
    ) -> Result<ProvenCertificate, BadRequest> {
        if certificate.len() > LONGEST_DER || request.len() > LONGEST_DER {
            return Err(BadRequest::Certificate);
        }
        let (rest, parsed) = X509Certificate::from_der(certificate).map_err(|_| BadRequest::Certificate)?;
        let (_, ours) = X509Certificate::from_der(&self.certificate).map_err(|_| BadRequest::Certificate)?;
        if !rest.is_empty() {
            return Err(BadRequest::Certificate);
        }
        parsed.verify_signature(Some(ours.public_key())).map_err(|_| BadRequest::Foreign)?;
        let key = parsed.public_key().subject_public_key.data.as_ref();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key)
            .verify(&[RENEWAL_CONTEXT, request].concat(), signature)
            .map_err(|_| BadRequest::Signature)?;
        Ok(ProvenCertificate {
            serial: Serial(parsed.raw_serial().into()),
            public_key_hash: Sha256::digest(parsed.public_key().raw).into(),
        })
    }
}

/// Takes the public key out of a PKCS#10, whose own signature proves possession; everything else in it is ignored.
pub fn read_request(request: &[u8]) -> Result<RequestedKey, BadRequest> {
    if request.len() > LONGEST_DER {
        return Err(BadRequest::Request);
    }
    let parsed = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(request))
        .map_err(|_| BadRequest::Request)?;
    let is_p256 = parsed.public_key.algorithm() == &PKCS_ECDSA_P256_SHA256
        && matches!(rcgen::PublicKeyData::der_bytes(&parsed.public_key), [4, point @ ..] if point.len() == 64);
    if is_p256 { Ok(RequestedKey(parsed.public_key)) } else { Err(BadRequest::Request) }
}

/// Serial of a certificate as its bytes stand in it; `None`: not a certificate.
pub fn serial_of(certificate: &CertificateDer<'_>) -> Option<Serial> {
    read_certificate(certificate, |parsed| Serial(parsed.raw_serial().into()))
}

fn read_certificate<T>(der: &CertificateDer<'_>, read: impl FnOnce(&X509Certificate<'_>) -> T) -> Option<T> {
    X509Certificate::from_der(der).ok().map(|(_, parsed)| read(&parsed))
}

fn params_for(name: &str, from: DateTime<Utc>, to: DateTime<Utc>) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.not_before = time::OffsetDateTime::from_unix_timestamp(from.timestamp())?;
    params.not_after = time::OffsetDateTime::from_unix_timestamp(to.timestamp())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.use_authority_key_identifier_extension = true;
    let mut serial = [0_u8; 16];
    rand::rng().fill_bytes(&mut serial);
    // Positive and without a leading zero, so that the bytes in the certificate are these.
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000, 0).unwrap()
    }

    fn authority() -> Authority {
        let (certificate, key) = found(now()).unwrap();
        Authority::open(Uuid::nil(), certificate, &key).unwrap()
    }

    fn request(key: &KeyPair, names: &[&str]) -> Vec<u8> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        CertificateParams::new(names).unwrap().serialize_request(key).unwrap().der().to_vec()
    }

    #[test]
    fn only_the_key_of_a_request_is_taken() {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let requested = read_request(&request(&key, &["agents.portreeve.internal"])).unwrap();
        let issued = authority().issue(&requested, 7, 42, now()).unwrap();
        let (_, parsed) = X509Certificate::from_der(&issued.der).unwrap();
        let names = parsed.subject_alternative_name().unwrap().unwrap();
        let uri = "portreeve://00000000-0000-0000-0000-000000000000/client/7/host/42";
        assert_eq!(names.value.general_names, [x509_parser::extensions::GeneralName::URI(uri)]);
        let usage = parsed.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth);
        assert!(!parsed.is_ca());
        assert_eq!(parsed.validity().not_before.timestamp(), now().timestamp() - 3600);
        assert_eq!(parsed.validity().not_after.timestamp(), (now() + AGENT_LIFETIME).timestamp());
        assert_eq!(issued.serial.0.len(), 16);
    }

    #[test]
    fn a_request_with_another_kind_of_key_or_a_broken_signature_is_refused() {
        let other = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        assert_eq!(read_request(&request(&other, &[])).unwrap_err(), BadRequest::Request);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let mut broken = request(&key, &[]);
        *broken.last_mut().unwrap() ^= 1;
        assert_eq!(read_request(&broken).unwrap_err(), BadRequest::Request);
        assert_eq!(read_request(b"not DER").unwrap_err(), BadRequest::Request);
    }
}
