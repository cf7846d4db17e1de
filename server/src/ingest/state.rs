//! What the server holds of a connected host: the facts that its rows say, with the host's times corrected. A report is
//! applied here first and yields the rows that differ; full sections and changed rows go the same way from here on.
//!
//! Invariant: after [`HostState::apply`] and the statement that writes its [`RowChanges`], state and rows say the same.
//! On an error the state is as it was. No I/O, no clock.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use proto::wire::{MAX_EVENTS, MAX_SERVICES, MAX_SOCKETS, MAX_UPDATES};
use rules::delta::{self, Change, Delta, Misfit, Row, changed_rows};
use rules::facts::{Event, Facts, Host, Section, Service, Socket, Texts, Update, UpdateSource};
use rules::socket_key::SocketKey;
use rules::text::Text;

use crate::ingest::skew::HostClock;

/// Why a report that could be read cannot be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyFault {
    #[error(transparent)]
    Misfit(#[from] Misfit),
    #[error("the host would have more than {limit} rows of {section}")]
    TooManyRows { section: &'static str, limit: usize },
}

impl ApplyFault {
    /// Stable, for the quarantine.
    pub fn code(self) -> &'static str {
        match self {
            Self::Misfit(_) => "report.misfit",
            Self::TooManyRows { .. } => "report.too-many-rows",
        }
    }
}

/// Rows to write, of sections made of rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowChanges {
    /// As they were.
    pub sockets_gone: Vec<(SocketKey, Socket)>,
    pub sockets_new: Vec<(SocketKey, Socket)>,
    /// Keys in lower case.
    pub services_gone: Vec<String>,
    pub services_set: Vec<Service>,
    pub updates_gone: Vec<(UpdateSource, Text)>,
    pub updates_set: Vec<Update>,
    /// Out of the window; what is stored of them stays.
    pub events_gone: Vec<(Text, u64)>,
    pub events_set: Vec<Event>,
}

impl RowChanges {
    /// How many there are of all kinds.
    pub fn count(&self) -> usize {
        let gone =
            self.sockets_gone.len() + self.services_gone.len() + self.updates_gone.len() + self.events_gone.len();
        let set = self.sockets_new.len() + self.services_set.len() + self.updates_set.len() + self.events_set.len();
        gone + set
    }
}

#[derive(Clone, Debug, Default)]
pub struct HostState {
    facts: Facts,
    /// Rows of sections that are unknown now: still stored, shown as stale, not judged.
    stale: Stale,
    /// Key of each stored socket, in the order of the sockets, which is that of [`Socket::by_port`].
    socket_keys: Vec<SocketKey>,
    /// Bytes of all rows and of the texts that no other host says, when they were counted last. 0: never.
    bytes: usize,
    /// Rows that changed since.
    uncounted: usize,
}

#[derive(Clone, Debug, Default)]
pub struct Stale {
    pub sockets: Vec<Socket>,
    pub services: Vec<Service>,
    pub updates: Vec<Update>,
    pub events: Vec<Event>,
}

impl HostState {
    /// From stored rows: the sockets with their keys; `stale` holds the rows of sections that are unknown.
    pub fn stored(mut facts: Facts, mut stale: Stale, mut socket_keys: Vec<SocketKey>) -> Self {
        let sockets = match &mut facts.sockets {
            Section::Known(rows) => rows,
            Section::Unknown(_) => &mut stale.sockets,
        };
        in_order(sockets, &mut socket_keys);
        Self { facts, stale, socket_keys, bytes: 0, uncounted: 0 }
    }

    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The sockets of a section that is known, each with the key of what the host sent: its times may have been others.
    pub fn sockets(&self) -> Option<impl Iterator<Item = (SocketKey, &Socket)>> {
        Some(self.socket_keys.iter().copied().zip(self.facts.sockets.known()?))
    }

