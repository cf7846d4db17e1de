//! Windows services, as the service control manager tells of them.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::text::Text;

/// A Windows service. Key: the SCM key name, compared without case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Service {
    pub name: Text,
    #[serde(default)]
    pub display_name: Text,
    pub state: ServiceState,
    /// `None`: not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<StartMode>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delayed: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger_start: Option<bool>,
    /// `None`: it has no process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// dwWin32ExitCode: 0 fine, 1066 the reason is in `service_exit_code`, 1077 never started since boot.
    /// `None`: not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_exit_code: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_path: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Text>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<Text>,
    /// When it entered this state, by the host's clock. `None`: that was not seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_since: Option<DateTime<Utc>>,
    /// What the service control manager does when it fails. `None`: not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Recovery>,
}

/// <https://learn.microsoft.com/windows/win32/api/winsvc/ns-winsvc-service_failure_actionsw>
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Recovery {
    /// After how many seconds without a failure the count starts anew. `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_after_seconds: Option<u32>,
    /// For the first failure, the second and so on; the last one repeats. Empty: nothing is done.
    #[serde(default)]
    pub actions: Vec<RecoveryAction>,
    /// Whether stopping with an error counts as a failure, not only a crash. `None`: not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_error_stop: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecoveryAction {
    pub kind: RecoveryKind,
    pub delay_ms: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecoveryKind {
    None,
    Restart,
    RestartComputer,
    RunCommand,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServiceState {
    Stopped,
    StartPending,
    StopPending,
    Running,
    ContinuePending,
    PausePending,
    Paused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StartMode {
    Boot,
    System,
    Auto,
    Manual,
    Disabled,
}
