//! Facts of one host as rows: read whole when the first report of a stream arrives, written row by changed row. Every
//! write is one statement for all rows of a kind, in the transaction of the report.

mod images;
mod read;
mod write;

pub use images::{ImageIds, Images};
pub use read::{digests, load, services, sockets, updates};
pub(super) use write::joined;
pub use write::{SectionRow, mark_rejected, write_host, write_rows, write_sections};

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

/// An enum of `rules::facts` as it is written in facts files, which is how it is stored.
fn word<T: serde::Serialize>(value: T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// The other way. `None`: a word that this version does not know.
fn of_word<T: serde::de::DeserializeOwned>(word: &str) -> Option<T> {
    use serde::de::value::{Error, StrDeserializer};
    T::deserialize(StrDeserializer::<Error>::new(word)).ok()
}
