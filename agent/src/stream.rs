//! What to say to the server and when, as a state machine without input or output: time and randomness are handed in,
//! messages and wishes are handed out.
//!
//! It is driven by level, not by edge. It holds what is true now (`latest`) and what the server will hold once every report
//! made so far is applied (`told`); whatever differs becomes the next report, as soon as one may be made.
//!
//! Invariants: a report is numbered once and its number is never given to another; reports are sent in order; until the
//! first Welcome none is made, because nobody knows what the server holds. Memory is bounded: when the queue is full,
//! reports are not made (while connected) or given up (while not), and the next one covers them with whole sections and a
//! gap that shows.

mod backoff;
mod queue;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use proto::fleet::v1;
use proto::wire::{self, Report};
use proto::{Digests, SECTIONS};
use rules::delta::{self, Change, Delta, Row};
use rules::facts::{Facts, Section};
use sha2::{Digest as _, Sha256};

pub use crate::stream::backoff::{Ending, Pacing};

use crate::stream::backoff::Backoff;
use crate::stream::queue::Queue;

/// Silence of the server after which a connection without a Welcome is given up.
const WELCOME_WITHIN: Duration = Duration::from_secs(30);

/// Facts that are older than this were read by another clock than ours: they are recorded.
const SLOW_READING: TimeDelta = TimeDelta::minutes(1);

/// The moment of a step.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Time since this program started: never jumps.
    pub elapsed: Duration,
    /// For people and for measuring skew, never for order.
    pub wall_clock: DateTime<Utc>,
    /// Uniform in 0 to 1, fresh for every step.
    pub random: f64,
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
    /// The time that [`Stream::wakes_at`] named has come.
    Tick,
}

#[derive(Debug, PartialEq)]
pub enum Output {
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

/// One stream of reports: from its first Hello, over any number of connections, until the program ends.
#[derive(Debug)]
pub struct Stream {
    id: [u8; 16],
    /// As the last Welcome named it.
    epoch: u64,
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
    next_seq: u64,
    queue: Queue,
    /// Numbers of reports that were made and given up, to be told with the next report.
    gap: Option<v1::Gap>,
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
    /// `id` is random and of this stream only.
    pub fn new(id: [u8; 16], pacing: Pacing) -> Self {
        Self {
            id,
            epoch: 0,
            backoff: Backoff::default(),
            link: Link::Idle,
            latest: None,
            told: None,
            greeted_with: None,
            wanted_whole: BTreeSet::new(),
            whole_after: Duration::ZERO,
            next_seq: 1,
            queue: Queue::default(),
            gap: None,
            pacing,
        }
    }

    pub fn step(&mut self, now: Now, input: Input) -> Vec<Output> {
        let mut outputs = Vec::new();
        match input {
            Input::Facts(facts) => self.observe(&facts, now),
            Input::Connected => self.greet(now, &mut outputs),
            Input::Message(message) => self.hear(message, now, &mut outputs),
            Input::Disconnected(Ending::Revoked) => {
                self.link = Link::Stopped;
                outputs.push(Output::Stop);
            }
            Input::Disconnected(ending) => {
                if ending == Ending::Expired {
                    outputs.push(Output::Renew);
                }
                self.lose(ending, now);
            }
            Input::Tick => {}
        }
        self.advance(now, &mut outputs);
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
            && self.queue.is_empty()
            && self.gap.is_none()
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
        // Digests of what did not change are kept: hashing is most of the cost of a quiet interval.
        let digests = match &self.latest {
            Some(before) => digests_after(before, &facts),
            None => Arc::new(proto::digests(&facts)),
        };
        self.latest = Some(Observation { facts: Arc::new(facts), digests, clock_offset });
        if self.link == Link::Idle {
            self.link = Link::Down { connect_at: now.elapsed };
        }
    }

    fn greet(&mut self, now: Now, outputs: &mut Vec<Output>) {
        let Some(latest) = &self.latest else { return };
        let held = match &self.told {
            Some(told) => told.clone(),
            None => Told { facts: Arc::clone(&latest.facts), digests: Arc::clone(&latest.digests) },
        };
        let (pending_from, pending_to) = self.queue.span().unwrap_or((0, 0));
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
            fingerprint: Vec::new(),
        };
        self.greeted_with = Some(held);
        self.link = Link::Greeting { since: now.elapsed };
        outputs.push(Output::Send(message(v1::agent_message::Kind::Hello(hello))));
    }

