//! Seals secrets that are kept in Postgres: XChaCha20-Poly1305 under DIR/master.key, so that a stolen database or
//! backup is worthless without the file beside it.

use std::{
    io::{ErrorKind, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    sync::Arc,
};

use anyhow::{Context, bail};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use rand::Rng;

const NONCE: usize = 24;

/// What a sealed value is for. Part of what is authenticated: a value sealed for one purpose opens for no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    CaKey,
    EndpointSecret,
}

impl Purpose {
    fn associated(self) -> &'static [u8] {
        match self {
            Self::CaKey => b"portreeve ca key v1",
            Self::EndpointSecret => b"portreeve endpoint secret v1",
        }
    }
}

/// A sealed value did not open: another key sealed it, or it was changed.
#[derive(Debug, thiserror::Error)]
#[error("the sealed value does not open under this master key")]
pub struct NotOurs;

/// Holds the master key. Prints nothing of it.
#[derive(Clone)]
pub struct Sealer(Arc<XChaCha20Poly1305>);

impl std::fmt::Debug for Sealer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Sealer(***)")
    }
}

impl Sealer {
    pub fn new(key: &[u8; 32]) -> Self {
        Self(Arc::new(XChaCha20Poly1305::new(&(*key).into())))
    }

    /// Reads `master.key` of the data folder, or makes it (mode 0600) when there is none.
    pub fn load_or_create(data_dir: &Path) -> anyhow::Result<Self> {
        let path = data_dir.join("master.key");
        match Self::load(&path) {
            Err(error) if error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::NotFound) => {
                Self::create(&path)
            }
            loaded => loaded,
        }
    }

    /// Nonce, then ciphertext.
    ///
    /// # Panics
    /// Above 256 GiB, which no secret has.
    pub fn seal(&self, purpose: Purpose, secret: &[u8]) -> Vec<u8> {
        let mut nonce = [0_u8; NONCE];
        rand::rng().fill_bytes(&mut nonce);
        let payload = Payload { msg: secret, aad: purpose.associated() };
        #[expect(clippy::expect_used, reason = "fails only above 256 GiB")]
        let ciphertext = self.0.encrypt(&XNonce::from(nonce), payload).expect("a secret is short");
        [nonce.as_slice(), &ciphertext].concat()
    }

    pub fn open(&self, purpose: Purpose, sealed: &[u8]) -> Result<Vec<u8>, NotOurs> {
        let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE>().ok_or(NotOurs)?;
        let payload = Payload { msg: ciphertext, aad: purpose.associated() };
        self.0.decrypt(&XNonce::from(*nonce), payload).map_err(|_| NotOurs)
    }

    /// Reads a master key that is there.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let Ok(key) = <[u8; 32]>::try_from(bytes.as_slice()) else {
            bail!("{} should hold 32 bytes, and holds {}", path.display(), bytes.len());
        };
        let mode = std::fs::metadata(path)?.permissions().mode();
        if mode & 0o077 != 0 {
            bail!("{} can be read by others (mode {:o}); set it to 0600", path.display(), mode & 0o777);
        }
        Ok(Self::new(&key))
    }

    fn create(path: &Path) -> anyhow::Result<Self> {
        let mut key = [0_u8; 32];
        rand::rng().fill_bytes(&mut key);
        // Written whole under another name first: a server that is killed here leaves no half of a key. The link fails
        // when the key exists, so of two servers that start at once one makes it and the other reads it.
        let draft = path.with_extension(format!("{:016x}", rand::random::<u64>()));
        let made = || -> std::io::Result<()> {
            let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
            file.write_all(&key)?;
            file.sync_all()?;
            std::fs::hard_link(&draft, path)
        };
        let outcome = made();
        // A draft that was never made has nothing to remove.
        let _ = std::fs::remove_file(&draft);
        match outcome {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Self::load(path),
            other => other.with_context(|| format!("cannot make {}", path.display())).map(|()| Self::new(&key)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_opens_only_for_its_purpose_and_key() {
        let sealer = Sealer::new(&[1; 32]);
        let closed = sealer.seal(Purpose::CaKey, b"secret");
        assert_eq!(sealer.open(Purpose::CaKey, &closed).unwrap(), b"secret");
        assert!(sealer.open(Purpose::EndpointSecret, &closed).is_err());
        assert!(Sealer::new(&[2; 32]).open(Purpose::CaKey, &closed).is_err());
        assert!(sealer.open(Purpose::CaKey, &closed[..20]).is_err());
    }
}
