//! The updates of a host, each with what is known against it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use rules::facts;
use rules::text::Text;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::access::Caller;
use crate::api::extract::{Path, Query};
use crate::api::hosts::section_status;
use crate::api::model::{SectionName, SectionStatus};
use crate::api::past::{AsOf, AtQuery};
use crate::api::problem::Problem;
use crate::api::updates::{Verdict, finding_about};
use crate::app::App;
use crate::clock;
use crate::db::read_host_rows::{self, Rows};
use crate::db::read_past::HostAt;
use crate::db::read_updates;

/// The updates of a host.
#[derive(Debug, Serialize, ToSchema)]
pub struct HostUpdates {
    /// `null`: the answer is about now.
    pub as_of: Option<AsOf>,
    /// While it is unknown, `items` are what was known last.
    pub updates: SectionStatus,
    /// The newest first.
    pub items: Vec<HostUpdate>,
}

/// One entry of one of the lists of updates that Windows keeps. A KB may stand in several.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HostUpdate {
    /// Such as `KB948609`. `null`: the entry names none.
    pub kb: Option<String>,
    /// Hostile text: show it as text.
    pub title: String,
    /// Unique within its source.
    pub id: String,
    pub source: UpdateSource,
    pub state: UpdateState,
    /// `null`: not known.
    pub installed_at: Option<DateTime<Utc>>,
    /// `null`: not known.
    pub removable: Option<bool>,
    pub version: Option<String>,
    /// Other names under which the list knows it.
    pub aliases: Vec<String>,
    /// Account or program, as the list names it. `null`: not said.
    pub installed_by: Option<String>,
    /// As it is known today. `null`: nothing is known against it on this host.
    pub verdict: Option<Verdict>,
    /// The open finding that says so.
    pub finding_id: Option<Uuid>,
}

/// Where Windows lists it.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UpdateSource {
    /// Component Based Servicing packages.
    ComponentPackage,
    UninstallEntry,
    InstallerPatch,
    UpdateHistory,
    /// A list printed by a command on a host without an agent.
    Capture,
    /// A version of the .NET Framework that is present.
    FrameworkVersion,
    /// What the Windows Update Agent offers and has not installed.
    Offer,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
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

impl From<facts::UpdateSource> for UpdateSource {
    fn from(source: facts::UpdateSource) -> Self {
        match source {
            facts::UpdateSource::ComponentPackage => Self::ComponentPackage,
            facts::UpdateSource::UninstallEntry => Self::UninstallEntry,
            facts::UpdateSource::InstallerPatch => Self::InstallerPatch,
            facts::UpdateSource::UpdateHistory => Self::UpdateHistory,
            facts::UpdateSource::Capture => Self::Capture,
            facts::UpdateSource::FrameworkVersion => Self::FrameworkVersion,
            facts::UpdateSource::Offer => Self::Offer,
        }
    }
}

impl From<facts::UpdateState> for UpdateState {
    fn from(state: facts::UpdateState) -> Self {
        match state {
            facts::UpdateState::Installed => Self::Installed,
            facts::UpdateState::Superseded => Self::Superseded,
            facts::UpdateState::InstallPending => Self::InstallPending,
            facts::UpdateState::UninstallPending => Self::UninstallPending,
            facts::UpdateState::Staged => Self::Staged,
            facts::UpdateState::Failed => Self::Failed,
            facts::UpdateState::Absent => Self::Absent,
        }
    }
}

/// Updates of a host
#[utoipa::path(
    get,
    path = "/hosts/{id}/updates",
    tag = "hosts",
    params(("id" = i64, Path, description = "Id of the host"), AtQuery),
    responses((status = 200, description = "Its updates", body = HostUpdates), (status = "default", response = Problem))
)]
pub async fn list(
    caller: Caller,
    State(app): State<Arc<App>>,
    Path(id): Path<i64>,
    Query(query): Query<AtQuery>,
) -> Result<Json<HostUpdates>, Problem> {
    let (as_of, mut rows) = if let Some(at) = query.moment(clock::now())? {
        let Some(mut host) = HostAt::of(&caller.scope, &app.db, id, at).await? else {
            return Err(Problem::not_found("host"));
        };
        let rows = Rows { sections: host.sections().await?, items: host.updates().await? };
        (Some(AsOf::of(&mut host, at).await?), rows)
    } else {
        let Some(rows) = read_host_rows::updates(&caller.scope, &app.db, id).await? else {
            return Err(Problem::not_found("host"));
        };
        (None, rows)
    };
    let findings = read_updates::findings(&caller.scope, &app.db, Some(id)).await?;
    let catalog = app.catalog();
    rows.items.sort_by(|a, b| (b.installed_at, &b.kb, &a.id).cmp(&(a.installed_at, &a.kb, &b.id)));
    let updates = section_status(&rows.sections, SectionName::Updates);
    let items = rows
        .items
        .into_iter()
        .map(|update| {
            let finding = update.kb.as_deref().and_then(|kb| finding_about(kb, &findings, &catalog));
            HostUpdate {
                verdict: finding.map(|finding| Verdict::from_row(finding.confidence)),
                finding_id: finding.map(|finding| finding.finding_id),
                kb: update.kb.map(Text::into_string),
                title: update.title.into_string(),
                id: update.id.into_string(),
                source: update.source.into(),
                state: update.state.into(),
                installed_at: update.installed_at,
                removable: update.removable,
                version: update.version.map(Text::into_string),
                aliases: update.aliases.into_iter().map(Text::into_string).collect(),
                installed_by: update.installed_by.map(Text::into_string),
            }
        })
        .collect();
    Ok(Json(HostUpdates { as_of, updates, items }))
}