    /// Applies what the host sent; `collected_at` is by its clock. Rows that did not change keep the times they were
    /// stored with.
    pub fn apply(
        &mut self,
        delta: Delta,
        collected_at: Option<DateTime<Utc>>,
        clock: &HostClock,
    ) -> Result<RowChanges, ApplyFault> {
        let sockets = delta.sockets.map(|change| self.socket_changes(change, clock)).transpose()?;
        let delta = Delta {
            host: delta.host.map(|section| map_known(section, |host| correct_host(host, clock))),
            sockets: None,
            services: delta.services.map(|change| map_rows(change, |service| correct_service(service, clock))),
            updates: delta.updates.map(|change| map_rows(change, |update| correct_update(update, clock))),
            port_policy: delta.port_policy,
            events: delta.events.map(|change| map_rows(change, |event| correct_event(event, clock))),
            connections: delta.connections,
        };
        let (services_set, services_gone) = rows_to_write(self.services(), delta.services.as_ref());
        let (updates_set, updates_gone) = rows_to_write(self.updates(), delta.updates.as_ref());
        let (events_set, events_gone) = rows_to_write(self.events(), delta.events.as_ref());
        check_totals(&[
            (
                "sockets",
                sockets.as_ref().map_or(self.socket_keys.len(), |change| change.total(self.socket_keys.len())),
                MAX_SOCKETS,
            ),
            ("services", total(self.services(), &services_set, &services_gone, MAX_SERVICES), MAX_SERVICES),
            ("updates", total(self.updates(), &updates_set, &updates_gone, MAX_UPDATES), MAX_UPDATES),
            ("events", total(self.events(), &events_set, &events_gone, MAX_EVENTS), MAX_EVENTS),
        ])?;
        let stale_services = becomes_stale(&self.facts.services, delta.services.as_ref());
        let stale_updates = becomes_stale(&self.facts.updates, delta.updates.as_ref());
        let stale_events = becomes_stale(&self.facts.events, delta.events.as_ref());
        delta::apply(&mut self.facts, delta)?;
        // Nothing fails from here on.
        self.facts.collected_at = collected_at.and_then(|time| clock.correct(time));
        self.stale.services.extend(stale_services);
        self.stale.updates.extend(stale_updates);
        self.stale.events.extend(stale_events);
        if self.facts.services.known().is_some() {
            self.stale.services = Vec::new();
        }
        if self.facts.updates.known().is_some() {
            self.stale.updates = Vec::new();
        }
        if self.facts.events.known().is_some() {
            self.stale.events = Vec::new();
        }
        let (sockets_new, sockets_gone) = match sockets {
            None => Default::default(),
            Some(SocketChanges::Unknown(reason)) => {
                self.sockets_unknown(reason);
                Default::default()
            }
            Some(SocketChanges::Rows { new, gone }) => {
                let gone = self.set_sockets(&new, &gone);
                (new, gone)
            }
        };
        self.count(sockets_new.len() + services_set.len() + updates_set.len() + events_set.len());
        Ok(RowChanges {
            sockets_gone,
            sockets_new,
            services_gone,
            services_set,
            updates_gone,
            updates_set,
            events_gone,
            events_set,
        })
    }

    /// What was sent for these sections cannot be trusted: they are unknown until their next full report.
    pub fn reject(&mut self, sections: &[proto::fleet::v1::Section], reason: &Text) {
        use proto::fleet::v1::Section as Name;
        for section in sections {
            match section {
                Name::Unspecified => {}
                Name::Host => self.facts.host = Section::Unknown(reason.clone()),
                Name::PortPolicy => self.facts.port_policy = Section::Unknown(reason.clone()),
                Name::Connections => self.facts.connections = Section::Unknown(reason.clone()),
                Name::Sockets => self.sockets_unknown(reason.clone()),
                Name::Services => {
                    if let Section::Known(rows) = replace(&mut self.facts.services, reason) {
                        self.stale.services = rows;
                    }
                }
                Name::Updates => {
                    if let Section::Known(rows) = replace(&mut self.facts.updates, reason) {
                        self.stale.updates = rows;
                    }
                }
                Name::Events => {
                    if let Section::Known(rows) = replace(&mut self.facts.events, reason) {
                        self.stale.events = rows;
                    }
                }
            }
        }
    }

    /// What it takes of memory, about.
    pub fn bytes(&self) -> usize {
        self.bytes.max(self.bytes_of_rows())
    }

    /// Counts again when an eighth of the rows changed, so that a report costs what it changes.
    fn count(&mut self, changed: usize) {
        self.uncounted += changed;
        let rows = self.socket_keys.len() + self.services().len() + self.updates().len() + self.events().len();
        if self.bytes != 0 && self.uncounted * 8 < rows {
            return;
        }
        let mut texts = 0;
        self.each_text(&mut |text| texts += text.len() / text.holders());
        self.bytes = self.bytes_of_rows() + texts;
        self.uncounted = 0;
    }

