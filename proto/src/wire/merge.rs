//! From the parts of one report to what it means.

use std::collections::{BTreeMap, BTreeSet};

use rules::delta::{Change, Delta, Row};
use rules::facts::Section;
use rules::text::Text;

use crate::fleet::v1;
use crate::fleet::v1::section_report::Body;
use crate::wire::values::{Dropped, time};
use crate::wire::{Received, Report, WireFault, connections, documents, events, rows, sockets};

/// `Assembly` unpacks what it gathers.
const STILL_PACKED: WireFault = WireFault::Malformed("a section was not unpacked");
const FOREIGN: WireFault = WireFault::Malformed("a section holds what belongs to another");

/// Parts that `Assembly` found complete, as one report.
pub(super) fn merge(parts: Vec<v1::Report>) -> Result<Received, WireFault> {
    let mut report = Report::default();
    let mut bodies: BTreeMap<v1::Section, Body> = BTreeMap::new();
    for (index, part) in parts.into_iter().enumerate() {
        if index == 0 {
            report.seq = part.seq;
            report.wall_clock = time(part.wall_clock_ms);
            report.gap = part.gap;
        }
        for section in part.sections {
            let name = section.section();
            // A section of a newer agent, which this side has no place for.
            if name == v1::Section::Unspecified {
                continue;
            }
            let Some(body) = section.body else { return Err(WireFault::Malformed("a section says nothing")) };
            if let Some(before) = bodies.get_mut(&name) {
                append(before, body)?;
                continue;
            }
            if section.digest.len() > 32 {
                return Err(WireFault::Malformed("a digest is longer than 32 bytes"));
            }
            report.digests.insert(name, section.digest);
            bodies.insert(name, body);
        }
    }
    let mut dropped = Dropped::default();
    for (section, body) in bodies {
        read(section, body, &mut report.delta, &mut dropped)?;
    }
    Ok(Received { report, dropped_rows: dropped.0 })
}

fn append(before: &mut Body, after: Body) -> Result<(), WireFault> {
    match (before, after) {
        (Body::Full(before), Body::Full(after)) => {
            if after.host.is_some() || after.port_policy.is_some() || after.connections.is_some() {
                return Err(WireFault::Malformed("a document comes twice"));
            }
            before.sockets.extend(after.sockets);
            before.services.extend(after.services);
            before.updates.extend(after.updates);
            before.events.extend(after.events);
        }
        (Body::Delta(before), Body::Delta(after)) => {
            before.sockets_added.extend(after.sockets_added);
            before.sockets_removed.extend(after.sockets_removed);
            before.socket_keys_removed.extend(after.socket_keys_removed);
            before.services_set.extend(after.services_set);
            before.services_removed.extend(after.services_removed);
            before.updates_set.extend(after.updates_set);
            before.updates_removed.extend(after.updates_removed);
            before.events_set.extend(after.events_set);
            before.events_removed.extend(after.events_removed);
        }
        _ => return Err(WireFault::Malformed("a section comes in two kinds")),
    }
    Ok(())
}

