//! Who held one port of a host, from when to when, and how that is known.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use rules::facts::Socket;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::access::Caller;
use crate::api::extract::{Path, Query};
use crate::api::host_boots::{Basis, BootHolder, boot_holders};
use crate::api::host_ports::SocketState;
use crate::api::page::{self, Limit, Page};
use crate::api::past::past;
use crate::api::ports::port;
use crate::api::problem::Problem;
use crate::app::App;
use crate::clock;
use crate::db::read_past::held::{self, HeldRow, Within};

/// Who held a port of a host over time.
#[derive(Debug, Serialize, ToSchema)]
pub struct PortHistory {
    /// Such as `udp/1812`.
    pub port: String,
    /// The newest first.
    pub held: Page<Holding>,
    /// Who had it first in each boot that is kept, the newest boot first: the boot ledger reaches further back.
    pub boots: Vec<BootHolder>,
}

/// One socket of a port, and from when to when it was there.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Holding {
    /// When it was bound, or first seen: `basis` says which. By the host's clock corrected by its skew.
    pub since: DateTime<Utc>,
    pub basis: Basis,
    /// When the report was made that first had it.
    pub seen_from: DateTime<Utc>,
    /// When the report was made that no longer had it, or the host booted before that. `null`: it is open, as far as is
    /// known.
    pub until: Option<DateTime<Utc>>,
    /// `0.0.0.0` and `::` stand for all of the host's addresses.
    pub address: String,
    pub state: SocketState,
    /// Image name, such as `dns.exe`. Hostile text, like the next. `null`: not known, like the next two.
    pub process: Option<String>,
    pub image: Option<String>,
    pub pid: Option<u32>,
    /// Services that the owner runs. Several: candidates that share the process.
    pub services: Vec<String>,
}

/// Which part of the history.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// Only who held it then, such as `2026-11-22T03:00:00Z`; not in the future.
    at: Option<DateTime<Utc>>,
    /// `held.next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500, default = 100)]
    limit: Limit,
}

/// Who held a port of a host
#[utoipa::path(
    get,
    path = "/hosts/{id}/ports/{protocol}/{port}/history",
    tag = "hosts",
    params(
        ("id" = i64, Path, description = "Id of the host"),
        ("protocol" = String, Path, description = "`tcp` or `udp`"),
        ("port" = u16, Path, description = "Such as `1812`"),
        HistoryQuery
    ),
    responses((status = 200, description = "Its holders", body = PortHistory), (status = "default", response = Problem))
)]
pub async fn list(
    caller: Caller,
    State(app): State<Arc<App>>,
    Path((id, protocol, number)): Path<(i64, String, u16)>,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<PortHistory>, Problem> {
    let port = port(&protocol, number)?;
    let now = clock::now();
    let within = match query.at {
        Some(at) => Within::moment(past("at", at, now)?),
        None => Within { from: DateTime::UNIX_EPOCH, to: now },
    };
    let after = page::decode(query.cursor.as_deref())?;
    let rows = held::holders(&caller.scope, &app.db, (id, port), within, after, query.limit.to_fetch()).await?;
    let Some(rows) = rows else { return Err(Problem::not_found("host")) };
    let boots = boot_holders(&caller.scope, &app, (id, port)).await?.unwrap_or_default();
    let held = Page::new(rows, query.limit, HeldRow::key).map(Holding::from);
    Ok(Json(PortHistory { port: port.to_string(), held, boots }))
}

impl From<HeldRow> for Holding {
    fn from(row: HeldRow) -> Self {
        let Socket { address, scope, state, pid, image, services, bound_at, .. } = row.socket;
        let process = image.as_deref().map(crate::api::boot_story::process);
        Self {
            since: bound_at.unwrap_or(row.valid_from),
            basis: if bound_at.is_some() { Basis::BindTime } else { Basis::Seen },
            seen_from: row.valid_from,
            until: row.valid_to,
            address: if scope == 0 { address.to_string() } else { format!("{address}%{scope}") },
            state: state.into(),
            process,
            image: image.map(rules::text::Text::into_string),
            pid,
            services: services.into_iter().map(rules::text::Text::into_string).collect(),
        }
    }
}
