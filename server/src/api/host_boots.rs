//! The boots of a host: what bound which port when, what became of its services, and who held a port in each boot.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use rules::facts::{self, Facts, Section};
use rules::ports::Port;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::access::Caller;
use crate::api::boot_story;
use crate::api::extract::{Path, Query};
use crate::api::hosts::document;
use crate::api::model::SectionName;
use crate::api::problem::{Code, Problem};
use crate::app::App;
use crate::db::Scope;
use crate::db::read_boots::{self, BootRow, HolderRow};
use crate::ingest::ledger;

/// Failed services that a boot of the list names.
const NAMED: usize = 20;

/// The boots of a host that are kept.
#[derive(Debug, Serialize, ToSchema)]
pub struct HostBoots {
    /// The newest first, at most 60. Empty: its agent named no boot, or it has none.
    pub items: Vec<BootSummary>,
}

/// A boot in a line.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BootSummary {
    /// Counts the boots that were seen of this host.
    pub number: i32,
    /// By the host's clock corrected by its skew. `null`: not known.
    pub booted_at: Option<DateTime<Utc>>,
    /// When the server first heard of it: the agent may have come to it late.
    pub first_seen_at: DateTime<Utc>,
    pub last_seen_at: DateTime<Utc>,
    /// How it ended, as the event log says. `null`: not known, or it lasts.
    pub shutdown: Option<Shutdown>,
    /// `null`: not known.
    pub shutdown_at: Option<DateTime<Utc>>,
    /// Fixed ports that were bound.
    pub ports: i64,
    /// Services that failed.
    pub failures: usize,
    /// The first of them by name, at most 20.
    pub failed_services: Vec<String>,
    /// Whether the sockets were known at any time: without, nobody can say who held a port.
    pub sockets_seen: bool,
    pub services_seen: bool,
    /// Entries that were not kept, because there were too many.
    pub omitted: i32,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shutdown {
    /// A person or program asked for it.
    Asked,
    Clean,
    /// The next boot says that there was none.
    Unexpected,
}

/// A boot with all that is kept of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Boot {
    #[serde(flatten)]
    pub summary: BootSummary,
    /// In the order of time.
    pub entries: Vec<BootEntry>,
}

/// One thing that happened in a boot.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BootEntry {
    pub kind: EntryKind,
    /// By the host's clock corrected by its skew.
    pub at: DateTime<Utc>,
    /// What `at` is the time of.
    pub basis: Basis,
    /// By the server's clock.
    pub learned_at: DateTime<Utc>,
    /// What happened, in a sentence. Names in it are hostile text: show it as text.
    pub text: String,
    /// Such as `udp/1812`; of a pool `udp/49152-65535`. `null`: it is about no port.
    pub port: Option<String>,
    /// How many ports; 1 but for a pool. `null`: it is about no port.
    pub port_count: Option<u32>,
    /// `0.0.0.0` and `::` stand for all of the host's addresses.
    pub addresses: Vec<String>,
    /// When the port was first not seen any more. `null`: not so, or it is about no port.
    pub gone_at: Option<DateTime<Utc>>,
    /// Image name, such as `dns.exe`. `null`: not known, like the next two.
    pub process: Option<String>,
    pub image: Option<String>,
    pub pid: Option<u32>,
    /// Services that own the socket, or the one that it is about.
    pub services: Vec<String>,
    pub exit_code: Option<u32>,
    /// What stands behind an `exit_code` of 1066.
    pub service_exit_code: Option<u32>,
    /// Of a failed service: who held ports then that the catalog knows it to need. Facts, not a verdict.
    pub holders: Vec<PortHolder>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    Bound,
    /// A process took many ports; they are not kept one by one, but for those that a service is known to need.
    Pool,
    Running,
    Stopped,
    Failed,
    /// An event that concerns ports or the boot.
    Event,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// When the port was bound.
    BindTime,
    /// The time of an entry of an event log.
    Event,
    /// The agent watched the service change.
    Watched,
    /// It was so when it was first seen: it happened earlier.
    Seen,
}

/// Who held a port.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PortHolder {
    /// Such as `udp/1812`.
    pub port: String,
    /// Image name, such as `dns.exe`. `null`: not known.
    pub process: Option<String>,
    pub pid: Option<u32>,
    pub services: Vec<String>,
    pub since: DateTime<Utc>,
    /// What `since` is the time of.
    pub basis: Basis,
    /// When it was first not seen any more. `null`: not so.
    pub until: Option<DateTime<Utc>>,
}

/// Who held a port first in each boot of a host.
#[derive(Debug, Serialize, ToSchema)]
pub struct PortHolders {
    /// Such as `udp/1812`.
    pub port: String,
    /// The newest boot first.
    pub boots: Vec<BootHolder>,
}

/// Who held a port first in a boot.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BootHolder {
    pub number: i32,
    /// `null`: not known.
    pub booted_at: Option<DateTime<Utc>>,
    pub first_seen_at: DateTime<Utc>,
    pub state: Held,
    /// Why it is unknown. `null`: it is known.
    pub reason: Option<String>,
    /// `null`: nobody was seen, or it is unknown.
    pub holder: Option<PortHolder>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    Held,
    /// Nobody was seen with it.
    Nobody,
    Unknown,
}

/// Which port.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HoldersQuery {
    /// Such as `udp/1812`.
    port: String,
}

