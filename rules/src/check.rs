//! Facts from a file, and a judgement as text: what `portreeve-server check` prints. No I/O: bytes in, text out.

mod explain;
mod render;

use std::fmt;

pub use explain::{NotASubject, explain};
pub use render::render;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

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

/// Reads one facts document in UTF-8, with or without a byte order mark. Members that are not known are ignored; a wrong
/// or missing `schema` is refused.
pub fn parse_facts(bytes: &[u8]) -> Result<Facts, BadFacts> {
    #[derive(Deserialize)]
    struct Head {
        schema: Option<Schema>,
    }

    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if let Some(message) = not_a_document(bytes) {
        return Err(BadFacts { line: 1, column: 1, path: ".".to_owned(), message });
    }
    let head: Head = read(bytes)?;
    if head.schema.is_none() {
        let message = format!("there is no `schema`; this program reads `{SCHEMA}`");
        return Err(BadFacts { line: 1, column: 1, path: "schema".to_owned(), message });
    }
    read(bytes)
}

/// What is wrong with bytes that cannot be a JSON object, where the parser would only name a byte or a column.
fn not_a_document(bytes: &[u8]) -> Option<String> {
    let Some(first) = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) else {
        return Some("the file is empty".to_owned());
    };
    match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, 1..=255, ..] | [1..=255, 0, ..] => {
            return Some("the file is UTF-16 (PowerShell's `>` writes it); save it as UTF-8".to_owned());
        }
        [0, ..] => return Some("the file holds NUL bytes instead of text".to_owned()),
        _ => {}
    }
    match first {
        b'{' => None,
        b'[' => Some("the document is a list; a facts file holds one host, as one object `{…}`".to_owned()),
        _ => Some("the file is not JSON; a facts file holds one object `{…}`".to_owned()),
    }
}

/// The one schema that is read. Any other fails while it is read, so that the fault has its line.
struct Schema;

impl<'de> Deserialize<'de> for Schema {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SchemaVisitor;

        impl Visitor<'_> for SchemaVisitor {
            type Value = Schema;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "`{SCHEMA}`")
            }

            fn visit_str<E: Error>(self, found: &str) -> Result<Schema, E> {
                if found == SCHEMA {
                    return Ok(Schema);
                }
                Err(E::custom(format!("the schema is `{found}`; this program reads `{SCHEMA}`")))
            }
        }

        deserializer.deserialize_str(SchemaVisitor)
    }
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

#[cfg(test)]
mod tests {
    use super::parse_facts;

    fn fault(bytes: &[u8]) -> String {
        parse_facts(bytes).unwrap_err().to_string()
    }

    #[test]
    fn says_what_a_file_is_that_holds_no_document() {
        let text = r#"{"schema": "portreeve.facts/1"}"#;
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for (bytes, expected) in [
            (Vec::new(), "the file is empty"),
            (b" \r\n".to_vec(), "the file is empty"),
            (b"\xef\xbb\xbf".to_vec(), "the file is empty"),
            ([b"\xff\xfe", &*little].concat(), "the file is UTF-16 (PowerShell's `>` writes it); save it as UTF-8"),
            ([b"\xfe\xff", &*big].concat(), "the file is UTF-16 (PowerShell's `>` writes it); save it as UTF-8"),
            (little, "the file is UTF-16 (PowerShell's `>` writes it); save it as UTF-8"),
            (big, "the file is UTF-16 (PowerShell's `>` writes it); save it as UTF-8"),
            (vec![0; 64], "the file holds NUL bytes instead of text"),
            (b"hello".to_vec(), "the file is not JSON; a facts file holds one object `{…}`"),
            (
                br#"["portreeve.facts/1"]"#.to_vec(),
                "the document is a list; a facts file holds one host, as one object `{…}`",
            ),
        ] {
            assert_eq!(fault(&bytes), format!("line 1, column 1, at .: {expected}"));
        }
        assert!(parse_facts(&[b"\xef\xbb\xbf", text.as_bytes()].concat()).is_ok());
    }

    #[test]
    fn names_the_line_of_a_wrong_schema() {
        assert_eq!(
            fault(b"{\n  \"collected_at\": null,\n  \"schema\": \"portreeve.facts/9\"\n}"),
            "line 3, column 31, at schema: the schema is `portreeve.facts/9`; this program reads `portreeve.facts/1`"
        );
        assert_eq!(
            fault(b"{}"),
            "line 1, column 1, at schema: there is no `schema`; this program reads `portreeve.facts/1`"
        );
    }

    #[test]
    fn names_the_two_forms_of_a_section() {
        let updates =
            |section: &str| fault(format!(r#"{{"schema": "portreeve.facts/1", "updates": {section}}}"#).as_bytes());
        for section in
            ["null", "[]", "{}", r#""none""#, r#"{"known": [], "unknown": "?"}"#, r#"{"unknown": "?", "known": []}"#]
        {
            let message = updates(section);
            assert!(message.contains(r#"`{"known": …}` or `{"unknown": "reason"}`"#), "{section}: {message}");
            assert!(message.contains("at updates"), "{section}: {message}");
        }
        assert!(updates(r#"{"unknwon": "?"}"#).contains("unknown field `unknwon`, expected `known` or `unknown`"));
        assert!(updates(r#"{"known": [{"source": "capture"}]}"#).contains("at updates.known[0]: missing field `id`"));
    }
}
