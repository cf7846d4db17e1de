//! Updates that came largely together are all accused of what one of them did. Each is tested again with the other held
//! equal: hosts with both against hosts with the other alone, and hosts with it alone against hosts with neither. One that
//! then says nothing is let go if the other still does; where neither does, they are one suspect.

use std::collections::{BTreeMap, BTreeSet};

use crate::suspect::cases::{Case, Group, Table, outcome};
use crate::suspect::exact::{Stratum, probability_of_so_many};
use crate::suspect::fleet::Fleet;

/// A group of updates after which one service fails significantly more often.
#[derive(Debug)]
pub(super) struct Accused<'a> {
    pub(super) group: &'a Group,
    pub(super) table: Table,
    pub(super) p: f64,
    pub(super) q: f64,
}

/// Each by itself: whether it adds to the other is one question, asked of the few that are accused already.
const LEVEL: f64 = 0.05;

/// What is left, as bundles that cannot be told apart; the strongest of each first.
pub(super) fn tell_apart<'a>(fleet: &Fleet, service: u32, mut accused: Vec<Accused<'a>>) -> Vec<Vec<Accused<'a>>> {
    accused.sort_by(|a, b| a.p.total_cmp(&b.p).then_with(|| a.group.kbs.cmp(&b.group.kbs)));
    let mut let_go = BTreeSet::new();
    let mut joined = Vec::new();
    for first in 0..accused.len() {
        for second in first + 1..accused.len() {
            let (one, other) = (accused[first].group, accused[second].group);
            if !share_cases(one, other) {
                continue;
            }
            match (adds(fleet, service, one, other), adds(fleet, service, other, one)) {
                (true, true) => {}
                (true, false) => drop(let_go.insert(second)),
                (false, true) => drop(let_go.insert(first)),
                (false, false) => joined.push((first, second)),
            }
        }
    }
    // Bundles of what is left: places that are joined take the lowest of them.
    let mut bundle_of: Vec<usize> = (0..accused.len()).collect();
    for (first, second) in
        joined.into_iter().filter(|(first, second)| !let_go.contains(first) && !let_go.contains(second))
    {
        let (low, high) = (bundle_of[first].min(bundle_of[second]), bundle_of[first].max(bundle_of[second]));
        for bundle in bundle_of.iter_mut().filter(|bundle| **bundle == high) {
            *bundle = low;
        }
    }
    let mut bundles: BTreeMap<usize, Vec<Accused<'a>>> = BTreeMap::new();
    for (place, accused) in accused.into_iter().enumerate().filter(|(place, _)| !let_go.contains(place)) {
        bundles.entry(bundle_of[place]).or_default().push(accused);
    }
    bundles.into_values().collect()
}

fn share_cases(one: &Group, other: &Group) -> bool {
    let other: BTreeSet<Case> = other.exposed.iter().copied().collect();
    one.exposed.iter().any(|case| other.contains(case))
}

/// Whether `one` still comes with more failures where `other` is on all compared hosts or on none.
fn adds(fleet: &Fleet, service: u32, one: &Group, other: &Group) -> bool {
    let has_other: BTreeSet<usize> = other.exposed.iter().map(|case| case.host).collect();
    let has_one: BTreeSet<usize> = one.exposed.iter().map(|case| case.host).collect();
    let named = |group: &Group, host: usize| group.kbs.iter().any(|kb| fleet.hosts[host].installed(*kb).is_some());
    // By class, and by whether the other is there.
    let mut sides: BTreeMap<(u32, bool), (Vec<Case>, Vec<Case>)> = BTreeMap::new();
    let class = |case: &Case| fleet.hosts[case.host].class;
    for case in &one.exposed {
        let with = has_other.contains(&case.host);
        if with || !named(other, case.host) {
            sides.entry((class(case), with)).or_default().0.push(*case);
        }
    }
    for case in other.exposed.iter().filter(|case| !has_one.contains(&case.host) && !named(one, case.host)) {
        sides.entry((class(case), true)).or_default().1.push(*case);
    }
    for case in one.waves.iter().flat_map(|wave| &wave.compared).filter(|case| !named(other, case.host)) {
        sides.entry((class(case), false)).or_default().1.push(*case);
    }
    let strata: Vec<Stratum> = sides
        .values()
        .map(|(with, without)| {
            let (exposed, compared) = (outcome(fleet, service, with, None), outcome(fleet, service, without, None));
            Stratum {
                exposed: exposed.hosts,
                exposed_failed: exposed.failed,
                compared: compared.hosts,
                compared_failed: compared.failed,
            }
        })
        .collect();
    probability_of_so_many(&strata, 0.0) <= LEVEL
}
