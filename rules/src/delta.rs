//! What changed between two states of a host, and how a change applies. A full section and a few changed rows meet
//! here, in one path: a full section is turned into the rows that differ before anything is stored.
//!
//! Invariant: `apply(old, diff(old, new)) == new` up to the order of rows.

use std::collections::{BTreeMap, BTreeSet};

use crate::facts::{Connections, Event, Facts, Host, PortPolicy, Section, Service, Socket, Update, UpdateSource};
use crate::socket_key::SocketKey;
use crate::text::Text;

/// Changes of any number of sections. `None`: the section is as it was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delta {
    pub host: Option<Section<Host>>,
    pub sockets: Option<Change<Socket>>,
    pub services: Option<Change<Service>>,
    pub updates: Option<Change<Update>>,
    pub port_policy: Option<Section<PortPolicy>>,
    pub events: Option<Change<Event>>,
    pub connections: Option<Section<Connections>>,
}

impl Delta {
    pub fn is_empty(&self) -> bool {
        self.host.is_none()
            && self.sockets.is_none()
            && self.services.is_none()
            && self.updates.is_none()
            && self.port_policy.is_none()
            && self.events.is_none()
            && self.connections.is_none()
    }
}

/// A change of a section that is made of rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Change<T: Row> {
    /// All of it, or why it is not known.
    Full(Section<Vec<T>>),
    /// Rows of a Known section that came or changed, and the keys of those that went.
    Rows { set: Vec<T>, removed: Vec<T::Key> },
}

/// A row with an identity that outlives its other fields.
pub trait Row: Clone + PartialEq {
    type Key: Ord + Clone + std::fmt::Debug + PartialEq;

    fn key(&self) -> Self::Key;
}

/// A socket is nothing but its fields: a changed one is another one.
impl Row for Socket {
    type Key = SocketKey;

    fn key(&self) -> SocketKey {
        SocketKey::of(self)
    }
}

/// SCM key names compare without case.
impl Row for Service {
    type Key = String;

    fn key(&self) -> String {
        self.name.to_lowercase()
    }
}

impl Row for Update {
    type Key = (UpdateSource, Text);

    fn key(&self) -> (UpdateSource, Text) {
        (self.source, self.id.clone())
    }
}

/// A record number is given once, until the log is cleared.
impl Row for Event {
    type Key = (Text, u64);

    fn key(&self) -> (Text, u64) {
        (self.log.clone(), self.record_id)
    }
}

/// What leads from `old` to `new`.
pub fn diff(old: &Facts, new: &Facts) -> Delta {
    Delta {
        host: (old.host != new.host).then(|| new.host.clone()),
        sockets: diff_rows(&old.sockets, &new.sockets),
        services: diff_rows(&old.services, &new.services),
        updates: diff_rows(&old.updates, &new.updates),
        port_policy: (old.port_policy != new.port_policy).then(|| new.port_policy.clone()),
        events: diff_rows(&old.events, &new.events),
        connections: (old.connections != new.connections).then(|| new.connections.clone()),
    }
}

fn diff_rows<T: Row>(old: &Section<Vec<T>>, new: &Section<Vec<T>>) -> Option<Change<T>> {
    let (Section::Known(old), Section::Known(new)) = (old, new) else {
        return (old != new).then(|| Change::Full(new.clone()));
    };
    let (set, removed) = changed_rows(old, new);
    (!set.is_empty() || !removed.is_empty()).then_some(Change::Rows { set, removed })
}

/// Rows of `new` that `old` does not hold as they are, and keys of `old` that `new` does not hold. Of several rows with
/// one key the last counts.
pub fn changed_rows<T: Row>(old: &[T], new: &[T]) -> (Vec<T>, Vec<T::Key>) {
    let old: BTreeMap<_, _> = old.iter().map(|row| (row.key(), row)).collect();
    let new: BTreeMap<_, _> = new.iter().map(|row| (row.key(), row)).collect();
    let set = new.iter().filter(|(key, row)| old.get(key) != Some(row)).map(|(_, row)| (*row).clone()).collect();
    let removed = old.into_keys().filter(|key| !new.contains_key(key)).collect();
    (set, removed)
}

/// Why a delta does not fit the facts it was sent for: sender and receiver disagree about what came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    #[error("changed rows for section {0}, which is not known here")]
    NotKnown(&'static str),
    #[error("section {0} is told to drop a row that it does not hold")]
    NoSuchRow(&'static str),
}

/// Applies `delta` in place. On an error `facts` are unchanged.
pub fn apply(facts: &mut Facts, delta: Delta) -> Result<(), Misfit> {
    let sockets = delta.sockets.map(|change| apply_rows("sockets", &facts.sockets, change)).transpose()?;
    let services = delta.services.map(|change| apply_rows("services", &facts.services, change)).transpose()?;
    let updates = delta.updates.map(|change| apply_rows("updates", &facts.updates, change)).transpose()?;
    let events = delta.events.map(|change| apply_rows("events", &facts.events, change)).transpose()?;
    facts.sockets = sockets.unwrap_or(std::mem::take(&mut facts.sockets));
    facts.services = services.unwrap_or(std::mem::take(&mut facts.services));
    facts.updates = updates.unwrap_or(std::mem::take(&mut facts.updates));
    facts.host = delta.host.unwrap_or(std::mem::take(&mut facts.host));
    facts.port_policy = delta.port_policy.unwrap_or(std::mem::take(&mut facts.port_policy));
    facts.events = events.unwrap_or(std::mem::take(&mut facts.events));
    facts.connections = delta.connections.unwrap_or(std::mem::take(&mut facts.connections));
    Ok(())
}

fn apply_rows<T: Row>(
    name: &'static str,
    section: &Section<Vec<T>>,
    change: Change<T>,
) -> Result<Section<Vec<T>>, Misfit> {
    let (set, removed) = match change {
        Change::Full(section) => return Ok(section),
        Change::Rows { set, removed } => (set, removed),
    };
    let Section::Known(rows) = section else { return Err(Misfit::NotKnown(name)) };
    let removed_count = removed.len();
    let removed: BTreeSet<_> = removed.into_iter().collect();
    let replaced: BTreeSet<_> = set.iter().map(Row::key).collect();
    let mut dropped = 0;
    let mut kept: Vec<T> = Vec::with_capacity(rows.len() + set.len());
    for row in rows {
        let key = row.key();
        if removed.contains(&key) {
            dropped += 1;
        } else if !replaced.contains(&key) {
            kept.push(row.clone());
        }
    }
    if dropped != removed_count {
        return Err(Misfit::NoSuchRow(name));
    }
    kept.extend(set);
    Ok(Section::Known(kept))
}
