//! Releases: signed catalogs that were imported, what each would do to the findings of the fleet, and an admin's word
//! where it would open too much.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::access::Caller;
use crate::api::extract::{Body, Path};
use crate::api::model::{ClientRef, HostRef, Severity};
use crate::api::problem::{Code, Problem};
use crate::app::App;
use crate::catalog::bundle;
use crate::catalog::release::{self, Brought, HOLD_ABOVE, Order, ReleaseFault};
use crate::clock;
use crate::db::catalog::releases::{self as rows, ReleaseRow, ShadowFinding, ShadowSum};
use crate::people::Role;

/// A release as text inside JSON.
pub const MAX_BODY: usize = 2 * bundle::MAX_BYTES;
/// Findings of a shadow run that are listed.
const LISTED: i64 = 500;

/// How far a release has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReleaseState {
    /// It is being tried on the fleet.
    Shadowing,
    /// It would open more findings than was allowed, and waits for an admin.
    Held,
    InForce,
    Replaced,
    Discarded,
}

/// An imported catalog.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Release {
    pub id: Uuid,
    pub version: i64,
    pub title: String,
    pub state: ReleaseState,
    /// Id of the key that signed it.
    pub key_id: String,
    /// `null`: the key is not trusted any more.
    pub key_name: Option<String>,
    /// It is held when it would open more findings.
    pub hold_above: i32,
    pub imported_at: DateTime<Utc>,
    pub imported_by: String,
    /// `null`: its shadow run has not ended.
    pub shadow: Option<ShadowSums>,
    /// Since when it is in force, or was discarded.
    pub settled_at: Option<DateTime<Utc>>,
    /// `null`: nobody had to decide.
    pub settled_by: Option<String>,
}

/// What a release would do to findings, over all clients.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct ShadowSums {
    pub hosts: i32,
    pub opens: i32,
    pub resolves: i32,
    pub changes: i32,
}

/// What would become of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ShadowTransition {
    Opened,
    Resolved,
    /// Worded or weighed otherwise.
    Changed,
}

/// What a release would do by one rule.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ShadowRule {
    pub rule: String,
    pub transition: ShadowTransition,
    pub findings: i64,
    pub hosts: i64,
}

/// What a release would do to one finding.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ShadowedFinding {
    pub client: ClientRef,
    pub host: HostRef,
    pub rule: String,
    pub transition: ShadowTransition,
    pub severity: Severity,
    pub title: String,
}

/// A shadow run, as far as you may see its clients.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Shadow {
    pub rules: Vec<ShadowRule>,
    /// The first 500: those that would open before others.
    pub findings: Vec<ShadowedFinding>,
}

/// A release to be imported.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewReleaseBody {
    /// The file as it was signed.
    text: String,
    /// Ed25519 over the bytes of `text`, in base64: what the file beside it holds.
    #[schema(max_length = 1000)]
    signature: String,
    /// It is held when it would open more findings. Left out: 50.
    #[schema(minimum = 0)]
    hold_above: Option<i32>,
    /// `true`: also when a newer one is in force.
    allow_older: Option<bool>,
}

/// The release that was imported.
#[derive(Debug, Serialize, ToSchema)]
pub struct CreatedRelease {
    pub id: Uuid,
}

/// Releases, the newest import first
///
/// For admins.
#[utoipa::path(
    get,
    path = "/catalog/releases",
    tag = "catalog",
    responses(
        (status = 200, description = "The newest 100", body = Vec<Release>),
        (status = "default", response = Problem)
    )
)]
pub async fn list(caller: Caller, State(app): State<Arc<App>>) -> Result<Json<Vec<Release>>, Problem> {
    caller.require(Role::Admin)?;
    let releases = rows::list(&app.db.pool).await?;
    Ok(Json(releases.into_iter().map(Release::from).collect()))
}

/// Import a release
///
/// For admins who may see every client. A trusted key must have signed it. It is tried on every host, and then in force
/// unless it is held.
#[utoipa::path(
    post,
    path = "/catalog/releases",
    tag = "catalog",
    request_body = NewReleaseBody,
    responses(
        (status = 202, description = "It is being tried", body = CreatedRelease),
        (status = "default", response = Problem)
    )
)]
pub async fn import(
    caller: Caller,
    State(app): State<Arc<App>>,
    Body(body): Body<NewReleaseBody>,
) -> Result<(StatusCode, Json<CreatedRelease>), Problem> {
    caller.require(Role::Admin)?;
    caller.require_whole()?;
    let brought = Brought {
        text: &body.text,
        signature: &body.signature,
        hold_above: body.hold_above.unwrap_or(HOLD_ABOVE).max(0),
        order: if body.allow_older == Some(true) { Order::Any } else { Order::Newer },
        by: &caller.name,
    };
    let id = release::import(&app.db, &brought, clock::now()).await?;
    crate::catalog::announce(&app.db).await;
    Ok((StatusCode::ACCEPTED, Json(CreatedRelease { id })))
}

