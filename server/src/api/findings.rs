//! Findings: what is wrong, on which host, why, and what mends it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use rules::finding;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::api::access::Caller;
use crate::api::deliveries::Delivery;
use crate::api::extract::{Path, Query};
use crate::api::model::{ClientRef, Confidence, HostRef, Severity, SiteRef};
use crate::api::page::{self, Limit, Page};
use crate::api::problem::Problem;
use crate::api::problems;
use crate::app::App;
use crate::clock;
use crate::db::read_deliveries::{self, DeliveryFilter};
use crate::db::read_findings::{self, FindingFilter, FindingRow};

/// A rule that is true of a host, in a line.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FindingSummary {
    pub id: Uuid,
    /// `port-conflict/blocked`, `bad-update/<entry>` …
    pub rule: String,
    /// What it is about, such as `{"service": "IAS", "port": "udp/1812"}` or `{"kb": "KB948609"}`.
    pub subject: BTreeMap<String, String>,
    /// Key of the problem that it is a member of while it is open. Empty: of none.
    pub problem: String,
    pub severity: Severity,
    pub confidence: Confidence,
    /// One sentence.
    pub title: String,
    /// How it came about, in a sentence or two.
    pub cause: String,
    pub client: ClientRef,
    pub site: SiteRef,
    pub host: HostRef,
    pub state: FindingState,
    /// Since when it has been so on the host, by the host's clock corrected by its skew. `null`: not known.
    pub since: Option<DateTime<Utc>>,
    /// When this episode opened.
    pub opened_at: DateTime<Utc>,
    /// When the last episode ended. `null`: it is open.
    pub resolved_at: Option<DateTime<Utc>>,
    pub updated_at: DateTime<Utc>,
    /// 1, and one more each time it came back.
    pub episode: i32,
    /// Why the last report could not confirm it. `null`: it could.
    pub cannot_tell: Option<String>,
    /// It is open and stale: nothing was heard of its host since then, so that nobody knows whether it is still so.
    /// `null`: it is current or resolved, or its host is known by captures.
    pub not_heard_since: Option<DateTime<Utc>>,
    /// Why it ended where no report did it, such as `host retired`. `null`: a report showed that it is over, or it is open.
    pub resolved_because: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FindingState {
    Open,
    Resolved,
}

impl FindingState {
    pub fn as_row(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolved => "resolved",
        }
    }
}

/// A finding with all that speaks for it and mends it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Finding {
    #[serde(flatten)]
    pub summary: FindingSummary,
    /// In the order of events.
    pub evidence: Vec<Evidence>,
    pub remedy: Remedy,
    /// 0 to 1, where the finding is a forecast with a known mechanism.
    pub probability: Option<f64>,
    /// Oldest first.
    pub timeline: Vec<FindingEvent>,
    /// Newest first, at most 100.
    pub deliveries: Vec<Delivery>,
    /// Other hosts with the same open finding, at most 100.
    pub also_on: Vec<AlsoOn>,
    /// What it has in common with findings of other hosts. `null`: it is a member of no problem.
    pub membership: Option<ProblemRef>,
}

/// One observed fact that speaks for a finding.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Evidence {
    /// By the host's clock. `null`: true at the time of the report.
    pub at: Option<DateTime<Utc>>,
    pub text: String,
    /// Where it was read, such as `socket table`.
    pub source: String,
}

/// How to mend it on this host's generation of Windows. To be read and run by people; nothing runs it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Remedy {
    /// The steps in half a sentence.
    pub summary: String,
    /// The generation that the steps are for, such as `Server 2008 R2`.
    pub applies_to: String,
    pub steps: Vec<Step>,
    pub risk: String,
    pub restart: Restart,
    pub undo: Vec<Step>,
    /// What the next reports will show when it worked.
    pub proven_when: String,
}

/// One step of a remedy.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Step {
    pub text: String,
    /// For an elevated command prompt, as it stands. `null`: the step is done by hand.
    pub command: Option<String>,
}

/// What a remedy restarts.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Restart {
    None,
    Service,
    Server,
}

/// A step of a finding's life.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FindingEvent {
    /// By the server's clock.
    pub at: DateTime<Utc>,
    pub transition: Transition,
    /// The finding's title at that time.
    pub title: String,
    pub episode: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transition {
    Opened,
    Resolved,
    /// It came back: a new episode.
    Reopened,
    /// Severity, confidence or title changed.
    Changed,
    /// Of deliveries about hosts: it was not heard of for a while.
    Silent,
    /// Of deliveries about hosts: it was heard of again.
    Heard,
}

impl Transition {
    /// From the words that the tables allow.
    pub fn from_row(text: &str) -> Self {
        match text {
            "opened" => Self::Opened,
            "resolved" => Self::Resolved,
            "reopened" => Self::Reopened,
            "silent" => Self::Silent,
            "heard" => Self::Heard,
            _ => Self::Changed,
        }
    }
}

/// A problem by name, with what it concerns now.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ProblemRef {
    pub key: String,
    pub title: String,
    /// Hosts with a member, this one among them while the finding is open.
    pub hosts: i64,
    pub clients: i64,
}

/// Another host with the same open finding.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AlsoOn {
    pub host: HostRef,
    pub client: ClientRef,
    pub finding_id: Uuid,
}

/// Filters of the list. A filter that is left out does not restrict.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct FindingsQuery {
    state: Option<FindingState>,
    severity: Option<Severity>,
    confidence: Option<Confidence>,
    /// Id of a client.
    client: Option<i32>,
    /// Id of a host.
    host: Option<i64>,
    /// A rule, such as `port-conflict/blocked`, or a family of rules, such as `bad-update`.
    #[param(max_length = 200)]
    rule: Option<String>,
    /// `true`: only open findings of hosts that were not heard of for a while; `false`: none of these.
    stale: Option<bool>,
    /// Text in title, cause or host name, at most 200 characters.
    #[param(max_length = 200)]
    q: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500, default = 100)]
    limit: Limit,
}

