//! Entries of the event logs of a host, each with a sentence of ours where its id is known.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use rules::facts;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::access::Caller;
use crate::api::extract::{Path, Query};
use crate::api::page::{self, Limit, Page};
use crate::api::problem::Problem;
use crate::app::App;
use crate::db::read_boots::{self, EventFilter, EventRow};
use crate::events::sentence;

/// An entry of an event log.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HostEvent {
    /// By the host's clock corrected by its skew. `null`: not said.
    pub at: Option<DateTime<Utc>>,
    pub learned_at: DateTime<Utc>,
    /// Such as `System`.
    pub log: String,
    /// Number of the entry in its log.
    pub record_id: i64,
    /// Such as `Service Control Manager`.
    pub provider: String,
    pub event_id: i64,
    /// SCM key name of the service that it tells of. `null`: of none, or not known.
    pub service: Option<String>,
    /// What it says, in English, whatever the language of the host. Hostile text: show it as text. `null`: there is no
    /// sentence for this id; show provider, id and data.
    pub sentence: Option<String>,
    /// As the entry holds them.
    pub data: Vec<EventDatum>,
}

/// A datum of an event.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EventDatum {
    /// `null`: the entry numbers its data only.
    pub name: Option<String>,
    pub value: String,
}

/// Filters of the list. A filter that is left out does not restrict.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// Such as `7023`.
    id: Option<u32>,
    /// SCM key name, in any case, at most 200 characters.
    #[param(max_length = 200)]
    service: Option<String>,
    /// Only entries from before this moment.
    before: Option<DateTime<Utc>>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500, default = 100)]
    limit: Limit,
}

/// Events of a host, the newest first
#[utoipa::path(
    get,
    path = "/hosts/{id}/events",
    tag = "hosts",
    params(("id" = i64, Path, description = "Id of the host"), EventsQuery),
    responses((status = 200, description = "A page of events", body = Page<HostEvent>), (status = "default", response = Problem))
)]
pub async fn list(
    caller: Caller,
    State(app): State<Arc<App>>,
    Path(id): Path<i64>,
    Query(query): Query<EventsQuery>,
) -> Result<Json<Page<HostEvent>>, Problem> {
    let filter = EventFilter {
        id: query.id.map(i64::from),
        service: page::checked_text("service", query.service)?,
        before: query.before,
    };
    let after = page::decode(query.cursor.as_deref())?;
    let rows = read_boots::events(&caller.scope, &app.db, id, &filter, after, query.limit.to_fetch()).await?;
    let Some(rows) = rows else { return Err(Problem::not_found("host")) };
    Ok(Json(Page::new(rows, query.limit, EventRow::key).map(HostEvent::from)))
}

/// A stored event as facts. `None`: what is stored cannot be read.
pub fn fact(row: &EventRow) -> Option<facts::Event> {
    Some(facts::Event {
        log: row.log.as_str().into(),
        record_id: u64::try_from(row.record_id).ok()?,
        at: row.at,
        provider: row.provider.as_str().into(),
        id: u32::try_from(row.id).ok()?,
        service: row.service.as_deref().map(Into::into),
        data: serde_json::from_value(row.data.clone()).ok()?,
    })
}

impl From<EventRow> for HostEvent {
    fn from(row: EventRow) -> Self {
        let fact = fact(&row);
        Self {
            sentence: fact.as_ref().and_then(sentence::sentence),
            data: fact.map_or_else(Vec::new, |event| event.data.into_iter().map(EventDatum::from).collect()),
            at: row.at,
            learned_at: row.learned_at,
            log: row.log,
            record_id: row.record_id,
            provider: row.provider,
            event_id: row.id,
            service: row.service,
        }
    }
}

impl From<facts::EventDatum> for EventDatum {
    fn from(datum: facts::EventDatum) -> Self {
        Self { name: datum.name.map(rules::text::Text::into_string), value: datum.value.into_string() }
    }
}
