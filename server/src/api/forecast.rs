//! What the next reboot may cost, over the fleet and on one host, and what to reserve so that it costs nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use rules::catalog::Catalog;
use rules::finding::CannotTell;
use rules::forecast::{self, any_of, as_reservations};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::access::Caller;
use crate::api::extract::{Path, Query};
use crate::api::host_facts::Family;
use crate::api::model::{ClientRef, HostRef, SiteRef};
use crate::api::page::{self, Limit, Page};
use crate::api::problem::Problem;
use crate::app::App;
use crate::db::read_forecasts::{self, ClientOutlookRow, ForecastRow, OutlookRow};

/// The rule whose doubts say that nothing can be forecast.
const AT_RISK: &str = "port-conflict/at-risk";

/// What fails if every host reboots as it is now.
#[derive(Debug, Serialize, ToSchema)]
pub struct FleetForecast {
    pub outlook: Outlook,
    /// Under which the numbers hold, such as `if DNS binds first`.
    pub conditions: Vec<String>,
    /// Clients of which something is at risk or cannot be told, the one with the most expected failures first.
    pub clients: Vec<ClientForecast>,
    /// With these reservations nothing that is known to take ports can take these. The host with the most
    /// expected failures first.
    pub plan: Page<HostOutlook>,
}

/// How many services are expected to lose a port.
#[derive(Clone, Copy, Debug, Default, Serialize, ToSchema)]
pub struct Outlook {
    /// Expected number of services that fail: the sum of their probabilities.
    pub expected: f64,
    /// Services at risk.
    pub services: i64,
    /// Of them, those that no formula has a number for; `expected` leaves them out.
    pub without_number: i64,
    /// Hosts with a service at risk.
    pub hosts: i64,
    /// Hosts of which it cannot be told.
    pub cannot_tell: i64,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ClientForecast {
    pub client: ClientRef,
    #[serde(flatten)]
    pub outlook: Outlook,
}

/// A host in the plan.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HostOutlook {
    pub host: HostRef,
    pub site: SiteRef,
    pub client: ClientRef,
    pub expected: f64,
    /// Key names of the services at risk.
    pub services: Vec<String>,
    pub without_number: i64,
    /// Ports to reserve, such as `udp/1812-1813`. The host's plan has the steps.
    pub reserve: Vec<String>,
}

/// What may fail at the next boot of a host.
#[derive(Debug, Serialize, ToSchema)]
pub struct HostForecast {
    /// Expected number of services that fail.
    pub expected: f64,
    /// By key name.
    pub services: Vec<ServiceForecast>,
    /// Ports to reserve so that none does.
    pub reserve: Vec<String>,
    /// Why something cannot be told. A host that was never judged says so here.
    pub cannot_tell: Vec<String>,
}

/// What may happen to one service.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ServiceForecast {
    /// Key name.
    pub service: String,
    /// That it loses at least one port to any taker that has a number. `null`: none has.
    pub probability: Option<f64>,
    pub takers: Vec<TakerForecast>,
}

/// What one taker may do to one service.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TakerForecast {
    /// Id of the taker in the catalog.
    pub taker: String,
    /// `null`: the catalog does not know it any more.
    pub name: Option<String>,
    /// Ports of the service that it may take, such as `udp/1812`.
    pub ports: Vec<String>,
    /// `null`: it takes ports in turn, and no formula tells.
    pub probability: Option<f64>,
    /// Under which the probability holds, such as `if DNS binds first`.
    pub condition: String,
    /// The numbers of the formula, for each address family.
    pub draws: Vec<PoolDraw>,
    /// `null`: no earlier boot was seen.
    pub boots: Option<BootsHeld>,
    /// Since when reports say exactly this.
    pub since: DateTime<Utc>,
}

/// One draw of a pool: the probability is `1 − C(free − wanted, drawn) / C(free, drawn)`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PoolDraw {
    pub family: Family,
    /// Such as `49152-65535`.
    pub range: String,
    /// Ports of the range that can be drawn.
    pub free: u32,
    /// Ports of the range that are excluded.
    pub excluded: u32,
    /// Ports of the range that others hold.
    pub bound: u32,
    /// How many are drawn.
    pub drawn: u32,
    /// How many ports of the service are among `free`.
    pub wanted: u32,
    pub probability: f64,
}

/// In how many earlier boots the taker held one of the ports.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct BootsHeld {
    pub held: i32,
    /// Boots that were seen.
    pub of: i32,
}

/// Which part of the fleet.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ForecastQuery {
    /// Id of a client: only its hosts count.
    client: Option<i32>,
    /// `plan.next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500, default = 100)]
    limit: Limit,
}

