//! Clients and their sites.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::access::Caller;
use crate::api::extract::Query;
use crate::api::model::OpenCounts;
use crate::api::page::{self, Limit, Page};
use crate::api::problem::Problem;
use crate::app::App;
use crate::db::read_clients::{self, ClientRow};

/// A customer of the MSP.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Client {
    pub id: i32,
    pub name: String,
    pub created_at: DateTime<Utc>,
    pub hosts: i64,
    pub open: OpenCounts,
    /// By name.
    pub sites: Vec<Site>,
}

/// A place of a client.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Site {
    pub id: i64,
    pub name: String,
    pub hosts: i64,
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ClientsQuery {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500, default = 100)]
    limit: Limit,
}

/// Clients by name
#[utoipa::path(
    get,
    path = "/clients",
    tag = "clients",
    params(ClientsQuery),
    responses((status = 200, description = "A page of clients", body = Page<Client>), (status = "default", response = Problem))
)]
pub async fn list(
    caller: Caller,
    State(app): State<Arc<App>>,
    Query(query): Query<ClientsQuery>,
) -> Result<Json<Page<Client>>, Problem> {
    let after = page::decode(query.cursor.as_deref())?;
    let rows = read_clients::list(&caller.scope, &app.db, after, query.limit.to_fetch()).await?;
    let sites = read_clients::sites(&caller.scope, &app.db).await?;
    Ok(Json(Page::new(rows, query.limit, ClientRow::key).map(|row| {
        Client {
            sites: sites
                .iter()
                .filter(|site| site.client_id == row.client_id)
                .map(|site| Site { id: site.site_id, name: site.name.clone(), hosts: site.hosts })
                .collect(),
            id: row.client_id,
            name: row.name,
            created_at: row.created_at,
            hosts: row.hosts,
            open: OpenCounts { critical: row.critical, warning: row.warning, info: row.info },
        }
    })))
}