    /// With the lists and values that hang on a row.
    fn bytes_of_rows(&self) -> usize {
        self.socket_keys.len() * (size_of::<Socket>() + size_of::<SocketKey>() + 32)
            + self.services().len() * (size_of::<Service>() + 64)
            + self.updates().len() * (size_of::<Update>() + 16)
            + self.events().len() * (size_of::<Event>() + 512)
    }

    fn services(&self) -> &[Service] {
        self.facts.services.known().unwrap_or(&self.stale.services)
    }

    fn updates(&self) -> &[Update] {
        self.facts.updates.known().unwrap_or(&self.stale.updates)
    }

    fn events(&self) -> &[Event] {
        self.facts.events.known().unwrap_or(&self.stale.events)
    }

    /// Sockets are compared by the key of what the host sent, so that a corrected time never makes a row look changed.
    fn socket_changes(&self, change: Change<Socket>, clock: &HostClock) -> Result<SocketChanges, Misfit> {
        let held: HashSet<SocketKey> = self.socket_keys.iter().copied().collect();
        let (set, gone) = match change {
            Change::Full(Section::Unknown(reason)) => return Ok(SocketChanges::Unknown(reason)),
            Change::Full(Section::Known(rows)) => {
                let set: HashMap<SocketKey, Socket> = rows.into_iter().map(|row| (SocketKey::of(&row), row)).collect();
                let gone = self.socket_keys.iter().copied().filter(|key| !set.contains_key(key)).collect();
                (set, gone)
            }
            Change::Rows { set, removed } => {
                if self.facts.sockets.known().is_none() {
                    return Err(Misfit::NotKnown("sockets"));
                }
                if removed.iter().any(|key| !held.contains(key)) {
                    return Err(Misfit::NoSuchRow("sockets"));
                }
                (set.into_iter().map(|row| (SocketKey::of(&row), row)).collect(), removed)
            }
        };
        let gone_keys: HashSet<SocketKey> = gone.iter().copied().collect();
        let is_new = |key: &SocketKey| !held.contains(key) || gone_keys.contains(key);
        let mut new: Vec<(SocketKey, Socket)> = set
            .into_iter()
            .filter(|(key, _)| is_new(key))
            .map(|(key, row)| (key, correct_socket(row, clock)))
            .collect();
        // In the order of the index that they go into.
        new.sort_unstable_by_key(|(key, _)| *key);
        Ok(SocketChanges::Rows { new, gone })
    }

    /// What is gone.
    fn set_sockets(&mut self, new: &[(SocketKey, Socket)], gone: &[SocketKey]) -> Vec<(SocketKey, Socket)> {
        let mut rows = match std::mem::take(&mut self.facts.sockets) {
            Section::Known(rows) => rows,
            Section::Unknown(_) => std::mem::take(&mut self.stale.sockets),
        };
        let mut were = Vec::new();
        if !gone.is_empty() {
            let gone: HashSet<SocketKey> = gone.iter().copied().collect();
            let mut keys = self.socket_keys.iter();
            let rows_gone: Vec<Socket> =
                rows.extract_if(.., |_| keys.next().is_some_and(|key| gone.contains(key))).collect();
            were = self.socket_keys.extract_if(.., |key| gone.contains(key)).zip(rows_gone).collect();
        }
        for (key, row) in new {
            self.socket_keys.push(*key);
            rows.push(row.clone());
        }
        if !new.is_empty() {
            in_order(&mut rows, &mut self.socket_keys);
        }
        self.facts.sockets = Section::Known(rows);
        were
    }

    fn sockets_unknown(&mut self, reason: Text) {
        if let Section::Known(rows) = std::mem::replace(&mut self.facts.sockets, Section::Unknown(reason)) {
            self.stale.sockets = rows;
        }
    }
}

impl Texts for HostState {
    fn each_text(&mut self, with: &mut impl FnMut(&mut Text)) {
        self.facts.each_text(with);
        self.stale.sockets.each_text(with);
        self.stale.services.each_text(with);
        self.stale.updates.each_text(with);
        self.stale.events.each_text(with);
    }
}

