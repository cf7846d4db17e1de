//! Types that several resources share. They are the API's own: rows and facts are turned into them, never serialised
//! themselves, so that the contract changes only on purpose.

use chrono::{DateTime, Utc};
use rules::facts;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A customer of the MSP.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ClientRef {
    pub id: i32,
    pub name: String,
}

/// A place of a client.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SiteRef {
    pub id: i64,
    pub name: String,
}

/// A monitored Windows machine.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HostRef {
    pub id: i64,
    /// As the host calls itself. Hostile text: show it as text.
    pub name: String,
}

/// How much it matters now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Info,
    /// Will break.
    Warning,
    /// Is broken.
    Critical,
}

impl Severity {
    /// From `finding.severity`: 1 info, 2 warning, 3 critical.
    pub fn from_row(number: i16) -> Self {
        match number {
            3.. => Self::Critical,
            2 => Self::Warning,
            _ => Self::Info,
        }
    }

    pub fn to_row(self) -> i16 {
        match self {
            Self::Info => 1,
            Self::Warning => 2,
            Self::Critical => 3,
        }
    }
}

impl From<rules::finding::Severity> for Severity {
    fn from(severity: rules::finding::Severity) -> Self {
        match severity {
            rules::finding::Severity::Info => Self::Info,
            rules::finding::Severity::Warning => Self::Warning,
            rules::finding::Severity::Critical => Self::Critical,
        }
    }
}

impl From<Severity> for rules::finding::Severity {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Info => Self::Info,
            Severity::Warning => Self::Warning,
            Severity::Critical => Self::Critical,
        }
    }
}

/// How sure the rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    Possible,
    Likely,
    Certain,
}

impl From<rules::finding::Confidence> for Confidence {
    fn from(confidence: rules::finding::Confidence) -> Self {
        match confidence {
            rules::finding::Confidence::Possible => Self::Possible,
            rules::finding::Confidence::Likely => Self::Likely,
            rules::finding::Confidence::Certain => Self::Certain,
        }
    }
}

impl Confidence {
    /// From `finding.confidence`: 1 possible, 2 likely, 3 certain.
    pub fn from_row(number: i16) -> Self {
        match number {
            3.. => Self::Certain,
            2 => Self::Likely,
            _ => Self::Possible,
        }
    }

    pub fn to_row(self) -> i16 {
        match self {
            Self::Possible => 1,
            Self::Likely => 2,
            Self::Certain => 3,
        }
    }
}

/// Open findings by severity.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub struct OpenCounts {
    pub critical: i64,
    pub warning: i64,
    pub info: i64,
}

/// Sections of a host's facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SectionName {
    Host,
    Sockets,
    Services,
    Updates,
    PortPolicy,
    Events,
    Connections,
}

impl SectionName {
    pub const ALL: [Self; 7] =
        [Self::Host, Self::Sockets, Self::Services, Self::Updates, Self::PortPolicy, Self::Events, Self::Connections];

    /// As in `host_section.section`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Sockets => "sockets",
            Self::Services => "services",
            Self::Updates => "updates",
            Self::PortPolicy => "port_policy",
            Self::Events => "events",
            Self::Connections => "connections",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SectionState {
    Known,
    /// What is shown of it, if anything, is what was known last.
    Unknown,
}

/// Whether a section of a host's facts could be read, and how old it is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SectionStatus {
    pub section: SectionName,
    pub state: SectionState,
    /// Why it is unknown. `null`: it is known.
    pub reason: Option<String>,
    /// When it was read, by the host's clock corrected by its skew. `null`: never, or not said.
    pub collected_at: Option<DateTime<Utc>>,
    /// When the server learned it; of a past moment, since when it was so. `null`: it never has.
    pub learned_at: Option<DateTime<Utc>>,
}

/// A value that was read, or why it was not. Exactly one of the two is not null, except that a value which is known
/// to be unset has neither.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Known<T> {
    pub value: Option<T>,
    /// Why it could not be read.
    pub unknown: Option<String>,
}

impl<T> Known<T> {
    pub fn from_section<F>(section: facts::Section<F>, into: impl FnOnce(F) -> Option<T>) -> Self {
        match section {
            facts::Section::Known(value) => Self { value: into(value), unknown: None },
            facts::Section::Unknown(reason) => Self { value: None, unknown: Some(reason.into_string()) },
        }
    }
}

impl<T> Known<Vec<T>> {
    pub fn list<F>(section: facts::Section<Vec<F>>, into: impl FnMut(F) -> T) -> Self {
        Self::from_section(section, |rows| Some(rows.into_iter().map(into).collect()))
    }
}

/// Where the facts of a host come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CollectedBy {
    Agent,
    /// Output of commands, imported: no bind times, no live changes.
    Capture,
}

/// Whether we would know if something changed on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Freshness {
    /// Its agent is connected and was heard of within the last 90 seconds.
    Reporting,
    /// Its agent was heard of within the last 15 minutes.
    Stale,
    /// Not heard of for longer, or never.
    Silent,
    /// Facts are those of a capture and do not change by themselves.
    Capture,
    /// It is watched no longer.
    Retired,
}

impl Freshness {
    /// As db::read_hosts computes it.
    pub fn as_row(self) -> &'static str {
        match self {
            Self::Reporting => "reporting",
            Self::Stale => "stale",
            Self::Silent => "silent",
            Self::Capture => "capture",
            Self::Retired => "retired",
        }
    }

    pub fn from_row(text: &str) -> Self {
        match text {
            "retired" => Self::Retired,
            "reporting" => Self::Reporting,
            "stale" => Self::Stale,
            "capture" => Self::Capture,
            _ => Self::Silent,
        }
    }
}
