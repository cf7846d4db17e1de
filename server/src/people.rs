//! Who may use the API: roles, passwords, and the secrets of sessions and tokens. No database and no HTTP here.
//!
//! Invariant: a password is kept as an argon2id hash; sessions and tokens as SHA-256, which is enough for 256 random
//! bits. No secret can be printed by accident.

use std::fmt;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use uuid::Uuid;

/// What an operator may do. Each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Works on findings.
    Operator,
    /// Decides where alerts go.
    Admin,
}

impl Role {
    /// As in `operator.role`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// 256 random bits that prove who one is. Shown once, never stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl Secret {
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// From its 64 hexadecimal digits. `None`: it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// What is stored of it.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0).into()
    }

    /// The secret itself, for the one to whom it belongs.
    pub fn reveal(&self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// A bearer token `ptr_pat_<id>_<secret>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    pub id: Uuid,
    pub secret: Secret,
}

impl ApiToken {
    pub fn random() -> Self {
        Self { id: Uuid::new_v4(), secret: Secret::random() }
    }

    /// `None`: the text is no such token.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix("ptr_pat_")?.split_once('_')?;
        Some(Self { id: Uuid::try_parse(id).ok()?, secret: Secret::parse(secret)? })
    }

    /// The token itself, for the one to whom it belongs.
    pub fn reveal(&self) -> String {
        format!("ptr_pat_{}_{}", self.id.simple(), self.secret.reveal())
    }
}

/// Fewest characters of a password. Length is the only rule: composition rules make passwords worse.
pub const MIN_PASSWORD: usize = 15;
/// Most bytes of a password, so that hashing one costs little more than hashing another.
pub const MAX_PASSWORD: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordFault {
    #[error("a password has at least {MIN_PASSWORD} characters")]
    TooShort,
    #[error("a password has at most {MAX_PASSWORD} bytes")]
    TooLong,
    #[error("the password could not be hashed")]
    NotHashed,
}

/// The PHC string to store. Takes about 20 ms and 19 MiB: call it where that blocks nobody.
pub fn hash_password(password: &str) -> Result<String, PasswordFault> {
    if password.chars().count() < MIN_PASSWORD {
        return Err(PasswordFault::TooShort);
    }
    if password.len() > MAX_PASSWORD {
        return Err(PasswordFault::TooLong);
    }
    let hash = argon2id()?.hash_password(password.as_bytes()).map_err(|_| PasswordFault::NotHashed)?;
    Ok(hash.to_string())
}

/// Whether `password` is the one whose PHC string is `hash`. Without a hash it takes as long and is never right: an
/// unknown name cannot be told from a wrong password by the time it takes.
pub fn verify_password(password: &str, hash: Option<&str>) -> bool {
    let Ok(argon2) = argon2id() else { return false };
    let stored = PasswordHash::new(hash.unwrap_or(NOBODY));
    let right = stored.is_ok_and(|stored| argon2.verify_password(password.as_bytes(), &stored).is_ok());
    right && hash.is_some()
}

/// The hash of 32 random bytes that nobody kept, with the parameters below.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$5hN0cPLYHrCkeVpUUkYk9hOuX1KVbAT8B6DYFXpwHdA";

/// 19 MiB, two passes, one lane: the first choice of the OWASP cheat sheet on storing passwords.
fn argon2id() -> Result<Argon2<'static>, PasswordFault> {
    let parameters = Params::new(19 * 1024, 2, 1, None).map_err(|_| PasswordFault::NotHashed)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters))
}

#[cfg(test)]
mod tests {
    use super::{ApiToken, NOBODY, PasswordFault, Secret, hash_password, verify_password};

    #[test]
    fn a_token_is_read_as_it_is_shown() {
        let token = ApiToken::random();
        assert_eq!(ApiToken::parse(&token.reveal()), Some(token.clone()));
        assert!(!format!("{token:?}").contains(&token.secret.reveal()));
        for text in ["", "ptr_pat_", "ptr_pat_x_y", "ptr_enr_00000000000000000000000000000000_00"] {
            assert_eq!(ApiToken::parse(text), None, "{text}");
        }
        assert_eq!(Secret::parse("00"), None);
    }

    #[test]
    fn only_the_right_password_fits() {
        let hash = hash_password("correct horse battery").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert!(verify_password("correct horse battery", Some(&hash)));
        assert!(!verify_password("correct horse batterie", Some(&hash)));
        assert!(!verify_password("correct horse battery", None));
        assert_eq!(hash_password("too short"), Err(PasswordFault::TooShort));
    }

    #[test]
    fn nobody_costs_what_somebody_costs() {
        assert!(argon2::password_hash::phc::PasswordHash::new(NOBODY).is_ok());
        assert_eq!(NOBODY.len(), hash_password("correct horse battery").unwrap().len());
    }
}