enum SocketChanges {
    Unknown(Text),
    Rows { new: Vec<(SocketKey, Socket)>, gone: Vec<SocketKey> },
}

impl SocketChanges {
    /// How many rows there are after it, of `held` before.
    fn total(&self, held: usize) -> usize {
        match self {
            Self::Unknown(_) => held,
            Self::Rows { new, gone } => (held + new.len()).saturating_sub(gone.len()),
        }
    }
}

/// A host that adds rows for ever, a few with each report, ends here.
fn check_totals(totals: &[(&'static str, usize, usize)]) -> Result<(), ApplyFault> {
    match totals.iter().find(|(_, total, limit)| total > limit) {
        Some((section, _, limit)) => Err(ApplyFault::TooManyRows { section, limit: *limit }),
        None => Ok(()),
    }
}

/// How many rows there are after a change; at most so many, where that is within `limit`.
fn total<T: Row>(held: &[T], set: &[T], gone: &[T::Key], limit: usize) -> usize {
    let most = (held.len() + set.len()).saturating_sub(gone.len());
    if most <= limit { most } else { (held.len() + delta::unheld(held, set)).saturating_sub(gone.len()) }
}

fn replace<T>(section: &mut Section<T>, reason: &Text) -> Section<T> {
    std::mem::replace(section, Section::Unknown(reason.clone()))
}

/// By port, as the rules look at them: rows that were in order, with a few behind them, cost one pass.
fn in_order(sockets: &mut Vec<Socket>, keys: &mut Vec<SocketKey>) {
    let mut rows: Vec<(Socket, SocketKey)> = std::mem::take(sockets).into_iter().zip(std::mem::take(keys)).collect();
    rows.sort_by(|(a, _), (b, _)| Socket::by_port(a, b));
    // As large as they are: a list that grew by its rows would hold half as many again for nothing.
    (*sockets, *keys) = rows.into_iter().unzip();
}

fn rows_to_write<T: Row>(stored: &[T], change: Option<&Change<T>>) -> (Vec<T>, Vec<T::Key>) {
    match change {
        None | Some(Change::Full(Section::Unknown(_))) => (Vec::new(), Vec::new()),
        Some(Change::Full(Section::Known(rows))) => changed_rows(stored, rows),
        Some(Change::Rows { set, removed }) => (set.clone(), removed.clone()),
    }
}

fn becomes_stale<T: Row>(section: &Section<Vec<T>>, change: Option<&Change<T>>) -> Vec<T> {
    match (section, change) {
        (Section::Known(rows), Some(Change::Full(Section::Unknown(_)))) => rows.clone(),
        _ => Vec::new(),
    }
}

fn map_known<T>(section: Section<T>, correct: impl FnOnce(T) -> T) -> Section<T> {
    match section {
        Section::Known(value) => Section::Known(correct(value)),
        unknown @ Section::Unknown(_) => unknown,
    }
}

fn map_rows<T: Row>(change: Change<T>, correct: impl Fn(T) -> T) -> Change<T> {
    match change {
        Change::Full(section) => Change::Full(map_known(section, |rows| rows.into_iter().map(correct).collect())),
        Change::Rows { set, removed } => Change::Rows { set: set.into_iter().map(correct).collect(), removed },
    }
}

fn correct_host(host: Host, clock: &HostClock) -> Host {
    Host { booted_at: host.booted_at.and_then(|time| clock.correct(time)), ..host }
}

fn correct_socket(socket: Socket, clock: &HostClock) -> Socket {
    Socket {
        bound_at: socket.bound_at.and_then(|time| clock.correct(time)),
        process_started_at: socket.process_started_at.and_then(|time| clock.correct(time)),
        ..socket
    }
}

fn correct_service(service: Service, clock: &HostClock) -> Service {
    Service { state_since: service.state_since.and_then(|time| clock.correct(time)), ..service }
}

fn correct_update(update: Update, clock: &HostClock) -> Update {
    Update { installed_at: update.installed_at.and_then(|time| clock.correct(time)), ..update }
}

fn correct_event(event: Event, clock: &HostClock) -> Event {
    Event { at: event.at.and_then(|time| clock.correct(time)), ..event }
}

#[cfg(test)]
mod tests;
