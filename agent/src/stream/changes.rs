//! What a report says: the changes between what the server was told and what is true, and the digests that go with them.

use std::collections::BTreeSet;
use std::sync::Arc;

use proto::fleet::v1;
use proto::wire;
use proto::{Digests, SECTIONS};
use rules::delta::{self, Change, Delta, Row};
use rules::facts::{Facts, Section};

use crate::stream::Observation;

/// Digests of what did not change are kept: hashing is most of the cost of a quiet interval.
pub(super) fn digests_after(before: &Observation, facts: &Facts) -> Arc<Digests> {
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
pub(super) fn changes(old: &Facts, new: &Facts, whole: &BTreeSet<v1::Section>) -> Delta {
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

pub(super) fn of_sections(delta: &Delta, digests: &Digests) -> Digests {
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
