//! One report as several messages, and back.

use prost::Message;
use rules::delta::Change;
use rules::facts::{Connections, Event, Facts, Host, PortPolicy, Section, Service, Socket, Update};
use rules::text::Text;

use crate::fleet::v1;
use crate::fleet::v1::section_report::Body;
use crate::wire::values::milliseconds;
use crate::wire::{
    MAX_EVENTS, MAX_PARTS, MAX_REPORT, MAX_SERVICES, MAX_SOCKETS, MAX_TEXT, MAX_UPDATES, PART_TARGET, Report,
    WireFault, connections, documents, events, packed, rows, sockets,
};

/// What surrounds a row or opens a section in a part, at most.
const ROW_OVERHEAD: usize = 8;
const SECTION_OVERHEAD: usize = 64;

/// Gathers the messages of one report at a time. After a fault it is empty again.
#[derive(Debug, Default)]
pub struct Assembly {
    parts: Vec<v1::Report>,
    weight: Weight,
}

impl Assembly {
    /// `Some`: the report is complete, and these are its parts in order.
    pub fn add(&mut self, part: v1::Report) -> Result<Option<Vec<v1::Report>>, WireFault> {
        let mut gathered = std::mem::take(self);
        let due = u32::try_from(gathered.parts.len()).unwrap_or(u32::MAX);
        if part.parts == 0 || part.parts as usize > MAX_PARTS {
            return Err(WireFault::Malformed("a report has 1 to 64 parts"));
        }
        if part.part != due {
            return Err(WireFault::PartOutOfOrder { got: part.part, due, parts: part.parts });
        }
        if gathered.parts.first().is_some_and(|first| first.seq != part.seq || first.parts != part.parts) {
            return Err(WireFault::Malformed("parts of two reports are mixed"));
        }
        let mut part = part;
        gathered.weight.inflated += packed::unpack(&mut part, MAX_REPORT - gathered.weight.inflated)?;
        gathered.weight.add(&part)?;
        let complete = due + 1 == part.parts;
        gathered.parts.push(part);
        if complete {
            return Ok(Some(gathered.parts));
        }
        *self = gathered;
        Ok(None)
    }

    /// Whether no report is unfinished.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }
}

/// What a report would take when unfolded, known before anything is.
#[derive(Debug, Default)]
struct Weight {
    sockets: usize,
    services: usize,
    updates: usize,
    events: usize,
    text: usize,
    /// Bytes that came out of packed sections.
    inflated: usize,
}

impl Weight {
    fn add(&mut self, part: &v1::Report) -> Result<(), WireFault> {
        for section in &part.sections {
            match &section.body {
                Some(Body::Full(full)) => {
                    self.add_groups(&full.sockets);
                    self.services += full.services.len();
                    self.updates += full.updates.len();
                    self.events += full.events.len();
                }
                Some(Body::Delta(delta)) => {
                    self.add_groups(&delta.sockets_added);
                    self.add_groups(&delta.sockets_removed);
                    self.sockets = self.sockets.saturating_add(delta.socket_keys_removed.len());
                    self.services += delta.services_set.len() + delta.services_removed.len();
                    self.updates += delta.updates_set.len() + delta.updates_removed.len();
                    self.events += delta.events_set.len() + delta.events_removed.len();
                }
                // Unpacked before it is weighed.
                Some(Body::Packed(_) | Body::Unknown(_)) | None => {}
            }
        }
        if self.sockets > MAX_SOCKETS {
            return Err(WireFault::TooManyRows { section: "sockets", limit: MAX_SOCKETS });
        }
        if self.services > MAX_SERVICES {
            return Err(WireFault::TooManyRows { section: "services", limit: MAX_SERVICES });
        }
        if self.updates > MAX_UPDATES {
            return Err(WireFault::TooManyRows { section: "updates", limit: MAX_UPDATES });
        }
        if self.events > 2 * MAX_EVENTS {
            return Err(WireFault::TooManyRows { section: "events", limit: MAX_EVENTS });
        }
        if self.text > MAX_TEXT {
            return Err(WireFault::TooLarge);
        }
        Ok(())
    }

    fn add_groups(&mut self, groups: &[v1::SocketGroup]) {
        for group in groups {
            let ports = group.port_steps.len();
            let names: usize = group.services.iter().map(|name| name.len() + size_of::<Text>()).sum();
            self.sockets = self.sockets.saturating_add(ports.max(1));
            self.text = self.text.saturating_add(ports.saturating_mul(group.image.len() + names));
        }
    }
}

