//! Hosts leave: retired, brought back, or moved to another site or client.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::access::Caller;
use crate::api::extract::{Body, Path};
use crate::api::problem::{Code, Problem};
use crate::app::App;
use crate::clock;
use crate::db::installation;
use crate::departures::{self, Fault, Moved};
use crate::people::Role;

/// Where a host belongs.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MoveBody {
    /// Id of a site, of the host's own client or of another one.
    site: i64,
}

/// The record that the host's agent speaks for from now on.
#[derive(Debug, Serialize, ToSchema)]
pub struct MovedHost {
    pub client_id: i32,
    pub host_id: i64,
}

/// Retire a host
///
/// For operators. Its identity is revoked, its findings end with the reason `host retired`, and no list or count has it
/// any more. Its history stays.
#[utoipa::path(
    post,
    path = "/hosts/{id}/retire",
    tag = "hosts",
    params(("id" = i64, Path, description = "Id of the host")),
    responses((status = 204, description = "The host is retired"), (status = "default", response = Problem))
)]
pub async fn retire(caller: Caller, State(app): State<Arc<App>>, Path(id): Path<i64>) -> Result<StatusCode, Problem> {
    caller.require(Role::Operator)?;
    departures::retire(&app.store, &caller.scope, id, clock::now()).await?;
    tracing::info!(operator.id = %caller.operator_id, host.id = id, "An operator retired a host");
    Ok(StatusCode::NO_CONTENT)
}

/// Bring a retired host back
///
/// For operators. The host is in lists again, as one that is silent: its agent must be enrolled anew, as another host.
#[utoipa::path(
    post,
    path = "/hosts/{id}/bring-back",
    tag = "hosts",
    params(("id" = i64, Path, description = "Id of the host")),
    responses((status = 204, description = "The host is in lists again"), (status = "default", response = Problem))
)]
pub async fn bring_back(
    caller: Caller,
    State(app): State<Arc<App>>,
    Path(id): Path<i64>,
) -> Result<StatusCode, Problem> {
    caller.require(Role::Operator)?;
    departures::bring_back(&app.store, &caller.scope, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Move a host
///
/// For admins. To a site of its own client, where it stays the same host; or to one of another client, where it becomes
/// a new host that its agent speaks for within seconds, without hands on it. The old record is retired and keeps its
/// history.
#[utoipa::path(
    post,
    path = "/hosts/{id}/move",
    tag = "hosts",
    params(("id" = i64, Path, description = "Id of the host")),
    request_body = MoveBody,
    responses(
        (status = 200, description = "The record that the agent speaks for", body = MovedHost),
        (status = "default", response = Problem)
    )
)]
pub async fn move_to(
    caller: Caller,
    State(app): State<Arc<App>>,
    Path(id): Path<i64>,
    Body(body): Body<MoveBody>,
) -> Result<Json<MovedHost>, Problem> {
    caller.require(Role::Admin)?;
    let Some(site) = installation::find_site(&app.db, &caller.scope, &body.site.to_string()).await? else {
        return Err(Problem::not_found("site"));
    };
    let moved = departures::move_to(&app.store, &caller.scope, id, site, clock::now()).await?;
    tracing::info!(operator.id = %caller.operator_id, host.id = id, "An operator moved a host");
    Ok(Json(match moved {
        Moved::Site => MovedHost { client_id: site.0, host_id: id },
        Moved::Client { client_id, host_id } => MovedHost { client_id, host_id },
    }))
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let text = fault.to_string();
        match fault {
            Fault::NoSuchHost => Self::not_found("host"),
            Fault::Retired => Self::new(Code::HostRetired, text),
            Fault::NotRetired => Self::new(Code::HostNotRetired, text),
            Fault::HasMoved => Self::new(Code::HostHasMoved, text),
            Fault::NoIdentity => Self::new(Code::HostNoIdentity, text),
            Fault::Database(error) => error.into(),
        }
    }
}
