//! Suspect updates: after which updates services fail more often than on comparable hosts without them. Counts are those
//! of all clients; hosts are named within the caller's scope only.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use rules::catalog::normalized_kb;
use rules::suspect;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::access::Caller;
use crate::api::extract::Query;
use crate::api::model::{ClientRef, Confidence, HostRef};
use crate::api::problem::Problem;
use crate::app::App;
use crate::db::suspects::{self, Stored, StoredHost};

/// What the last look at the fleet says.
#[derive(Debug, Serialize, ToSchema)]
pub struct Suspects {
    /// When it ended. `null`: no look came to its end yet.
    pub looked_at: Option<DateTime<Utc>>,
    /// Pairs of update and service that it tested.
    pub tests: i32,
    /// The least likely to be false first.
    pub suspects: Vec<SuspectUpdate>,
    /// Updates after which services failed, and that nothing can be told of.
    pub untold: Vec<UntoldUpdate>,
}

/// An update after which a service fails more often, or several that cannot be told apart.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SuspectUpdate {
    /// In order. Several: they came with the same boots, and it may be any of them.
    pub kbs: Vec<String>,
    /// SCM key name.
    pub service: String,
    pub confidence: Confidence,
    /// Hosts of all clients with the update, and how many of them failed within 72 hours of the first boot with it.
    pub exposed: Outcome,
    /// Comparable hosts of all clients without it, after a boot of theirs.
    pub compared: Outcome,
    /// Clients of which hosts failed with it.
    pub clients: u32,
    /// Whether all that was compared booted in the same weeks. `false`: some did in the four weeks before.
    pub same_weeks: bool,
    /// By how much the share that fails is higher: 0.1 for ten points.
    pub rise: f64,
    /// Lower end of the exact 95 % interval of the odds ratio.
    pub odds_ratio_at_least: f64,
    /// Of the exact test.
    pub p: f64,
    /// The share of false suspects among all of this q and less.
    pub q: f64,
    /// When a look found it first.
    pub since: DateTime<Utc>,
    /// Hosts with the update that count, of clients that the caller may see, by name.
    pub hosts: Vec<SuspectHost>,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Outcome {
    pub failed: u32,
    pub hosts: u32,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SuspectHost {
    pub host: HostRef,
    pub client: ClientRef,
    /// Whether the service failed there within 72 hours of the first boot with the update.
    pub failed: bool,
}

/// Failures after an update that nothing can be compared with: too few comparable hosts are without it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct UntoldUpdate {
    pub kbs: Vec<String>,
    pub service: String,
    pub exposed: Outcome,
    /// Comparable hosts without it.
    pub compared: u32,
}

/// Which suspects.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SuspectsQuery {
    /// Only those that this KB is one of, such as `KB5034439`.
    #[param(max_length = 40)]
    kb: Option<String>,
}

/// Updates that the fleet suspects
#[utoipa::path(
    get,
    path = "/suspects",
    tag = "updates",
    params(SuspectsQuery),
    responses((status = 200, description = "What the last look says", body = Suspects), (status = "default", response = Problem))
)]
pub async fn list(
    caller: Caller,
    State(app): State<Arc<App>>,
    Query(query): Query<SuspectsQuery>,
) -> Result<Json<Suspects>, Problem> {
    // What is no KB is that of no suspect.
    let kb = query.kb.map(|kb| normalized_kb(&kb).unwrap_or_default());
    let concerns = |kbs: &[String]| kb.as_ref().is_none_or(|kb| kbs.contains(kb));
    let look = suspects::last_look(&app.db.pool).await?;
    let stored = suspects::of_fleet(&caller.scope, &app.db).await?;
    Ok(Json(Suspects {
        looked_at: look.ended_at,
        tests: look.tests,
        suspects: stored.into_iter().filter(|stored| concerns(&stored.suspect.kbs)).map(SuspectUpdate::from).collect(),
        untold: look.untold.into_iter().filter(|untold| concerns(&untold.kbs)).map(UntoldUpdate::from).collect(),
    }))
}

impl From<suspect::Outcome> for Outcome {
    fn from(outcome: suspect::Outcome) -> Self {
        Self { failed: outcome.failed, hosts: outcome.hosts }
    }
}

impl From<Stored> for SuspectUpdate {
    fn from(stored: Stored) -> Self {
        let suspect = stored.suspect;
        Self {
            confidence: suspect.confidence().into(),
            kbs: suspect.kbs,
            service: suspect.service,
            exposed: suspect.exposed.into(),
            compared: suspect.compared.into(),
            clients: suspect.clients,
            same_weeks: suspect.same_weeks,
            rise: suspect.rise,
            odds_ratio_at_least: suspect.odds_ratio_at_least,
            p: suspect.p,
            q: suspect.q,
            since: stored.since,
            hosts: stored.hosts.into_iter().map(SuspectHost::from).collect(),
        }
    }
}

impl From<StoredHost> for SuspectHost {
    fn from(stored: StoredHost) -> Self {
        Self {
            host: HostRef { id: stored.host_id, name: stored.name },
            client: ClientRef { id: stored.client_id, name: stored.client_name },
            failed: stored.failed,
        }
    }
}

impl From<suspect::Untold> for UntoldUpdate {
    fn from(untold: suspect::Untold) -> Self {
        Self { kbs: untold.kbs, service: untold.service, exposed: untold.exposed.into(), compared: untold.compared }
    }
}
