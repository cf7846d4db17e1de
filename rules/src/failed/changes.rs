//! Which of the differences since a service last ran tell most: updates that the catalog knows to touch it, its ports, the
//! port policy, then other updates, versions, and how it is set up; among equals the later before the earlier.

use std::cmp::Reverse;

use chrono::{DateTime, Utc};

use crate::facts::Service;
use crate::history::{Difference, DifferenceKind, LastGood};
use crate::view::View;

/// The most telling first.
pub(super) fn ranked<'a>(service: &Service, good: &'a LastGood, view: &View<'_>) -> Vec<&'a Difference> {
    let mut differences: Vec<&Difference> = good.differences.iter().collect();
    differences.sort_by_cached_key(|difference| {
        (rank(service, difference, view), nearness(service, difference), difference.about.clone())
    });
    differences
}

fn rank(service: &Service, difference: &Difference, view: &View<'_>) -> u8 {
    match difference.kind {
        DifferenceKind::Update if touches(service, difference, view) => 0,
        DifferenceKind::Port => 1,
        DifferenceKind::PortPolicy => 2,
        DifferenceKind::Update => 3,
        DifferenceKind::Version => 4,
        DifferenceKind::Service => 5,
    }
}

fn touches(service: &Service, difference: &Difference, view: &View<'_>) -> bool {
    view.catalog.entries_for_kb(&difference.about).any(|entry| entry.affects(&service.name))
}

/// What came before the failure stands before what came after it; what has no time comes last.
fn nearness(service: &Service, difference: &Difference) -> (bool, bool, Reverse<Option<DateTime<Utc>>>) {
    let is_after = difference.at.zip(service.state_since).is_some_and(|(at, failed)| at > failed);
    (difference.at.is_none(), is_after, Reverse(difference.at))
}

/// `KB5031364 was installed`, `tcp/8123 is held by other.exe`, `MaxUserPort is 65534 (before: not set)`.
pub(super) fn words(difference: &Difference) -> String {
    let about = &difference.about;
    let (before, now) = (difference.before.as_deref(), difference.now.as_deref());
    match (difference.kind, before, now) {
        (DifferenceKind::Update, None, Some(title)) if title == &**about => format!("{about} was installed"),
        (DifferenceKind::Update, None, Some(title)) => format!("{about} was installed (\"{title}\")"),
        (DifferenceKind::Update, _, None) => format!("{about} was removed"),
        (DifferenceKind::Port, _, Some(holder)) => format!("{about} is held by {holder}"),
        (DifferenceKind::Port, _, None) => format!("{about} has another holder"),
        (_, Some(before), Some(now)) => format!("{about} is {now} (before: {before})"),
        (_, None, Some(now)) => format!("{about} is {now} (before: not set)"),
        (_, Some(before), None) => format!("{about} is not set (before: {before})"),
        (_, None, None) => format!("{about} is different"),
    }
}
