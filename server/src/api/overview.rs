//! The first page: what is broken, what will break, what cannot be told, and what just happened.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::access::Caller;
use crate::api::findings::{FindingSummary, Transition};
use crate::api::forecast::Outlook;
use crate::api::model::{ClientRef, HostRef, Severity};
use crate::api::page::MAX_LIMIT;
use crate::api::problem::Problem;
use crate::api::updates::{self, Verdict};
use crate::app::App;
use crate::clock;
use crate::db::read_findings::{self, FindingFilter};
use crate::db::{read_clients, read_forecasts, read_overview, read_updates, restore};

/// The fleet in one document.
#[derive(Debug, Serialize, ToSchema)]
pub struct Overview {
    /// Services that do not run because of a port.
    pub services_down: FindingCount,
    /// Known-bad updates that do harm.
    pub harmful_updates: UpdateCount,
    /// Known-bad updates of which a condition could not be read.
    pub possible_updates: UpdateCount,
    /// Open findings of hosts that were not heard of for a while. The figures above leave them out: nobody knows.
    pub stale_findings: FindingCount,
    /// Webhooks are not sent since the server was restored from a backup, until somebody releases them. `null`: they are.
    pub deliveries_held: Option<DeliveriesHeld>,
    /// Hosts of which something cannot be told.
    pub cannot_tell_hosts: i64,
    /// What fails if every host reboots as it is now.
    pub next_reboot: Outlook,
    pub fleet: Fleet,
    /// The worst first, at most 500.
    pub clients: Vec<ClientHealth>,
    /// Open findings, the worst first, at most 10.
    pub worst: Vec<FindingSummary>,
    /// The most recently installed, at most 10.
    pub recent_updates: Vec<RecentUpdate>,
    /// What happened to findings, the newest first, at most 20.
    pub recent: Vec<RecentEvent>,
}

/// An outbox that waits for `portreeve-server deliveries release`.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct DeliveriesHeld {
    pub restored_at: DateTime<Utc>,
    /// Of when the backup is.
    pub backup_at: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct FindingCount {
    /// Open findings.
    pub findings: i64,
    /// Hosts that have them.
    pub hosts: i64,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct UpdateCount {
    /// Different updates.
    pub entries: i64,
    /// Hosts that have them.
    pub hosts: i64,
}

/// Hosts by freshness.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Fleet {
    pub reporting: i64,
    pub stale: i64,
    pub silent: i64,
    pub capture: i64,
    pub total: i64,
}

/// How a client stands.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ClientHealth {
    pub client: ClientRef,
    pub hosts: i64,
    /// Open findings.
    pub critical: i64,
    pub warning: i64,
    pub info: i64,
    /// Hosts of which something cannot be told.
    pub unknown: i64,
}

/// An update that came recently.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RecentUpdate {
    pub kb: String,
    /// Hostile text: show it as text.
    pub title: String,
    /// Hosts on which it is installed.
    pub hosts: i64,
    /// `null`: no host says when.
    pub first_installed_at: Option<DateTime<Utc>>,
    /// `null`: nothing is known against it.
    pub verdict: Option<Verdict>,
}

/// A step of a finding's life.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RecentEvent {
    /// By the server's clock.
    pub at: DateTime<Utc>,
    pub transition: Transition,
    pub finding: FindingRef,
}

/// A finding by name.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FindingRef {
    pub id: Uuid,
    pub rule: String,
    /// Its title at that time.
    pub title: String,
    pub severity: Severity,
    pub client: ClientRef,
    pub host: HostRef,
}

/// The fleet in one document
#[utoipa::path(
    get,
    path = "/overview",
    tag = "overview",
    responses((status = 200, description = "The overview", body = Overview), (status = "default", response = Problem))
)]
pub async fn get(caller: Caller, State(app): State<Arc<App>>) -> Result<Json<Overview>, Problem> {
    let scope = &caller.scope;
    let open = FindingFilter { state: Some("open"), ..FindingFilter::default() };
    let counts = read_overview::counts(scope, &app.db, clock::now()).await?;
    let mut clients = read_clients::list(scope, &app.db, None, MAX_LIMIT.into()).await?;
    clients.sort_by_key(|client| std::cmp::Reverse((client.critical, client.warning, client.unknown, client.info)));
    let outlook = read_forecasts::clients(scope, &app.db).await?;
    let worst = read_findings::list(scope, &app.db, &open, None, 10, clock::now()).await?;
    let recent_updates = read_updates::list(scope, &app.db, None, None, 10).await?;
    let update_findings = read_updates::findings(scope, &app.db, None).await?;
    let recent = read_overview::recent(scope, &app.db).await?;
    let catalog = app.catalog();
    Ok(Json(Overview {
        services_down: FindingCount { findings: counts.down, hosts: counts.down_hosts },
        harmful_updates: UpdateCount { entries: counts.harmful, hosts: counts.harmful_hosts },
        possible_updates: UpdateCount { entries: counts.possible, hosts: counts.possible_hosts },
        stale_findings: FindingCount { findings: counts.stale_findings, hosts: counts.stale_hosts },
        deliveries_held: restore::held(&app.db)
            .await?
            .map(|held| DeliveriesHeld { restored_at: held.restored_at, backup_at: held.backup_at }),
        cannot_tell_hosts: counts.cannot_tell_hosts,
        next_reboot: outlook.iter().map(Outlook::from).fold(Outlook::default(), Outlook::plus),
        fleet: Fleet {
            reporting: counts.reporting,
            stale: counts.stale,
            silent: counts.silent,
            capture: counts.capture,
            total: counts.reporting + counts.stale + counts.silent + counts.capture,
        },
        clients: clients
            .into_iter()
            .map(|row| ClientHealth {
                client: ClientRef { id: row.client_id, name: row.name },
                hosts: row.hosts,
                critical: row.critical,
                warning: row.warning,
                info: row.info,
                unknown: row.unknown,
            })
            .collect(),
        worst: worst.into_iter().map(FindingSummary::from).collect(),
        recent_updates: recent_updates
            .into_iter()
            .map(|row| updates::summary(row, &update_findings, &catalog))
            .map(|update| RecentUpdate {
                kb: update.kb,
                title: update.title,
                hosts: update.hosts,
                first_installed_at: update.first_installed_at,
                verdict: update.verdict,
            })
            .collect(),
        recent: recent
            .into_iter()
            .map(|row| RecentEvent {
                at: row.at,
                transition: Transition::from_row(&row.transition),
                finding: FindingRef {
                    id: row.finding_id,
                    rule: row.rule,
                    title: row.title,
                    severity: Severity::from_row(row.severity),
                    client: ClientRef { id: row.client_id, name: row.client_name },
                    host: HostRef { id: row.host_id, name: row.host_name },
                },
            })
            .collect(),
    }))
}
