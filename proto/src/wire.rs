//! The only bridge between facts and messages. A [`Report`] is what is meant; its parts are what travels.
//!
//! Invariants: nothing that arrives can panic, and what is allocated for it is bounded by the limits here. A bad row is
//! dropped and counted, a bad report is refused whole with a stable code. Rows that come out are unique by key and short
//! enough for every index of the database. Sending what [`canonical`] returns and receiving it gives the same facts.

mod connections;
mod documents;
mod events;
mod merge;
mod packed;
mod parts;
mod rows;
mod sockets;
mod values;

use chrono::{DateTime, Utc};
use prost::Message as _;
use rules::delta::{Change, Delta};
use rules::facts::{Facts, Section};
use rules::text::Text;

pub use crate::wire::connections::{Connection, answer_connections};
pub use crate::wire::parts::Assembly;
pub(crate) use crate::wire::parts::full_section;

use crate::digest::Digests;
use crate::fleet::v1;
use crate::wire::values::Dropped;

/// Bytes of the largest message.
pub const MAX_MESSAGE: usize = 256 * 1024;
/// Messages of one report.
pub const MAX_PARTS: usize = 64;
/// Bytes of one report when its sections are unpacked.
pub(crate) const MAX_REPORT: usize = MAX_PARTS * MAX_MESSAGE;
/// Rows of one report: every port of four address and protocol combinations.
pub const MAX_SOCKETS: usize = 4 * 65_536;
pub const MAX_SERVICES: usize = 5_000;
pub const MAX_UPDATES: usize = 10_000;
/// Entries in the window of events.
pub const MAX_EVENTS: usize = 256;
/// Bytes of text after socket groups are unfolded, where each socket has its own copy of the owner's names.
pub const MAX_TEXT: usize = 64 * 1024 * 1024;
/// Bytes of a section as it is sent: with the two limits below, all sections always fit into [`MAX_PARTS`].
pub(crate) const MAX_SECTION: usize = 5 * 512 * 1024;
/// Bytes of a section that is one document.
pub(crate) const MAX_DOCUMENT: usize = 128 * 1024;
/// Bytes to which a part is filled; the slack is for what surrounds the rows.
pub(crate) const PART_TARGET: usize = 192 * 1024;

/// What an agent says at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    pub seq: u64,
    /// The agent's wall clock when the facts were read. `None`: not said.
    pub wall_clock: Option<DateTime<Utc>>,
    pub delta: Delta,
    /// Of each section in `delta`, as the agent holds it after this report.
    pub digests: Digests,
    /// Reports that were made and lost.
    pub gap: Option<v1::Gap>,
}

/// A report that arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    pub report: Report,
    /// Rows that could not be read and were left out.
    pub dropped_rows: u64,
}

/// Why a report is refused whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireFault {
    #[error("the report is malformed: {0}")]
    Malformed(&'static str),
    #[error("part {got} of {parts} arrived where part {due} was due")]
    PartOutOfOrder { got: u32, due: u32, parts: u32 },
    #[error("more than {limit} rows of {section}")]
    TooManyRows { section: &'static str, limit: usize },
    #[error("the report is larger than a report may be")]
    TooLarge,
}

impl WireFault {
    /// Stable, for logs, trailers and the quarantine.
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed(_) => "report.malformed",
            Self::PartOutOfOrder { .. } => "report.part-out-of-order",
            Self::TooManyRows { .. } => "report.too-many-rows",
            Self::TooLarge => "report.too-large",
        }
    }
}

/// The messages that carry `report`, in order. Each is at most [`MAX_MESSAGE`] long. Fails with
/// [`WireFault::TooLarge`] only for changed rows: full sections of [`canonical`] facts always fit.
pub fn to_report_parts(report: &Report) -> Result<Vec<v1::Report>, WireFault> {
    parts::split(report)
}

/// The report that `parts` carry: all of one report, in order, as [`Assembly`] hands them out.
pub fn from_report_parts(parts: Vec<v1::Report>) -> Result<Received, WireFault> {
    let mut assembly = Assembly::default();
    for part in parts {
        if let Some(complete) = assembly.add(part)? {
            return merge::merge(complete);
        }
    }
    Err(WireFault::Malformed("a part is missing"))
}

