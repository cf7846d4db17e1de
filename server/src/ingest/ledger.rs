//! The boot ledger: what a report adds to the story of the host's boot. What bound which port and when, which services
//! ran, stopped or failed with which code, and which events told of it. Facts alone: what to make of them is the rules'.
//!
//! Derived from what is true by level, not by edge: told again, an entry has the same key and is the same row, so that a
//! repeated report, a reconnect and a restart of the server add nothing. Captures know no boots. Pure.

mod entries;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use rules::catalog::Catalog;
use rules::events::is_from;
use rules::facts::{CollectedBy, Event, Facts};
use rules::ports::{Port, Protocol};
use rules::socket_key::SocketKey;
use rules::text::Text;

use crate::ingest::state::{HostState, RowChanges};

/// Counts the ways in which entries were derived: another one, and every ledger is told as a whole again.
const DERIVATION: u32 = 2;

/// What a report adds to the ledger of one boot.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerChange {
    pub boot_id: Text,
    pub booted_at: Option<DateTime<Utc>>,
    pub extent: Extent,
    /// The first report of a stream in this boot, which says by what the ledger is derived from then on.
    pub opens: Option<Arc<str>>,
    /// In the order of time.
    pub entries: Vec<Entry>,
    /// Binds that are not there any more, seen at [`LedgerChange::seen_at`]. Most stand in no ledger.
    pub gone: Vec<Gone>,
    /// When the facts were read, by the host's clock corrected by its skew.
    pub seen_at: DateTime<Utc>,
    pub shutdown: Option<Shutdown>,
    /// The log says of the boot before that it ended without a shutdown.
    pub ended_unexpectedly_before: bool,
    pub sockets_seen: bool,
    pub services_seen: bool,
}

impl LedgerChange {
    /// Whether there is more to write, for a boot that is known, than which sockets are gone.
    pub fn adds(&self) -> bool {
        self.extent == Extent::Whole
            || !self.entries.is_empty()
            || self.shutdown.is_some()
            || self.ended_unexpectedly_before
    }
}

/// What the entries are derived from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All that is true now: for the first report of a boot, or of one of which it is not known that all was told.
    Whole,
    /// What the report changed.
    Changed,
}

/// The end of a bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    /// As [`Entry::key`].
    pub entry: i64,
    /// By which the entry was told last: another socket may have taken its place.
    pub socket: SocketKey,
}

/// How a boot ends, as its own log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    pub kind: ShutdownKind,
    pub at: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ShutdownKind {
    Clean,
    /// Somebody or some program asked for it.
    Asked,
}

/// One thing that happened in a boot.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// A hash of what makes it this entry.
    pub key: i64,
    pub kind: Kind,
    pub basis: Basis,
    /// By the host's clock, corrected by its skew.
    pub at: DateTime<Utc>,
    /// Of a bind or a pool.
    pub ports: Option<Ports>,
    pub pid: Option<u32>,
    pub image: Option<Text>,
    /// Who owns the socket, or the service that the entry is about.
    pub services: Vec<Text>,
    pub exit_code: Option<u32>,
    pub service_exit_code: Option<u32>,
    /// The entry of an event log that it comes from: log and record.
    pub event: Option<(Text, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    pub protocol: Protocol,
    pub address: IpAddr,
    pub first: u16,
    pub last: u16,
    pub count: u16,
    /// Of a single port.
    pub socket: Option<SocketKey>,
}

/// The numbers are those of `boot_entry.kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Bound = 1,
    Pool = 2,
    Runs = 3,
    Stopped = 4,
    Failed = 5,
    /// An event that concerns ports or the boot itself.
    Noted = 6,
}

/// What the time of an entry is the time of. The numbers are those of `boot_entry.basis`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Basis {
    BindTime = 1,
    Event = 2,
    /// The agent watched the service change.
    Watched = 3,
    /// It was so when it was first seen.
    Seen = 4,
}

/// What a ledger is derived by with a catalog of this version.
pub fn derived_by(catalog_version: &str) -> Arc<str> {
    format!("{DERIVATION}:{catalog_version}").into()
}

