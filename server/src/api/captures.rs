//! Captures brought through the dashboard: servers that cannot run the agent.
//!
//! Invariant: a dry run stores nothing, and shows what an import of the same files would understand.

use std::cmp::Reverse;
use std::sync::Arc;

use axum::Json;
use axum::extract::multipart::MultipartRejection;
use axum::extract::{Multipart, State};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use http::StatusCode;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use portreeve_agent::capture::script::SCRIPT;
use rules::facts::{Facts, Section};
use rules::finding::Finding;
use rules::history::History;
use serde::Serialize;
use tokio::sync::Semaphore;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::access::Caller;
use crate::api::capture_form::{CaptureBody, CaptureForm};
use crate::api::findings::Transition;
use crate::api::model::{Confidence, SectionName, SectionState, Severity};
use crate::api::problem::{Code, Problem};
use crate::app::App;
use crate::captures::{self, ImportFault, Imported, Place, ReadFault, Reading};
use crate::clock;
use crate::findings::plan::{self, finding_id};
use crate::people::Role;

/// Lines that an answer lists; the total is told beside them.
const MAX_LINES: usize = 500;
/// Each holds its files and what was read of them in memory.
static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// What a capture says, and what came of it. Names and lines come from files: show them as text.
#[derive(Debug, Serialize, ToSchema)]
pub struct CaptureReport {
    /// `null`: a dry run, so nothing was stored.
    pub host: Option<ImportedHost>,
    /// What the capture calls its host. `null`: it does not say, so `host` must be given.
    pub name: Option<String>,
    /// When it was taken, as it says or as was given. `null`: nobody says; an import then counts its own time.
    pub captured_at: Option<DateTime<Utc>>,
    /// What was recognised. Empty: nothing, and it cannot be imported.
    pub understood: Vec<CapturePiece>,
    /// The first lines that were not, in the order of the files; at most 500.
    pub not_understood: Vec<CaptureLine>,
    /// How many there are.
    pub not_understood_total: usize,
    /// Sentences, each about two statements that cannot both be true of one host at one moment.
    pub contradictions: Vec<String>,
    pub sections: Vec<CaptureSection>,
    /// Findings that these facts show, the worst first; after an import also those that it resolved.
    pub findings: Vec<CaptureFinding>,
}

/// The host that a capture was imported for.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImportedHost {
    pub id: i64,
    pub name: String,
    /// Whether this import made it.
    pub is_new: bool,
}

/// A recognised part of a file.
#[derive(Debug, Serialize, ToSchema)]
pub struct CapturePiece {
    pub file: String,
    /// Such as `sockets (netstat)`.
    pub what: &'static str,
    /// Lines that it was understood from.
    pub lines: usize,
}

/// A line that was not understood.
#[derive(Debug, Serialize, ToSchema)]
pub struct CaptureLine {
    pub file: String,
    /// 1 for the first.
    pub line: usize,
    pub text: String,
    pub why: String,
}

/// Whether the capture tells of a section of a host's facts.
#[derive(Debug, Serialize, ToSchema)]
pub struct CaptureSection {
    pub section: SectionName,
    pub state: SectionState,
    /// Why it is unknown. `null`: it is known.
    pub reason: Option<String>,
    /// Of a known section made of rows.
    pub rows: Option<usize>,
}

/// A finding that rests on the capture.
#[derive(Debug, Serialize, ToSchema)]
pub struct CaptureFinding {
    /// `null`: a dry run, so it is not stored.
    pub id: Option<Uuid>,
    /// What the import did to it. `null`: nothing; it was open before, or this is a dry run.
    pub transition: Option<Transition>,
    pub rule: String,
    pub severity: Severity,
    pub confidence: Confidence,
    pub title: String,
}

