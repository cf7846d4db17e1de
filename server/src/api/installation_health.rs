//! How the installation itself is, for those who look after it: what is stored and how it grows, streams, outbox, upkeep,
//! Postgres. Hosts, streams and deliveries are counted within the caller's scope; nothing else here is a client's.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::access::Caller;
use crate::api::overview::Fleet;
use crate::api::problem::Problem;
use crate::api::retention::{Retention, Warning, WarningKind};
use crate::app::App;
use crate::clock;
use crate::db::{read_health, read_overview, retention as rows};
use crate::people::Role;
use crate::retention;

/// An upkeep that is this late needs somebody.
const LATE: TimeDelta = TimeDelta::days(2);
/// Weeks of spans should reach this far.
const PREPARED: TimeDelta = TimeDelta::weeks(2);
/// A webhook that waits so long is told.
const OLD_DELIVERY: TimeDelta = TimeDelta::hours(1);
/// Postgres warns at 40 million before its end; a twentieth of the way is plenty of time.
const OLD_TRANSACTION: i64 = 1_000_000_000;

/// How the installation is.
#[derive(Debug, Serialize, ToSchema)]
pub struct InstallationHealth {
    pub at: DateTime<Utc>,
    /// What somebody should look at; empty: nothing.
    pub warnings: Vec<Warning>,
    pub hosts: Fleet,
    pub streams: StreamHealth,
    pub deliveries: DeliveryHealth,
    pub database: DatabaseHealth,
    /// What is stored, by kind.
    pub kinds: Vec<Retention>,
    pub upkeep: Vec<UpkeepRun>,
    pub leases: Vec<Lease>,
}

/// Streams of agents, and what came over them.
#[derive(Debug, Serialize, ToSchema)]
pub struct StreamHealth {
    /// Open at present.
    pub open: i64,
    /// Seconds from the host's look to the server's knowledge, of what came in the last 15 minutes; half were faster.
    /// `null`: nothing came.
    pub lag_median_seconds: Option<f64>,
    /// 99 of 100 were faster.
    pub lag_p99_seconds: Option<f64>,
    /// Reports that agents lost, ever.
    pub gaps: i64,
    /// Reports that could not be applied, ever.
    pub quarantined: i64,
    /// Rows of reports that were left out, ever.
    pub dropped_rows: i64,
}

/// The outbox.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeliveryHealth {
    pub pending: i64,
    /// `null`: nothing is pending.
    pub oldest_pending_at: Option<DateTime<Utc>>,
    /// Given up, and not yet removed.
    pub dead: i64,
}