/// Boots of a host
#[utoipa::path(
    get,
    path = "/hosts/{id}/boots",
    tag = "hosts",
    params(("id" = i64, Path, description = "Id of the host")),
    responses((status = 200, description = "Its boots", body = HostBoots), (status = "default", response = Problem))
)]
pub async fn list(
    caller: Caller,
    State(app): State<Arc<App>>,
    Path(id): Path<i64>,
) -> Result<Json<HostBoots>, Problem> {
    let Some(rows) = read_boots::boots(&caller.scope, &app.db, id).await? else {
        return Err(Problem::not_found("host"));
    };
    Ok(Json(HostBoots { items: rows.into_iter().map(BootSummary::from).collect() }))
}

/// One boot of a host
#[utoipa::path(
    get,
    path = "/hosts/{id}/boots/{boot}",
    tag = "hosts",
    params(
        ("id" = i64, Path, description = "Id of the host"),
        ("boot" = i32, Path, description = "Number of the boot")
    ),
    responses((status = 200, description = "The boot", body = Boot), (status = "default", response = Problem))
)]
pub async fn one(
    caller: Caller,
    State(app): State<Arc<App>>,
    Path((id, number)): Path<(i64, i32)>,
) -> Result<Json<Boot>, Problem> {
    let Some(detail) = read_boots::boot(&caller.scope, &app.db, id, number).await? else {
        return Err(Problem::not_found("boot"));
    };
    let generation = detail.host.as_ref().map(|host| host.os.generation());
    let entries = boot_story::tell(detail.entries, &app.catalog(), generation);
    Ok(Json(Boot { summary: detail.boot.into(), entries }))
}

/// Who held a port, boot by boot
#[utoipa::path(
    get,
    path = "/hosts/{id}/boots/holders",
    tag = "hosts",
    params(("id" = i64, Path, description = "Id of the host"), HoldersQuery),
    responses((status = 200, description = "Its holders", body = PortHolders), (status = "default", response = Problem))
)]
pub async fn holders(
    caller: Caller,
    State(app): State<Arc<App>>,
    Path(id): Path<i64>,
    Query(query): Query<HoldersQuery>,
) -> Result<Json<PortHolders>, Problem> {
    let port: Port =
        query.port.parse().map_err(|_| Problem::field(Code::BadQuery, "port", "is not a port such as `udp/1812`"))?;
    let Some(boots) = boot_holders(&caller.scope, &app, (id, port)).await? else {
        return Err(Problem::not_found("host"));
    };
    Ok(Json(PortHolders { port: port.to_string(), boots }))
}

/// Who had a port first in each boot. `None`: no such host in `scope`.
pub async fn boot_holders(
    scope: &Scope,
    app: &App,
    (host_id, port): (i64, Port),
) -> anyhow::Result<Option<Vec<BootHolder>>> {
    let Some(found) = read_boots::holders(scope, &app.db, host_id, port).await? else { return Ok(None) };
    let facts = Facts {
        host: document::<facts::Host>(&found.sections, SectionName::Host)?
            .map_or_else(Section::default, Section::Known),
        port_policy: document::<facts::PortPolicy>(&found.sections, SectionName::PortPolicy)?
            .map_or_else(Section::default, Section::Known),
        ..Facts::default()
    };
    let is_kept = ledger::keeps(port, &facts, &app.catalog());
    Ok(Some(found.boots.into_iter().map(|row| boot_holder(row, port, is_kept)).collect()))
}

fn boot_holder(row: HolderRow, port: Port, is_kept: ledger::Kept) -> BootHolder {
    let reason = match is_kept {
        _ if row.at.is_some() => None,
        _ if !row.sockets_seen => Some("its sockets could not be read"),
        ledger::Kept::Never => Some(
            "it is a port that the system draws, and no service is known to need it: such ports are not kept one by one",
        ),
        ledger::Kept::UnlessInPool if row.in_pool => {
            Some("a process took a pool of random ports that reaches over it: those are not kept one by one")
        }
        _ if row.omitted > 0 => Some("more happened in this boot than is kept"),
        _ => None,
    };
    let holder = row.at.map(|since| PortHolder {
        port: port.to_string(),
        process: row.image.as_deref().map(boot_story::process),
        pid: row.pid.and_then(|pid| u32::try_from(pid).ok()),
        services: row.services,
        since,
        basis: boot_story::basis(row.basis.unwrap_or_default()),
        until: row.gone_at,
    });
    BootHolder {
        number: row.number,
        booted_at: row.booted_at,
        first_seen_at: row.first_seen_at,
        state: match (&holder, reason) {
            (Some(_), _) => Held::Held,
            (None, None) => Held::Nobody,
            (None, Some(_)) => Held::Unknown,
        },
        reason: reason.map(ToOwned::to_owned),
        holder,
    }
}

impl From<BootRow> for BootSummary {
    fn from(row: BootRow) -> Self {
        Self {
            number: row.number,
            booted_at: row.booted_at,
            first_seen_at: row.first_seen_at,
            last_seen_at: row.last_seen_at,
            shutdown: row.shutdown.as_deref().and_then(|kind| match kind {
                "asked" => Some(Shutdown::Asked),
                "clean" => Some(Shutdown::Clean),
                "unexpected" => Some(Shutdown::Unexpected),
                _ => None,
            }),
            shutdown_at: row.shutdown_at,
            ports: row.ports,
            failures: row.failed_services.len(),
            failed_services: row.failed_services.into_iter().take(NAMED).collect(),
            sockets_seen: row.sockets_seen,
            services_seen: row.services_seen,
            omitted: row.omitted,
        }
    }
}