/// `facts` as the other side will hold them: times in milliseconds, what is empty taken as not known, rows in order and
/// once. A section beyond the limits becomes unknown, because part of a list would pass for all of it.
pub fn canonical(facts: &Facts) -> Facts {
    let mut dropped = Dropped::default();
    let mut facts = Facts {
        schema: facts.schema.clone(),
        collected_at: facts.collected_at.and_then(|time| values::time(values::milliseconds(Some(time)))),
        host: map(&facts.host, |host| documents::host_from_wire(&documents::host_to_wire(host))),
        sockets: bounded(&facts.sockets, MAX_SOCKETS, |rows| sockets::from_wire(sockets::to_wire(rows), &mut dropped)),
        services: bounded(&facts.services, MAX_SERVICES, |rows| {
            rows::services_from_wire(rows::services_to_wire(rows), &mut dropped)
        }),
        updates: bounded(&facts.updates, MAX_UPDATES, |rows| {
            rows::updates_from_wire(rows::updates_to_wire(rows), &mut dropped)
        }),
        port_policy: map(&facts.port_policy, |policy| {
            documents::policy_from_wire(&documents::policy_to_wire(policy), &mut dropped)
        }),
        events: bounded(&facts.events, MAX_EVENTS, |rows| events::from_wire(events::to_wire(rows), &mut dropped)),
        connections: map(&facts.connections, |counts| {
            connections::from_wire(&connections::to_wire(counts), &mut dropped)
        }),
    };
    let too_long = |section, limit| (parts::full_section(section, &facts).encoded_len() > limit).then(too_large);
    let host = too_long(v1::Section::Host, MAX_DOCUMENT);
    let sockets = too_long(v1::Section::Sockets, MAX_SECTION);
    let services = too_long(v1::Section::Services, MAX_SECTION);
    let updates = too_long(v1::Section::Updates, MAX_SECTION);
    let port_policy = too_long(v1::Section::PortPolicy, MAX_DOCUMENT);
    let events = too_long(v1::Section::Events, MAX_SECTION);
    let connections = too_long(v1::Section::Connections, MAX_DOCUMENT);
    facts.host = host.map_or(facts.host, Section::Unknown);
    facts.sockets = sockets.map_or(facts.sockets, Section::Unknown);
    facts.services = services.map_or(facts.services, Section::Unknown);
    facts.updates = updates.map_or(facts.updates, Section::Unknown);
    facts.port_policy = port_policy.map_or(facts.port_policy, Section::Unknown);
    facts.events = events.map_or(facts.events, Section::Unknown);
    facts.connections = connections.map_or(facts.connections, Section::Unknown);
    facts
}

fn too_large() -> Text {
    Text::new("more than a report can carry")
}

/// A report of every section of `facts`, which are canonical.
pub fn full_delta(facts: &Facts) -> Delta {
    Delta {
        host: Some(facts.host.clone()),
        sockets: Some(Change::Full(facts.sockets.clone())),
        services: Some(Change::Full(facts.services.clone())),
        updates: Some(Change::Full(facts.updates.clone())),
        port_policy: Some(facts.port_policy.clone()),
        events: Some(Change::Full(facts.events.clone())),
        connections: Some(facts.connections.clone()),
    }
}

pub fn digests_to_wire(digests: &Digests) -> Vec<v1::SectionDigest> {
    digests
        .iter()
        .map(|(section, digest)| v1::SectionDigest { section: *section as i32, digest: digest.clone() })
        .collect()
}

/// Sections of a newer agent that this side does not know are left out.
pub fn digests_from_wire(digests: Vec<v1::SectionDigest>) -> Result<Digests, WireFault> {
    let mut known = Digests::new();
    for digest in digests {
        if digest.digest.len() > 32 {
            return Err(WireFault::Malformed("a digest is longer than 32 bytes"));
        }
        match digest.section() {
            v1::Section::Unspecified => {}
            section => drop(known.insert(section, digest.digest)),
        }
    }
    Ok(known)
}

fn map<T, U>(section: &Section<T>, read: impl FnOnce(&T) -> U) -> Section<U> {
    match section {
        Section::Known(value) => Section::Known(read(value)),
        Section::Unknown(reason) => Section::Unknown(reason.clone()),
    }
}

fn bounded<T>(section: &Section<Vec<T>>, limit: usize, read: impl FnOnce(&[T]) -> Vec<T>) -> Section<Vec<T>> {
    match section {
        Section::Known(rows) if rows.len() > limit => Section::Unknown(Text::new(&format!("more than {limit} rows"))),
        Section::Known(rows) => Section::Known(read(rows)),
        Section::Unknown(reason) => Section::Unknown(reason.clone()),
    }
}