    fn hear(&mut self, message: v1::server_message::Kind, now: Now, outputs: &mut Vec<Output>) {
        use v1::server_message::Kind;
        match message {
            Kind::Welcome(welcome) => self.welcome(&welcome, now, outputs),
            Kind::Ack(ack) => self.queue.acknowledge(ack.seq),
            Kind::SendFull(wish) => self.wanted_whole.extend(sections(wish.sections())),
            Kind::Pace(pace) => self.pace(pace, now, outputs),
            Kind::RenewNow(_) => outputs.push(Output::Renew),
            Kind::ListConnections(wish) => outputs.push(Output::ListConnections(wish)),
            Kind::Revoked(_) => {
                self.link = Link::Stopped;
                outputs.extend([Output::Disconnect, Output::Stop]);
            }
        }
    }

    fn welcome(&mut self, welcome: &v1::Welcome, now: Now, outputs: &mut Vec<Output>) {
        // A second Welcome on one connection would send everything twice.
        let (Link::Greeting { .. }, Some(held)) = (self.link, self.greeted_with.take()) else { return };
        self.epoch = welcome.epoch;
        self.link = Link::Up { since: now.elapsed, last_sent: now.elapsed };
        if let Some(pace) = welcome.pace {
            self.pace(pace, now, outputs);
        }
        self.wanted_whole = sections(welcome.send_full()).collect();
        self.told = Some(held);

        let committed = welcome.committed_seq;
        self.queue.acknowledge(committed);
        let leads_on = self.queue.span().map_or(self.next_seq == committed + 1, |(first, _)| first == committed + 1);
        if !leads_on {
            // Reports were given up here, or what was committed there is gone (a database restored from a backup). The
            // sections that the Welcome names make up for them; the gap tells that they are lost.
            self.queue.clear();
            self.next_seq = self.next_seq.max(committed + 1);
            let lost = v1::Gap { from_seq: committed + 1, to_seq: self.next_seq - 1 };
            self.gap = (lost.from_seq <= lost.to_seq).then_some(lost);
        }
        outputs.extend(self.queue.parts().map(send_report));
    }

