//! A stream after its Hello: reports are applied and acknowledged one after the other, heartbeats compared. Holds what
//! is known of the host while it is connected: loaded when the first report needs it, dropped when the stream ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use prost::Message;
use proto::fleet::v1::server_message::Kind as Answer;
use proto::fleet::v1::{
    Ack, ConnectionList, Gap, Heartbeat, Hello, ListConnections, Outcome, Pace, RenewNow, Report, Section,
    SectionReport, SendFull, Welcome,
};
use proto::wire::{Assembly, Received, from_report_parts};
use proto::{Digests, SECTIONS};
use rules::catalog::Catalog;
use rules::facts::Facts;
use rules::finding::Judgement;
use rules::text::Text;
use tokio::sync::oneshot;
use tonic::{Code, Status};
use tracing::{debug, info, warn};
use uuid::Uuid;

use crate::db::Scope;
use crate::db::facts;
use crate::db::stream::{self, Rejected, Seen, Step};
use crate::identity::authority::AGENT_LIFETIME;
use crate::ingest::claim::Denial;
use crate::ingest::commit::{CommitFault, Events, Judged, Refused, section_rows};
use crate::ingest::held::{Known, Place};
use crate::ingest::ledger::{self, Extent};
use crate::ingest::memory::Memory;
use crate::ingest::opening::{self, Greeting, Opened};
use crate::ingest::outgoing::{Gone, Outgoing};
use crate::ingest::recall::{self, Recalled};
use crate::ingest::session::{
    HEARTBEAT, SILENCE, Session, fenced, message, refused, silent, store_unavailable, undecodable,
};
use crate::ingest::skew::{Heard, HostClock};
use crate::ingest::state::HostState;
use crate::ingest::writer::Job;
use crate::questions::Question;

/// Between two reads of the socket tables by the agent.
const COLLECT: Duration = Duration::from_secs(5);
/// A quarantined report is kept up to this many bytes.
const KEPT_BYTES: usize = 64 * 1024;
/// Keeps sums of counters far from the end of their columns.
const MAX_COUNTED: i64 = 1 << 40;
/// Old events of a host are cleared away with the first new ones of a stream, and then after so many.
const PRUNE_EVENTS_AFTER: usize = 10_000;

/// A session after its Hello.
pub(super) struct Talk<'a> {
    session: &'a Session,
    outgoing: &'a Outgoing,
    cursor: stream::Session,
    seq: u64,
    clock: HostClock,
    /// Digests as stored.
    held: Digests,
    /// Where what is known of the host lies between reports.
    place: Place,
    /// During a report. `None`: not loaded, or in doubt after a failed commit.
    state: Option<Box<HostState>>,
    /// `None`: not loaded, or in doubt likewise.
    memory: Option<Box<Memory>>,
    /// What was reconciled last by this stream.
    judgement: Option<Arc<Judgement>>,
    /// The boot whose ledger holds all that `state` says.
    ledger_of: Option<Text>,
    /// Events since old ones were cleared away.
    events: usize,
    assembly: Assembly,
    /// The beginning of the report under assembly, as received.
    kept: Vec<u8>,
    last_quarantined: Option<u64>,
    /// Questions by their number, until they are answered or nobody waits any more.
    asked: BTreeMap<u32, oneshot::Sender<ConnectionList>>,
    last_question: u32,
    renewal: RenewalWish,
}

/// Agents trust our clock about their certificates, not theirs: we say when half of the lifetime is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RenewalWish {
    NotYet,
    Told,
}

