//! Problems: findings of one cause as one, over all hosts that one may see.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use rules::catalog::Catalog;
use rules::finding;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::api::access::Caller;
use crate::api::extract::{Path, Query};
use crate::api::findings::{FindingState, Remedy};
use crate::api::model::{ClientRef, Confidence, HostRef, Severity, SiteRef};
use crate::api::page::{self, Limit, Page};
use crate::api::problem::Problem;
use crate::app::App;
use crate::db::Scope;
use crate::db::read_problems::{
    self, MemberRow, MembershipRow, ProblemClientRow, ProblemFilter, ProblemRow, SharedRemedyRow,
};

/// Findings of one cause, such as one update on 40 hosts. While it is open, severity, confidence and counts are those of
/// its members.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ProblemSummary {
    /// `bad-update/<entry>`, `taker/<taker>`, `holder/<name>` …; the same for every client. Hostile text where a host
    /// named the cause: show it as text.
    pub key: String,
    /// The cause in a sentence, without a word about how many hosts it concerns.
    pub title: String,
    pub state: FindingState,
    /// Of its worst finding.
    pub severity: Severity,
    /// Of its surest finding.
    pub confidence: Confidence,
    /// Open findings that are members.
    pub findings: i64,
    /// Hosts that have them.
    pub hosts: i64,
    /// Clients of these hosts.
    pub clients: i64,
    /// Hosts that were members at any time.
    pub hosts_ever: i64,
    /// When the first member ever joined.
    pub first_opened_at: DateTime<Utc>,
    /// When the first member of this episode joined.
    pub opened_at: DateTime<Utc>,
    /// When the last member left. `null`: it is open.
    pub resolved_at: Option<DateTime<Utc>>,
    /// 1, and one more each time it had members again after it had none.
    pub episode: i64,
}

/// A problem with its members.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemDetail {
    #[serde(flatten)]
    pub summary: ProblemSummary,
    /// Where it is open, by name.
    pub by_client: Vec<ProblemClient>,
    /// What mends members now, in exactly these steps; the one of most hosts first, at most 5.
    pub remedies: Vec<SharedRemedy>,
    /// Those that are members, by client and host, then those that were.
    pub members: Page<ProblemMember>,
    /// Hosts that joined and left, the newest first, at most 100.
    pub timeline: Vec<Membership>,
}

/// Members of a problem at one client.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ProblemClient {
    pub client: ClientRef,
    pub hosts: i64,
    pub findings: i64,
}

/// A remedy that members share.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SharedRemedy {
    /// Hosts that it mends.
    pub hosts: i64,
    /// One of the findings that it is the remedy of.
    pub finding_id: Uuid,
    pub remedy: Remedy,
}

/// A finding as a member of a problem.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ProblemMember {
    pub finding_id: Uuid,
    /// Of the finding.
    pub title: String,
    pub severity: Severity,
    pub confidence: Confidence,
    pub client: ClientRef,
    pub site: SiteRef,
    pub host: HostRef,
    /// When it joined, the last time.
    pub joined_at: DateTime<Utc>,
    /// When it left: it resolved, or another cause was found. `null`: it is a member.
    pub left_at: Option<DateTime<Utc>>,
}

/// A host that joined with its first finding of the problem, or left with its last.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Membership {
    /// By the server's clock.
    pub at: DateTime<Utc>,
    pub change: MembershipChange,
    pub client: ClientRef,
    pub host: HostRef,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum MembershipChange {
    Joined,
    Left,
}

/// Filters of the list. A filter that is left out does not restrict.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ProblemsQuery {
    state: Option<FindingState>,
    /// Id of a client: only its hosts count.
    client: Option<i32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500, default = 100)]
    limit: Limit,
}

/// Which members of a problem.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ProblemQuery {
    /// Id of a client: only its hosts count.
    client: Option<i32>,
    /// `members.next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500, default = 100)]
    limit: Limit,
}

/// Problems, the worst first, of those the ones with most hosts
#[utoipa::path(
    get,
    path = "/problems",
    tag = "problems",
    params(ProblemsQuery),
    responses((status = 200, description = "A page of problems", body = Page<ProblemSummary>), (status = "default", response = Problem))
)]
pub async fn list(
    caller: Caller,
    State(app): State<Arc<App>>,
    Query(query): Query<ProblemsQuery>,
) -> Result<Json<Page<ProblemSummary>>, Problem> {
    let scope = caller.scope.narrowed(query.client);
    let filter = ProblemFilter { state: query.state.map(FindingState::as_row), problem: None };
    let after = page::decode(query.cursor.as_deref())?;
    let rows = read_problems::list(&scope, &app.db, &filter, after, query.limit.to_fetch()).await?;
    let catalog = app.catalog();
    Ok(Json(Page::new(rows, query.limit, ProblemRow::key).map(|row| summary(row, &catalog))))
}

