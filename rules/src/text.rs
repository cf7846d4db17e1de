//! Text that came from a host: hostile by definition, made harmless once, where it enters.
//!
//! Invariant: a [`Text`] holds at most [`Text::MAX`] characters, and none of them is a control character, U+0000, an
//! unpaired surrogate or a bidirectional override. Whatever was replaced shows as U+FFFD, so that a reader sees that
//! something was there. Escaping for HTML, CSV or a terminal stays the business of whoever prints it.
//!
//! A clone shares the characters: thousands of hosts say the same of the same services and updates.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::{Serialize, Serializer};

#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Arc<str>);

impl Text {
    /// Characters kept; what follows is cut.
    pub const MAX: usize = 1024;

    pub fn new(raw: &str) -> Self {
        if raw.is_empty() {
            return Self::default();
        }
        let is_plain = raw.len() <= Self::MAX && raw.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if is_plain {
            return Self(raw.into());
        }
        let safe = |c| if is_unsafe(c) { char::REPLACEMENT_CHARACTER } else { c };
        let clean: String = raw.chars().take(Self::MAX).map(safe).collect();
        Self(clean.into())
    }

    /// From bytes that should be UTF-8; what is not becomes U+FFFD.
    pub fn from_bytes(raw: &[u8]) -> Self {
        Self::new(&String::from_utf8_lossy(raw))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0.as_ref().to_owned()
    }

    /// How many hold the same characters as this one, with it.
    pub fn holders(&self) -> usize {
        Arc::strong_count(&self.0)
    }
}

/// Control characters (C0, DEL, C1) and the invisible characters that reorder or hide the text around them.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(raw: &str) -> Self {
        Self::new(raw)
    }
}

impl From<String> for Text {
    fn from(raw: String) -> Self {
        Self::new(&raw)
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        *self.0 == **other
    }
}

impl fmt::Display for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Reads a JSON string as bytes: `serde_json` then lets `"\ud800"` through (as three bytes that are not UTF-8)
/// instead of refusing the whole document for one damaged name.
impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl Visitor<'_> for TextVisitor {
            type Value = Text;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_str<E: Error>(self, raw: &str) -> Result<Text, E> {
                Ok(Text::new(raw))
            }

            fn visit_bytes<E: Error>(self, raw: &[u8]) -> Result<Text, E> {
                Ok(Text::from_bytes(raw))
            }
        }

        deserializer.deserialize_bytes(TextVisitor)
    }
}

impl JsonSchema for Text {
    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": "string" })
    }
}

#[cfg(test)]
mod tests {
    use super::Text;

    #[test]
    fn replaces_what_could_act_on_a_reader() {
        assert_eq!(Text::new("a\0b\u{1b}[31m\u{202e}c").as_str(), "a\u{fffd}b\u{fffd}[31m\u{fffd}c");
    }

    #[test]
    fn keeps_markup_as_text() {
        assert_eq!(Text::new("<script>alert(1)</script>").as_str(), "<script>alert(1)</script>");
    }

    #[test]
    fn reads_an_unpaired_surrogate() {
        let text: Text = serde_json::from_str(r#""svc\ud800""#).unwrap();
        assert!(text.starts_with("svc\u{fffd}"));
    }

    #[test]
    fn cuts_after_the_limit() {
        assert_eq!(Text::new(&"é".repeat(5000)).chars().count(), Text::MAX);
    }
}
