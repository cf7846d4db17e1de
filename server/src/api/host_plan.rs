//! The plan of a host: the remedies of its open findings as one list of steps, and the same as files. People read and run
//! them; nothing here or on the host does.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use rules::plan::script::{self, Format};
use rules::plan::{self, FindingRef, Plan};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::access::Caller;
use crate::api::extract::Path;
use crate::api::findings::{Restart, Step};
use crate::api::problem::Problem;
use crate::app::App;
use crate::db::read_host_rows::{self, PlanRows};

/// What is to be done on a host so that none of its open findings is left, in order.
#[derive(Debug, Serialize, ToSchema)]
pub struct HostPlan {
    /// The generation that the steps are for, such as `Server 2008 R2`.
    pub applies_to: String,
    /// When the facts were read that it is made of, by the host's clock. `null`: not known.
    pub collected_at: Option<DateTime<Utc>>,
    /// The most that any step restarts.
    pub restart: Restart,
    /// Empty: nothing is left to a script, and the files say so.
    pub steps: Vec<PlanStep>,
    /// To be done when the server is up again.
    pub after_restart: Vec<PlanStep>,
    /// What is left to a person, one entry a finding.
    pub by_hand: Vec<PlanByHand>,
    /// Takes the steps back, in reverse.
    pub undo: Vec<PlanUndo>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct PlanStep {
    pub text: String,
    /// For an elevated command prompt, as they stand. Empty: the step is done by hand.
    pub commands: Vec<String>,
    /// What must be so before. `null`: nothing beyond the step before.
    pub precondition: Option<String>,
    pub risk: Option<String>,
    pub restart: Restart,
    /// `null`: nothing stays changed.
    pub undo: Option<String>,
    /// What the next report shows when it was done.
    pub proven_when: String,
    /// The findings that ask for it.
    pub findings: Vec<PlanFinding>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct PlanByHand {
    pub finding: PlanFinding,
    pub steps: Vec<Step>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct PlanUndo {
    pub text: String,
    /// Empty: by hand.
    pub commands: Vec<String>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PlanFinding {
    pub id: Uuid,
    /// One sentence; names in it are hostile text.
    pub title: String,
}

/// What is to be done on a host
#[utoipa::path(
    get,
    path = "/hosts/{id}/plan",
    tag = "hosts",
    params(("id" = i64, Path, description = "Id of the host")),
    responses((status = 200, description = "Its plan", body = HostPlan), (status = "default", response = Problem))
)]
pub async fn one(caller: Caller, State(app): State<Arc<App>>, Path(id): Path<i64>) -> Result<Json<HostPlan>, Problem> {
    let (plan, rows) = read(&caller, &app, id).await?;
    let of = |stored: &crate::findings::plan::Stored| {
        let finding = &stored.finding;
        let key = FindingRef { rule: finding.rule.clone(), subject: finding.subject.clone() };
        (key, PlanFinding { id: stored.id, title: finding.title.clone() })
    };
    Ok(Json(HostPlan::new(plan, &rows.findings.iter().map(of).collect())))
}

/// The plan of a host for PowerShell
///
/// Checks the host, the build and what was before; skips what is done. `-AfterRestart` does the second part, `-Undo` takes
/// it back.
#[utoipa::path(
    get,
    path = "/hosts/{id}/plan.ps1",
    tag = "hosts",
    params(("id" = i64, Path, description = "Id of the host")),
    responses(
        (status = 200, description = "A script", body = String, content_type = "application/octet-stream"),
        (status = "default", response = Problem)
    )
)]
pub async fn powershell(caller: Caller, State(app): State<Arc<App>>, Path(id): Path<i64>) -> Result<Response, Problem> {
    file(&caller, &app, id, Format::PowerShell).await
}