/// The boot that the facts are of. `None`: not known, or the facts are a capture.
pub fn boot_of(facts: &Facts) -> Option<&Text> {
    let host = facts.host.known().filter(|host| host.collected_by == CollectedBy::Agent)?;
    host.boot_id.as_ref()
}

/// Whether the system may hand out `port` on a host with these facts.
pub fn is_drawn(port: Port, facts: &Facts) -> bool {
    entries::is_drawn(port, facts)
}

/// Whether binds of a port stand in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// A service is known to need it.
    Always,
    /// It lies outside of what the system draws from.
    UnlessInPool,
    Never,
}

/// How binds of `port` are kept of a host with these facts.
pub fn keeps(port: Port, facts: &Facts, catalog: &Catalog) -> Kept {
    if catalog.claims_on(port).next().is_some() {
        return Kept::Always;
    }
    if entries::is_drawn(port, facts) { Kept::Never } else { Kept::UnlessInPool }
}

/// What a report that led to `state` by `rows` adds. `now` is the server's clock. `None`: the boot is not known.
pub fn change(
    (extent, opens): (Extent, Option<Arc<str>>),
    state: &HostState,
    rows: &RowChanges,
    catalog: &Catalog,
    now: DateTime<Utc>,
) -> Option<LedgerChange> {
    let facts = state.facts();
    let boot_id = boot_of(facts)?.clone();
    let booted_at = facts.host.known().and_then(|host| host.booted_at);
    let boot = Boot { booted_at, seen_at: facts.collected_at.unwrap_or(now) };
    let events = match extent {
        Extent::Whole => facts.events.known().map(Vec::as_slice).unwrap_or_default(),
        Extent::Changed => &rows.events_set,
    };
    let events: Vec<&Event> = events.iter().filter(|event| boot.holds(event.at)).collect();
    let mut entries = entries::of_sockets(extent, state, &rows.sockets_new, catalog, boot);
    entries.extend(entries::of_services(extent, facts, &rows.services_set, boot));
    entries.extend(events.iter().filter_map(|event| entries::of_event(event, boot)));
    entries.sort_by_key(|entry| (entry.at, entry.key));
    Some(LedgerChange {
        boot_id,
        booted_at,
        extent,
        opens,
        entries,
        gone: rows.sockets_gone.iter().filter_map(|(key, socket)| entries::gone(*key, socket)).collect(),
        seen_at: boot.seen_at,
        shutdown: events.iter().filter_map(|event| shutdown(event, boot)).max_by_key(|shutdown| shutdown.kind),
        ended_unexpectedly_before: events.iter().any(|event| is_from(event, "EventLog") && event.id == 6008),
        sockets_seen: facts.sockets.known().is_some(),
        services_seen: facts.services.known().is_some(),
    })
}

/// The span of time that entries must lie in.
#[derive(Clone, Copy, Debug)]
struct Boot {
    booted_at: Option<DateTime<Utc>>,
    seen_at: DateTime<Utc>,
}

/// Clocks are read at different moments, and a host's is corrected as a whole.
const SLACK: TimeDelta = TimeDelta::seconds(5);

impl Boot {
    /// The time, if it can be one of this boot: a clock that was set in its course leaves others behind.
    fn credible(self, time: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        time.filter(|time| self.booted_at.is_none_or(|booted| *time >= booted - SLACK) && *time <= self.seen_at + SLACK)
    }

    /// Whether an event of this time may be of this boot; the window of the agent begins with it.
    fn holds(self, time: Option<DateTime<Utc>>) -> bool {
        time.is_none_or(|time| self.booted_at.is_none_or(|booted| time >= booted - SLACK))
    }
}

/// Sources: events 1074 of User32, 6006 of EventLog, 13 of Microsoft-Windows-Kernel-General.
fn shutdown(event: &Event, boot: Boot) -> Option<Shutdown> {
    // What a boot before wrote at its end may lie within the slack.
    let at = event.at.filter(|at| boot.booted_at.is_none_or(|booted| *at > booted))?;
    let kind = match event.id {
        1074 if is_from(event, "User32") => ShutdownKind::Asked,
        6006 if is_from(event, "EventLog") => ShutdownKind::Clean,
        13 if is_from(event, "Kernel-General") => ShutdownKind::Clean,
        _ => return None,
    };
    Some(Shutdown { kind, at: Some(at) })
}
