//! What to say to the server and when, as a state machine without input or output: time and randomness are handed in,
//! messages and wishes are handed out.
//!
//! It is driven by level, not by edge. It holds what is true now (`latest`) and what the server will hold once every report
//! made so far is applied (`told`); whatever differs becomes the next report, as soon as one may be made.
//!
//! Invariants: a report is numbered once and its number is never given to another; it is ordered onto the disk before it
//! is sent; reports are sent in order, and numbers that are missing between two of them are told as a gap. Where it is
//! not known what the server holds, sections are sent whole. What waits is bounded: when there is no room, reports are
//! not made (while connected) or given up (while not), and the next one covers them with whole sections.

mod backoff;
mod changes;
mod pending;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use prost::Message as _;
use proto::fleet::v1;
use proto::wire::{self, Report};
use proto::{Digests, SECTIONS};
use rules::facts::Facts;
use sha2::{Digest as _, Sha256};

pub use crate::stream::backoff::{Ending, Pacing};

use crate::stream::backoff::Backoff;
use crate::stream::changes::{changes, digests_after, of_sections};
use crate::stream::pending::Pending;

/// Silence of the server after which a connection without a Welcome is given up.
const WELCOME_WITHIN: Duration = Duration::from_secs(30);

/// Facts that are older than this were read by another clock than ours: they are recorded.
const SLOW_READING: TimeDelta = TimeDelta::minutes(1);

/// How often a heartbeat comes in any case and names the digests of all sections: a clock that was set is noticed, and what
/// should never happen is found.
const COMPARE_EVERY: Duration = Duration::from_mins(15);

/// Reports that may be under way at once: the rest waits on the disk, not in memory.
const WINDOW: u64 = 32;

/// The moment of a step.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Time since this program started: never jumps.
    pub elapsed: Duration,
    /// For people and for measuring skew, never for order.
    pub wall_clock: DateTime<Utc>,
    /// Uniform in 0 to 1, fresh for every step.
    pub random: f64,
    /// Random, for a stream that begins in this step.
    pub fresh_id: [u8; 16],
}

/// Bytes of reports for which the spool has room.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Now.
    pub free: u64,
    /// When it is empty.
    pub total: u64,
}

/// What is left of an earlier run.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    pub stream_id: [u8; 16],
    /// As the last Welcome named it.
    pub epoch: u64,
    pub next_seq: u64,
    /// Of each section, as the server will hold it once every report is applied. Empty: not known.
    pub digests: Digests,
    /// Unbroken runs of numbers of reports that may not be acknowledged, each as its first and last.
    pub reports: VecDeque<(u64, u64)>,
}

impl Held {
    /// There was no earlier run.
    pub fn nothing(stream_id: [u8; 16]) -> Self {
        Self { stream_id, epoch: 0, next_seq: 1, digests: Digests::new(), reports: VecDeque::new() }
    }
}

#[derive(Debug)]
pub enum Input {
    /// The host as it was just read.
    Facts(Box<Facts>),
    /// A stream is open.
    Connected,
    /// The server said something.
    Message(v1::server_message::Kind),
    /// The stream is gone, or could not be opened.
    Disconnected(Ending),
    /// The report with this number could not be read from the disk any more.
    Damaged(u64),
    /// The time that [`Stream::wakes_at`] named has come.
    Tick,
}

#[derive(Debug, PartialEq)]
pub enum Output {
    Wish(Wish),
    Order(Order),
}

/// What the spool is to do, in this order.
#[derive(Debug, PartialEq)]
pub enum Order {
    /// Have the report on the disk before anything else is done.
    Keep { seq: u64, parts: Vec<v1::Report> },
    /// Send the report, which was kept, with the numbers that are missing before it.
    Send { seq: u64, gap: Option<v1::Gap> },
    /// Reports up to this number are acknowledged.
    Forget { up_to: u64 },
    /// Drop every report; the next one makes up for them.
    GiveUp,
    /// Drop every report and go on under another id, with numbers above `highest`.
    Begin { stream_id: [u8; 16], highest: u64 },
    /// Keep what a Welcome told.
    Note { epoch: u64, digests: Digests },
}

/// What the rest of the program is to do.
#[derive(Debug, PartialEq)]
pub enum Wish {
    /// Open a stream; answer with `Connected` or `Disconnected`.
    Connect,
    Send(v1::AgentMessage),
    /// Close the stream; no answer is expected.
    Disconnect,
    /// The interval between two reads of the host.
    CollectEvery(Duration),
    /// Renew the certificate now.
    Renew,
    /// Answer with the connections of this moment.
    ListConnections(v1::ListConnections),
    /// The identity was revoked: nothing more may be reported.
    Stop,
}

