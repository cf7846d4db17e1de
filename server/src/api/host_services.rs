//! The services of a host, joined with its ports: what each needs, who holds that, and what it holds itself.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::access::Caller;
use crate::api::extract::{Path, Query};
use crate::api::holders;
use crate::api::host_ports::PortGroup;
use crate::api::hosts::section_status;
use crate::api::model::{SectionName, SectionStatus};
use crate::api::past::{AsOf, AtQuery};
use crate::api::problem::Problem;
use crate::app::App;
use crate::clock;
use crate::db::read_findings::{self, FindingFilter};
use crate::db::read_host_rows::{self, ServiceRows};
use crate::db::read_past::HostAt;

/// The services of a host.
#[derive(Debug, Serialize, ToSchema)]
pub struct HostServices {
    /// `null`: the answer is about now.
    pub as_of: Option<AsOf>,
    /// While it is unknown, `items` are what was known last.
    pub services: SectionStatus,
    /// While it is unknown, so is the holder of every port.
    pub sockets: SectionStatus,
    /// By name.
    pub items: Vec<HostService>,
}

/// A Windows service.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HostService {
    /// SCM key name. Hostile text, like the next: show it as text.
    pub name: String,
    pub display_name: String,
    pub state: ServiceState,
    /// `null`: not read, like all that follows.
    pub start: Option<StartMode>,
    pub delayed: Option<bool>,
    pub trigger_start: Option<bool>,
    /// `null`: it has no process.
    pub pid: Option<u32>,
    /// 0 fine, 1066 the reason is in `service_exit_code`, 1077 never started since boot.
    pub exit_code: Option<u32>,
    pub service_exit_code: Option<u32>,
    pub image_path: Option<String>,
    pub account: Option<String>,
    /// SCM key names of the services that it starts after.
    pub depends_on: Vec<String>,
    /// What happens when it fails. `null`: not read.
    pub recovery: Option<Recovery>,
    /// When it entered this state, by the host's clock corrected by its skew. `null`: that was not seen.
    pub state_since: Option<DateTime<Utc>>,
    /// Ports that it needs, as far as the catalog knows, and that it was seen to hold in earlier boots.
    pub needs: Vec<Need>,
    /// Ports that it holds.
    pub holds: Vec<PortGroup>,
    /// The worst open finding about it. `null` also for a past moment.
    pub finding_id: Option<Uuid>,
}

/// What the service control manager does when a service fails.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Recovery {
    /// After how many seconds without a failure the count starts anew. `null`: never.
    pub reset_after_seconds: Option<u32>,
    /// For the first failure, the second and so on; the last one repeats. Empty: nothing is done.
    pub actions: Vec<RecoveryAction>,
    /// Whether stopping with an error counts as a failure, not only a crash. `null`: not read.
    pub on_error_stop: Option<bool>,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct RecoveryAction {
    pub kind: RecoveryKind,
    pub delay_ms: u32,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecoveryKind {
    None,
    Restart,
    RestartComputer,
    RunCommand,
}

/// A port that a service needs.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Need {
    /// Such as `udp/1812`.
    pub port: String,
    /// In which configurations it needs the port. `null`: always.
    pub when: Option<String>,
    /// What it was learned from. `null`: the catalog knows it.
    pub learned: Option<Learned>,
    pub holder: Holder,
}

/// How often the service was seen to hold a port, of how often it was seen to run.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Learned {
    pub from: LearnedFrom,
    pub held: u32,
    pub of: u32,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LearnedFrom {
    /// Earlier boots of this host.
    Boots,
    /// Other hosts where the same service runs from the same program.
    Hosts,
}

