//! Who is compared with whom. For each update the hosts with it, by class and by the week of the first boot with it: a
//! wave; and for each wave hosts of that class that have not got it by then, with a boot of their own.
//!
//! A host is compared once for an update: with the wave of the week of its boot or else with one of the four weeks that
//! follow. Boots of weeks before count only where a wave has too few of its own week: another week may have had another
//! trouble. A host that failed in the window before its boot counts neither way.
//!
//! Invariant: nothing here looks at what failed to choose who is compared.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::suspect::exact::Stratum;
use crate::suspect::fleet::{Fleet, FleetHost};
use crate::suspect::{Behind, COMPARED_AT_LEAST, EXPOSED_AT_LEAST, FAILED_AT_LEAST, Outcome, WINDOW};

/// An update that ends what the boot began, such as a cumulative one, is installed when the boot is a few minutes old.
const BOOT_TAKES: TimeDelta = TimeDelta::minutes(30);
/// How many weeks before a wave a boot may lie that is compared with it: rings that restart once a month follow each other
/// within four.
const WEEKS_BEFORE: i64 = 4;
/// With so many boots of its own week, a wave needs none of weeks before.
const ENOUGH: usize = 20;

/// Updates that came with the same boots to the same hosts.
#[derive(Debug)]
pub(super) struct Group {
    /// Places in [`Fleet::kbs`], in order.
    pub(super) kbs: Vec<u32>,
    pub(super) exposed: Vec<Case>,
    pub(super) waves: Vec<Wave>,
}

/// A host in the window that follows one of its boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Case {
    /// Place in [`Fleet::hosts`].
    pub(super) host: usize,
    pub(super) boot: DateTime<Utc>,
}

/// Hosts of one class whose first boot with the update was in one week, and those that they are compared with.
#[derive(Debug, Default)]
pub(super) struct Wave {
    pub(super) exposed: Vec<Case>,
    pub(super) compared: Vec<Case>,
    /// Whether all that are compared booted in that week.
    pub(super) same_week: bool,
}

/// What became of one service in the cases of a group.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) strata: Vec<Stratum>,
    /// Of strata that compare.
    pub(super) exposed: Outcome,
    pub(super) compared: Outcome,
    /// Also of those that do not.
    pub(super) all_exposed: Outcome,
    pub(super) same_weeks: bool,
    pub(super) behind: Vec<Behind>,
}

impl Table {
    /// Whether it is tested: margins only, see the invariant of [`crate::suspect`].
    pub(super) fn decides(&self) -> bool {
        self.exposed.hosts >= EXPOSED_AT_LEAST
            && self.compared.hosts >= COMPARED_AT_LEAST
            && self.exposed.failed + self.compared.failed >= FAILED_AT_LEAST
    }
}

/// What became of a service of a host in the window of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The host has no such service, or it failed before already.
    Aside,
    Well,
    Failed,
}

pub(super) fn fate(host: &FleetHost, case: Case, service: u32) -> Fate {
    if !host.has(service) {
        return Fate::Aside;
    }
    let own = || host.troubles.iter().filter(|trouble| trouble.service == service);
    if own().any(|trouble| trouble.at < case.boot && trouble.until >= case.boot - WINDOW) {
        return Fate::Aside;
    }
    let failed = own().any(|trouble| trouble.at >= case.boot && trouble.at <= case.boot + WINDOW);
    if failed { Fate::Failed } else { Fate::Well }
}

/// All updates that enough hosts got while they were seen, by what came together.
pub(super) fn groups(fleet: &Fleet) -> Vec<Group> {
    let mut by_kb: BTreeMap<u32, Vec<Case>> = BTreeMap::new();
    for (place, host) in fleet.hosts.iter().enumerate() {
        for update in &host.updates {
            if let Some(boot) = update.at.and_then(|at| first_boot(host, at)).filter(|boot| is_whole(host, *boot)) {
                by_kb.entry(update.kb).or_default().push(Case { host: place, boot });
            }
        }
    }
    let mut together: BTreeMap<Vec<Case>, Vec<u32>> = BTreeMap::new();
    for (kb, cases) in by_kb {
        if u32::try_from(cases.len()).is_ok_and(|cases| cases >= EXPOSED_AT_LEAST) {
            together.entry(cases).or_default().push(kb);
        }
    }
    let by_class = by_class(fleet);
    together.into_iter().map(|(exposed, kbs)| Group::new(kbs, exposed, fleet, &by_class)).collect()
}

impl Group {
    fn new(kbs: Vec<u32>, exposed: Vec<Case>, fleet: &Fleet, by_class: &BTreeMap<u32, Vec<usize>>) -> Self {
        let mut by_week: BTreeMap<u32, BTreeMap<i64, Wave>> = BTreeMap::new();
        for case in &exposed {
            let waves = by_week.entry(fleet.hosts[case.host].class).or_default();
            waves.entry(week(case.boot)).or_default().exposed.push(*case);
        }
        for (class, waves) in &mut by_week {
            for &place in by_class.get(class).into_iter().flatten() {
                let Some((week, boot)) = comparison(&fleet.hosts[place], &kbs, waves) else { continue };
                waves.entry(week).or_default().compared.push(Case { host: place, boot });
            }
            for (own, wave) in waves.iter_mut() {
                let is_of_week = |case: &Case| week(case.boot) == *own;
                if wave.compared.iter().filter(|case| is_of_week(case)).count() >= ENOUGH {
                    wave.compared.retain(is_of_week);
                }
                wave.same_week = wave.compared.iter().all(is_of_week);
            }
        }
        Self { kbs, exposed, waves: by_week.into_values().flat_map(BTreeMap::into_values).collect() }
    }

