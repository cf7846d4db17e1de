//! One import, one transaction: host, rows, sections, findings, deliveries and the record of the capture.

use chrono::{DateTime, Utc};
use proto::{Digests, SECTIONS, wire};
use rules::facts::{CollectedBy, Facts, Section};
use rules::finding::Judgement;
use rules::history::History;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::captures::{Piece, Reading};
use crate::db::captures::{self, NamedHost, NewCapture};
use crate::db::{Scope, facts, refuses};
use crate::findings::FindingChange;
use crate::ingest::skew::HostClock;
use crate::ingest::state::{ApplyFault, HostState};
use crate::ingest::{Changed, Judged, Store};
use crate::rulebook::Rulebook;

/// Where an imported host belongs, and who says so.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    pub client_id: i32,
    pub site_id: i64,
    /// Instead of the name that the capture gives the host.
    pub host: Option<&'a str>,
    /// Instead of the time that the capture gives.
    pub captured_at: Option<DateTime<Utc>>,
    /// `None`: by command line.
    pub operator_id: Option<Uuid>,
}

/// Where the time of a capture comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The capture says it, by the host's clock.
    Capture,
    /// Whoever imports says it.
    Given,
    /// Nobody says it, or the host's clock is ahead: the time of the import.
    Import,
}

/// When a capture was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapturedAt {
    pub at: DateTime<Utc>,
    pub origin: Origin,
}

/// What an import did.
#[derive(Debug)]
pub struct Imported {
    pub host_id: i64,
    pub name: String,
    /// Whether this import made the host.
    pub is_new: bool,
    pub captured_at: CapturedAt,
    /// As stored: sections beyond what a report can carry are unknown.
    pub facts: Facts,
    pub judgement: Judgement,
    pub changes: Vec<FindingChange>,
}

/// Why nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum ImportFault {
    #[error("nothing in these files was understood, so nothing was stored")]
    NothingUnderstood,
    #[error("the capture does not say what its host is called; name the host")]
    NoName,
    #[error("{at} is in the future")]
    InFuture { at: DateTime<Utc> },
    #[error("the client has no such site")]
    NoSuchSite,
    #[error("{name} has an agent at this site, and what an agent reports is not overwritten by a capture")]
    HasAgent { name: String },
    #[error(
        "this capture is of {at}, and a newer one of {newest} was imported for {name}; if the host's clock is wrong, say \
         when the capture was really taken"
    )]
    Older { name: String, at: DateTime<Utc>, newest: DateTime<Utc> },
    #[error(transparent)]
    DoesNotFit(#[from] ApplyFault),
    #[error("the database refuses what the capture holds: {0}")]
    Unstorable(String),
    #[error(transparent)]
    Database(sqlx::Error),
}

impl From<sqlx::Error> for ImportFault {
    fn from(error: sqlx::Error) -> Self {
        if refuses(&error) { Self::Unstorable(error.to_string()) } else { Self::Database(error) }
    }
}

/// Stores `reading` as a full report of its host, which is made when the site has none of its name.
pub async fn import(
    store: &Store,
    rulebook: &Rulebook,
    place: &Place<'_>,
    reading: &Reading,
    now: DateTime<Utc>,
) -> Result<Imported, ImportFault> {
    if reading.is_empty() {
        return Err(ImportFault::NothingUnderstood);
    }
    let name = host_name(place, &reading.facts).ok_or(ImportFault::NoName)?;
    let captured_at = captured_at(place, &reading.facts, now)?;
    let facts = wire::canonical(&as_capture(&reading.facts, &name));
    let mut words = facts::Words::default();
    for socket in facts.sockets.known().into_iter().flatten() {
        words.add_image(socket.image.as_ref());
        words.add_services(&socket.services);
    }
    let numbers = store.numbers(&words).await?;

    let site = (place.client_id, place.site_id);
    let mut transaction = store.db.begin(&Scope::of(place.client_id)).await?;
    if !captures::lock_site(&mut transaction, place.client_id, place.site_id).await? {
        return Err(ImportFault::NoSuchSite);
    }
    let known = captures::host_by_name(&mut transaction, site, &name).await?;
    refuse_to_overwrite(known.as_ref(), &name, captured_at)?;
    let (host_id, mut state) = match &known {
        Some(host) => (host.host_id, facts::load(&mut transaction, place.client_id, host.host_id).await?),
        None => (captures::insert_host(&mut transaction, site, &name, now).await?, HostState::default()),
    };
    let host = (place.client_id, host_id);
    // How far the host's clock was from ours, a capture cannot say.
    let rows = state.apply(wire::full_delta(&facts), Some(captured_at.at), &HostClock::stored(0))?;
    let judgement = rulebook.judge(place.client_id, state.facts(), &mut History::default(), now);
    // No agent will ever compare these.
    let digests: Digests = SECTIONS.into_iter().map(|section| (section, Vec::new())).collect();
    let changed = Changed { host, at: captured_at.at, state: &state, rows: &rows, digests: &digests };
    let judged = Judged { judgement: &judgement, basis: &rulebook.basis(place.client_id, now), before: None };
    let outcome = store.write(&mut transaction, &changed, &numbers, judged, now).await?;
    let record = NewCapture {
        capture_id: Uuid::new_v4(),
        captured_at: captured_at.at,
        operator_id: place.operator_id,
        pieces: pieces(&reading.understood),
        lines_not_understood: i32::try_from(reading.lines_not_understood()).unwrap_or(i32::MAX),
    };
    captures::insert(&mut transaction, host, &record, now).await?;
    transaction.commit().await?;
    store.hint(host, &outcome);
    tracing::info!(host.id = host_id, pieces = reading.understood.len(), "Imported a capture of {name}");
    Ok(Imported { host_id, name, is_new: known.is_none(), captured_at, facts, judgement, changes: outcome.changes })
}

/// The name that is given, else the host's own.
fn host_name(place: &Place<'_>, facts: &Facts) -> Option<String> {
    let own = || facts.host.known().map(|host| host.name.as_str());
    let name = place.host.or_else(own)?.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

fn captured_at(place: &Place<'_>, facts: &Facts, now: DateTime<Utc>) -> Result<CapturedAt, ImportFault> {
    match (place.captured_at, facts.collected_at) {
        (Some(at), _) if at > now => Err(ImportFault::InFuture { at }),
        (Some(at), _) => Ok(CapturedAt { at, origin: Origin::Given }),
        (None, Some(at)) if at <= now => Ok(CapturedAt { at, origin: Origin::Capture }),
        (None, _) => Ok(CapturedAt { at: now, origin: Origin::Import }),
    }
}

fn refuse_to_overwrite(host: Option<&NamedHost>, name: &str, captured_at: CapturedAt) -> Result<(), ImportFault> {
    let Some(host) = host else { return Ok(()) };
    let name = name.to_owned();
    if host.has_agent {
        return Err(ImportFault::HasAgent { name });
    }
    match host.captured_at {
        Some(newest) if newest > captured_at.at => Err(ImportFault::Older { name, at: captured_at.at, newest }),
        _ => Ok(()),
    }
}

/// Also the agent's own facts file is a moment of the past when somebody brings it.
fn as_capture(facts: &Facts, name: &str) -> Facts {
    let mut facts = facts.clone();
    if let Section::Known(host) = &mut facts.host {
        host.collected_by = CollectedBy::Capture;
        host.name = name.into();
    }
    facts
}

fn pieces(understood: &[Piece]) -> Value {
    understood.iter().map(|piece| json!({ "file": piece.file, "what": piece.what, "lines": piece.lines })).collect()
}