    fn pace(&mut self, pace: v1::Pace, now: Now, outputs: &mut Vec<Output>) {
        let milliseconds = |value: u32| Duration::from_millis(value.into());
        if pace.heartbeat_interval_ms > 0 {
            self.pacing.heartbeat = milliseconds(pace.heartbeat_interval_ms);
        }
        if pace.collect_interval_ms > 0 {
            outputs.push(Output::CollectEvery(milliseconds(pace.collect_interval_ms)));
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
    }

    /// Does whatever is due.
    fn advance(&mut self, now: Now, outputs: &mut Vec<Output>) {
        self.report(now, outputs);
        match self.link {
            Link::Down { connect_at } if now.elapsed >= connect_at => {
                self.link = Link::Connecting;
                outputs.push(Output::Connect);
            }
            Link::Greeting { since } if now.elapsed >= since + WELCOME_WITHIN => {
                outputs.push(Output::Disconnect);
                self.lose(Ending::Lost, now);
            }
            Link::Up { since, last_sent } => {
                let has_sent = outputs.iter().any(|output| matches!(output, Output::Send(_)));
                let is_due = now.elapsed >= last_sent + self.pacing.heartbeat;
                if !has_sent && is_due {
                    outputs.push(Output::Send(self.heartbeat(now)));
                }
                if has_sent || is_due {
                    self.link = Link::Up { since, last_sent: now.elapsed };
                }
            }
            Link::Idle | Link::Down { .. } | Link::Connecting | Link::Greeting { .. } | Link::Stopped => {}
        }
    }

    /// Makes the next report when there is something to tell and it may be told.
    fn report(&mut self, now: Now, outputs: &mut Vec<Output>) {
        let is_up = matches!(self.link, Link::Up { .. });
        let (Some(latest), Some(told)) = (&self.latest, &self.told) else { return };
        let has_news = latest.digests != told.digests || !self.wanted_whole.is_empty() || self.gap.is_some();
        if !has_news || matches!(self.link, Link::Greeting { .. } | Link::Stopped) {
            return;
        }
        if self.queue.bytes() > self.pacing.queue_bytes {
            if !is_up {
                self.give_up();
            }
            return;
        }
        if !self.wanted_whole.is_empty() && (!is_up || now.elapsed < self.whole_after) {
            return;
        }
        let read_at = latest.facts.collected_at.unwrap_or_else(|| self.host_clock(now));
        let mut report = Report {
            seq: self.next_seq,
            wall_clock: Some(read_at),
            uptime_ms: self.uptime_ms(read_at),
            delta: changes(&told.facts, &latest.facts, &self.wanted_whole),
            digests: Digests::new(),
            gap: self.gap,
        };
        report.digests = of_sections(&report.delta, &latest.digests);
        let Ok(parts) = wire::to_report_parts(&report) else {
            // More changed than a report can carry: whole sections always fit.
            let sections: BTreeSet<_> = report.digests.into_keys().collect();
            if !sections.is_subset(&self.wanted_whole) {
                self.wanted_whole.extend(sections);
                self.report(now, outputs);
            }
            return;
        };
        self.told = Some(Told { facts: Arc::clone(&latest.facts), digests: Arc::clone(&latest.digests) });
        self.wanted_whole.clear();
        self.gap = None;
        if is_up {
            outputs.extend(parts.iter().map(send_report));
        }
        self.queue.push(self.next_seq, parts);
        self.next_seq += 1;
    }

    /// The server is away for so long that the queue is full. The numbers of the reports in it are not used again.
    fn give_up(&mut self) {
        self.queue.clear();
        self.told = None;
        self.wanted_whole.clear();
    }

    fn heartbeat(&self, now: Now) -> v1::AgentMessage {
        let digests = self.told.as_ref().map(|told| wire::digests_to_wire(&told.digests)).unwrap_or_default();
        message(v1::agent_message::Kind::Heartbeat(v1::Heartbeat {
            wall_clock_ms: self.host_clock(now).timestamp_millis(),
            uptime_ms: self.uptime_ms(self.host_clock(now)),
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

fn send_report(part: &v1::Report) -> Output {
    Output::Send(message(v1::agent_message::Kind::Report(part.clone())))
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

fn digests_after(before: &Observation, facts: &Facts) -> Arc<Digests> {
    let old = &before.facts;
    let is_same = |section| match section {
        v1::Section::Host => old.host == facts.host,
        v1::Section::Sockets => old.sockets == facts.sockets,
        v1::Section::Services => old.services == facts.services,
        v1::Section::Updates => old.updates == facts.updates,
        v1::Section::PortPolicy => old.port_policy == facts.port_policy,
        v1::Section::Events => old.events == facts.events,
        v1::Section::Connections => old.connections == facts.connections,
        v1::Section::Unspecified => true,
    };
    let changed: Vec<_> = SECTIONS.into_iter().filter(|section| !is_same(*section)).collect();
    if changed.is_empty() {
        return Arc::clone(&before.digests);
    }
    let mut digests = Digests::clone(&before.digests);
    digests.extend(changed.into_iter().map(|section| (section, proto::digest(section, facts))));
    Arc::new(digests)
}

/// What leads from `old` to `new`, with the sections of `whole` in full.
fn changes(old: &Facts, new: &Facts, whole: &BTreeSet<v1::Section>) -> Delta {
    let mut delta = delta::diff(old, new);
    let full = wire::full_delta(new);
    for section in whole {
        match section {
            v1::Section::Unspecified => {}
            v1::Section::Host => delta.host.clone_from(&full.host),
            v1::Section::Sockets => delta.sockets.clone_from(&full.sockets),
            v1::Section::Services => delta.services.clone_from(&full.services),
            v1::Section::Updates => delta.updates.clone_from(&full.updates),
            v1::Section::PortPolicy => delta.port_policy.clone_from(&full.port_policy),
            v1::Section::Events => delta.events.clone_from(&full.events),
            v1::Section::Connections => delta.connections.clone_from(&full.connections),
        }
    }
    delta.sockets = delta.sockets.map(|change| shorter(change, &new.sockets));
    delta.services = delta.services.map(|change| shorter(change, &new.services));
    delta.updates = delta.updates.map(|change| shorter(change, &new.updates));
    delta.events = delta.events.map(|change| shorter(change, &new.events));
    delta
}

/// The whole section where it has no more rows than the change.
fn shorter<T: Row>(change: Change<T>, new: &Section<Vec<T>>) -> Change<T> {
    match (&change, new.known()) {
        (Change::Rows { set, removed }, Some(rows)) if set.len() + removed.len() >= rows.len() => {
            Change::Full(new.clone())
        }
        _ => change,
    }
}

fn of_sections(delta: &Delta, digests: &Digests) -> Digests {
    let is_named = |section: &v1::Section| match section {
        v1::Section::Unspecified => false,
        v1::Section::Host => delta.host.is_some(),
        v1::Section::Sockets => delta.sockets.is_some(),
        v1::Section::Services => delta.services.is_some(),
        v1::Section::Updates => delta.updates.is_some(),
        v1::Section::PortPolicy => delta.port_policy.is_some(),
        v1::Section::Events => delta.events.is_some(),
        v1::Section::Connections => delta.connections.is_some(),
    };
    digests
        .iter()
        .filter(|(section, _)| is_named(section))
        .map(|(section, digest)| (*section, digest.clone()))
        .collect()
}

#[cfg(test)]
mod tests;
