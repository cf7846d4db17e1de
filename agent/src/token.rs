//! Enrollment tokens: `ptr_enr_<id>_<secret>_<pin>`, where the pin is the SHA-256 of the public key of the server's
//! authority. The pin is what makes the first connection safe: a server that cannot show that authority learns nothing.

use std::fmt;
use std::str::FromStr;

/// One token, read. Prints nothing of its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    pub id: String,
    pub secret: String,
    pub pin: Pin,
}

/// SHA-256 of a SubjectPublicKeyInfo.
pub type Pin = [u8; 32];

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    #[error("an enrollment token begins with `ptr_enr_`; copy the whole line that `enroll-token create` printed")]
    Prefix,
    #[error("the enrollment token is not complete; copy the whole line that `enroll-token create` printed")]
    Parts,
    #[error("the last part of the enrollment token is not 64 hexadecimal digits; copy the whole line again")]
    Pin,
}

impl FromStr for Token {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        // A file written by a Windows editor may begin with a byte order mark.
        let text = text.trim_start_matches('\u{feff}').trim();
        let rest = text.strip_prefix("ptr_enr_").ok_or(BadToken::Prefix)?;
        let parts: Vec<_> = rest.split('_').collect();
        let [id, secret, pin] = parts.as_slice() else { return Err(BadToken::Parts) };
        if id.is_empty() || secret.is_empty() {
            return Err(BadToken::Parts);
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(pin, &mut bytes).map_err(|_| BadToken::Pin)?;
        Ok(Self { id: (*id).to_owned(), secret: (*secret).to_owned(), pin: bytes })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Token({}, ***)", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::{BadToken, Token};

    #[test]
    fn reads_what_the_server_prints() {
        let text = format!("\u{feff}ptr_enr_a1b2_s3cret_{}\r\n", "0f".repeat(32));
        let token: Token = text.parse().unwrap();
        assert_eq!((token.id.as_str(), token.secret.as_str(), token.pin), ("a1b2", "s3cret", [0x0f; 32]));
        assert!(!format!("{token:?}").contains("s3cret"));
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, expected) in [
            ("", BadToken::Prefix),
            ("ptr_api_a_b_c", BadToken::Prefix),
            ("ptr_enr_a_b", BadToken::Parts),
            ("ptr_enr__b_00", BadToken::Parts),
            ("ptr_enr_a_b_00", BadToken::Pin),
            ("ptr_enr_a_b_xyz", BadToken::Pin),
        ] {
            assert_eq!(text.parse::<Token>().unwrap_err(), expected, "{text}");
        }
    }
}