/// What fails if every host reboots as it is now, and the plan that brings it to zero
#[utoipa::path(
    get,
    path = "/forecast",
    tag = "forecast",
    params(ForecastQuery),
    responses((status = 200, description = "The forecast", body = FleetForecast), (status = "default", response = Problem))
)]
pub async fn fleet(
    caller: Caller,
    State(app): State<Arc<App>>,
    Query(query): Query<ForecastQuery>,
) -> Result<Json<FleetForecast>, Problem> {
    let scope = caller.scope.narrowed(query.client);
    let after = page::decode(query.cursor.as_deref())?;
    let clients = read_forecasts::clients(&scope, &app.db).await?;
    let hosts = read_forecasts::hosts(&scope, &app.db, after, query.limit.to_fetch()).await?;
    let conditions = read_forecasts::conditions(&scope, &app.db).await?;
    let ids: Vec<i64> = hosts.iter().map(|host| host.host_id).collect();
    let mut rows: BTreeMap<i64, Vec<ForecastRow>> = BTreeMap::new();
    for row in read_forecasts::of_hosts(&scope, &app.db, &ids).await? {
        rows.entry(row.host_id).or_default().push(row);
    }
    Ok(Json(FleetForecast {
        outlook: clients.iter().map(Outlook::from).fold(Outlook::default(), Outlook::plus),
        conditions,
        clients: clients.into_iter().map(ClientForecast::from).collect(),
        plan: Page::new(hosts, query.limit, OutlookRow::key)
            .map(|host| host_outlook(rows.remove(&host.host_id).unwrap_or_default(), host)),
    }))
}

/// What may fail at the next boot of a host, with every number that this rests on
#[utoipa::path(
    get,
    path = "/hosts/{id}/forecast",
    tag = "forecast",
    params(("id" = i64, Path, description = "Id of the host")),
    responses((status = 200, description = "Its forecast", body = HostForecast), (status = "default", response = Problem))
)]
pub async fn of_host(
    caller: Caller,
    State(app): State<Arc<App>>,
    Path(id): Path<i64>,
) -> Result<Json<HostForecast>, Problem> {
    let Some(doubts) = read_forecasts::doubts(&caller.scope, &app.db, id).await? else {
        return Err(Problem::not_found("host"));
    };
    let rows = read_forecasts::of_hosts(&caller.scope, &app.db, &[id]).await?;
    let cannot_tell = match doubts {
        None => vec!["It has not reported yet.".to_owned()],
        Some(doubts) => {
            let concerns = |doubt: &CannotTell| doubt.covers(AT_RISK, &doubt.subject);
            doubts.into_iter().filter(concerns).map(|doubt| doubt.reason).collect()
        }
    };
    let reserve = reservations(&rows);
    let services = of_services(rows, &app.catalog());
    Ok(Json(HostForecast {
        expected: services.iter().filter_map(|service| service.probability).sum(),
        services,
        reserve,
        cannot_tell,
    }))
}

impl Outlook {
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            expected: self.expected + other.expected,
            services: self.services + other.services,
            without_number: self.without_number + other.without_number,
            hosts: self.hosts + other.hosts,
            cannot_tell: self.cannot_tell + other.cannot_tell,
        }
    }
}

impl From<&ClientOutlookRow> for Outlook {
    fn from(row: &ClientOutlookRow) -> Self {
        Self {
            expected: row.expected,
            services: row.services,
            without_number: row.without_number,
            hosts: row.hosts,
            cannot_tell: row.cannot_tell,
        }
    }
}

impl From<ClientOutlookRow> for ClientForecast {
    fn from(row: ClientOutlookRow) -> Self {
        Self { outlook: Outlook::from(&row), client: ClientRef { id: row.client_id, name: row.client_name } }
    }
}

fn host_outlook(rows: Vec<ForecastRow>, host: OutlookRow) -> HostOutlook {
    HostOutlook {
        host: HostRef { id: host.host_id, name: host.host_name },
        site: SiteRef { id: host.site_id, name: host.site_name },
        client: ClientRef { id: host.client_id, name: host.client_name },
        expected: host.expected,
        without_number: host.without_number,
        reserve: reservations(&rows),
        services: rows.into_iter().map(|row| row.service).collect::<BTreeSet<_>>().into_iter().collect(),
    }
}

fn reservations(rows: &[ForecastRow]) -> Vec<String> {
    as_reservations(rows.iter().flat_map(|row| &row.ports).filter_map(|port| port.parse().ok()))
}

/// `rows` are in the order of services.
fn of_services(rows: Vec<ForecastRow>, catalog: &Catalog) -> Vec<ServiceForecast> {
    let mut services: Vec<ServiceForecast> = Vec::new();
    for row in rows {
        let service = row.service.clone();
        let taker = taker_forecast(row, catalog);
        match services.last_mut() {
            Some(last) if last.service == service => last.takers.push(taker),
            _ => services.push(ServiceForecast { service, probability: None, takers: vec![taker] }),
        }
    }
    for service in &mut services {
        let numbers: Vec<f64> = service.takers.iter().filter_map(|taker| taker.probability).collect();
        service.probability = (!numbers.is_empty()).then(|| any_of(numbers));
    }
    services
}

fn taker_forecast(row: ForecastRow, catalog: &Catalog) -> TakerForecast {
    TakerForecast {
        name: catalog.takers().iter().find(|taker| taker.id == row.taker).map(|taker| taker.name.clone()),
        taker: row.taker,
        ports: row.ports,
        probability: row.probability,
        condition: row.condition,
        draws: row.draws.0.iter().map(PoolDraw::from).collect(),
        boots: row.boots_held.zip(row.boots_seen).map(|(held, of)| BootsHeld { held, of }),
        since: row.since,
    }
}

impl From<&forecast::Draw> for PoolDraw {
    fn from(draw: &forecast::Draw) -> Self {
        Self {
            family: draw.family.into(),
            range: draw.range.to_string(),
            free: draw.free,
            excluded: draw.excluded,
            bound: draw.bound,
            drawn: draw.drawn,
            wanted: draw.wanted,
            probability: draw.probability,
        }
    }
}
