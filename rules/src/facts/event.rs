//! Entries of the event logs, as ids and data.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::Text;

/// An entry of an event log, as ids and data: its text is written by whoever shows it. Key: (log, record id).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Such as `System`.
    pub log: Text,
    /// Number of the entry in its log; starts anew when the log is cleared.
    pub record_id: u64,
    /// When it was written, by the host's clock. `None`: not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
    /// Such as `Service Control Manager`.
    pub provider: Text,
    /// Such as 7023.
    pub id: u32,
    /// SCM key name of the service that it tells of. `None`: of none, or not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Text>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<EventDatum>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventDatum {
    /// `None`: the entry numbers its data only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Text>,
    pub value: Text,
}
