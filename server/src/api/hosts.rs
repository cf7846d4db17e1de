//! Hosts: which there are, and how each one stands.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use rules::{facts, finding};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::access::Caller;
use crate::api::extract::{Path, Query};
use crate::api::findings::FindingSummary;
use crate::api::host_connections::Connections;
use crate::api::host_facts::{HostFacts, PortPolicy};
use crate::api::model::{
    ClientRef, CollectedBy, Freshness, OpenCounts, SectionName, SectionState, SectionStatus, SiteRef,
};
use crate::api::page::{self, Limit, Page};
use crate::api::problem::Problem;
use crate::app::App;
use crate::clock;
use crate::db::read_findings::{self, FindingFilter};
use crate::db::read_hosts::{self, HostFilter, HostRow, SectionRow};
use crate::db::stream;
use crate::live::{Hint, HintKind};
use crate::people::Role;

/// A monitored Windows machine, in a line.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HostSummary {
    pub id: i64,
    /// As the host calls itself. Hostile text: show it as text.
    pub name: String,
    pub client: ClientRef,
    pub site: SiteRef,
    /// As the system names itself. `null` until the first report, as are the next two.
    pub os_name: Option<String>,
    /// Such as `server-2008r2`.
    pub os_generation: Option<String>,
    /// Such as `6.1.7601`.
    pub os_build: Option<String>,
    pub collected_by: CollectedBy,
    pub freshness: Freshness,
    /// When its agent was heard of last, by the server's clock; of a host without one, when its newest capture was taken.
    /// `null`: never.
    pub last_seen_at: Option<DateTime<Utc>>,
    /// By the host's clock corrected by its skew. `null`: not known.
    pub booted_at: Option<DateTime<Utc>>,
    pub open: OpenCounts,
}

/// A host with the state of what is known of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct HostDetail {
    #[serde(flatten)]
    pub summary: HostSummary,
    pub enrolled_at: DateTime<Utc>,
    /// Since when it is watched no longer. `null`: it is.
    pub retired_at: Option<DateTime<Utc>>,
    /// The record that its agent speaks for since it was moved to another client. `null`: it was not, or that client is
    /// none of yours; as is the next.
    pub moved_to: Option<OtherRecord>,
    /// The record with what was known before.
    pub moved_from: Option<OtherRecord>,
    /// `null`: not said yet.
    pub agent_version: Option<String>,
    /// All seven, always.
    pub sections: Vec<SectionStatus>,
    pub facts: Facts,
    /// `null`: no agent has ever connected.
    pub stream: Option<Stream>,
    /// Open findings, the worst first, at most 500.
    pub findings: Vec<FindingSummary>,
    /// What the last judgement could not decide.
    pub cannot_tell: Vec<CannotTell>,
}

/// The same machine as another host.
#[derive(Debug, Serialize, ToSchema)]
pub struct OtherRecord {
    pub client_id: i32,
    pub host_id: i64,
}

/// The sections that are one document each. `null`: never learned, see `sections`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Facts {
    pub host: Option<HostFacts>,
    pub port_policy: Option<PortPolicy>,
    pub connections: Option<Connections>,
}

/// The agent's stream to the server.
#[derive(Debug, Serialize, ToSchema)]
pub struct Stream {
    /// Since when it is open. `null`: it is not.
    pub connected_at: Option<DateTime<Utc>>,
    /// Number of the last report that was applied.
    pub seq: i64,
    /// Host clock minus server clock.
    pub clock_skew_ms: i64,
    /// Reports that could not be applied and were set aside.
    pub quarantined: i64,
    /// Reports that the agent says it lost.
    pub gaps: i64,
    /// Rows that could not be stored and were left out.
    pub dropped_rows: i64,
    /// When two copies of this machine were seen to take turns. `null`: not, or settled.
    pub fork_seen_at: Option<DateTime<Utc>>,
    /// When the agent came with a state that was older than what it had said: a restored snapshot. `null`: never.
    pub restored_at: Option<DateTime<Utc>>,
    /// The machine that last came with this identity and was refused. `null`: none, or settled.
    pub clone: Option<CloneSeen>,
    /// The server was restored from a backup of this time: what the agent told between then and `backup_heard_at` is not
    /// known here. `null`: it was not.
    pub backup_at: Option<DateTime<Utc>>,
    /// When the agent was heard of first after the restore. `null`: not yet, or nothing was restored.
    pub backup_heard_at: Option<DateTime<Utc>>,
}