/// Import a capture, or look at one
///
/// For operators. Takes the files that the capture script wrote on a server that cannot run the agent, other output of
/// the same commands, or one facts file, and stores them as a full report of that host, which is made when the site has
/// none of its name. A section that the capture does not hold is unknown from then on. At most 500 files and 32 MiB.
#[utoipa::path(
    post,
    path = "/captures",
    tag = "captures",
    request_body(content = CaptureBody, content_type = "multipart/form-data"),
    responses(
        (status = 200, description = "A dry run: what would be understood", body = CaptureReport),
        (status = 201, description = "Imported", body = CaptureReport),
        (status = "default", response = Problem)
    )
)]
pub async fn create(
    caller: Caller,
    State(app): State<Arc<App>>,
    form: Result<Multipart, MultipartRejection>,
) -> Result<(StatusCode, Json<CaptureReport>), Problem> {
    caller.require(Role::Operator)?;
    let closed = |_| Problem::new(Code::Overloaded, "The server stops.");
    let _turn = AT_ONCE.acquire().await.map_err(closed)?;
    let CaptureForm { is_dry_run, client_id, site_id, host, captured_at, files } = CaptureForm::read(form).await?;
    if client_id.is_some_and(|client| !caller.scope.0.contains(&client)) {
        return Err(Problem::not_found("client"));
    }
    let read = tokio::task::spawn_blocking(move || captures::read(&files)).await;
    let reading = read.map_err(anyhow::Error::from)??;
    let rulebook = app.rulebook.load_full();
    if is_dry_run {
        let judgement = rules::judge(&reading.facts, &rulebook.catalog, &History::default());
        let mut report = CaptureReport::new(&reading, &reading.facts);
        report.captured_at = captured_at.or(report.captured_at);
        let findings = judgement.findings.iter().map(|finding| CaptureFinding::new(finding, None, None));
        report.findings = worst_first(findings.collect());
        return Ok((StatusCode::OK, Json(report)));
    }
    let missing = |field| Problem::field(Code::BadForm, field, "is missing");
    let place = Place {
        client_id: client_id.ok_or_else(|| missing("client"))?,
        site_id: site_id.ok_or_else(|| missing("site"))?,
        host: host.as_deref(),
        captured_at,
        operator_id: Some(caller.operator_id),
    };
    let imported = captures::import(&app.store, &rulebook, &place, &reading, clock::now()).await?;
    tracing::info!(operator.id = %caller.operator_id, host.id = imported.host_id, "An operator imported a capture");
    Ok((StatusCode::CREATED, Json(CaptureReport::of_import(&reading, &place, &imported))))
}