    /// For each service of which enough failures were seen.
    pub(super) fn tables(&self, fleet: &Fleet) -> Vec<(u32, Table)> {
        let mut failures: BTreeMap<u32, u32> = BTreeMap::new();
        for case in self.waves.iter().flat_map(|wave| wave.exposed.iter().chain(&wave.compared)) {
            for trouble in &fleet.hosts[case.host].troubles {
                if trouble.at >= case.boot && trouble.at <= case.boot + WINDOW {
                    *failures.entry(trouble.service).or_default() += 1;
                }
            }
        }
        let enough = failures.into_iter().filter(|(_, count)| *count >= FAILED_AT_LEAST);
        enough.map(|(service, _)| (service, self.table(fleet, service))).collect()
    }

    fn table(&self, fleet: &Fleet, service: u32) -> Table {
        let mut table = Table { same_weeks: true, ..Table::default() };
        for wave in &self.waves {
            let mut behind = Vec::new();
            let exposed = outcome(fleet, service, &wave.exposed, Some(&mut behind));
            let compared = outcome(fleet, service, &wave.compared, None);
            table.all_exposed.add(exposed);
            let stratum = Stratum {
                exposed: exposed.hosts,
                exposed_failed: exposed.failed,
                compared: compared.hosts,
                compared_failed: compared.failed,
            };
            if stratum.compares() {
                table.exposed.add(exposed);
                table.compared.add(compared);
                table.strata.push(stratum);
                table.behind.append(&mut behind);
                table.same_weeks &= wave.same_week;
            }
        }
        table.behind.sort_unstable();
        table
    }
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.hosts += other.hosts;
        self.failed += other.failed;
    }
}

pub(super) fn outcome(fleet: &Fleet, service: u32, cases: &[Case], mut behind: Option<&mut Vec<Behind>>) -> Outcome {
    let mut outcome = Outcome::default();
    for case in cases {
        let failed = match fate(&fleet.hosts[case.host], *case, service) {
            Fate::Aside => continue,
            Fate::Well => false,
            Fate::Failed => true,
        };
        outcome.hosts += 1;
        outcome.failed += u32::from(failed);
        if let Some(behind) = &mut behind {
            behind.push(Behind { host: case.host, failed });
        }
    }
    outcome
}

/// The first boot with what was installed at `at`. `None`: there was none, or it may have been one that was not seen.
fn first_boot(host: &FleetHost, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let place = host.boots.partition_point(|boot| *boot < at - BOOT_TAKES);
    (place > 0).then(|| host.boots.get(place).copied()).flatten()
}

/// Whether the host was seen from the window before `boot` to the end of the one after it.
fn is_whole(host: &FleetHost, boot: DateTime<Utc>) -> bool {
    host.seen_from <= boot - WINDOW && boot + WINDOW <= host.seen_until
}

fn by_class(fleet: &Fleet) -> BTreeMap<u32, Vec<usize>> {
    let mut by_class: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (place, host) in fleet.hosts.iter().enumerate() {
        by_class.entry(host.class).or_default().push(place);
    }
    by_class
}

/// The wave, by its week, that a host is compared with, and by which boot: one of its own week, else the one that has the
/// fewest to be compared with.
fn comparison(host: &FleetHost, kbs: &[u32], waves: &BTreeMap<i64, Wave>) -> Option<(i64, DateTime<Utc>)> {
    let mut without_until = None;
    for installed in kbs.iter().filter_map(|kb| host.installed(*kb)) {
        let at = installed.at?;
        without_until = Some(without_until.map_or(at, |earliest: DateTime<Utc>| earliest.min(at)));
    }
    let got_it = without_until.map_or(i64::MAX, week);
    let is_without = |boot: DateTime<Utc>| without_until.is_none_or(|until| boot + WINDOW <= until);
    let mut best: Option<((bool, usize, i64), DateTime<Utc>)> = None;
    // The latest first: of equals it is kept.
    for &boot in host.boots.iter().rev().filter(|boot| is_without(**boot) && is_whole(host, **boot)) {
        let own = week(boot);
        for (&week, wave) in waves.range(own..=own + WEEKS_BEFORE).filter(|(week, _)| **week < got_it) {
            let crowd = wave.compared.len() * 1000 / wave.exposed.len().max(1);
            let key = (week != own, crowd, week);
            if best.is_none_or(|(best, _)| key < best) {
                best = Some((key, boot));
            }
        }
    }
    best.map(|((_, _, week), boot)| (week, boot))
}

/// Weeks from Monday to Sunday, counted: updates come on weekends too.
fn week(at: DateTime<Utc>) -> i64 {
    const DAY: i64 = 86_400;
    // 1 January 1970 was a Thursday.
    (at.timestamp() + 3 * DAY).div_euclid(7 * DAY)
}
