//! What changed between two states of a host, and how a change applies. A full section and a few changed rows meet
//! here, in one path: a full section is turned into the rows that differ before anything is stored.
//!
//! Invariant: `apply(old, diff(old, new)) == new` up to the order of rows.

use std::collections::BTreeMap;

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

    /// Whether `key` is its key, without making one.
    fn is(&self, key: &Self::Key) -> bool {
        self.key() == *key
    }
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

    fn is(&self, key: &String) -> bool {
        if self.name.is_ascii() { self.name.eq_ignore_ascii_case(key) } else { self.key() == *key }
    }
}

impl Row for Update {
    type Key = (UpdateSource, Text);

    fn key(&self) -> (UpdateSource, Text) {
        (self.source, self.id.clone())
    }

    fn is(&self, (source, id): &(UpdateSource, Text)) -> bool {
        self.source == *source && self.id == *id
    }
}

/// A record number is given once, until the log is cleared.
impl Row for Event {
    type Key = (Text, u64);

    fn key(&self) -> (Text, u64) {
        (self.log.clone(), self.record_id)
    }

    fn is(&self, (log, record_id): &(Text, u64)) -> bool {
        self.record_id == *record_id && self.log == *log
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

/// Applies `delta` in place, at the cost of what it changes. On an error `facts` are unchanged.
pub fn apply(facts: &mut Facts, delta: Delta) -> Result<(), Misfit> {
    check_rows("sockets", &facts.sockets, delta.sockets.as_ref())?;
    check_rows("services", &facts.services, delta.services.as_ref())?;
    check_rows("updates", &facts.updates, delta.updates.as_ref())?;
    check_rows("events", &facts.events, delta.events.as_ref())?;
    apply_rows(&mut facts.sockets, delta.sockets);
    apply_rows(&mut facts.services, delta.services);
    apply_rows(&mut facts.updates, delta.updates);
    apply_rows(&mut facts.events, delta.events);
    facts.host = delta.host.unwrap_or(std::mem::take(&mut facts.host));
    facts.port_policy = delta.port_policy.unwrap_or(std::mem::take(&mut facts.port_policy));
    facts.connections = delta.connections.unwrap_or(std::mem::take(&mut facts.connections));
    Ok(())
}

/// How many of `set` are not held yet.
pub fn unheld<T: Row>(held: &[T], set: &[T]) -> usize {
    if set.is_empty() {
        return 0;
    }
    let keys = Keys::new(set.iter().map(Row::key).collect());
    let present = Keys::new(held.iter().filter(|row| keys.hold(*row)).map(Row::key).collect());
    set.iter().filter(|row| !present.hold(*row)).count()
}

/// Keys to look rows up in.
struct Keys<K>(Vec<K>);

impl<K: Ord> Keys<K> {
    /// Up to here it is cheaper to compare with each than to make the key of every row.
    const FEW: usize = 8;

    fn new(mut keys: Vec<K>) -> Self {
        keys.sort_unstable();
        Self(keys)
    }

    fn hold<T: Row<Key = K>>(&self, row: &T) -> bool {
        if self.0.len() <= Self::FEW {
            return self.0.iter().any(|key| row.is(key));
        }
        self.0.binary_search(&row.key()).is_ok()
    }
}

fn check_rows<T: Row>(name: &'static str, section: &Section<Vec<T>>, change: Option<&Change<T>>) -> Result<(), Misfit> {
    let Some(Change::Rows { removed, .. }) = change else { return Ok(()) };
    let Section::Known(rows) = section else { return Err(Misfit::NotKnown(name)) };
    if removed.is_empty() {
        return Ok(());
    }
    let keys = Keys::new(removed.clone());
    let found = rows.iter().filter(|row| keys.hold(*row)).count();
    if found == removed.len() { Ok(()) } else { Err(Misfit::NoSuchRow(name)) }
}

/// After [`check_rows`].
fn apply_rows<T: Row>(section: &mut Section<Vec<T>>, change: Option<Change<T>>) {
    let (set, removed) = match change {
        None => return,
        Some(Change::Full(full)) => {
            *section = full;
            return;
        }
        Some(Change::Rows { set, removed }) => (set, removed),
    };
    let Section::Known(rows) = section else { return };
    if !removed.is_empty() {
        let leave = Keys::new(removed);
        rows.retain(|row| !leave.hold(row));
    }
    // A row that changed stays in its place: no other moves, and rows that are in an order stay in it.
    let mut set: BTreeMap<T::Key, T> = set.into_iter().map(|row| (row.key(), row)).collect();
    let keys = Keys::new(set.keys().cloned().collect());
    for row in rows.iter_mut().filter(|row| keys.hold(*row)) {
        if let Some(changed) = set.remove(&row.key()) {
            *row = changed;
        }
    }
    rows.extend(set.into_values());
}
