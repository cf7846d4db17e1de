//! Entries of the lists of updates. Several lists may name the same update, and contradict each other.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::Text;

/// One entry of one list of updates. Key: (source, id). The same KB may stand in several sources.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Update {
    pub source: UpdateSource,
    /// Package identity, registry key name or KB: unique within the source.
    pub id: Text,
    /// `KB948609`. `None`: the entry names no KB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kb: Option<Text>,
    /// Other names under which the entry is known: further KBs, a bulletin, a product code.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<Text>,
    #[serde(default)]
    pub title: Text,
    pub state: UpdateState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed_at: Option<DateTime<Utc>>,
    /// Account or program that installed it, as the list names it. `None`: not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed_by: Option<Text>,
    /// `None`: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removable: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Text>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpdateSource {
    /// Component Based Servicing packages.
    ComponentPackage,
    UninstallEntry,
    InstallerPatch,
    UpdateHistory,
    /// A list printed by a command on a host without an agent.
    Capture,
    /// A version of the .NET Framework that is present, whatever update brought it.
    FrameworkVersion,
    /// What the Windows Update Agent offers or has downloaded and not installed.
    Offer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpdateState {
    Installed,
    Superseded,
    /// Will be installed at the next restart.
    InstallPending,
    /// Will be gone after the next restart.
    UninstallPending,
    /// On disk or offered, not installed.
    Staged,
    Failed,
    Absent,
}