/// The plan of a host for the command prompt
///
/// As the one for PowerShell, for Server 2003 and 2008; its arguments are `after-restart` and `undo`.
#[utoipa::path(
    get,
    path = "/hosts/{id}/plan.cmd",
    tag = "hosts",
    params(("id" = i64, Path, description = "Id of the host")),
    responses(
        (status = 200, description = "A batch file", body = String, content_type = "application/octet-stream"),
        (status = "default", response = Problem)
    )
)]
pub async fn command(caller: Caller, State(app): State<Arc<App>>, Path(id): Path<i64>) -> Result<Response, Problem> {
    file(&caller, &app, id, Format::Command).await
}

/// The registry values of a host's plan
///
/// For `reg import`. What is no registry value stands in it as a remark.
#[utoipa::path(
    get,
    path = "/hosts/{id}/plan.reg",
    tag = "hosts",
    params(("id" = i64, Path, description = "Id of the host")),
    responses(
        (status = 200, description = "Registry values", body = String, content_type = "application/octet-stream"),
        (status = "default", response = Problem)
    )
)]
pub async fn registry(caller: Caller, State(app): State<Arc<App>>, Path(id): Path<i64>) -> Result<Response, Problem> {
    file(&caller, &app, id, Format::Registry).await
}

async fn file(caller: &Caller, app: &App, id: i64, format: Format) -> Result<Response, Problem> {
    let (plan, _) = read(caller, app, id).await?;
    let headers: [(HeaderName, String); 3] = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", file_name(&plan.host, id, format))),
        (CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, script::write(&plan, format)).into_response())
}

/// A host's name is hostile text: one that is more than letters, digits and dashes gives way to its id.
fn file_name(host: &str, id: i64, format: Format) -> String {
    let is_plain = !host.is_empty() && host.len() <= 63 && host.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let extension = format.extension();
    if is_plain { format!("portreeve-plan-{host}.{extension}") } else { format!("portreeve-plan-{id}.{extension}") }
}

async fn read(caller: &Caller, app: &App, id: i64) -> Result<(Plan, PlanRows), Problem> {
    let Some(rows) = read_host_rows::plan(&caller.scope, &app.db, id).await? else {
        return Err(Problem::not_found("host"));
    };
    Ok((plan::of_host(&rows.facts, &app.catalog(), &rows.judgement()), rows))
}

impl HostPlan {
    fn new(plan: Plan, findings: &BTreeMap<FindingRef, PlanFinding>) -> Self {
        let step = |step: plan::PlanStep| PlanStep {
            text: step.text,
            commands: step.commands,
            precondition: step.precondition,
            risk: step.risk,
            restart: step.restart.into(),
            undo: step.undo,
            proven_when: step.proven_when,
            findings: step.findings.iter().filter_map(|key| findings.get(key)).cloned().collect(),
        };
        let by_hand = |by_hand: plan::ByHand| {
            Some(PlanByHand {
                finding: findings.get(&by_hand.finding)?.clone(),
                steps: by_hand.steps.into_iter().map(Step::from).collect(),
            })
        };
        Self {
            applies_to: plan.generation().label().to_owned(),
            collected_at: plan.collected_at,
            restart: plan.restart.into(),
            steps: plan.steps.into_iter().map(step).collect(),
            after_restart: plan.after_restart.into_iter().map(step).collect(),
            by_hand: plan.by_hand.into_iter().filter_map(by_hand).collect(),
            undo: plan.undo.into_iter().map(|undo| PlanUndo { text: undo.text, commands: undo.commands }).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use rules::plan::script::Format;

    use super::file_name;

    #[test]
    fn a_hostile_name_names_no_file() {
        assert_eq!(file_name("DC2", 7, Format::Command), "portreeve-plan-DC2.cmd");
        for host in ["", "../../x", "a\"b", "a\r\nSet-Cookie: x", "dc 2", "dc\u{e9}"] {
            assert_eq!(file_name(host, 7, Format::PowerShell), "portreeve-plan-7.ps1");
        }
    }
}
