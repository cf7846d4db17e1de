//! Ed25519 keys and signatures of catalog releases. Keys are PEM (PKCS#8 and SubjectPublicKeyInfo), a signature is the
//! base64 of its 64 bytes over the file as it is: any tool that knows Ed25519 can make and check them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use sha2::{Digest as _, Sha256};

/// What stands before the 32 bytes of a private key in PKCS#8 (RFC 8410).
const PRIVATE_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// What stands before the 32 bytes of a public key in SubjectPublicKeyInfo (RFC 8410).
const PUBLIC_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Why a key or a signature cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    #[error("this is no private key: a PEM file with an Ed25519 key in PKCS#8")]
    NotPrivate,
    #[error("this is no public key: a PEM file with an Ed25519 key")]
    NotPublic,
    #[error("the system gives no random bytes")]
    NoRandomness,
}

/// Whose signatures are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

/// Signs releases.
pub struct PrivateKey(Ed25519KeyPair);

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("PrivateKey(***)")
    }
}

/// A new private key, as PEM.
pub fn generate() -> Result<String, KeyFault> {
    let mut seed = [0; 32];
    SystemRandom::new().fill(&mut seed).map_err(|_| KeyFault::NoRandomness)?;
    Ok(pem("PRIVATE KEY", &[PRIVATE_PREFIX.as_slice(), &seed].concat()))
}

impl PrivateKey {
    pub fn from_pem(text: &str) -> Result<Self, KeyFault> {
        let der = der("PRIVATE KEY", text).ok_or(KeyFault::NotPrivate)?;
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map(Self).map_err(|_| KeyFault::NotPrivate)
    }

    pub fn public(&self) -> Result<PublicKey, KeyFault> {
        self.0.public_key().as_ref().try_into().map(PublicKey).map_err(|_| KeyFault::NotPublic)
    }

    pub fn sign(&self, bytes: &[u8]) -> String {
        STANDARD.encode(self.0.sign(bytes))
    }
}

impl PublicKey {
    pub fn from_pem(text: &str) -> Result<Self, KeyFault> {
        let der = der("PUBLIC KEY", text).ok_or(KeyFault::NotPublic)?;
        der.strip_prefix(PUBLIC_PREFIX.as_slice()).and_then(Self::from_bytes).ok_or(KeyFault::NotPublic)
    }

    /// `None`: not 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn to_pem(self) -> String {
        pem("PUBLIC KEY", &[PUBLIC_PREFIX.as_slice(), &self.0].concat())
    }

    /// The first 16 hexadecimal digits of its SHA-256.
    pub fn id(&self) -> String {
        hex::encode(&Sha256::digest(self.0)[..8])
    }

    /// Whether `signature`, in base64, is this key's over `bytes`.
    pub fn has_signed(&self, bytes: &[u8], signature: &str) -> bool {
        let Ok(signature) = STANDARD.decode(signature.trim()) else { return false };
        UnparsedPublicKey::new(&ED25519, &self.0).verify(bytes, &signature).is_ok()
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

fn der(label: &str, text: &str) -> Option<Vec<u8>> {
    let (_, text) = text.split_once(&format!("-----BEGIN {label}-----"))?;
    let (body, _) = text.split_once(&format!("-----END {label}-----"))?;
    STANDARD.decode(body.split_whitespace().collect::<String>()).ok()
}

#[cfg(test)]
mod tests {
    use super::{KeyFault, PrivateKey, PublicKey, generate};

    #[test]
    fn a_signature_holds_for_its_key_and_its_bytes_only() {
        let key = PrivateKey::from_pem(&generate().unwrap()).unwrap();
        let other = PrivateKey::from_pem(&generate().unwrap()).unwrap();
        let public = PublicKey::from_pem(&key.public().unwrap().to_pem()).unwrap();
        let signature = key.sign(b"version 7");
        assert!(public.has_signed(b"version 7", &signature));
        assert!(public.has_signed(b"version 7", &format!("{signature}\n")));
        assert!(!public.has_signed(b"version 8", &signature));
        assert!(!other.public().unwrap().has_signed(b"version 7", &signature));
        for text in ["", "AAAA", "not base64!"] {
            assert!(!public.has_signed(b"version 7", text));
        }
    }

    /// The first test vector of RFC 8032, in the PEM that OpenSSL writes.
    #[test]
    fn keys_are_those_of_the_standard() {
        let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
        let key = PrivateKey::from_pem(pem).unwrap();
        let public = hex::encode(key.public().unwrap().as_bytes());
        assert_eq!(public, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        assert!(key.sign(b"").starts_with("5VZDAMNgrHKQhuLMgG6CioSHfx645d"));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let private = generate().unwrap();
        assert_eq!(PublicKey::from_pem(&private), Err(KeyFault::NotPublic));
        assert_eq!(PrivateKey::from_pem("").unwrap_err(), KeyFault::NotPrivate);
        assert_eq!(PrivateKey::from_pem(&private.replace('M', "!")).unwrap_err(), KeyFault::NotPrivate);
    }
}
