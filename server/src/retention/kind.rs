//! What is stored, by kind: which tables each is made of. Every table that is named nowhere here is `other`.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A part of what is stored that has a size, and most of the time an age at which it is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Sockets that were open and are not.
    SocketSpans,
    /// Services as they were.
    ServiceSpans,
    /// Entries of lists of updates as they were.
    UpdateSpans,
    /// Sections as they were.
    SectionSpans,
    /// When hosts were not heard of.
    Silences,
    /// Entries of event logs.
    Events,
    /// Boots and what happened in them.
    Boots,
    /// Findings that are resolved, with all that belongs to them; for the size, the open ones as well.
    Findings,
    /// Webhooks that were delivered or given up, with their attempts; for the size, the pending ones as well.
    Deliveries,
    /// Reports that could not be applied.
    Quarantine,
    /// What is true of hosts, as far as is known.
    Facts,
    /// All other tables.
    Other,
    /// The write-ahead log of Postgres.
    Wal,
    /// The database and its write-ahead log.
    Total,
}

impl Kind {
    pub const ALL: &[Self] = &[
        Self::SocketSpans,
        Self::ServiceSpans,
        Self::UpdateSpans,
        Self::SectionSpans,
        Self::Silences,
        Self::Events,
        Self::Boots,
        Self::Findings,
        Self::Deliveries,
        Self::Quarantine,
        Self::Facts,
        Self::Other,
        Self::Wal,
        Self::Total,
    ];

    /// As stored, in the API, and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SocketSpans => "socket-spans",
            Self::ServiceSpans => "service-spans",
            Self::UpdateSpans => "update-spans",
            Self::SectionSpans => "section-spans",
            Self::Silences => "silences",
            Self::Events => "events",
            Self::Boots => "boots",
            Self::Findings => "findings",
            Self::Deliveries => "deliveries",
            Self::Quarantine => "quarantine",
            Self::Facts => "facts",
            Self::Other => "other",
            Self::Wal => "wal",
            Self::Total => "total",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text)
    }

    /// The kind that this table counts as. Partitions count as the table that they are parts of.
    pub fn of_table(table: &str) -> Self {
        Self::ALL.iter().copied().find(|kind| kind.tables().contains(&table)).unwrap_or(Self::Other)
    }

    /// The table of spans that is kept by weeks. `None`: the kind goes by rows, or not at all.
    pub fn span_table(self) -> Option<&'static str> {
        match self {
            Self::SocketSpans => Some("socket_span"),
            Self::ServiceSpans => Some("service_span"),
            Self::UpdateSpans => Some("update_span"),
            Self::SectionSpans => Some("section_span"),
            _ => None,
        }
    }

    fn tables(self) -> &'static [&'static str] {
        match self {
            Self::SocketSpans => &["socket_span", "service_list"],
            Self::ServiceSpans => &["service_span"],
            Self::UpdateSpans => &["update_span"],
            Self::SectionSpans => &["section_span"],
            Self::Silences => &["host_silence"],
            Self::Events => &["event"],
            Self::Boots => &["boot", "boot_entry"],
            Self::Findings => &["finding", "finding_event", "problem_member"],
            Self::Deliveries => &["delivery", "delivery_attempt"],
            Self::Quarantine => &["quarantine"],
            Self::Facts => {
                &["host_section", "socket_now", "service_now", "update_now", "host_connections", "agent_stream"]
            }
            Self::Other | Self::Wal | Self::Total => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn names_are_those_of_the_api() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).ok(), Some(kind.as_str().into()));
            assert_eq!(Kind::parse(kind.as_str()), Some(*kind));
        }
    }

    #[test]
    fn a_table_is_of_one_kind() {
        assert_eq!(Kind::of_table("socket_span"), Kind::SocketSpans);
        assert_eq!(Kind::of_table("finding_event"), Kind::Findings);
        assert_eq!(Kind::of_table("client"), Kind::Other);
    }
}