impl Wish {
    pub fn report(part: v1::Report, gap: Option<v1::Gap>) -> Self {
        Self::Send(message(v1::agent_message::Kind::Report(v1::Report { gap, ..part })))
    }
}

impl From<Wish> for Output {
    fn from(wish: Wish) -> Self {
        Self::Wish(wish)
    }
}

impl From<Order> for Output {
    fn from(order: Order) -> Self {
        Self::Order(order)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Link {
    /// Nothing was collected yet.
    Idle,
    Down {
        connect_at: Duration,
    },
    Connecting,
    Greeting {
        since: Duration,
    },
    Up {
        since: Duration,
        last_sent: Duration,
    },
    Stopped,
}

/// One stream of reports: over any number of connections and runs of the program, until its state is lost.
#[derive(Debug)]
pub struct Stream {
    id: [u8; 16],
    /// As the last Welcome named it.
    epoch: u64,
    fingerprint: Vec<u8>,
    pacing: Pacing,
    backoff: Backoff,
    link: Link,

    latest: Option<Observation>,
    /// `None`: it is not known what the server holds. The next Welcome tells.
    told: Option<Told>,
    /// What the last Hello said that the agent holds.
    greeted_with: Option<Told>,
    /// Sections to be sent whole.
    wanted_whole: BTreeSet<v1::Section>,
    /// No whole section is sent before this.
    whole_after: Duration,
    /// When digests were sent last, beside those of reports.
    compared_at: Duration,
    next_seq: u64,
    pending: Pending,
    /// The last report that was sent on this connection, or was committed before it.
    sent: u64,
    /// Reports from this number on were never sent by anybody. A server that has committed one of them has it from a
    /// later self of ours: this state is an old one.
    unsent_from: u64,
    /// What the server will hold of an earlier run, until the host was read for the first time.
    kept: Option<Digests>,
}

#[derive(Clone, Debug)]
struct Observation {
    facts: Arc<Facts>,
    digests: Arc<Digests>,
    /// The host's clock minus this program's: not zero for recorded hosts.
    clock_offset: TimeDelta,
}

#[derive(Clone, Debug)]
struct Told {
    facts: Arc<Facts>,
    digests: Arc<Digests>,
}

impl Stream {
    /// `fingerprint` is of the machine; empty: not known.
    pub fn new(held: Held, fingerprint: Vec<u8>, pacing: Pacing) -> Self {
        let is_known = !held.digests.is_empty() || !held.reports.is_empty();
        Self {
            id: held.stream_id,
            epoch: held.epoch,
            fingerprint,
            backoff: Backoff::default(),
            link: Link::Idle,
            latest: None,
            told: None,
            greeted_with: None,
            wanted_whole: BTreeSet::new(),
            whole_after: Duration::ZERO,
            compared_at: Duration::ZERO,
            next_seq: held.next_seq,
            pending: Pending::new(held.reports),
            sent: 0,
            unsent_from: held.next_seq,
            kept: is_known.then_some(held.digests),
            pacing,
        }
    }

    pub fn step(&mut self, now: Now, room: Room, input: Input) -> Vec<Output> {
        let mut outputs = Vec::new();
        match input {
            Input::Facts(facts) => self.observe(&facts, now),
            Input::Connected => self.greet(now, &mut outputs),
            Input::Message(message) => self.hear(message, now, &mut outputs),
            Input::Disconnected(Ending::Revoked) => {
                self.link = Link::Stopped;
                outputs.push(Wish::Stop.into());
            }
            Input::Disconnected(ending) => {
                match ending {
                    Ending::Expired => outputs.push(Wish::Renew.into()),
                    Ending::Restored => self.begin_anew(now, &mut outputs),
                    _ => {}
                }
                self.lose(ending, now);
            }
            Input::Damaged(seq) => {
                self.pending.remove(seq);
                self.wanted_whole.extend(SECTIONS);
            }
            Input::Tick => {}
        }
        self.advance(now, room, &mut outputs);
        outputs
    }

    /// When to step with [`Input::Tick`], unless something else happens before. `None`: only something else helps.
    pub fn wakes_at(&self, elapsed: Duration) -> Option<Duration> {
        match self.link {
            Link::Idle | Link::Connecting | Link::Stopped => None,
            Link::Down { connect_at } => Some(connect_at),
            Link::Greeting { since } => Some(since + WELCOME_WITHIN),
            Link::Up { last_sent, .. } => {
                let heartbeat_at = last_sent + self.pacing.heartbeat;
                let is_paced = !self.wanted_whole.is_empty() && self.whole_after > elapsed;
                Some(if is_paced { heartbeat_at.min(self.whole_after) } else { heartbeat_at })
            }
        }
    }

    /// Whether the server acknowledged everything that is true now.
    pub fn is_settled(&self) -> bool {
        let (Some(latest), Some(told)) = (&self.latest, &self.told) else { return false };
        matches!(self.link, Link::Up { .. })
            && self.pending.is_empty()
            && !self.owes_gap()
            && self.wanted_whole.is_empty()
            && latest.digests == told.digests
    }

    fn observe(&mut self, facts: &Facts, now: Now) {
        let facts = wire::canonical(facts);
        let clock_offset = facts
            .collected_at
            .map(|read_at| read_at - now.wall_clock)
            .filter(|offset| offset.abs() > SLOW_READING)
            .unwrap_or_default();
        let digests = match &self.latest {
            Some(before) => digests_after(before, &facts),
            None => Arc::new(proto::digests(&facts)),
        };
        self.latest = Some(Observation { facts: Arc::new(facts), digests, clock_offset });
        if let Some(kept) = self.kept.take() {
            self.assume(kept);
        }
        if self.link == Link::Idle {
            self.link = Link::Down { connect_at: now.elapsed };
        }
    }

    /// Goes on from what the server is believed to hold: sections that differ are sent whole, as only their digests are
    /// known.
    fn assume(&mut self, digests: Digests) {
        let Some(latest) = &self.latest else { return };
        let differs = |section: &v1::Section| digests.get(section) != latest.digests.get(section);
        self.wanted_whole.extend(SECTIONS.into_iter().filter(differs));
        self.told = Some(Told { facts: Arc::clone(&latest.facts), digests: Arc::new(digests) });
    }

    fn greet(&mut self, now: Now, outputs: &mut Vec<Output>) {
        let Some(latest) = &self.latest else { return };
        let held = match &self.told {
            Some(told) => told.clone(),
            None => Told { facts: Arc::clone(&latest.facts), digests: Arc::clone(&latest.digests) },
        };
        let (pending_from, pending_to) = self.pending.span().unwrap_or((0, 0));
        let hello = v1::Hello {
            stream_id: self.id.to_vec(),
            epoch: self.epoch,
            boot_id: boot_id(&latest.facts).to_vec(),
            wall_clock_ms: self.host_clock(now).timestamp_millis(),
            uptime_ms: self.uptime_ms(self.host_clock(now)),
            digests: wire::digests_to_wire(&held.digests),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            pending_from,
            pending_to,
            fingerprint: self.fingerprint.clone(),
        };
        self.greeted_with = Some(held);
        self.link = Link::Greeting { since: now.elapsed };
        outputs.push(Wish::Send(message(v1::agent_message::Kind::Hello(hello))).into());
    }

    fn hear(&mut self, message: v1::server_message::Kind, now: Now, outputs: &mut Vec<Output>) {
        use v1::server_message::Kind;
        match message {
            Kind::Welcome(welcome) => self.welcome(&welcome, now, outputs),
            Kind::Ack(ack) => self.acknowledge(ack.seq, outputs),
            Kind::SendFull(wish) => self.wanted_whole.extend(sections(wish.sections())),
            Kind::Pace(pace) => self.pace(pace, now, outputs),
            Kind::RenewNow(_) => outputs.push(Wish::Renew.into()),
            Kind::ListConnections(wish) => outputs.push(Wish::ListConnections(wish).into()),
            Kind::Revoked(_) => {
                self.link = Link::Stopped;
                outputs.extend([Wish::Disconnect.into(), Wish::Stop.into()]);
            }
        }
    }

    fn welcome(&mut self, welcome: &v1::Welcome, now: Now, outputs: &mut Vec<Output>) {
        // A second Welcome on one connection would send everything twice.
        let (Link::Greeting { .. }, Some(held)) = (self.link, self.greeted_with.take()) else { return };
        let committed = welcome.committed_seq;
        if committed >= self.unsent_from {
            self.begin_anew(now, outputs);
            outputs.push(Wish::Disconnect.into());
            self.link = Link::Down { connect_at: now.elapsed };
            return;
        }
        self.epoch = welcome.epoch;
        outputs.push(Order::Note { epoch: self.epoch, digests: Digests::clone(&held.digests) }.into());
        self.link = Link::Up { since: now.elapsed, last_sent: now.elapsed };
        self.compared_at = now.elapsed;
        if let Some(pace) = welcome.pace {
            self.pace(pace, now, outputs);
        }
        self.wanted_whole.extend(sections(welcome.send_full()));
        self.told = Some(held);
        self.sent = committed;
        self.acknowledge(committed, outputs);
        // Changes after something that was lost (here, or there by a database restored from a backup) are applied to
        // other rows than they were made from.
        let leads_on = self.pending.span().is_none_or(|(first, _)| first == committed + 1);
        if !leads_on || self.pending.has_hole() {
            self.wanted_whole.extend(SECTIONS);
        }
    }

    fn acknowledge(&mut self, seq: u64, outputs: &mut Vec<Output>) {
        let before = self.pending.count();
        self.pending.acknowledge(seq);
        if self.pending.count() < before {
            outputs.push(Order::Forget { up_to: seq }.into());
        }
    }

    /// Our state is that of an earlier time: numbers that come next are in use, and what is to be reported is measured
    /// against something else than what the server holds. What was not acknowledged is lost, and told.
    fn begin_anew(&mut self, now: Now, outputs: &mut Vec<Output>) {
        let lost = self.pending.count();
        self.id = now.fresh_id;
        self.epoch = 0;
        self.pending.clear();
        self.next_seq = lost + 1;
        self.unsent_from = self.next_seq;
        self.told = None;
        self.wanted_whole.clear();
        outputs.push(Order::Begin { stream_id: self.id, highest: lost }.into());
    }

    fn pace(&mut self, pace: v1::Pace, now: Now, outputs: &mut Vec<Output>) {
        let milliseconds = |value: u32| Duration::from_millis(value.into());
        if pace.heartbeat_interval_ms > 0 {
            self.pacing.heartbeat = milliseconds(pace.heartbeat_interval_ms);
        }
        if pace.collect_interval_ms > 0 {
            outputs.push(Wish::CollectEvery(milliseconds(pace.collect_interval_ms)).into());
        }
        self.whole_after = self.whole_after.max(now.elapsed + milliseconds(pace.send_after_ms));
    }

    fn lose(&mut self, ending: Ending, now: Now) {
        let lived = match self.link {
            Link::Up { since, .. } => Some(now.elapsed.saturating_sub(since)),
            Link::Connecting | Link::Greeting { .. } => None,
            Link::Down { .. } if ending == Ending::Renewed => None,
            Link::Idle | Link::Down { .. } | Link::Stopped => return,
        };
        let delay = self.backoff.after(ending, lived, now.random, &self.pacing);
        self.link = Link::Down { connect_at: now.elapsed + delay };
        self.greeted_with = None;
        // The server may stay away: what happens until it is back is recorded from here.
        if self.told.is_none() && !matches!(ending, Ending::Renewed | Ending::Restored) {
            self.assume(Digests::new());
        }
    }

    /// Does whatever is due.
    fn advance(&mut self, now: Now, room: Room, outputs: &mut Vec<Output>) {
        self.report(now, room, outputs);
        self.send(outputs);
        match self.link {
            Link::Down { connect_at } if now.elapsed >= connect_at => {
                self.link = Link::Connecting;
                outputs.push(Wish::Connect.into());
            }
            Link::Greeting { since } if now.elapsed >= since + WELCOME_WITHIN => {
                outputs.push(Wish::Disconnect.into());
                self.lose(Ending::Lost, now);
            }
            Link::Up { since, last_sent } => {
                let has_sent = outputs.iter().any(|output| matches!(output, Output::Order(Order::Send { .. })));
                let is_due = now.elapsed >= last_sent + self.pacing.heartbeat;
                // Also of a host that has always something to report.
                let compares = now.elapsed >= self.compared_at + COMPARE_EVERY;
                if (!has_sent && is_due) || compares {
                    outputs.push(Wish::Send(self.heartbeat(now, compares)).into());
                }
                if has_sent || is_due {
                    self.link = Link::Up { since, last_sent: now.elapsed };
                }
            }
            Link::Idle | Link::Down { .. } | Link::Connecting | Link::Greeting { .. } | Link::Stopped => {}
        }
    }

    /// Makes the next report when there is something to tell and it may be told.
    fn report(&mut self, now: Now, room: Room, outputs: &mut Vec<Output>) {
        let is_up = matches!(self.link, Link::Up { .. });
        let (Some(latest), Some(told)) = (&self.latest, &self.told) else { return };
        let has_news = latest.digests != told.digests || !self.wanted_whole.is_empty() || self.owes_gap();
        if !has_news || matches!(self.link, Link::Greeting { .. } | Link::Stopped) {
            return;
        }
        if is_up && !self.wanted_whole.is_empty() && now.elapsed < self.whole_after {
            return;
        }
        let read_at = latest.facts.collected_at.unwrap_or_else(|| self.host_clock(now));
        let mut report = Report {
            seq: self.next_seq,
            wall_clock: Some(read_at),
            delta: changes(&told.facts, &latest.facts, &self.wanted_whole),
            digests: Digests::new(),
            gap: None,
        };
        report.digests = of_sections(&report.delta, &latest.digests);
        let Ok(parts) = wire::to_report_parts(&report) else {
            // More changed than a report can carry: whole sections always fit.
            let sections: BTreeSet<_> = report.digests.into_keys().collect();
            if !sections.is_subset(&self.wanted_whole) {
                self.wanted_whole.extend(sections);
                self.report(now, room, outputs);
            }
            return;
        };
        let size: u64 = parts.iter().map(|part| part.encoded_len() as u64).sum();
        if size > room.free {
            // Acknowledgements make room. While none come, what waits is given up for whole sections.
            if !is_up && !self.pending.is_empty() {
                self.give_up(outputs);
                self.report(now, Room { free: room.total, ..room }, outputs);
            }
            return;
        }
        self.told = Some(Told { facts: Arc::clone(&latest.facts), digests: Arc::clone(&latest.digests) });
        self.wanted_whole.clear();
        self.pending.push(self.next_seq);
        outputs.push(Order::Keep { seq: self.next_seq, parts }.into());
        self.next_seq += 1;
    }

    /// The server is away for so long that there is no room. The numbers of these reports are not used again.
    fn give_up(&mut self, outputs: &mut Vec<Output>) {
        self.pending.clear();
        outputs.push(Order::GiveUp.into());
        self.assume(Digests::new());
    }

    /// Whether numbers were lost that no report that waits will tell.
    fn owes_gap(&self) -> bool {
        matches!(self.link, Link::Up { .. }) && self.pending.is_empty() && self.sent + 1 < self.next_seq
    }

    /// Sends what waits, as much as may be under way.
    fn send(&mut self, outputs: &mut Vec<Output>) {
        if !matches!(self.link, Link::Up { .. }) {
            return;
        }
        while let Some(seq) = self.pending.after(self.sent)
            && self.pending.count_up_to(self.sent) < WINDOW
        {
            let missing = v1::Gap { from_seq: self.sent + 1, to_seq: seq - 1 };
            let gap = (missing.from_seq <= missing.to_seq).then_some(missing);
            outputs.push(Order::Send { seq, gap }.into());
            self.sent = seq;
            self.unsent_from = self.unsent_from.max(seq + 1);
        }
    }

    /// A sign of life; now and then also what we believe that the server holds.
    fn heartbeat(&mut self, now: Now, compares: bool) -> v1::AgentMessage {
        self.compared_at = if compares { now.elapsed } else { self.compared_at };
        let told = self.told.as_ref().filter(|_| compares);
        let digests = told.map(|told| wire::digests_to_wire(&told.digests)).unwrap_or_default();
        message(v1::agent_message::Kind::Heartbeat(v1::Heartbeat {
            wall_clock_ms: self.host_clock(now).timestamp_millis(),
            digests,
            seq: self.next_seq - 1,
        }))
    }

    fn host_clock(&self, now: Now) -> DateTime<Utc> {
        let offset = self.latest.as_ref().map_or(TimeDelta::zero(), |latest| latest.clock_offset);
        now.wall_clock + offset
    }

    /// At a time by the host's clock; 0: not known.
    fn uptime_ms(&self, time: DateTime<Utc>) -> u64 {
        let host = self.latest.as_ref().and_then(|latest| latest.facts.host.known());
        let booted_at = host.and_then(|host| host.booted_at);
        booted_at.map_or(0, |booted_at| (time - booted_at).num_milliseconds().try_into().unwrap_or(0))
    }
}

fn message(kind: v1::agent_message::Kind) -> v1::AgentMessage {
    v1::AgentMessage { kind: Some(kind) }
}

fn sections(named: impl Iterator<Item = v1::Section>) -> impl Iterator<Item = v1::Section> {
    named.filter(|section| *section != v1::Section::Unspecified)
}

/// 16 bytes that are the same until the next boot; of a host that does not tell, always the same.
fn boot_id(facts: &Facts) -> [u8; 16] {
    let named = facts.host.known().and_then(|host| host.boot_id.as_deref()).unwrap_or_default();
    let mut id = [0; 16];
    id.copy_from_slice(&Sha256::digest(named)[..16]);
    id
}

#[cfg(test)]
pub(crate) mod tests;
