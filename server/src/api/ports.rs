//! One port over the whole fleet: which hosts have something on it, now or at a moment.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use rules::ports::Port;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::access::Caller;
use crate::api::extract::{Path, Query};
use crate::api::host_ports::{PortGroup, groups};
use crate::api::model::{ClientRef, HostRef, SiteRef};
use crate::api::page::{self, Limit, Page};
use crate::api::past::past;
use crate::api::problem::{Code, Problem};
use crate::app::App;
use crate::clock;
use crate::db::read_past::held::{self, HostWithRow};

/// Which hosts have something on a port.
#[derive(Debug, Serialize, ToSchema)]
pub struct PortHosts {
    /// Such as `tcp/3101`.
    pub port: String,
    /// The moment that the answer is about.
    pub at: DateTime<Utc>,
    /// By name.
    pub hosts: Page<PortHost>,
    /// Hosts whose open ports nobody knew then: on them it cannot be told. `null` on every page but the first.
    pub unknown_hosts: Option<i64>,
}

/// A host with something on a port.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PortHost {
    pub host: HostRef,
    pub site: SiteRef,
    pub client: ClientRef,
    pub holders: Vec<PortGroup>,
    /// Why its sockets were not known then: `holders` are those known last. `null`: they were known.
    pub unknown: Option<String>,
    /// Since when the host was not heard of then. `null`: it was.
    pub silent_since: Option<DateTime<Utc>>,
}

/// Which moment, and which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PortQuery {
    /// Such as `2026-11-22T03:00:00Z`; not in the future. Left out: now.
    at: Option<DateTime<Utc>>,
    /// Id of a client.
    client: Option<i32>,
    /// `hosts.next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500, default = 100)]
    limit: Limit,
}

/// Hosts with something on a port
#[utoipa::path(
    get,
    path = "/ports/{protocol}/{port}",
    tag = "ports",
    params(
        ("protocol" = String, Path, description = "`tcp` or `udp`"),
        ("port" = u16, Path, description = "Such as `3101`"),
        PortQuery
    ),
    responses((status = 200, description = "A page of hosts", body = PortHosts), (status = "default", response = Problem))
)]
pub async fn one(
    caller: Caller,
    State(app): State<Arc<App>>,
    Path((protocol, number)): Path<(String, u16)>,
    Query(query): Query<PortQuery>,
) -> Result<Json<PortHosts>, Problem> {
    let port = port(&protocol, number)?;
    let now = clock::now();
    let at = past("at", query.at.unwrap_or(now), now)?;
    let scope = caller.scope.narrowed(query.client);
    let after = page::decode(query.cursor.as_deref())?;
    let rows = held::hosts_with(&scope, &app.db, (port, at), after, query.limit.to_fetch()).await?;
    let unknown_hosts = match query.cursor {
        None => Some(held::hosts_unknown(&scope, &app.db, at).await?),
        Some(_) => None,
    };
    let hosts = Page::new(rows, query.limit, HostWithRow::key).map(PortHost::from);
    Ok(Json(PortHosts { port: port.to_string(), at, hosts, unknown_hosts }))
}

/// The port that a path names.
pub fn port(protocol: &str, number: u16) -> Result<Port, Problem> {
    format!("{protocol}/{number}")
        .parse()
        .map_err(|_| Problem::new(Code::BadPath, "A port is written `tcp/3101` or `udp/1812`."))
}

impl From<HostWithRow> for PortHost {
    fn from(row: HostWithRow) -> Self {
        Self {
            holders: groups(&row.sockets),
            host: HostRef { id: row.host_id, name: row.host_name },
            site: SiteRef { id: row.site_id, name: row.site_name },
            client: ClientRef { id: row.client_id, name: row.client_name },
            unknown: row.unknown_reason,
            silent_since: row.silent_since,
        }
    }
}