/// Who has a port.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Holder {
    pub kind: HolderKind,
    /// Image name, such as `dns.exe`. `null`: nobody, or not known.
    pub process: Option<String>,
    pub pid: Option<u32>,
    /// Services that the process runs. Several: candidates.
    pub services: Vec<String>,
    /// By the host's clock corrected by its skew. `null`: not known.
    pub bound_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HolderKind {
    /// The service itself.
    #[serde(rename = "self")]
    Own,
    /// Another process; all else is `null` where its owner could not be read.
    Other,
    /// Nobody.
    Free,
    /// The sockets of the host could not be read.
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StartMode {
    Boot,
    System,
    Auto,
    Manual,
    Disabled,
}

/// Services of a host, joined with its ports
///
/// At a past moment, what services need is what is known of that today.
#[utoipa::path(
    get,
    path = "/hosts/{id}/services",
    tag = "hosts",
    params(("id" = i64, Path, description = "Id of the host"), AtQuery),
    responses((status = 200, description = "Its services", body = HostServices), (status = "default", response = Problem))
)]
pub async fn list(
    caller: Caller,
    State(app): State<Arc<App>>,
    Path(id): Path<i64>,
    Query(query): Query<AtQuery>,
) -> Result<Json<HostServices>, Problem> {
    let (as_of, rows, findings) = if let Some(at) = query.moment(clock::now())? {
        let Some(mut host) = HostAt::of(&caller.scope, &app.db, id, at).await? else {
            return Err(Problem::not_found("host"));
        };
        let rows = ServiceRows {
            sections: host.sections().await?,
            services: host.services().await?,
            sockets: host.sockets().await?,
            past: host.earlier_boots().await?,
        };
        (Some(AsOf::of(&mut host, at).await?), rows, Vec::new())
    } else {
        let Some(rows) = read_host_rows::services(&caller.scope, &app.db, id).await? else {
            return Err(Problem::not_found("host"));
        };
        let filter = FindingFilter { state: Some("open"), host_id: Some(id), ..FindingFilter::default() };
        (None, rows, read_findings::list(&caller.scope, &app.db, &filter, None, 500, clock::now()).await?)
    };
    Ok(Json(HostServices {
        as_of,
        services: section_status(&rows.sections, SectionName::Services),
        sockets: section_status(&rows.sections, SectionName::Sockets),
        items: holders::join(rows, &findings, &app.catalog())?,
    }))
}

impl From<rules::facts::ServiceState> for ServiceState {
    fn from(state: rules::facts::ServiceState) -> Self {
        use rules::facts::ServiceState as Fact;
        match state {
            Fact::Stopped => Self::Stopped,
            Fact::StartPending => Self::StartPending,
            Fact::StopPending => Self::StopPending,
            Fact::Running => Self::Running,
            Fact::ContinuePending => Self::ContinuePending,
            Fact::PausePending => Self::PausePending,
            Fact::Paused => Self::Paused,
        }
    }
}

impl From<rules::facts::StartMode> for StartMode {
    fn from(start: rules::facts::StartMode) -> Self {
        use rules::facts::StartMode as Fact;
        match start {
            Fact::Boot => Self::Boot,
            Fact::System => Self::System,
            Fact::Auto => Self::Auto,
            Fact::Manual => Self::Manual,
            Fact::Disabled => Self::Disabled,
        }
    }
}

impl From<rules::facts::Recovery> for Recovery {
    fn from(recovery: rules::facts::Recovery) -> Self {
        use rules::facts::RecoveryKind as Fact;
        let action = |action: rules::facts::RecoveryAction| RecoveryAction {
            kind: match action.kind {
                Fact::None => RecoveryKind::None,
                Fact::Restart => RecoveryKind::Restart,
                Fact::RestartComputer => RecoveryKind::RestartComputer,
                Fact::RunCommand => RecoveryKind::RunCommand,
            },
            delay_ms: action.delay_ms,
        };
        Self {
            reset_after_seconds: recovery.reset_after_seconds,
            actions: recovery.actions.into_iter().map(action).collect(),
            on_error_stop: recovery.on_error_stop,
        }
    }
}
