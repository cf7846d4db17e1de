//! Facts of one host as rows: read whole when the first report of a stream arrives, written row by changed row. Every
//! write is one statement for all rows of a kind and all hosts of a transaction, which is that of their reports.

mod connections;
mod dictionaries;
mod read;
pub(super) mod rows;
mod write;

use rules::text::Text;

pub use connections::connections;
pub use dictionaries::{Dictionaries, Numbers, Words};
pub use read::{digests, load, services, sockets, updates};
pub use write::{HostChange, SectionRow, rejected, write};

/// U+001F; texts of hosts hold no control characters.
const SEPARATOR: &str = "\u{1f}";

/// As `host_section.section`.
pub fn section_name(section: proto::fleet::v1::Section) -> &'static str {
    use proto::fleet::v1::Section;
    match section {
        Section::Host | Section::Unspecified => "host",
        Section::Sockets => "sockets",
        Section::Services => "services",
        Section::Updates => "updates",
        Section::PortPolicy => "port_policy",
        Section::Events => "events",
        Section::Connections => "connections",
    }
}

/// As one text, which SQL takes apart again with `string_to_array(…, U&'\001f')`.
pub(super) fn joined(texts: &[Text]) -> String {
    texts.iter().map(Text::as_str).collect::<Vec<_>>().join(SEPARATOR)
}

/// An enum of `rules::facts` as it is written in facts files, which is how it is stored.
fn word<T: serde::Serialize>(value: T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// The other way. `None`: a word that this version does not know.
pub(super) fn of_word<T: serde::de::DeserializeOwned>(word: &str) -> Option<T> {
    use serde::de::value::{Error, StrDeserializer};
    T::deserialize(StrDeserializer::<Error>::new(word)).ok()
}