/// The script that makes captures
///
/// Runs on Windows 2000 and later, changes nothing there, and writes what it finds into a folder beside itself.
#[utoipa::path(
    get,
    path = "/captures/script",
    tag = "captures",
    responses(
        (status = 200, description = "A batch file", body = String, content_type = "application/octet-stream"),
        (status = "default", response = Problem)
    )
)]
pub async fn script(_: Caller) -> Response {
    let headers = [
        (CONTENT_TYPE, "application/octet-stream"),
        (CONTENT_DISPOSITION, r#"attachment; filename="portreeve-capture.cmd""#),
    ];
    (headers, SCRIPT).into_response()
}

impl CaptureReport {
    /// Of what was read; `facts` are those of the capture as they are kept.
    pub fn new(reading: &Reading, facts: &Facts) -> Self {
        let pieces = reading.understood.iter().map(|piece| CapturePiece {
            file: piece.file.to_string(),
            what: piece.what,
            lines: piece.lines,
        });
        let lines = reading.not_understood.iter().take(MAX_LINES).map(|line| CaptureLine {
            file: line.file.to_string(),
            line: line.line,
            text: line.text.to_string(),
            why: line.why.to_string(),
        });
        Self {
            host: None,
            name: facts.host.known().map(|host| host.name.to_string()).filter(|name| !name.trim().is_empty()),
            captured_at: facts.collected_at,
            understood: pieces.collect(),
            not_understood: lines.collect(),
            not_understood_total: reading.lines_not_understood(),
            contradictions: reading.contradictions.iter().map(ToString::to_string).collect(),
            sections: sections(facts),
            findings: Vec::new(),
        }
    }

    /// Of what was stored.
    pub fn of_import(reading: &Reading, place: &Place<'_>, imported: &Imported) -> Self {
        let shown = imported.judgement.findings.iter().map(|finding| {
            let id = finding_id(place.client_id, imported.host_id, &finding.rule, &finding.subject);
            let change = imported.changes.iter().find(|change| change.id == id);
            CaptureFinding::new(finding, Some(id), change.map(|change| change.transition))
        });
        let gone = imported
            .changes
            .iter()
            .filter(|change| change.transition == plan::Transition::Resolved)
            .map(|change| CaptureFinding::new(&change.finding, Some(change.id), Some(change.transition)));
        Self {
            host: Some(ImportedHost { id: imported.host_id, name: imported.name.clone(), is_new: imported.is_new }),
            captured_at: Some(imported.captured_at.at),
            findings: worst_first(shown.chain(gone).collect()),
            ..Self::new(reading, &imported.facts)
        }
    }
}

impl CaptureFinding {
    fn new(finding: &Finding, id: Option<Uuid>, transition: Option<plan::Transition>) -> Self {
        Self {
            id,
            transition: transition.map(|transition| Transition::from_row(transition.as_str())),
            rule: finding.rule.clone(),
            severity: finding.severity.into(),
            confidence: finding.confidence.into(),
            title: finding.title.clone(),
        }
    }
}

fn worst_first(mut findings: Vec<CaptureFinding>) -> Vec<CaptureFinding> {
    findings.sort_by_key(|finding| Reverse(finding.severity));
    findings
}

fn sections(facts: &Facts) -> Vec<CaptureSection> {
    let of = |section: SectionName| match section {
        SectionName::Host => document(section, &facts.host),
        SectionName::PortPolicy => document(section, &facts.port_policy),
        SectionName::Sockets => rows(section, &facts.sockets),
        SectionName::Services => rows(section, &facts.services),
        SectionName::Updates => rows(section, &facts.updates),
        SectionName::Events => rows(section, &facts.events),
        SectionName::Connections => document(section, &facts.connections),
    };
    SectionName::ALL.into_iter().map(of).collect()
}

fn document<T>(section: SectionName, facts: &Section<T>) -> CaptureSection {
    CaptureSection {
        section,
        state: if facts.known().is_some() { SectionState::Known } else { SectionState::Unknown },
        reason: facts.unknown().map(ToString::to_string),
        rows: None,
    }
}

fn rows<T>(section: SectionName, facts: &Section<Vec<T>>) -> CaptureSection {
    CaptureSection { rows: facts.known().map(Vec::len), ..document(section, facts) }
}

impl From<ReadFault> for Problem {
    fn from(fault: ReadFault) -> Self {
        let code = match fault {
            ReadFault::TooMuch(_) => Code::CaptureTooLarge,
            ReadFault::BadFacts { .. } | ReadFault::NotAlone { .. } => Code::CaptureBadFacts,
        };
        Self::field(code, "files", format!("cannot be read: {fault}"))
    }
}

impl From<ImportFault> for Problem {
    fn from(fault: ImportFault) -> Self {
        let text = fault.to_string();
        let code = match fault {
            ImportFault::NothingUnderstood => Code::CaptureNothingUnderstood,
            ImportFault::NoName => Code::CaptureNoName,
            ImportFault::InFuture { .. } => Code::CaptureInFuture,
            ImportFault::NoSuchSite => return Self::not_found("site"),
            ImportFault::HasAgent { .. } => Code::CaptureHostHasAgent,
            ImportFault::Older { .. } => Code::CaptureOlder,
            ImportFault::DoesNotFit(_) | ImportFault::Unstorable(_) => Code::CaptureUnstorable,
            ImportFault::Database(error) => return error.into(),
        };
        Self::new(code, sentence(&text))
    }
}

/// An error's text as a sentence.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(characters).chain(['.']).collect()
}
