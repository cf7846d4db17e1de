//! Updates over the whole fleet: which KB is where, and what is known against it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use rules::catalog::{BadUpdate, Catalog, normalized_kb};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::api::access::Caller;
use crate::api::extract::{Path, Query};
use crate::api::host_updates::UpdateState;
use crate::api::model::{ClientRef, HostRef, Severity, SiteRef};
use crate::api::page::{self, Limit, Page};
use crate::api::problem::{Code, Problem};
use crate::app::App;
use crate::db::read_updates::{self, UpdateFindingRow, UpdateHostRow, UpdateRow};

/// What is known against an update on a host, or on the worst of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It does harm if a condition holds that could not be read.
    Possible,
    /// It does harm.
    Harmful,
}

impl Verdict {
    /// From the confidence of its finding.
    pub fn from_row(confidence: i16) -> Self {
        if confidence > 1 { Self::Harmful } else { Self::Possible }
    }
}

/// A KB, over all hosts that list it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct UpdateSummary {
    pub kb: String,
    /// As most hosts list it, at its longest. Hostile text: show it as text.
    pub title: String,
    /// Hosts on which it is installed.
    pub hosts: i64,
    /// `null`: no host says when.
    pub first_installed_at: Option<DateTime<Utc>>,
    /// `null`: no host says when.
    pub last_installed_at: Option<DateTime<Utc>>,
    /// The worst over its hosts. `null`: nothing is known against it on any of them.
    pub verdict: Option<Verdict>,
    /// Entries of the catalog that name it, harmful here or not.
    pub entries: Vec<String>,
}

/// A KB: what is known against it, and where it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct UpdateDetail {
    pub kb: String,
    /// As hosts list it. `null`: no host does.
    pub title: Option<String>,
    pub advisories: Vec<Advisory>,
    /// Hosts that list it, by name.
    pub hosts: Page<UpdateHost>,
}

/// What the catalog says of a known-bad update.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Advisory {
    /// Findings of the rule `bad-update/<id>` rest on it.
    pub id: String,
    pub kb: String,
    pub aliases: Vec<Alias>,
    pub title: String,
    /// What goes wrong while it is present.
    pub summary: String,
    pub severity: Severity,
    /// `2008-08-11`.
    pub released: String,
    /// When it does harm, in words.
    pub conditions: String,
    pub symptoms: Vec<String>,
    pub affected_services: Vec<String>,
    /// KBs whose presence ends the harm.
    pub fixed_by: Vec<String>,
    /// What to do, in half a sentence; findings have the steps for each host.
    pub remedy: String,
    /// What does not help, or must not be done.
    pub caution: Option<String>,
    /// `false`: from memory, so that nothing rests on it but a possible finding.
    pub verified: bool,
    pub sources: Vec<String>,
    pub note: Option<String>,
}

/// Another number under which the same thing is listed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Alias {
    pub kb: String,
    /// What that number names, such as `.NET Framework 3.5 SP1`.
    pub name: Option<String>,
}

/// A KB on one host.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct UpdateHost {
    pub host: HostRef,
    pub site: SiteRef,
    pub client: ClientRef,
    pub state: UpdateState,
    pub title: String,
    /// `null`: not known.
    pub installed_at: Option<DateTime<Utc>>,
    /// `null`: not known.
    pub removable: Option<bool>,
    /// `null`: nothing is known against it on this host.
    pub verdict: Option<Verdict>,
    /// The open finding that says so.
    pub finding_id: Option<Uuid>,
}

/// Filters of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UpdatesQuery {
    /// Text in KB or title, at most 200 characters.
    #[param(max_length = 200)]
    q: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500, default = 100)]
    limit: Limit,
}

/// Which hosts of an update.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UpdateQuery {
    /// `hosts.next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500, default = 100)]
    limit: Limit,
}

/// KBs over all hosts, the most recently installed first
#[utoipa::path(
    get,
    path = "/updates",
    tag = "updates",
    params(UpdatesQuery),
    responses((status = 200, description = "A page of updates", body = Page<UpdateSummary>), (status = "default", response = Problem))
)]
pub async fn list(
    caller: Caller,
    State(app): State<Arc<App>>,
    Query(query): Query<UpdatesQuery>,
) -> Result<Json<Page<UpdateSummary>>, Problem> {
    let pattern = page::search_pattern(query.q.as_deref())?;
    let after = page::decode(query.cursor.as_deref())?;
    let rows = read_updates::list(&caller.scope, &app.db, pattern.as_deref(), after, query.limit.to_fetch()).await?;
    let findings = read_updates::findings(&caller.scope, &app.db, None).await?;
    let catalog = app.catalog();
    Ok(Json(Page::new(rows, query.limit, UpdateRow::key).map(|row| summary(row, &findings, &catalog))))
}