/// The whole of one section, without its digest.
pub(crate) fn full_section(section: v1::Section, facts: &Facts) -> v1::SectionReport {
    let body = match section {
        v1::Section::Unspecified => None,
        v1::Section::Host => Some(body(&facts.host, full_host)),
        v1::Section::Sockets => Some(body(&facts.sockets, |rows| full_sockets(rows))),
        v1::Section::Services => Some(body(&facts.services, |rows| full_services(rows))),
        v1::Section::Updates => Some(body(&facts.updates, |rows| full_updates(rows))),
        v1::Section::PortPolicy => Some(body(&facts.port_policy, full_policy)),
        v1::Section::Events => Some(body(&facts.events, |rows| full_events(rows))),
        v1::Section::Connections => Some(body(&facts.connections, full_connections)),
    };
    v1::SectionReport { section: section as i32, digest: Vec::new(), body }
}

fn body<T>(section: &Section<T>, known: impl FnOnce(&T) -> Body) -> Body {
    match section {
        Section::Known(value) => known(value),
        Section::Unknown(reason) => Body::Unknown(v1::Unknown { reason: reason.as_str().to_owned() }),
    }
}

/// Whole sections as messages, then cut into parts.
pub(super) fn split(report: &Report) -> Result<Vec<v1::Report>, WireFault> {
    let delta = &report.delta;
    let sections = [
        (v1::Section::Host, delta.host.as_ref().map(|host| body(host, full_host))),
        (v1::Section::Sockets, delta.sockets.as_ref().map(sockets_body)),
        (v1::Section::Services, delta.services.as_ref().map(services_body)),
        (v1::Section::Updates, delta.updates.as_ref().map(updates_body)),
        (v1::Section::PortPolicy, delta.port_policy.as_ref().map(|policy| body(policy, full_policy))),
        (v1::Section::Events, delta.events.as_ref().map(events_body)),
        (v1::Section::Connections, delta.connections.as_ref().map(|counts| body(counts, full_connections))),
    ];
    let mut cutter = Cutter::default();
    for (section, body) in sections {
        let Some(body) = body else { continue };
        let digest = report.digests.get(&section).cloned().unwrap_or_default();
        cutter.add(section, digest, body);
    }
    let parts = u32::try_from(cutter.parts.len()).map_err(|_| WireFault::TooLarge)?;
    if parts as usize > MAX_PARTS {
        return Err(WireFault::TooLarge);
    }
    Ok((0..)
        .zip(cutter.parts)
        .map(|(part, sections)| v1::Report {
            seq: report.seq,
            part,
            parts,
            wall_clock_ms: milliseconds(report.wall_clock),
            sections: sections.into_iter().map(packed::pack).collect(),
            gap: report.gap,
        })
        .collect())
}

fn full_host(host: &Host) -> Body {
    Body::Full(v1::Rows { host: Some(documents::host_to_wire(host)), ..v1::Rows::default() })
}

fn full_sockets(rows: &[Socket]) -> Body {
    Body::Full(v1::Rows { sockets: sockets::to_wire(rows), ..v1::Rows::default() })
}

fn full_services(rows: &[Service]) -> Body {
    Body::Full(v1::Rows { services: rows::services_to_wire(rows), ..v1::Rows::default() })
}

fn full_updates(rows: &[Update]) -> Body {
    Body::Full(v1::Rows { updates: rows::updates_to_wire(rows), ..v1::Rows::default() })
}

fn full_policy(policy: &PortPolicy) -> Body {
    Body::Full(v1::Rows { port_policy: Some(documents::policy_to_wire(policy)), ..v1::Rows::default() })
}

fn full_events(rows: &[Event]) -> Body {
    Body::Full(v1::Rows { events: events::to_wire(rows), ..v1::Rows::default() })
}

fn full_connections(counts: &Connections) -> Body {
    Body::Full(v1::Rows { connections: Some(connections::to_wire(counts)), ..v1::Rows::default() })
}

fn sockets_body(change: &Change<Socket>) -> Body {
    match change {
        Change::Full(section) => body(section, |rows| full_sockets(rows)),
        Change::Rows { set, removed } => Body::Delta(v1::Changes {
            sockets_added: sockets::to_wire(set),
            socket_keys_removed: removed.iter().map(|key| key.0).collect(),
            ..v1::Changes::default()
        }),
    }
}

fn services_body(change: &Change<Service>) -> Body {
    match change {
        Change::Full(section) => body(section, |rows| full_services(rows)),
        Change::Rows { set, removed } => Body::Delta(v1::Changes {
            services_set: rows::services_to_wire(set),
            services_removed: removed.clone(),
            ..v1::Changes::default()
        }),
    }
}

fn updates_body(change: &Change<Update>) -> Body {
    match change {
        Change::Full(section) => body(section, |rows| full_updates(rows)),
        Change::Rows { set, removed } => Body::Delta(v1::Changes {
            updates_set: rows::updates_to_wire(set),
            updates_removed: rows::update_keys_to_wire(removed),
            ..v1::Changes::default()
        }),
    }
}

