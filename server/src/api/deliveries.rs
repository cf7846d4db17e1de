//! Deliveries: webhooks about findings, and how they went.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::api::access::Caller;
use crate::api::extract::{Body, Query};
use crate::api::findings::Transition;
use crate::api::model::HostRef;
use crate::api::page::{self, Limit, Page};
use crate::api::problem::Problem;
use crate::app::App;
use crate::clock;
use crate::db::read_deliveries::{self, DeliveryFilter, DeliveryRow};
use crate::db::restore::{self, Owed};
use crate::people::Role;

/// One webhook about one transition of a finding.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Delivery {
    /// The `webhook-id` that the receiver sees, the same in every attempt.
    pub id: Uuid,
    /// `null`: it is about a host.
    pub finding_id: Option<Uuid>,
    /// The host that fell silent or was heard of again. `null`: it is about a finding.
    pub host: Option<HostRef>,
    pub endpoint: EndpointRef,
    pub transition: Transition,
    pub episode: i32,
    pub state: DeliveryState,
    /// Attempts made so far.
    pub attempts: i32,
    /// HTTP status of the last attempt. `null`: none was made, or it had no answer.
    pub last_status: Option<i32>,
    /// Why the last attempt failed. `null`: it did not, or none was made.
    pub last_error: Option<String>,
    /// `null`: there will be none.
    pub next_attempt_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    /// When it was delivered or given up. `null`: it is pending.
    pub finished_at: Option<DateTime<Utc>>,
}

/// Where webhooks go.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EndpointRef {
    pub id: Uuid,
    pub name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    Pending,
    Delivered,
    /// Given up.
    Dead,
}

impl DeliveryState {
    fn as_row(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }

    fn from_row(text: &str) -> Self {
        match text {
            "delivered" => Self::Delivered,
            "dead" => Self::Dead,
            _ => Self::Pending,
        }
    }
}

impl From<DeliveryRow> for Delivery {
    fn from(row: DeliveryRow) -> Self {
        let state = DeliveryState::from_row(&row.state);
        Self {
            id: row.delivery_id,
            finding_id: row.finding_id,
            host: row.host_id.zip(row.host_name).map(|(id, name)| HostRef { id, name }),
            endpoint: EndpointRef { id: row.endpoint_id, name: row.endpoint_name },
            transition: Transition::from_row(&row.transition),
            episode: row.episode,
            state,
            attempts: row.attempts,
            last_status: row.last_status,
            last_error: row.last_error,
            next_attempt_at: (state == DeliveryState::Pending).then_some(row.next_attempt_at),
            created_at: row.created_at,
            finished_at: row.finished_at,
        }
    }
}

/// Filters of the list. A filter that is left out does not restrict.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeliveriesQuery {
    /// Id of a finding.
    finding: Option<Uuid>,
    state: Option<DeliveryState>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500, default = 100)]
    limit: Limit,
}

/// What becomes of deliveries that a backup said were owed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseBody {
    /// Gives up those from before the restore, instead of sending them.
    give_up: bool,
}

/// Send deliveries again after a restore
///
/// For admins who may see every client. Receivers may see some twice, under the same `webhook-id`.
#[utoipa::path(
    post,
    path = "/deliveries/release",
    tag = "deliveries",
    request_body = ReleaseBody,
    responses((status = 204, description = "Deliveries are sent"), (status = "default", response = Problem))
)]
pub async fn release(
    caller: Caller,
    State(app): State<Arc<App>>,
    Body(body): Body<ReleaseBody>,
) -> Result<StatusCode, Problem> {
    caller.require(Role::Admin)?;
    caller.require_whole()?;
    let owed = if body.give_up { Owed::GiveUp } else { Owed::Send };
    if restore::release(&app.db, owed, clock::now()).await?.is_none() {
        return Err(Problem::not_found("held delivery"));
    }
    tracing::info!(operator.id = %caller.operator_id, "Released the deliveries that were held after a restore");
    Ok(StatusCode::NO_CONTENT)
}

/// Deliveries, the newest first
#[utoipa::path(
    get,
    path = "/deliveries",
    tag = "deliveries",
    params(DeliveriesQuery),
    responses((status = 200, description = "A page of deliveries", body = Page<Delivery>), (status = "default", response = Problem))
)]
pub async fn list(
    caller: Caller,
    State(app): State<Arc<App>>,
    Query(query): Query<DeliveriesQuery>,
) -> Result<Json<Page<Delivery>>, Problem> {
    let filter = DeliveryFilter { finding_id: query.finding, state: query.state.map(DeliveryState::as_row) };
    let after = page::decode(query.cursor.as_deref())?;
    let rows = read_deliveries::list(&caller.scope, &app.db, &filter, after, query.limit.to_fetch()).await?;
    Ok(Json(Page::new(rows, query.limit, DeliveryRow::key).map(Delivery::from)))
}