impl<'a> Talk<'a> {
    pub(super) async fn open(
        session: &'a Session,
        (hello, heard): (Hello, Heard),
        session_id: Uuid,
        outgoing: &'a Outgoing,
    ) -> Result<Self, Status> {
        let greeting =
            Greeting::read(hello).map_err(|fault| refused(Code::InvalidArgument, "stream.hello-malformed", fault))?;
        let host = (session.host.client_id, session.host.host_id);
        let by = (session_id, session.ingest.app.server_id, session.peer.address.ip());
        let (db, now) = (session.ingest.desk.db.clone(), (session.clock)());
        let opened = async move { opening::open(&db, host, by, &greeting, heard, now).await };
        let opened = session.ingest.desk.ask(opened).await;
        let opened = opened.map_err(|error| store_unavailable(&error))?.map_err(|denial| denied(session, denial))?;
        let Opened { session: cursor, cursor: stored, clock, held, send_full } = opened;
        info!(host.id = host.1, peer = %session.peer.address, seq = stored.seq, send_full = send_full.len(), "Opened a stream");
        let mut talk = Self {
            session,
            outgoing,
            cursor,
            seq: u64::try_from(stored.seq).unwrap_or_default(),
            clock,
            held,
            place: session.ingest.held.place(),
            state: None,
            memory: None,
            judgement: None,
            ledger_of: None,
            events: PRUNE_EVENTS_AFTER,
            assembly: Assembly::default(),
            kept: Vec::new(),
            last_quarantined: None,
            asked: BTreeMap::new(),
            last_question: 0,
            renewal: RenewalWish::NotYet,
        };
        let paced = if send_full.is_empty() { Duration::ZERO } else { session.ingest.admission.book_full() };
        metrics::counter!("portreeve_full_sections_asked_total").increment(send_full.len() as u64);
        let welcome = Welcome {
            epoch: u64::try_from(stored.pending_epoch).unwrap_or_default(),
            committed_seq: talk.seq,
            send_full: send_full.into_iter().map(i32::from).collect(),
            pace: Some(Pace {
                heartbeat_interval_ms: milliseconds(HEARTBEAT),
                collect_interval_ms: milliseconds(COLLECT),
                send_after_ms: milliseconds(paced),
            }),
        };
        talk.send(Answer::Welcome(welcome)).await?;
        talk.ask_for_renewal().await?;
        Ok(talk)
    }

    pub(super) async fn report(&mut self, part: Report) -> Result<(), Status> {
        let Known { state, memory, judgement } = self.place.take();
        (self.state, self.memory, self.judgement) = (state, memory, judgement);
        let done = self.hear(part).await;
        let (state, memory, judgement) = (self.state.take(), self.memory.take(), self.judgement.take());
        self.place.put(Known { state, memory, judgement });
        done
    }

    async fn hear(&mut self, part: Report) -> Result<(), Status> {
        let seq = part.seq;
        if seq == 0 || i64::try_from(seq).is_err() {
            return Err(refused(Code::InvalidArgument, "report.malformed", "reports are numbered from 1 to 2^63 - 1"));
        }
        if seq <= self.seq {
            // Committed earlier, and the acknowledgement was lost; or the rest of a report that was refused.
            if part.part + 1 >= part.parts {
                metrics::counter!("portreeve_reports_total", "outcome" => "repeated").increment(1);
                return self.acknowledge(seq).await;
            }
            return Ok(());
        }
        if !is_due(&part, self.seq) {
            let text = format!("report {seq} came where {} was due", self.seq.saturating_add(1));
            return Err(refused(Code::FailedPrecondition, "report.out-of-order", text));
        }
        if part.part == 0 {
            self.kept = part.encode_to_vec();
            self.kept.truncate(KEPT_BYTES);
        }
        let named = if part.parts <= 1 { sections_named(&part) } else { SECTIONS.to_vec() };
        let parts = match self.assembly.add(part) {
            Ok(None) => return Ok(()),
            Ok(Some(parts)) => parts,
            Err(fault) => return self.quarantine(seq, fault.code(), &fault.to_string(), &named, None).await,
        };
        match from_report_parts(parts) {
            Ok(received) => self.apply(received).await,
            Err(fault) => self.quarantine(seq, fault.code(), &fault.to_string(), &named, None).await,
        }
    }