/// Another machine with the identity of a host.
#[derive(Debug, Serialize, ToSchema)]
pub struct CloneSeen {
    pub seen_at: DateTime<Utc>,
    /// From where it came.
    pub address: Option<String>,
    /// The first bytes of the hash of what identifies it, in hexadecimal digits.
    pub fingerprint: Option<String>,
}

/// A rule that could not be decided, because a fact it needs is unknown.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CannotTell {
    pub rule: String,
    /// Empty: nothing that this rule says of the host can be told.
    pub subject: BTreeMap<String, String>,
    pub reason: String,
}

impl From<finding::CannotTell> for CannotTell {
    fn from(cannot_tell: finding::CannotTell) -> Self {
        Self { rule: cannot_tell.rule, subject: cannot_tell.subject, reason: cannot_tell.reason }
    }
}

/// Filters of the list. A filter that is left out does not restrict.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HostsQuery {
    /// Id of a client.
    client: Option<i32>,
    state: Option<Freshness>,
    /// Text in the name of host, site or system, at most 200 characters.
    #[param(max_length = 200)]
    q: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500, default = 100)]
    limit: Limit,
}

/// Hosts by name
#[utoipa::path(
    get,
    path = "/hosts",
    tag = "hosts",
    params(HostsQuery),
    responses((status = 200, description = "A page of hosts", body = Page<HostSummary>), (status = "default", response = Problem))
)]
pub async fn list(
    caller: Caller,
    State(app): State<Arc<App>>,
    Query(query): Query<HostsQuery>,
) -> Result<Json<Page<HostSummary>>, Problem> {
    let filter = HostFilter {
        host_id: None,
        client_id: query.client,
        freshness: query.state.map(Freshness::as_row),
        pattern: page::search_pattern(query.q.as_deref())?,
    };
    let after = page::decode(query.cursor.as_deref())?;
    let rows = read_hosts::list(&caller.scope, &app.db, &filter, after, query.limit.to_fetch(), clock::now()).await?;
    Ok(Json(Page::new(rows, query.limit, HostRow::key).map(HostSummary::from)))
}

/// One host
#[utoipa::path(
    get,
    path = "/hosts/{id}",
    tag = "hosts",
    params(("id" = i64, Path, description = "Id of the host")),
    responses((status = 200, description = "The host", body = HostDetail), (status = "default", response = Problem))
)]
pub async fn one(
    caller: Caller,
    State(app): State<Arc<App>>,
    Path(id): Path<i64>,
) -> Result<Json<HostDetail>, Problem> {
    let Some(detail) = read_hosts::one(&caller.scope, &app.db, id, clock::now()).await? else {
        return Err(Problem::not_found("host"));
    };
    let filter = FindingFilter { state: Some("open"), host_id: Some(id), ..FindingFilter::default() };
    let findings =
        read_findings::list(&caller.scope, &app.db, &filter, None, page::MAX_LIMIT.into(), clock::now()).await?;
    let cannot_tell: Vec<finding::CannotTell> =
        detail.cannot_tell.map(serde_json::from_value).transpose().map_err(anyhow::Error::from)?.unwrap_or_default();
    Ok(Json(HostDetail {
        enrolled_at: detail.enrolled_at,
        retired_at: detail.retired_at,
        moved_to: other_record(&caller, detail.moved_to),
        moved_from: other_record(&caller, detail.moved_from),
        agent_version: detail.agent_version,
        facts: Facts {
            host: document::<facts::Host>(&detail.sections, SectionName::Host)?.map(HostFacts::from),
            port_policy: document::<facts::PortPolicy>(&detail.sections, SectionName::PortPolicy)?
                .map(PortPolicy::from),
            connections: document::<facts::Connections>(&detail.sections, SectionName::Connections)?
                .map(Connections::from),
        },
        sections: SectionName::ALL.into_iter().map(|name| section_status(&detail.sections, name)).collect(),
        stream: detail.stream.map(|stream| Stream {
            connected_at: stream.connected_at,
            seq: stream.seq,
            clock_skew_ms: stream.clock_skew_ms,
            quarantined: stream.quarantined,
            gaps: stream.gaps,
            dropped_rows: stream.dropped_rows,
            fork_seen_at: stream.fork_seen_at,
            restored_at: stream.restored_at,
            backup_at: stream.backup_at,
            backup_heard_at: stream.backup_heard_at,
            clone: stream.clone_seen_at.map(|seen_at| CloneSeen {
                seen_at,
                address: stream.clone_address.map(|address| address.addr().to_string()),
                fingerprint: stream.clone_fingerprint.map(|bytes| hex::encode(&bytes[..bytes.len().min(4)])),
            }),
        }),
        findings: findings.into_iter().map(FindingSummary::from).collect(),
        cannot_tell: cannot_tell.into_iter().map(CannotTell::from).collect(),
        summary: detail.host.into(),
    }))
}