/// Postgres.
#[derive(Debug, Serialize, ToSchema)]
pub struct DatabaseHealth {
    pub version: String,
    pub started_at: DateTime<Utc>,
    /// To this database.
    pub connections: i64,
    /// Transactions since the oldest row that was not frozen; Postgres stops at two thousand million.
    pub transaction_age: i64,
    /// Until when weeks of spans are made. `null`: some are missing.
    pub weeks_until: Option<DateTime<Utc>>,
    /// Tables that reports write, those with the most dead rows first.
    pub tables: Vec<TableHealth>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct TableHealth {
    pub name: String,
    pub live_rows: i64,
    pub dead_rows: i64,
    pub bytes: i64,
    /// `null`: not since the statistics of Postgres began.
    pub vacuumed_at: Option<DateTime<Utc>>,
}

/// The last run of a part of upkeep.
#[derive(Debug, Serialize, ToSchema)]
pub struct UpkeepRun {
    pub name: String,
    pub begun_at: DateTime<Utc>,
    /// `null`: it is under way, or was cut off.
    pub ended_at: Option<DateTime<Utc>>,
    /// Rows that it removed; of spans, weeks.
    pub removed: i64,
    /// `null`: it came to its end.
    pub fault: Option<String>,
}

/// What one server at a time does.
#[derive(Debug, Serialize, ToSchema)]
pub struct Lease {
    pub name: String,
    pub server: Uuid,
    pub until: DateTime<Utc>,
    /// Whether it has not ended.
    pub is_held: bool,
}

/// How the installation is
///
/// For operators and admins. Hosts, streams and deliveries are those of the clients that you may see.
#[utoipa::path(
    get,
    path = "/health",
    tag = "installation",
    responses(
        (status = 200, description = "How it is", body = InstallationHealth),
        (status = "default", response = Problem)
    )
)]
pub async fn get(caller: Caller, State(app): State<Arc<App>>) -> Result<Json<InstallationHealth>, Problem> {
    caller.require(Role::Operator)?;
    let (scope, db, now) = (&caller.scope, &app.db, clock::now());
    let counts = read_overview::counts(scope, db, now).await?;
    let streams = read_health::streams(scope, db, now).await?;
    let outbox = read_health::outbox(scope, db).await?;
    let postgres = read_health::postgres(&db.pool).await?;
    let tables = read_health::hot_tables(&db.pool).await?;
    let leases = read_health::leases(&db.pool).await?;
    let standings = retention::standings(db, now).await?;
    let runs = rows::runs(&db.pool).await?;
    let weeks_until = rows::prepared_until(&db.pool).await?;
    let mut health = InstallationHealth {
        at: now,
        warnings: Vec::new(),
        hosts: Fleet {
            reporting: counts.reporting,
            stale: counts.stale,
            silent: counts.silent,
            capture: counts.capture,
            total: counts.reporting + counts.stale + counts.silent + counts.capture,
        },
        streams: StreamHealth {
            open: streams.open,
            lag_median_seconds: streams.lag_median,
            lag_p99_seconds: streams.lag_p99,
            gaps: streams.gaps,
            quarantined: streams.quarantined,
            dropped_rows: streams.dropped_rows,
        },
        deliveries: DeliveryHealth {
            pending: outbox.pending,
            oldest_pending_at: outbox.oldest_pending_at,
            dead: outbox.dead,
        },
        database: DatabaseHealth {
            version: postgres.version,
            started_at: postgres.started_at,
            connections: postgres.connections,
            transaction_age: postgres.transaction_age,
            weeks_until,
            tables: tables
                .into_iter()
                .map(|table| TableHealth {
                    name: table.name,
                    live_rows: table.live_rows,
                    dead_rows: table.dead_rows,
                    bytes: table.bytes,
                    vacuumed_at: table.vacuumed_at,
                })
                .collect(),
        },
        kinds: standings.iter().map(Retention::from).collect(),
        upkeep: runs
            .into_iter()
            .map(|run| UpkeepRun {
                name: run.name,
                begun_at: run.begun_at,
                ended_at: run.ended_at,
                removed: run.removed,
                fault: run.fault,
            })
            .collect(),
        leases: leases
            .into_iter()
            .map(|lease| Lease { name: lease.name, server: lease.holder, until: lease.until, is_held: lease.is_held })
            .collect(),
    };
    health.warnings = warnings(&health, now);
    health.warnings.extend(
        standings.iter().filter_map(|standing| Some(Warning { kind: WarningKind::Budget, text: standing.warning()? })),
    );
    Ok(Json(health))
}

fn warnings(health: &InstallationHealth, now: DateTime<Utc>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |kind, text: String| warnings.push(Warning { kind, text });
    if health.database.weeks_until.is_none_or(|until| until < now + PREPARED) {
        warn(WarningKind::Upkeep, "Weeks of spans are not made ahead; look at the last run of `prepare`.".to_owned());
    }
    for run in &health.upkeep {
        if let Some(fault) = &run.fault {
            warn(WarningKind::Upkeep, format!("Upkeep {} failed: {fault}.", run.name));
        } else if run.begun_at < now - LATE {
            warn(WarningKind::Upkeep, format!("Upkeep {} has not run for two days.", run.name));
        }
    }
    if health.deliveries.oldest_pending_at.is_some_and(|at| at < now - OLD_DELIVERY) {
        warn(WarningKind::Deliveries, "A webhook has waited for more than an hour.".to_owned());
    }
    if health.database.transaction_age > OLD_TRANSACTION {
        let text = "Postgres has not frozen old rows for a thousand million transactions; see that autovacuum runs.";
        warn(WarningKind::Database, text.to_owned());
    }
    warnings
}
