//! Overrides: what was decided about an entry for a client, by whom, why, and until when.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use http::StatusCode;
use rules::overrides::{Decision, Override as Decided};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::access::Caller;
use crate::api::extract::{Body, Path};
use crate::api::model::{ClientRef, Severity};
use crate::api::problem::Problem;
use crate::app::App;
use crate::catalog::entries;
use crate::clock;
use crate::db::Scope;
use crate::db::catalog::overrides as rows;
use crate::people::Role;

/// A decision about an entry for one client.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Override {
    /// The same for all clients that it was made for at once.
    pub id: Uuid,
    pub client: ClientRef,
    /// Id of a bad update or a taker.
    pub entry: String,
    /// What its findings count as. `null`: the entry does not apply at the client.
    pub severity: Option<Severity>,
    pub reason: String,
    pub decided_by: String,
    pub decided_at: DateTime<Utc>,
    /// It ends by itself then.
    pub until: DateTime<Utc>,
    pub has_ended: bool,
}

/// A decision to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOverrideBody {
    /// Left out: every client that you may see.
    client: Option<i32>,
    /// Id of a bad update or a taker.
    #[schema(max_length = 200)]
    entry: String,
    /// What its findings count as. Left out: the entry does not apply.
    severity: Option<Severity>,
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
    /// Within a year.
    until: DateTime<Utc>,
}

/// The decision that was made.
#[derive(Debug, Serialize, ToSchema)]
pub struct CreatedOverride {
    pub id: Uuid,
}

/// Overrides by client and entry
#[utoipa::path(
    get,
    path = "/catalog/overrides",
    tag = "catalog",
    responses(
        (status = 200, description = "All of them, also those that have ended", body = Vec<Override>),
        (status = "default", response = Problem)
    )
)]
pub async fn list(caller: Caller, State(app): State<Arc<App>>) -> Result<Json<Vec<Override>>, Problem> {
    let now = clock::now();
    let rows = rows::list(&caller.scope, &app.db).await?;
    let overrides = rows.into_iter().map(|row| Override {
        id: row.override_id,
        client: ClientRef { id: row.client_id, name: row.client_name },
        entry: row.entry_id,
        severity: row.severity.map(Severity::from_row),
        reason: row.reason,
        decided_by: row.decided_by,
        decided_at: row.decided_at,
        until: row.until,
        has_ended: row.until <= now,
    });
    Ok(Json(overrides.collect()))
}

/// Override an entry
///
/// For admins. Findings say in their evidence who decided what. One that was made before for the same client and entry
/// ends with it; hosts are judged again at once.
#[utoipa::path(
    post,
    path = "/catalog/overrides",
    tag = "catalog",
    request_body = NewOverrideBody,
    responses(
        (status = 201, description = "Its id", body = CreatedOverride),
        (status = "default", response = Problem)
    )
)]
pub async fn create(
    caller: Caller,
    State(app): State<Arc<App>>,
    Body(body): Body<NewOverrideBody>,
) -> Result<(StatusCode, Json<CreatedOverride>), Problem> {
    caller.require(Role::Admin)?;
    let scope = match body.client {
        Some(client) if !caller.scope.0.contains(&client) => return Err(Problem::not_found("client")),
        Some(client) => Scope::of(client),
        None => caller.scope.clone(),
    };
    let decided = Decided {
        entry: body.entry,
        decision: body.severity.map_or(Decision::NotApplicable, |severity| Decision::Severity(severity.into())),
        reason: body.reason,
        by: caller.name.clone(),
        until: body.until,
    };
    let id = entries::decide(&app.db, &scope, &app.catalog(), decided, clock::now()).await?;
    Ok((StatusCode::CREATED, Json(CreatedOverride { id })))
}

/// Withdraw an override
///
/// For admins. For all clients that you may see.
#[utoipa::path(
    delete,
    path = "/catalog/overrides/{id}",
    tag = "catalog",
    params(("id" = Uuid, Path, description = "Id of the override")),
    responses((status = 204, description = "It is gone"), (status = "default", response = Problem))
)]
pub async fn remove(caller: Caller, State(app): State<Arc<App>>, Path(id): Path<Uuid>) -> Result<StatusCode, Problem> {
    caller.require(Role::Admin)?;
    if entries::withdraw(&app.db, &caller.scope, id, &caller.name).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Problem::not_found("override"))
}