/// Only where the caller may see its client.
fn other_record(caller: &Caller, record: Option<(i32, i64)>) -> Option<OtherRecord> {
    let (client_id, host_id) = record.filter(|(client_id, _)| caller.scope.0.contains(client_id))?;
    Some(OtherRecord { client_id, host_id })
}

/// Let another machine speak for a host
///
/// For hardware that was replaced, or when a copy of a machine was dealt with: the next agent that comes with the host's
/// identity is taken for it.
#[utoipa::path(
    post,
    path = "/hosts/{id}/accept-machine",
    tag = "hosts",
    params(("id" = i64, Path, description = "Id of the host")),
    responses((status = 204, description = "The next machine is the host"), (status = "default", response = Problem))
)]
pub async fn accept_machine(
    caller: Caller,
    State(app): State<Arc<App>>,
    Path(id): Path<i64>,
) -> Result<StatusCode, Problem> {
    caller.require(Role::Admin)?;
    let Some(client_id) = stream::accept_machine(&app.db, &caller.scope, id).await? else {
        return Err(Problem::not_found("host"));
    };
    app.bus.publish(Hint { client_id, kind: HintKind::Host, id: id.to_string() });
    Ok(StatusCode::NO_CONTENT)
}

/// The status of one section; one that was never reported is unknown too.
pub fn section_status(rows: &[SectionRow], section: SectionName) -> SectionStatus {
    let Some(row) = rows.iter().find(|row| row.section == section.as_str()) else {
        return SectionStatus {
            section,
            state: SectionState::Unknown,
            reason: Some("not reported yet".to_owned()),
            collected_at: None,
            learned_at: None,
        };
    };
    SectionStatus {
        section,
        state: if row.unknown_reason.is_some() { SectionState::Unknown } else { SectionState::Known },
        reason: row.unknown_reason.clone(),
        collected_at: row.collected_at,
        learned_at: Some(row.learned_at),
    }
}

/// The stored facts of a section that is one document. `None`: it was never known.
pub fn document<T: serde::de::DeserializeOwned>(
    rows: &[SectionRow],
    section: SectionName,
) -> anyhow::Result<Option<T>> {
    let row = rows.iter().find(|row| row.section == section.as_str());
    let Some(facts) = row.and_then(|row| row.facts.clone()) else { return Ok(None) };
    Ok(serde_json::from_value(facts)?)
}

impl From<HostRow> for HostSummary {
    fn from(row: HostRow) -> Self {
        Self {
            id: row.host_id,
            name: row.name,
            client: ClientRef { id: row.client_id, name: row.client_name },
            site: SiteRef { id: row.site_id, name: row.site_name },
            os_name: row.os_name,
            os_generation: row.os_generation,
            os_build: row.os_build,
            collected_by: if row.collected_by == "capture" { CollectedBy::Capture } else { CollectedBy::Agent },
            freshness: Freshness::from_row(&row.freshness),
            last_seen_at: row.last_seen_at,
            booted_at: row.booted_at,
            open: OpenCounts { critical: row.critical, warning: row.warning, info: row.info },
        }
    }
}
