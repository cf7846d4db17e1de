//! Suspect updates, learned from the fleet: after which updates do services fail more often than on comparable hosts
//! without them? Pure: stories of hosts in, suspects out.
//!
//! Each update is judged by the 72 hours after its first boot on each host ([`cases`]), by an exact test over strata of
//! comparable hosts ([`exact`]). Many tests would raise false suspects by chance; discovery rates over all pairs of update
//! and service pay for them. Updates that came with the same boots are one suspect ([`apart`]): nothing seen here can
//! tell which of them it is. [`rule`] brings a suspect to the hosts that have it.
//!
//! Invariant: which pairs are tested depends on how many hosts there are and how many failed, never on which of them had
//! the update; otherwise the stated rate of false suspects would not hold.

mod apart;
mod cases;
mod exact;
mod fleet;
pub(crate) mod rule;

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::suspect::apart::{Accused, tell_apart};
use crate::suspect::cases::{Group, Table};
use crate::suspect::exact::Tested;
use crate::text::Text;

pub use crate::suspect::fleet::{Fleet, FleetHost, Installed, Trouble};

/// Failures count that long after the first boot with the update, and hosts that failed as long before it do not.
pub const WINDOW: TimeDelta = TimeDelta::hours(72);
/// Of all suspects that are named at one time, at most this share is wrong on average. The fleet is looked at again and
/// again, and the stated five per cent hold over all times.
pub const DISCOVERY_RATE: f64 = 0.02;
/// Fewer hosts with the update tell nothing.
pub const EXPOSED_AT_LEAST: u32 = 5;
/// Fewer hosts without it tell nothing.
pub const COMPARED_AT_LEAST: u32 = 10;
/// Fewer failures tell nothing.
pub const FAILED_AT_LEAST: u32 = 3;
/// A smaller rise of the share that fails is no suspicion, however sure.
pub const RISE_AT_LEAST: f64 = 0.02;

/// An update, or several that cannot be told apart, after which a service fails more often. Identity: (KBs, service).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Suspect {
    /// In order. Several: they came with the same boots.
    pub kbs: Vec<String>,
    /// SCM key name.
    pub service: String,
    /// Hosts with the update.
    pub exposed: Outcome,
    /// Comparable hosts without it.
    pub compared: Outcome,
    /// Clients of which hosts failed with it.
    pub clients: u32,
    /// Whether all that was compared booted in the same weeks. Otherwise some did in the weeks before.
    pub same_weeks: bool,
    /// By how much the share that fails is higher, over comparable hosts: 0.1 for ten points.
    pub rise: f64,
    /// The lower end of the exact 95 % interval of the odds ratio.
    pub odds_ratio_at_least: f64,
    /// Of the exact test.
    pub p: f64,
    /// The share of false ones among all suspects of this q and less.
    pub q: f64,
    /// Hosts that failed with it, of the client whose host is judged. Others are counted above and not named.
    #[serde(default)]
    pub hosts_here: Vec<Text>,
}

/// How many of how many hosts failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub failed: u32,
    pub hosts: u32,
}

/// What the fleet says at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Learned {
    /// The least likely to be false first.
    pub suspects: Vec<Evident>,
    pub untold: Vec<Untold>,
    /// Pairs of update and service that were tested.
    pub tests: usize,
}

/// A suspect with the hosts behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Evident {
    pub suspect: Suspect,
    /// Hosts with the update that count, in order.
    pub hosts: Vec<Behind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Behind {
    /// Place in [`Fleet::hosts`].
    pub host: usize,
    pub failed: bool,
}

/// Services failed after an update, and too few comparable hosts are without it: cannot tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Untold {
    pub kbs: Vec<String>,
    pub service: String,
    pub exposed: Outcome,
    pub compared: u32,
}

/// What is to be learned of the fleet.
pub fn learn(fleet: &Fleet) -> Learned {
    let groups = cases::groups(fleet);
    let mut untold = Vec::new();
    let mut tested: Vec<(&Group, u32, Table)> = Vec::new();
    for group in &groups {
        for (service, table) in group.tables(fleet) {
            if table.decides() {
                tested.push((group, service, table));
            } else if table.all_exposed.failed >= FAILED_AT_LEAST && table.compared.hosts < COMPARED_AT_LEAST {
                untold.push(Untold {
                    kbs: names(group.kbs.iter().copied(), fleet),
                    service: fleet.service(service).to_owned(),
                    exposed: table.all_exposed,
                    compared: table.compared.hosts,
                });
            }
        }
    }
    let tests = tested.len();
    let judged: Vec<Tested> = tested
        .iter()
        .map(|(_, _, table)| Tested {
            p: exact::probability_of_so_many(&table.strata, 0.0),
            smallest: exact::smallest_probability(&table.strata),
        })
        .collect();
    let q = exact::discovery_rates(&judged, DISCOVERY_RATE);
    let mut accused: BTreeMap<u32, Vec<Accused<'_>>> = BTreeMap::new();
    for (((group, service, table), Tested { p, .. }), q) in tested.into_iter().zip(judged).zip(q) {
        let stands = q <= DISCOVERY_RATE
            && table.exposed.failed >= FAILED_AT_LEAST
            && exact::risk_difference(&table.strata) >= RISE_AT_LEAST;
        if stands {
            accused.entry(service).or_default().push(Accused { group, table, p, q });
        }
    }
    let mut suspects = Vec::new();
    for (service, accused) in accused {
        let bundles = tell_apart(fleet, service, accused);
        suspects.extend(bundles.iter().filter_map(|bundle| evident(fleet, service, bundle)));
    }
    suspects.sort_by(|a, b| {
        let (a, b) = (&a.suspect, &b.suspect);
        a.q.total_cmp(&b.q).then_with(|| (&a.kbs, &a.service).cmp(&(&b.kbs, &b.service)))
    });
    Learned { suspects, untold, tests }
}

/// A bundle of updates as one suspect, with the counts of the strongest.
fn evident(fleet: &Fleet, service: u32, bundle: &[Accused<'_>]) -> Option<Evident> {
    let strongest = bundle.first()?;
    let table = &strongest.table;
    let failed = table.behind.iter().filter(|behind| behind.failed);
    let clients: BTreeSet<i32> = failed.map(|behind| fleet.hosts[behind.host].client).collect();
    let suspect = Suspect {
        kbs: names(bundle.iter().flat_map(|accused| accused.group.kbs.iter().copied()), fleet),
        service: fleet.service(service).to_owned(),
        exposed: table.exposed,
        compared: table.compared,
        clients: u32::try_from(clients.len()).unwrap_or(u32::MAX),
        same_weeks: table.same_weeks,
        rise: exact::risk_difference(&table.strata),
        odds_ratio_at_least: exact::odds_ratio_at_least(&table.strata),
        p: strongest.p,
        q: strongest.q,
        hosts_here: Vec::new(),
    };
    Some(Evident { suspect, hosts: table.behind.clone() })
}

fn names(kbs: impl Iterator<Item = u32>, fleet: &Fleet) -> Vec<String> {
    let names: BTreeSet<&str> = kbs.map(|kb| fleet.kb(kb)).collect();
    names.into_iter().map(str::to_owned).collect()
}