fn events_body(change: &Change<Event>) -> Body {
    match change {
        Change::Full(section) => body(section, |rows| full_events(rows)),
        Change::Rows { set, removed } => Body::Delta(v1::Changes {
            events_set: events::to_wire(set),
            events_removed: events::keys_to_wire(removed),
            ..v1::Changes::default()
        }),
    }
}

/// Fills one part after the other, row by row. There is always at least one part: a report may hold only a gap.
struct Cutter {
    parts: Vec<Vec<v1::SectionReport>>,
    size: usize,
}

impl Default for Cutter {
    fn default() -> Self {
        Self { parts: vec![Vec::new()], size: 0 }
    }
}

impl Cutter {
    fn add(&mut self, section: v1::Section, digest: Vec<u8>, body: Body) {
        let open = |digest, body| v1::SectionReport { section: section as i32, digest, body: Some(body) };
        match body {
            Body::Unknown(_) | Body::Packed(_) => self.start(open(digest, body)),
            Body::Full(v1::Rows { host, sockets, services, updates, port_policy, events, connections }) => {
                let documents = v1::Rows { host, port_policy, connections, ..v1::Rows::default() };
                self.start(open(digest, Body::Full(documents)));
                let next = || open(Vec::new(), Body::Full(v1::Rows::default()));
                self.rows(sockets, &next, |body| full(body).map(|rows| &mut rows.sockets));
                self.rows(services, &next, |body| full(body).map(|rows| &mut rows.services));
                self.rows(updates, &next, |body| full(body).map(|rows| &mut rows.updates));
                self.rows(events, &next, |body| full(body).map(|rows| &mut rows.events));
            }
            Body::Delta(changes) => {
                self.start(open(digest, Body::Delta(v1::Changes::default())));
                let next = || open(Vec::new(), Body::Delta(v1::Changes::default()));
                self.rows(changes.sockets_added, &next, |body| delta(body).map(|rows| &mut rows.sockets_added));
                self.keys(changes.socket_keys_removed, &next);
                self.rows(changes.services_set, &next, |body| delta(body).map(|rows| &mut rows.services_set));
                self.rows(changes.services_removed, &next, |body| delta(body).map(|rows| &mut rows.services_removed));
                self.rows(changes.updates_set, &next, |body| delta(body).map(|rows| &mut rows.updates_set));
                self.rows(changes.updates_removed, &next, |body| delta(body).map(|rows| &mut rows.updates_removed));
                self.rows(changes.events_set, &next, |body| delta(body).map(|rows| &mut rows.events_set));
                self.rows(changes.events_removed, &next, |body| delta(body).map(|rows| &mut rows.events_removed));
            }
        }
    }

    /// Opens a section in the present part, or in a new one where it does not fit.
    fn start(&mut self, section: v1::SectionReport) {
        let size = section.encoded_len() + SECTION_OVERHEAD;
        if self.size + size > PART_TARGET && self.size > 0 {
            self.parts.push(Vec::new());
            self.size = 0;
        }
        self.size += size;
        if let Some(part) = self.parts.last_mut() {
            part.push(section);
        }
    }

    /// Keys have a fixed size, and are packed.
    fn keys(&mut self, keys: Vec<i64>, next: &dyn Fn() -> v1::SectionReport) {
        for key in keys {
            let size = size_of::<i64>();
            if self.size + size > PART_TARGET {
                self.parts.push(vec![next()]);
                self.size = SECTION_OVERHEAD;
            }
            self.size += size;
            let section = self.parts.last_mut().and_then(|part| part.last_mut());
            if let Some(changes) = section.and_then(|section| section.body.as_mut()).and_then(delta) {
                changes.socket_keys_removed.push(key);
            }
        }
    }

    /// Adds rows to the section that was opened last, and opens it again (`next`) in each further part.
    fn rows<R: Message>(
        &mut self,
        rows: Vec<R>,
        next: &dyn Fn() -> v1::SectionReport,
        list: fn(&mut Body) -> Option<&mut Vec<R>>,
    ) {
        for row in rows {
            let size = row.encoded_len() + ROW_OVERHEAD;
            if self.size + size > PART_TARGET {
                self.parts.push(vec![next()]);
                self.size = SECTION_OVERHEAD;
            }
            self.size += size;
            let section = self.parts.last_mut().and_then(|part| part.last_mut());
            if let Some(list) = section.and_then(|section| section.body.as_mut()).and_then(list) {
                list.push(row);
            }
        }
    }
}

fn full(body: &mut Body) -> Option<&mut v1::Rows> {
    match body {
        Body::Full(rows) => Some(rows),
        Body::Delta(_) | Body::Unknown(_) | Body::Packed(_) => None,
    }
}

fn delta(body: &mut Body) -> Option<&mut v1::Changes> {
    match body {
        Body::Delta(changes) => Some(changes),
        Body::Full(_) | Body::Unknown(_) | Body::Packed(_) => None,
    }
}
