//! What became of a service of a host, and when the host changed next.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::access::Caller;
use crate::api::extract::{Path, Query};
use crate::api::host_services::{ServiceState, StartMode};
use crate::api::page::{self, Limit, Page};
use crate::api::past::AtQuery;
use crate::api::problem::Problem;
use crate::app::App;
use crate::clock;
use crate::db::read_past::lives::{self, ServiceSpan};

/// A service as it was for a time.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ServiceLife {
    /// When the report was made that first had it so, by the host's clock corrected by its skew.
    pub from: DateTime<Utc>,
    /// When the report was made that no longer had it so. `null`: it is so, as far as is known.
    pub until: Option<DateTime<Utc>>,
    pub state: ServiceState,
    /// When it entered this state. `null`: that was not seen.
    pub state_since: Option<DateTime<Utc>>,
    /// `null`: not read, like all that follows.
    pub start: Option<StartMode>,
    pub pid: Option<u32>,
    pub exit_code: Option<u32>,
    pub service_exit_code: Option<u32>,
    /// Hostile text, like the next.
    pub image_path: Option<String>,
    pub account: Option<String>,
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LifeQuery {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500, default = 100)]
    limit: Limit,
}

/// Where a host changed next to a moment.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Steps {
    pub at: DateTime<Utc>,
    /// The last change before it. `null`: none is kept.
    pub previous: Option<DateTime<Utc>>,
    /// The first change after it. `null`: none.
    pub next: Option<DateTime<Utc>>,
}

/// History of a service, the newest first
#[utoipa::path(
    get,
    path = "/hosts/{id}/services/{name}/history",
    tag = "hosts",
    params(
        ("id" = i64, Path, description = "Id of the host"),
        ("name" = String, Path, description = "SCM key name, in any case"),
        LifeQuery
    ),
    responses((status = 200, description = "A page of its life", body = Page<ServiceLife>), (status = "default", response = Problem))
)]
pub async fn service(
    caller: Caller,
    State(app): State<Arc<App>>,
    Path((id, name)): Path<(i64, String)>,
    Query(query): Query<LifeQuery>,
) -> Result<Json<Page<ServiceLife>>, Problem> {
    let after = page::decode(query.cursor.as_deref())?;
    let rows = lives::service(&caller.scope, &app.db, (id, &name), after, query.limit.to_fetch()).await?;
    let Some(rows) = rows else { return Err(Problem::not_found("host")) };
    if rows.is_empty() && after.is_none() {
        return Err(Problem::not_found("service"));
    }
    Ok(Json(Page::new(rows, query.limit, |row| row.valid_from).map(ServiceLife::from)))
}

/// When a host changed last before a moment, and first after it
///
/// What counts: a service, an update, a document or a listening TCP port. Other sockets come and go all the time.
#[utoipa::path(
    get,
    path = "/hosts/{id}/steps",
    tag = "hosts",
    params(("id" = i64, Path, description = "Id of the host"), AtQuery),
    responses((status = 200, description = "The changes next to it", body = Steps), (status = "default", response = Problem))
)]
pub async fn steps(
    caller: Caller,
    State(app): State<Arc<App>>,
    Path(id): Path<i64>,
    Query(query): Query<AtQuery>,
) -> Result<Json<Steps>, Problem> {
    let now = clock::now();
    let at = query.moment(now)?.unwrap_or(now);
    let Some(neighbours) = lives::neighbours(&caller.scope, &app.db, id, at).await? else {
        return Err(Problem::not_found("host"));
    };
    Ok(Json(Steps { at, previous: neighbours.previous, next: neighbours.next }))
}

impl From<ServiceSpan> for ServiceLife {
    fn from(span: ServiceSpan) -> Self {
        let service = span.service;
        Self {
            from: span.valid_from,
            until: span.valid_to,
            state: service.state.into(),
            state_since: service.state_since,
            start: service.start.map(Into::into),
            pid: service.pid,
            exit_code: service.exit_code,
            service_exit_code: service.service_exit_code,
            image_path: service.image_path.map(rules::text::Text::into_string),
            account: service.account.map(rules::text::Text::into_string),
        }
    }
}