/// One KB
#[utoipa::path(
    get,
    path = "/updates/{kb}",
    tag = "updates",
    params(("kb" = String, Path, description = "Such as `KB948609`"), UpdateQuery),
    responses((status = 200, description = "The update", body = UpdateDetail), (status = "default", response = Problem))
)]
pub async fn one(
    caller: Caller,
    State(app): State<Arc<App>>,
    Path(kb): Path<String>,
    Query(query): Query<UpdateQuery>,
) -> Result<Json<UpdateDetail>, Problem> {
    let Some(kb) = normalized_kb(&kb) else {
        return Err(Problem::new(Code::NotFound, "A KB is written `KB948609`."));
    };
    let after = page::decode(query.cursor.as_deref())?;
    let rows = read_updates::hosts(&caller.scope, &app.db, &kb, after, query.limit.to_fetch()).await?;
    let findings = read_updates::findings(&caller.scope, &app.db, None).await?;
    let catalog = app.catalog();
    let advisories: Vec<_> = catalog.entries_for_kb(&kb).map(Advisory::from).collect();
    if rows.is_empty() && advisories.is_empty() {
        return Err(Problem::not_found("update"));
    }
    let title = rows.iter().map(|row| &row.title).max_by_key(|title| title.len()).cloned();
    let hosts = Page::new(rows, query.limit, UpdateHostRow::key).map(|row| update_host(row, &kb, &findings, &catalog));
    Ok(Json(UpdateDetail { kb, title, advisories, hosts }))
}

/// The worst open finding about `kb`, by whatever of its numbers the finding names it.
pub fn finding_about<'a>(
    kb: &str,
    findings: &'a [UpdateFindingRow],
    catalog: &Catalog,
) -> Option<&'a UpdateFindingRow> {
    let rules: Vec<String> = catalog.entries_for_kb(kb).map(BadUpdate::rule).collect();
    findings.iter().filter(|finding| rules.contains(&finding.rule)).max_by_key(|finding| finding.confidence)
}

pub fn summary(row: UpdateRow, findings: &[UpdateFindingRow], catalog: &Catalog) -> UpdateSummary {
    UpdateSummary {
        verdict: finding_about(&row.kb, findings, catalog).map(|finding| Verdict::from_row(finding.confidence)),
        entries: catalog.entries_for_kb(&row.kb).map(|entry| entry.id.clone()).collect(),
        kb: row.kb,
        title: row.title,
        hosts: row.hosts,
        first_installed_at: row.first_installed_at,
        last_installed_at: row.last_installed_at,
    }
}

fn update_host(row: UpdateHostRow, kb: &str, findings: &[UpdateFindingRow], catalog: &Catalog) -> UpdateHost {
    let here: Vec<_> = findings.iter().filter(|finding| finding.host_id == row.host_id).cloned().collect();
    let finding = finding_about(kb, &here, catalog);
    UpdateHost {
        verdict: finding.map(|finding| Verdict::from_row(finding.confidence)),
        finding_id: finding.map(|finding| finding.finding_id),
        host: HostRef { id: row.host_id, name: row.host_name },
        site: SiteRef { id: row.site_id, name: row.site_name },
        client: ClientRef { id: row.client_id, name: row.client_name },
        state: row.state.into(),
        title: row.title,
        installed_at: row.installed_at,
        removable: row.removable,
    }
}

impl From<&BadUpdate> for Advisory {
    fn from(entry: &BadUpdate) -> Self {
        let mut fixed_by = entry.fixed_by.clone();
        fixed_by.extend(entry.packages.iter().flat_map(|package| package.fixed_by.iter().cloned()));
        fixed_by.sort_unstable();
        fixed_by.dedup();
        Self {
            id: entry.id.clone(),
            // What is found by a KB has one.
            kb: entry.kb.clone().unwrap_or_default(),
            aliases: entry
                .aliases
                .iter()
                .map(|alias| Alias { kb: alias.kb.clone(), name: alias.name.clone() })
                .collect(),
            title: entry.title.clone(),
            summary: entry.summary.clone(),
            severity: entry.severity.into(),
            released: entry.released.clone(),
            conditions: entry.conditions.to_string(),
            symptoms: entry.symptoms.clone(),
            affected_services: entry.affected_services.clone(),
            fixed_by,
            remedy: entry.remedy.summary.clone(),
            caution: entry.remedy.caution.clone(),
            verified: entry.grounding == rules::catalog::Grounding::Verified,
            sources: entry.sources.clone(),
            note: entry.note.clone(),
        }
    }
}
