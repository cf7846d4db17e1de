//! Facts from a file, and a judgement as text: what `portreeve-server check` prints. No I/O: bytes in, text out.

mod explain;
mod render;

pub use explain::{NotASubject, explain};
pub use render::render;

use serde::Deserialize;

use crate::facts::{Facts, SCHEMA};
use crate::text::Text;

/// Why a facts file could not be read, and where in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}, at {path}: {message}")]
pub struct BadFacts {
    /// 1 for the first line.
    pub line: usize,
    pub column: usize,
    /// Such as `sockets.known[3].port`; `.` is the document.
    pub path: String,
    pub message: String,
}

/// Reads one facts document. Members that are not known are ignored; a wrong or missing `schema` is refused.
pub fn parse_facts(bytes: &[u8]) -> Result<Facts, BadFacts> {
    #[derive(Deserialize)]
    struct Head {
        schema: Text,
    }

    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let head: Head = read(bytes)?;
    if head.schema != SCHEMA {
        let found = head.schema;
        let message = format!("the schema is `{found}`; this program reads `{SCHEMA}`");
        return Err(BadFacts { line: 1, column: 1, path: "schema".to_owned(), message });
    }
    read(bytes)
}

fn read<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, BadFacts> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|fault| {
        let path = fault.path().to_string();
        bad_facts(&path, &fault.into_inner())
    })?;
    deserializer.end().map_err(|error| bad_facts(".", &error))?;
    Ok(value)
}

fn bad_facts(path: &str, error: &serde_json::Error) -> BadFacts {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let message = text.strip_suffix(&place).unwrap_or(&text);
    // The message may quote the document, which is hostile.
    BadFacts {
        line: error.line(),
        column: error.column(),
        path: Text::new(path).into_string(),
        message: Text::new(message).into_string(),
    }
}