    async fn apply(&mut self, received: Received) -> Result<(), Status> {
        let started = Instant::now();
        let now = (self.session.clock)();
        let Received { mut report, dropped_rows } = received;
        self.place.share(&mut report.delta);
        let seq = report.seq;
        let (mut state, recalled) = self.take_state().await?;
        let told_at = report.wall_clock.and_then(|time| self.clock.correct(time));
        let sections: Vec<Section> = report.digests.keys().copied().collect();
        let boot_before = ledger::boot_of(state.facts()).cloned();
        let rows = match state.apply(report.delta, report.wall_clock, &self.clock) {
            Ok(rows) => rows,
            Err(fault) => {
                self.state = Some(state);
                return self.quarantine(seq, fault.code(), &fault.to_string(), &sections, told_at).await;
            }
        };
        let rulebook = self.session.ingest.app.rulebook.load_full();
        let mut memory = self.take_memory(recalled, state.facts(), &rulebook.catalog).await?;
        let client_id = self.cursor.client_id;
        let judgement = rulebook.judge(client_id, state.facts(), memory.history(state.facts()), now);
        let basis = rulebook.basis(client_id, now);
        let noted = memory.note(state.facts(), now);
        let boot = ledger::boot_of(state.facts()).cloned();
        let opens = (boot != self.ledger_of).then(|| ledger::derived_by(&rulebook.version));
        let is_told = opens.as_ref().is_none_or(|by| boot == boot_before && memory.is_told(by));
        let extent = if is_told { Extent::Changed } else { Extent::Whole };
        let ledger = ledger::change((extent, opens), &state, &rows, &rulebook.catalog, now);
        let gaps = report.gap.map_or(0, |gap| lost(gap, self.seq));
        let step = Step {
            gaps: i64::try_from(gaps).unwrap_or(i64::MAX).min(MAX_COUNTED),
            dropped_rows: i64::try_from(dropped_rows).unwrap_or(MAX_COUNTED),
            told_at,
            ..self.step(seq)
        };
        let prune = !rows.events_set.is_empty() && self.events >= PRUNE_EVENTS_AFTER;
        let events = if prune { Events::Prune } else { Events::Keep };
        let (changed, events_set) = (rows.sockets_new.len() + rows.sockets_gone.len(), rows.events_set.len());
        let judgement = Arc::new(judgement);
        let host = state.facts().host.known().filter(|_| report.digests.contains_key(&Section::Host));
        let job = Job {
            session: self.cursor,
            step,
            rows,
            sections: section_rows(&state, &report.digests),
            collected_at: state.facts().collected_at,
            host: host.cloned(),
            ledger,
            noted: noted.clone(),
            events,
            judgement: Arc::clone(&judgement),
            basis,
            before: self.judgement.clone(),
        };
        match self.session.ingest.writers.write(job).await {
            Ok(()) => {}
            // The state is ahead of the rows now, so it is not kept.
            Err(CommitFault::Unstorable(detail)) => {
                return self.quarantine(seq, "report.unstorable", &detail, &sections, told_at).await;
            }
            Err(fault) => return Err(status_of(fault)),
        }
        if let Some(noted) = noted {
            memory.keep(noted);
        }
        self.state = Some(state);
        self.memory = Some(memory);
        self.judgement = Some(judgement);
        self.ledger_of = boot;
        self.events = if prune { 0 } else { self.events + events_set };
        self.seq = seq;
        self.held.extend(report.digests);
        debug!(host.id = self.cursor.host_id, seq, sockets = changed, "Applied a report");
        metrics::counter!("portreeve_reports_total", "outcome" => "applied").increment(1);
        metrics::histogram!("portreeve_report_seconds", "stage" => "apply").record(started.elapsed().as_secs_f64());
        self.acknowledge(seq).await
    }