/// What a release would do
///
/// For admins.
#[utoipa::path(
    get,
    path = "/catalog/releases/{id}/shadow",
    tag = "catalog",
    params(("id" = Uuid, Path, description = "Id of the release")),
    responses(
        (status = 200, description = "By rule, and finding by finding", body = Shadow),
        (status = "default", response = Problem)
    )
)]
pub async fn shadow(
    caller: Caller,
    State(app): State<Arc<App>>,
    Path(id): Path<Uuid>,
) -> Result<Json<Shadow>, Problem> {
    caller.require(Role::Admin)?;
    let (sums, findings) = rows::shadow(&caller.scope, &app.db, id, LISTED).await?;
    Ok(Json(Shadow {
        rules: sums.into_iter().map(ShadowRule::from).collect(),
        findings: findings.into_iter().map(ShadowedFinding::from).collect(),
    }))
}

/// Put a held release in force
///
/// For admins who may see every client.
#[utoipa::path(
    post,
    path = "/catalog/releases/{id}/approval",
    tag = "catalog",
    params(("id" = Uuid, Path, description = "Id of the release")),
    responses((status = 204, description = "It is in force"), (status = "default", response = Problem))
)]
pub async fn approve(caller: Caller, State(app): State<Arc<App>>, Path(id): Path<Uuid>) -> Result<StatusCode, Problem> {
    caller.require(Role::Admin)?;
    caller.require_whole()?;
    settled(release::approve(&app.db, id, &caller.name, clock::now()).await?)
}

/// Discard a release that waits
///
/// For admins who may see every client.
#[utoipa::path(
    delete,
    path = "/catalog/releases/{id}",
    tag = "catalog",
    params(("id" = Uuid, Path, description = "Id of the release")),
    responses((status = 204, description = "It will not be in force"), (status = "default", response = Problem))
)]
pub async fn discard(caller: Caller, State(app): State<Arc<App>>, Path(id): Path<Uuid>) -> Result<StatusCode, Problem> {
    caller.require(Role::Admin)?;
    caller.require_whole()?;
    settled(release::discard(&app.db, id, &caller.name, clock::now()).await?)
}

fn settled(is_done: bool) -> Result<StatusCode, Problem> {
    if is_done {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Problem::new(Code::CatalogNotHeld, "It was settled already, is still being tried, or does not exist."))
}

impl From<ReleaseRow> for Release {
    fn from(row: ReleaseRow) -> Self {
        let sums = |hosts| ShadowSums {
            hosts,
            opens: row.opens.unwrap_or_default(),
            resolves: row.resolves.unwrap_or_default(),
            changes: row.changes.unwrap_or_default(),
        };
        Self {
            id: row.release_id,
            version: row.version,
            state: match row.state.as_str() {
                "shadowing" => ReleaseState::Shadowing,
                "held" => ReleaseState::Held,
                "in-force" => ReleaseState::InForce,
                "replaced" => ReleaseState::Replaced,
                _ => ReleaseState::Discarded,
            },
            shadow: row.hosts.map(sums),
            title: row.title,
            key_id: row.key_id,
            key_name: row.key_name,
            hold_above: row.hold_above,
            imported_at: row.imported_at,
            imported_by: row.imported_by,
            settled_at: row.settled_at,
            settled_by: row.settled_by,
        }
    }
}

fn transition(text: &str) -> ShadowTransition {
    match text {
        "opened" => ShadowTransition::Opened,
        "resolved" => ShadowTransition::Resolved,
        _ => ShadowTransition::Changed,
    }
}

impl From<ShadowSum> for ShadowRule {
    fn from(sum: ShadowSum) -> Self {
        Self { transition: transition(&sum.transition), rule: sum.rule, findings: sum.findings, hosts: sum.hosts }
    }
}

impl From<ShadowFinding> for ShadowedFinding {
    fn from(row: ShadowFinding) -> Self {
        Self {
            client: ClientRef { id: row.client_id, name: row.client_name },
            host: HostRef { id: row.host_id, name: row.host_name },
            transition: transition(&row.transition),
            severity: Severity::from_row(row.severity),
            rule: row.rule,
            title: row.title,
        }
    }
}

impl From<ReleaseFault> for Problem {
    fn from(fault: ReleaseFault) -> Self {
        let text = fault.to_string();
        match fault {
            ReleaseFault::BadSignature => Self::new(Code::CatalogBadSignature, text),
            ReleaseFault::Bundle(_) | ReleaseFault::Faulty(_) => Self::new(Code::CatalogBadRelease, text),
            ReleaseFault::Older { .. } => Self::new(Code::CatalogOlder, text),
            ReleaseFault::OneWaits => Self::new(Code::CatalogOneWaits, text),
            ReleaseFault::Database(error) => error.into(),
            ReleaseFault::Other(error) => error.into(),
        }
    }
}