/// One problem with its members, where they are and what mends them
#[utoipa::path(
    get,
    path = "/problems/{*key}",
    tag = "problems",
    params(("key" = String, Path, description = "Such as `taker/dns-socket-pool`; its slash may stand as it is"), ProblemQuery),
    responses((status = 200, description = "The problem", body = ProblemDetail), (status = "default", response = Problem))
)]
pub async fn one(
    caller: Caller,
    State(app): State<Arc<App>>,
    Path(key): Path<String>,
    Query(query): Query<ProblemQuery>,
) -> Result<Json<ProblemDetail>, Problem> {
    let scope = caller.scope.narrowed(query.client);
    let after = page::decode(query.cursor.as_deref())?;
    let Some(row) = find(&scope, &app, &key).await? else { return Err(Problem::not_found("problem")) };
    let members = read_problems::members(&scope, &app.db, &key, after, query.limit.to_fetch()).await?;
    let by_client = read_problems::clients(&scope, &app.db, &key).await?;
    let timeline = read_problems::timeline(&scope, &app.db, &key).await?;
    let remedies = read_problems::remedies(&scope, &app.db, &key).await?;
    Ok(Json(ProblemDetail {
        summary: summary(row, &app.catalog()),
        by_client: by_client.into_iter().map(ProblemClient::from).collect(),
        remedies: remedies.into_iter().map(shared_remedy).collect::<anyhow::Result<_>>()?,
        members: Page::new(members, query.limit, MemberRow::key).map(ProblemMember::from),
        timeline: timeline.into_iter().map(Membership::from).collect(),
    }))
}

/// The problem with this key. `None`: it has and had no member in `scope`.
pub async fn find(scope: &Scope, app: &App, key: &str) -> sqlx::Result<Option<ProblemRow>> {
    let filter = ProblemFilter { state: None, problem: Some(key) };
    Ok(read_problems::list(scope, &app.db, &filter, None, 1).await?.pop())
}

pub fn summary(row: ProblemRow, catalog: &Catalog) -> ProblemSummary {
    ProblemSummary {
        title: rules::problem::title(&row.problem, catalog).unwrap_or(row.title),
        key: row.problem,
        state: if row.is_open { FindingState::Open } else { FindingState::Resolved },
        severity: Severity::from_row(row.severity),
        confidence: Confidence::from_row(row.confidence),
        findings: row.findings,
        hosts: row.hosts,
        clients: row.clients,
        hosts_ever: row.hosts_ever,
        first_opened_at: row.first_opened_at,
        opened_at: row.opened_at,
        resolved_at: row.resolved_at,
        episode: row.episode,
    }
}

fn shared_remedy(row: SharedRemedyRow) -> anyhow::Result<SharedRemedy> {
    let remedy: finding::Remedy = serde_json::from_value(row.remedy)?;
    Ok(SharedRemedy { hosts: row.hosts, finding_id: row.finding_id, remedy: remedy.into() })
}

impl From<ProblemClientRow> for ProblemClient {
    fn from(row: ProblemClientRow) -> Self {
        Self {
            client: ClientRef { id: row.client_id, name: row.client_name },
            hosts: row.hosts,
            findings: row.findings,
        }
    }
}

impl From<MemberRow> for ProblemMember {
    fn from(row: MemberRow) -> Self {
        Self {
            finding_id: row.finding_id,
            title: row.title,
            severity: Severity::from_row(row.severity),
            confidence: Confidence::from_row(row.confidence),
            client: ClientRef { id: row.client_id, name: row.client_name },
            site: SiteRef { id: row.site_id, name: row.site_name },
            host: HostRef { id: row.host_id, name: row.host_name },
            joined_at: row.joined_at,
            left_at: row.left_at,
        }
    }
}

impl From<MembershipRow> for Membership {
    fn from(row: MembershipRow) -> Self {
        Self {
            at: row.at,
            change: if row.has_joined { MembershipChange::Joined } else { MembershipChange::Left },
            client: ClientRef { id: row.client_id, name: row.client_name },
            host: HostRef { id: row.host_id, name: row.host_name },
        }
    }
}