fn read(section: v1::Section, body: Body, delta: &mut Delta, dropped: &mut Dropped) -> Result<(), WireFault> {
    let is_foreign = match &body {
        Body::Unknown(_) => false,
        Body::Packed(_) => return Err(STILL_PACKED),
        Body::Full(rows) => !rows_are_of(rows, section),
        Body::Delta(changes) => !changes_are_of(changes, section),
    };
    if is_foreign {
        return Err(FOREIGN);
    }
    match section {
        v1::Section::Unspecified => {}
        v1::Section::Host => {
            delta.host = Some(document(body, |rows| Some(documents::host_from_wire(&rows.host?)))?);
        }
        v1::Section::PortPolicy => {
            delta.port_policy =
                Some(document(body, |rows| Some(documents::policy_from_wire(&rows.port_policy?, dropped)))?);
        }
        v1::Section::Connections => {
            delta.connections = Some(document(body, |rows| Some(connections::from_wire(&rows.connections?, dropped)))?);
        }
        v1::Section::Sockets => {
            delta.sockets = Some(match body {
                Body::Packed(_) => return Err(STILL_PACKED),
                Body::Unknown(unknown) => unknown_rows(&unknown),
                Body::Full(rows) => Change::Full(Section::Known(sockets::from_wire(rows.sockets, dropped))),
                Body::Delta(changes) => changed(
                    sockets::from_wire(changes.sockets_added, dropped),
                    sockets::removed_from_wire(changes.socket_keys_removed, changes.sockets_removed, dropped),
                ),
            });
        }
        v1::Section::Services => {
            delta.services = Some(match body {
                Body::Packed(_) => return Err(STILL_PACKED),
                Body::Unknown(unknown) => unknown_rows(&unknown),
                Body::Full(rows) => Change::Full(Section::Known(rows::services_from_wire(rows.services, dropped))),
                Body::Delta(changes) => changed(
                    rows::services_from_wire(changes.services_set, dropped),
                    rows::service_keys_from_wire(&changes.services_removed),
                ),
            });
        }
        v1::Section::Updates => {
            delta.updates = Some(match body {
                Body::Packed(_) => return Err(STILL_PACKED),
                Body::Unknown(unknown) => unknown_rows(&unknown),
                Body::Full(rows) => Change::Full(Section::Known(rows::updates_from_wire(rows.updates, dropped))),
                Body::Delta(changes) => changed(
                    rows::updates_from_wire(changes.updates_set, dropped),
                    rows::update_keys_from_wire(&changes.updates_removed, dropped),
                ),
            });
        }
        v1::Section::Events => {
            delta.events = Some(match body {
                Body::Packed(_) => return Err(STILL_PACKED),
                Body::Unknown(unknown) => unknown_rows(&unknown),
                Body::Full(rows) => Change::Full(Section::Known(events::from_wire(rows.events, dropped))),
                Body::Delta(changes) => changed(
                    events::from_wire(changes.events_set, dropped),
                    events::keys_from_wire(&changes.events_removed),
                ),
            });
        }
    }
    Ok(())
}

fn unknown_rows<T: Row>(unknown: &v1::Unknown) -> Change<T> {
    Change::Full(Section::Unknown(Text::new(&unknown.reason)))
}

/// A section that is one document: it comes whole, or not at all.
fn document<T>(body: Body, read: impl FnOnce(v1::Rows) -> Option<T>) -> Result<Section<T>, WireFault> {
    match body {
        Body::Unknown(unknown) => Ok(Section::Unknown(Text::new(&unknown.reason))),
        Body::Full(rows) => read(rows).map(Section::Known).ok_or(FOREIGN),
        Body::Delta(_) | Body::Packed(_) => Err(FOREIGN),
    }
}

/// A row that is both removed and set is set.
fn changed<T: Row>(set: Vec<T>, mut removed: Vec<T::Key>) -> Change<T> {
    let keys: BTreeSet<_> = set.iter().map(Row::key).collect();
    removed.retain(|key| !keys.contains(key));
    Change::Rows { set, removed }
}

/// Whether nothing but what belongs to `section` is there.
fn rows_are_of(rows: &v1::Rows, section: v1::Section) -> bool {
    let v1::Rows { host, sockets, services, updates, port_policy, events, connections } = rows;
    (host.is_none() || section == v1::Section::Host)
        && (sockets.is_empty() || section == v1::Section::Sockets)
        && (services.is_empty() || section == v1::Section::Services)
        && (updates.is_empty() || section == v1::Section::Updates)
        && (port_policy.is_none() || section == v1::Section::PortPolicy)
        && (events.is_empty() || section == v1::Section::Events)
        && (connections.is_none() || section == v1::Section::Connections)
}

fn changes_are_of(changes: &v1::Changes, section: v1::Section) -> bool {
    let v1::Changes {
        sockets_added,
        sockets_removed,
        socket_keys_removed,
        services_set,
        services_removed,
        updates_set,
        updates_removed,
        events_set,
        events_removed,
    } = changes;
    let sockets = sockets_added.is_empty() && sockets_removed.is_empty() && socket_keys_removed.is_empty();
    let services = services_set.is_empty() && services_removed.is_empty();
    let updates = updates_set.is_empty() && updates_removed.is_empty();
    let events = events_set.is_empty() && events_removed.is_empty();
    (sockets || section == v1::Section::Sockets)
        && (services || section == v1::Section::Services)
        && (updates || section == v1::Section::Updates)
        && (events || section == v1::Section::Events)
}