    /// Keeps the report for people and goes on behind it.
    async fn quarantine(
        &mut self,
        seq: u64,
        code: &'static str,
        detail: &str,
        sections: &[Section],
        told_at: Option<DateTime<Utc>>,
    ) -> Result<(), Status> {
        let now = (self.session.clock)();
        self.assembly = Assembly::default();
        let (mut state, recalled) = self.take_state().await?;
        let reason = Text::new(&format!("the last report was rejected ({code})"));
        state.reject(sections, &reason);
        let rulebook = self.session.ingest.app.rulebook.load_full();
        let mut memory = self.take_memory(recalled, state.facts(), &rulebook.catalog).await?;
        let client_id = self.cursor.client_id;
        let judgement = rulebook.judge(client_id, state.facts(), memory.history(state.facts()), now);
        let basis = rulebook.basis(client_id, now);
        let detail = Text::new(detail);
        let refused = Refused {
            step: Step { quarantined: 1, told_at, ..self.step(seq) },
            rejected: Rejected {
                quarantine_id: Uuid::new_v4(),
                seq: i64::try_from(seq).ok(),
                code,
                detail: &detail,
                body: (!self.kept.is_empty()).then_some(self.kept.as_slice()),
            },
            sections,
            reason: &reason,
        };
        let judged = Judged { judgement: &judgement, basis: &basis, before: self.judgement.as_deref() };
        self.session.ingest.quarantine(&self.cursor, &refused, judged, now).await.map_err(status_of)?;
        warn!(host.id = self.cursor.host_id, seq, code, "Quarantined a report: {detail}");
        metrics::counter!("portreeve_reports_total", "outcome" => "quarantined").increment(1);
        metrics::counter!("portreeve_reports_quarantined_total", "code" => code).increment(1);
        self.state = Some(state);
        self.memory = Some(memory);
        self.judgement = Some(Arc::new(judgement));
        self.seq = seq;
        self.last_quarantined = Some(seq);
        self.held.extend(sections.iter().map(|section| (*section, Vec::new())));
        self.acknowledge(seq).await?;
        self.ask_for(sections.to_vec()).await
    }

    /// The agent ended the connection, or sent what cannot be decoded. The latter would come again for ever, so it takes
    /// the place of the next report, and every section is asked for in full by the next Welcome.
    pub(super) async fn broken(&mut self, error: Status) -> Result<(), Status> {
        let Some(refusal) = undecodable(&error) else {
            debug!(host.id = self.cursor.host_id, "A connection broke: {}", error.message());
            return Ok(());
        };
        self.kept = Vec::new();
        let code = if error.code() == Code::OutOfRange { "report.too-large" } else { "report.malformed" };
        self.quarantine(self.seq.saturating_add(1), code, error.message(), &SECTIONS, None).await?;
        Err(refusal)
    }

    /// `under_way`: at most so long.
    pub(super) async fn heartbeat(&mut self, heartbeat: Heartbeat, under_way: Duration) -> Result<(), Status> {
        let now = (self.session.clock)();
        self.clock.hear(heartbeat.wall_clock_ms, Heard { at: now, under_way });
        self.session.ingest.streams.saw(Seen {
            client_id: self.cursor.client_id,
            host_id: self.cursor.host_id,
            session_id: self.cursor.session_id,
            at: now,
            clock_skew_ms: self.clock.skew_ms(),
        });
        self.ask_for_renewal().await?;
        // Digests of another moment say nothing: what differs may be under way.
        if heartbeat.seq != self.seq {
            return Ok(());
        }
        let digests = proto::wire::digests_from_wire(heartbeat.digests)
            .map_err(|fault| refused(Code::InvalidArgument, fault.code(), fault.to_string()))?;
        let drifted: Vec<Section> = digests
            .iter()
            .filter(|(section, digest)| self.held.get(section) != Some(digest))
            .map(|(section, _)| *section)
            .collect();
        if drifted.is_empty() {
            return Ok(());
        }
        metrics::counter!("portreeve_drifted_sections_total").increment(drifted.len() as u64);
        info!(host.id = self.cursor.host_id, ?drifted, "What is stored differs from what the agent holds");
        self.ask_for(drifted).await
    }

