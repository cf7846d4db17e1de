//! From the parts of one report to what it means.

use std::collections::{BTreeMap, BTreeSet};

use rules::delta::{Change, Delta, Row};
use rules::facts::Section;
use rules::text::Text;

use crate::fleet::v1;
use crate::fleet::v1::section_report::Body;
use crate::wire::values::{Dropped, time};
use crate::wire::{Received, Report, WireFault, documents, rows, sockets};

/// Parts that `Assembly` found complete, as one report.
pub(super) fn merge(parts: Vec<v1::Report>) -> Result<Received, WireFault> {
    let mut report = Report::default();
    let mut bodies: BTreeMap<v1::Section, Body> = BTreeMap::new();
    for (index, part) in parts.into_iter().enumerate() {
        if index == 0 {
            report.seq = part.seq;
            report.wall_clock = time(part.wall_clock_ms);
            report.uptime_ms = part.uptime_ms;
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
            if after.host.is_some() || after.port_policy.is_some() {
                return Err(WireFault::Malformed("a document comes twice"));
            }
            before.sockets.extend(after.sockets);
            before.services.extend(after.services);
            before.updates.extend(after.updates);
        }
        (Body::Delta(before), Body::Delta(after)) => {
            before.sockets_added.extend(after.sockets_added);
            before.sockets_removed.extend(after.sockets_removed);
            before.services_set.extend(after.services_set);
            before.services_removed.extend(after.services_removed);
            before.updates_set.extend(after.updates_set);
            before.updates_removed.extend(after.updates_removed);
        }
        _ => return Err(WireFault::Malformed("a section comes in two kinds")),
    }
    Ok(())
}

fn read(section: v1::Section, body: Body, delta: &mut Delta, dropped: &mut Dropped) -> Result<(), WireFault> {
    const FOREIGN: WireFault = WireFault::Malformed("a section holds what belongs to another");
    match section {
        v1::Section::Unspecified => {}
        v1::Section::Host => {
            delta.host = Some(match body {
                Body::Unknown(unknown) => Section::Unknown(Text::new(&unknown.reason)),
                Body::Full(v1::Rows { host: Some(host), port_policy: None, sockets, services, updates })
                    if sockets.is_empty() && services.is_empty() && updates.is_empty() =>
                {
                    Section::Known(documents::host_from_wire(&host))
                }
                Body::Full(_) | Body::Delta(_) => return Err(FOREIGN),
            });
        }
        v1::Section::PortPolicy => {
            delta.port_policy = Some(match body {
                Body::Unknown(unknown) => Section::Unknown(Text::new(&unknown.reason)),
                Body::Full(v1::Rows { host: None, port_policy: Some(policy), sockets, services, updates })
                    if sockets.is_empty() && services.is_empty() && updates.is_empty() =>
                {
                    Section::Known(documents::policy_from_wire(&policy, dropped))
                }
                Body::Full(_) | Body::Delta(_) => return Err(FOREIGN),
            });
        }
        v1::Section::Sockets => {
            delta.sockets = Some(match body {
                Body::Unknown(unknown) => Change::Full(Section::Unknown(Text::new(&unknown.reason))),
                Body::Full(v1::Rows { host: None, port_policy: None, sockets, services, updates })
                    if services.is_empty() && updates.is_empty() =>
                {
                    Change::Full(Section::Known(sockets::from_wire(sockets, dropped)))
                }
                Body::Delta(changes) if holds_only(&changes, section) => changed(
                    sockets::from_wire(changes.sockets_added, dropped),
                    sockets::from_wire(changes.sockets_removed, dropped),
                ),
                Body::Full(_) | Body::Delta(_) => return Err(FOREIGN),
            });
        }
        v1::Section::Services => {
            delta.services = Some(match body {
                Body::Unknown(unknown) => Change::Full(Section::Unknown(Text::new(&unknown.reason))),
                Body::Full(v1::Rows { host: None, port_policy: None, sockets, services, updates })
                    if sockets.is_empty() && updates.is_empty() =>
                {
                    Change::Full(Section::Known(rows::services_from_wire(services, dropped)))
                }
                Body::Delta(changes) if holds_only(&changes, section) => changed(
                    rows::services_from_wire(changes.services_set, dropped),
                    rows::service_keys_from_wire(&changes.services_removed),
                ),
                Body::Full(_) | Body::Delta(_) => return Err(FOREIGN),
            });
        }
        v1::Section::Updates => {
            delta.updates = Some(match body {
                Body::Unknown(unknown) => Change::Full(Section::Unknown(Text::new(&unknown.reason))),
                Body::Full(v1::Rows { host: None, port_policy: None, sockets, services, updates })
                    if sockets.is_empty() && services.is_empty() =>
                {
                    Change::Full(Section::Known(rows::updates_from_wire(updates, dropped)))
                }
                Body::Delta(changes) if holds_only(&changes, section) => changed(
                    rows::updates_from_wire(changes.updates_set, dropped),
                    rows::update_keys_from_wire(&changes.updates_removed, dropped),
                ),
                Body::Full(_) | Body::Delta(_) => return Err(FOREIGN),
            });
        }
    }
    Ok(())
}

/// A row that is both removed and set is set.
fn changed<T: Row>(set: Vec<T>, mut removed: Vec<T::Key>) -> Change<T> {
    let keys: BTreeSet<_> = set.iter().map(Row::key).collect();
    removed.retain(|key| !keys.contains(key));
    Change::Rows { set, removed }
}

/// Whether nothing but rows of `section` is there.
fn holds_only(changes: &v1::Changes, section: v1::Section) -> bool {
    let sockets = changes.sockets_added.is_empty() && changes.sockets_removed.is_empty();
    let services = changes.services_set.is_empty() && changes.services_removed.is_empty();
    let updates = changes.updates_set.is_empty() && changes.updates_removed.is_empty();
    (sockets || section == v1::Section::Sockets)
        && (services || section == v1::Section::Services)
        && (updates || section == v1::Section::Updates)
}
