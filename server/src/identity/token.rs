//! Enrollment tokens: `ptr_enr_<id>_<secret>_<pin>`. The id finds the row, the secret (128 bits, stored as SHA-256)
//! admits, the pin tells the agent which authority to trust before it says anything.

use rand::Rng;
use sha2::{Digest, Sha256};

/// A new token's parts; the secret is shown once and never stored.
pub struct FreshToken {
    pub id: String,
    pub secret: String,
}

impl std::fmt::Debug for FreshToken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "FreshToken({}, ***)", self.id)
    }
}

impl FreshToken {
    pub fn random() -> Self {
        Self { id: random_hex::<6>(), secret: random_hex::<16>() }
    }

    /// The whole token, for this authority.
    pub fn text(&self, pin: &str) -> String {
        format!("ptr_enr_{}_{}_{pin}", self.id, self.secret)
    }
}

/// What is stored of a secret. It has 128 random bits: a plain hash is enough.
pub fn secret_hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// Lower-case hexadecimal of random bytes: for identifiers and secrets that travel as text.
pub fn random_hex<const BYTES: usize>() -> String {
    let mut bytes = [0_u8; BYTES];
    rand::rng().fill_bytes(&mut bytes);
    hex::encode(bytes)
}