    async fn ask_for_renewal(&mut self) -> Result<(), Status> {
        let half_life = self.session.host.expires_at - AGENT_LIFETIME / 2;
        if self.renewal == RenewalWish::Told || (self.session.clock)() < half_life {
            return Ok(());
        }
        self.renewal = RenewalWish::Told;
        self.send(Answer::RenewNow(RenewNow {})).await
    }

    pub(super) async fn ask(&mut self, question: Question) -> Result<(), Status> {
        self.asked.retain(|_, answer| !answer.is_closed());
        self.last_question = self.last_question.wrapping_add(1);
        let request_id = self.last_question;
        self.asked.insert(request_id, question.answer);
        self.send(Answer::ListConnections(ListConnections { request_id, limit: question.limit })).await
    }

    /// What nobody asked for, or nobody waits for any more, is dropped.
    pub(super) fn answered(&mut self, list: ConnectionList) {
        if let Some(answer) = self.asked.remove(&list.request_id) {
            drop(answer.send(list));
        }
    }

    /// What is stored of the host, and what is remembered of the boot that it is in by that, where neither is at hand: most
    /// reports go on with that boot.
    async fn take_state(&mut self) -> Result<(Box<HostState>, Option<Recalled>), Status> {
        if let Some(state) = self.state.take() {
            return Ok((state, None));
        }
        let (client_id, host_id) = (self.cursor.client_id, self.cursor.host_id);
        let recalls = self.memory.is_none();
        let _place = self.session.ingest.admission.load().await;
        let desk = &self.session.ingest.desk;
        let db = desk.db.clone();
        let load = async move {
            let mut transaction = db.begin_planned(&Scope::of(client_id)).await?;
            let state = Box::new(facts::load(&mut transaction, client_id, host_id).await?);
            let recalled = match ledger::boot_of(state.facts()).filter(|_| recalls) {
                Some(boot) => Some(recall::read(&mut transaction, (client_id, host_id), Some(boot)).await?),
                None => None,
            };
            transaction.commit().await?;
            Ok((state, recalled))
        };
        let (mut state, recalled) = desk.ask(load).await.map_err(|error| store_unavailable(&error))?;
        self.place.share_state(&mut state);
        Ok((state, recalled))
    }

    /// Read anew when a boot begins: then the one before is the past.
    async fn take_memory(
        &mut self,
        recalled: Option<Recalled>,
        facts: &Facts,
        catalog: &Catalog,
    ) -> Result<Box<Memory>, Status> {
        let boot = ledger::boot_of(facts);
        if let Some(memory) = self.memory.take().filter(|memory| memory.is_of(boot)) {
            return Ok(memory);
        }
        if let Some(recalled) = recalled.filter(|recalled| recalled.is_of(boot)) {
            return Ok(Box::new(recalled.memory(facts, catalog)));
        }
        let host = (self.cursor.client_id, self.cursor.host_id);
        let _place = self.session.ingest.admission.load().await;
        let desk = &self.session.ingest.desk;
        let (db, of) = (desk.db.clone(), boot.cloned());
        let read = async move {
            let mut transaction = db.begin_planned(&Scope::of(host.0)).await?;
            let recalled = recall::read(&mut transaction, host, of.as_ref()).await?;
            transaction.commit().await?;
            Ok(recalled)
        };
        let recalled = desk.ask(read).await.map_err(|error| store_unavailable(&error))?;
        Ok(Box::new(recalled.memory(facts, catalog)))
    }

    fn step(&self, seq: u64) -> Step {
        Step {
            from_seq: i64::try_from(self.seq).unwrap_or(i64::MAX),
            to_seq: i64::try_from(seq).unwrap_or(i64::MAX),
            clock_skew_ms: self.clock.skew_ms(),
            ..Step::default()
        }
    }

    async fn acknowledge(&self, seq: u64) -> Result<(), Status> {
        let outcome = if self.last_quarantined == Some(seq) { Outcome::Quarantined } else { Outcome::Applied };
        self.send(Answer::Ack(Ack { seq, outcome: outcome.into() })).await
    }