/// Findings, the worst first, of those the newest first
#[utoipa::path(
    get,
    path = "/findings",
    tag = "findings",
    params(FindingsQuery),
    responses((status = 200, description = "A page of findings", body = Page<FindingSummary>), (status = "default", response = Problem))
)]
pub async fn list(
    caller: Caller,
    State(app): State<Arc<App>>,
    Query(query): Query<FindingsQuery>,
) -> Result<Json<Page<FindingSummary>>, Problem> {
    let filter = FindingFilter {
        state: query.state.map(FindingState::as_row),
        severity: query.severity.map(Severity::to_row),
        confidence: query.confidence.map(Confidence::to_row),
        client_id: query.client,
        host_id: query.host,
        rule: page::checked_text("rule", query.rule)?,
        is_stale: query.stale,
        pattern: page::search_pattern(query.q.as_deref())?,
    };
    let after = page::decode(query.cursor.as_deref())?;
    let rows =
        read_findings::list(&caller.scope, &app.db, &filter, after, query.limit.to_fetch(), clock::now()).await?;
    Ok(Json(Page::new(rows, query.limit, FindingRow::key).map(FindingSummary::from)))
}

/// One finding with evidence, remedy, timeline and deliveries
#[utoipa::path(
    get,
    path = "/findings/{id}",
    tag = "findings",
    params(("id" = Uuid, Path, description = "Id of the finding")),
    responses((status = 200, description = "The finding", body = Finding), (status = "default", response = Problem))
)]
pub async fn one(caller: Caller, State(app): State<Arc<App>>, Path(id): Path<Uuid>) -> Result<Json<Finding>, Problem> {
    let Some(detail) = read_findings::one(&caller.scope, &app.db, id, clock::now()).await? else {
        return Err(Problem::not_found("finding"));
    };
    let membership = match detail.finding.problem.as_str() {
        "" => None,
        key => problems::find(&caller.scope, &app, key).await?,
    };
    let membership = membership.map(|row| problems::summary(row, &app.catalog()));
    let filter = DeliveryFilter { finding_id: Some(id), state: None };
    let deliveries = read_deliveries::list(&caller.scope, &app.db, &filter, None, 100).await?;
    let evidence: Vec<finding::Evidence> = serde_json::from_value(detail.evidence).map_err(anyhow::Error::from)?;
    let remedy: finding::Remedy = serde_json::from_value(detail.remedy).map_err(anyhow::Error::from)?;
    Ok(Json(Finding {
        summary: detail.finding.into(),
        evidence: evidence.into_iter().map(Evidence::from).collect(),
        remedy: remedy.into(),
        probability: detail.probability,
        timeline: detail
            .timeline
            .into_iter()
            .map(|event| FindingEvent {
                at: event.at,
                transition: Transition::from_row(&event.transition),
                title: event.title,
                episode: event.episode,
            })
            .collect(),
        deliveries: deliveries.into_iter().map(Delivery::from).collect(),
        also_on: detail
            .also_on
            .into_iter()
            .map(|row| AlsoOn {
                host: HostRef { id: row.host_id, name: row.host_name },
                client: ClientRef { id: row.client_id, name: row.client_name },
                finding_id: row.finding_id,
            })
            .collect(),
        membership: membership.map(|problem| ProblemRef {
            key: problem.key,
            title: problem.title,
            hosts: problem.hosts,
            clients: problem.clients,
        }),
    }))
}

impl From<FindingRow> for FindingSummary {
    fn from(row: FindingRow) -> Self {
        Self {
            id: row.finding_id,
            rule: row.rule,
            subject: subject(row.subject),
            problem: row.problem,
            severity: Severity::from_row(row.severity),
            confidence: Confidence::from_row(row.confidence),
            title: row.title,
            cause: row.cause,
            client: ClientRef { id: row.client_id, name: row.client_name },
            site: SiteRef { id: row.site_id, name: row.site_name },
            host: HostRef { id: row.host_id, name: row.host_name },
            state: if row.state == "open" { FindingState::Open } else { FindingState::Resolved },
            since: row.since,
            opened_at: row.opened_at,
            resolved_at: row.resolved_at,
            updated_at: row.updated_at,
            episode: row.episode,
            cannot_tell: row.cannot_tell,
            not_heard_since: row.not_heard_since,
            resolved_because: row.resolved_because,
        }
    }
}

/// The members of a stored subject, which is an object of texts.
fn subject(value: Value) -> BTreeMap<String, String> {
    serde_json::from_value(value).unwrap_or_default()
}

impl From<finding::Evidence> for Evidence {
    fn from(evidence: finding::Evidence) -> Self {
        Self { at: evidence.at, text: evidence.text, source: evidence.source }
    }
}

impl From<finding::Remedy> for Remedy {
    fn from(remedy: finding::Remedy) -> Self {
        Self {
            summary: remedy.summary,
            applies_to: remedy.applies_to,
            steps: remedy.steps.into_iter().map(Step::from).collect(),
            risk: remedy.risk,
            restart: remedy.restart.into(),
            undo: remedy.undo.into_iter().map(Step::from).collect(),
            proven_when: remedy.proven_when,
        }
    }
}

impl From<finding::Restart> for Restart {
    fn from(restart: finding::Restart) -> Self {
        match restart {
            finding::Restart::None => Self::None,
            finding::Restart::Service => Self::Service,
            finding::Restart::Server => Self::Server,
        }
    }
}

impl From<finding::Step> for Step {
    fn from(step: finding::Step) -> Self {
        Self { text: step.text, command: step.command }
    }
}
