//! When an update came to each host, and when it went.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use rules::catalog::normalized_kb;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::access::Caller;
use crate::api::extract::{Path, Query};
use crate::api::model::{ClientRef, HostRef, SiteRef};
use crate::api::page::{self, Limit, Page};
use crate::api::problem::{Code, Problem};
use crate::app::App;
use crate::db::read_past::lives::{self, UpdateLifeRow};

/// A KB on one host over time. Times are by the host's clock corrected by its skew.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct UpdateLife {
    pub host: HostRef,
    pub site: SiteRef,
    pub client: ClientRef,
    /// When a list of the host first had it, in any state.
    pub listed_from: DateTime<Utc>,
    /// Whether it was there already when the updates of the host were first known: it came earlier than `listed_from`.
    pub older: bool,
    /// When it was first listed as installed. `null`: it never was.
    pub installed_from: Option<DateTime<Utc>>,
    /// When it was last listed as installed, and is not any more. `null`: it is, or never was.
    pub installed_until: Option<DateTime<Utc>>,
    /// When it was installed, as a list says. `null`: none says it.
    pub installed_at: Option<DateTime<Utc>>,
}

/// Which hosts.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UpdateHistoryQuery {
    /// Id of a host.
    host: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500, default = 100)]
    limit: Limit,
}

/// When an update came to each host, by name
#[utoipa::path(
    get,
    path = "/updates/{kb}/history",
    tag = "updates",
    params(("kb" = String, Path, description = "Such as `KB948609`"), UpdateHistoryQuery),
    responses((status = 200, description = "A page of hosts", body = Page<UpdateLife>), (status = "default", response = Problem))
)]
pub async fn list(
    caller: Caller,
    State(app): State<Arc<App>>,
    Path(kb): Path<String>,
    Query(query): Query<UpdateHistoryQuery>,
) -> Result<Json<Page<UpdateLife>>, Problem> {
    let Some(kb) = normalized_kb(&kb) else {
        return Err(Problem::new(Code::NotFound, "A KB is written `KB948609`."));
    };
    let after = page::decode(query.cursor.as_deref())?;
    let rows = lives::update(&caller.scope, &app.db, (&kb, query.host), after, query.limit.to_fetch()).await?;
    Ok(Json(Page::new(rows, query.limit, UpdateLifeRow::key).map(UpdateLife::from)))
}

impl From<UpdateLifeRow> for UpdateLife {
    fn from(row: UpdateLifeRow) -> Self {
        Self {
            host: HostRef { id: row.host_id, name: row.host_name },
            site: SiteRef { id: row.site_id, name: row.site_name },
            client: ClientRef { id: row.client_id, name: row.client_name },
            listed_from: row.listed_from,
            older: row.is_older,
            installed_from: row.installed_from,
            installed_until: row.installed_to,
            installed_at: row.installed_at,
        }
    }
}