    async fn ask_for(&self, sections: Vec<Section>) -> Result<(), Status> {
        metrics::counter!("portreeve_full_sections_asked_total").increment(sections.len() as u64);
        let paced = self.session.ingest.admission.book_full();
        if !paced.is_zero() {
            self.send(Answer::Pace(Pace { send_after_ms: milliseconds(paced), ..Pace::default() })).await?;
        }
        self.send(Answer::SendFull(SendFull { sections: sections.into_iter().map(i32::from).collect() })).await
    }

    async fn send(&self, answer: Answer) -> Result<(), Status> {
        // Nobody reads any more; the agent will hear it from the next stream.
        let gone = |Gone| Status::cancelled("the agent is gone");
        match tokio::time::timeout(SILENCE, self.outgoing.send(Ok(message(answer)))).await {
            Ok(sent) => sent.map_err(gone),
            Err(_) => Err(silent()),
        }
    }
}

/// The agent acts on the number of the status only: `DataLoss` makes it begin another stream, `AlreadyExists` leaves it
/// waiting for an hour.
fn denied(session: &Session, denial: Denial) -> Status {
    let (kind, code, text) = match denial {
        Denial::Restored => (
            Code::DataLoss,
            "agent.restored",
            "this agent's state is older than what it said before: it begins another stream",
        ),
        Denial::Cloned => (
            Code::AlreadyExists,
            "agent.cloned",
            "another machine has this identity: enroll this one anew, or accept it if the hardware was replaced",
        ),
        Denial::Forked => (
            Code::AlreadyExists,
            "agent.forked",
            "two machines take turns with this identity: enroll one of them anew, then accept the other",
        ),
        Denial::Departed => (Code::Unavailable, "host.departed", "this host was retired or moved: connect again"),
    };
    warn!(host.id = session.host.host_id, peer = %session.peer.address, code, "Denied a stream: {text}");
    metrics::counter!("portreeve_forks_total", "code" => code).increment(1);
    refused(kind, code, text)
}

fn status_of(fault: CommitFault) -> Status {
    match fault {
        CommitFault::Fenced => fenced(),
        CommitFault::Unavailable(error) => store_unavailable(&error),
        CommitFault::Unstorable(detail) => {
            warn!(detail, "Not even the quarantine could store a report");
            refused(Code::Internal, "report.unstorable", "the report could not be stored")
        }
    }
}

/// Whether a report may follow what is committed: it has the next number, or says that all numbers between are lost.
fn is_due(part: &Report, committed: u64) -> bool {
    let next = committed.saturating_add(1);
    part.seq == next || part.gap.is_some_and(|gap| gap.from_seq <= next && gap.to_seq.checked_add(1) == Some(part.seq))
}

/// How many reports of a gap were not committed before.
fn lost(gap: Gap, committed: u64) -> u64 {
    gap.to_seq.saturating_sub(gap.from_seq.saturating_sub(1).max(committed))
}

fn sections_named(part: &Report) -> Vec<Section> {
    let mut named: Vec<Section> = part.sections.iter().map(SectionReport::section).collect();
    named.retain(|section| *section != Section::Unspecified);
    named.sort_unstable();
    named.dedup();
    named
}

fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proto::fleet::v1::{Gap, Report};

    use super::is_due;

    #[test]
    fn a_report_follows_what_is_committed_or_names_what_is_lost() {
        let report = |seq, gap: Option<(u64, u64)>| Report {
            seq,
            gap: gap.map(|(from_seq, to_seq)| Gap { from_seq, to_seq }),
            ..Report::default()
        };
        for (seq, gap, expected) in [
            (6, None, true),
            (7, None, false),
            (9, Some((6, 8)), true),
            (9, Some((4, 8)), true),
            (9, Some((7, 8)), false),
            (9, Some((6, 7)), false),
            (0, Some((6, u64::MAX)), false),
        ] {
            assert_eq!(is_due(&report(seq, gap), 5), expected, "{seq} {gap:?}");
        }
    }
}
