//! What the findings of a host ask for, each thing once, with the findings that ask for it.
//!
//! A finding whose changes the facts show as made asks for nothing. An update is never removed on a mere possibility, and
//! what has no data is for a person: both stand under [`ByHand`].

use std::collections::{BTreeMap, BTreeSet};

use super::{ByHand, FindingRef};
use crate::facts::{Section, ServiceState};
use crate::finding::{Confidence, Finding, Judgement, Step};
use crate::ports::{Family, PortRange, Protocol};
use crate::remedy::{self, Change, Data, Former, RangeList, Removal, fixed_port};
use crate::view::{Presence, View};

/// Before the restart, or when the server is up again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Now,
    AfterRestart,
}

/// Something with the findings that ask for it.
#[derive(Debug, Default)]
pub(super) struct Asked<T> {
    pub(super) what: T,
    pub(super) by: BTreeSet<FindingRef>,
}

type Ranges = Asked<Vec<PortRange>>;

#[derive(Debug, Default)]
pub(super) struct Collected {
    /// By name in lower case; the name as it is.
    pub(super) stops: BTreeMap<String, Asked<String>>,
    /// Those that are to run, whether or not they do.
    pub(super) starts: BTreeMap<(Stage, String), Asked<String>>,
    pub(super) reserved: BTreeMap<RangeList, Ranges>,
    pub(super) excluded: BTreeMap<(Stage, Protocol, Family), Ranges>,
    pub(super) moved: BTreeMap<(Protocol, Family), Asked<Option<PortRange>>>,
    /// By key and name.
    pub(super) values: BTreeMap<(String, String), Asked<Option<Data>>>,
    pub(super) uninstalled: BTreeMap<String, Asked<Option<Removal>>>,
    pub(super) restart: BTreeSet<FindingRef>,
    pub(super) by_hand: Vec<ByHand>,
}

pub(super) fn of(judgement: &Judgement, view: &View<'_>) -> Collected {
    let mut findings: Vec<&Finding> = judgement.findings.iter().collect();
    findings.sort_by(|a, b| (&a.rule, &a.subject).cmp(&(&b.rule, &b.subject)));
    let mut collected = Collected::default();
    for finding in findings {
        collected.take(finding, view);
    }
    collected
}

impl Collected {
    fn take(&mut self, finding: &Finding, view: &View<'_>) {
        let steps = &finding.remedy.steps;
        let by = FindingRef { rule: finding.rule.clone(), subject: finding.subject.clone() };
        if is_done(steps, view) {
            return;
        }
        let is_possible = finding.confidence == Confidence::Possible;
        let removes = |change: &Change| matches!(change, Change::Uninstall { .. } | Change::SetValue { .. });
        let is_unsure = is_possible
            && finding.rule.starts_with("bad-update/")
            && steps.iter().flat_map(|step| &step.changes).any(removes);
        let hand: Vec<Step> = if is_unsure {
            let first = "This is only possible: see first whether it is so on this host.";
            let all = steps.iter().map(|step| Step { changes: Vec::new(), ..step.clone() });
            std::iter::once(Step { text: first.to_owned(), command: None, changes: Vec::new() }).chain(all).collect()
        } else {
            steps.iter().filter(|step| step.changes.is_empty()).cloned().collect()
        };
        if !hand.is_empty() {
            self.by_hand.push(ByHand { finding: by.clone(), title: finding.title.clone(), steps: hand });
        }
        if is_unsure {
            return;
        }
        let mut stage = Stage::Now;
        for change in steps.iter().flat_map(|step| &step.changes) {
            self.add(change, stage, &by);
            if *change == Change::RestartServer {
                stage = Stage::AfterRestart;
            }
        }
    }

    fn add(&mut self, change: &Change, stage: Stage, by: &FindingRef) {
        match change {
            Change::Stop { service } => self.stop(service, by),
            Change::Start { service } => self.start(stage, service, by),
            Change::Restart { service } => {
                self.stop(service, by);
                self.start(stage, service, by);
            }
            Change::Reserve { list, ranges } => self.reserved.entry(*list).or_default().add_all(ranges, by),
            Change::Exclude { protocol, family, range } => {
                self.excluded.entry((stage, *protocol, *family)).or_default().add_all(&[*range], by);
            }
            Change::MoveRange { protocol, family, range } => {
                let asked = self.moved.entry((*protocol, *family)).or_default();
                // The smaller one leaves out the ports of both.
                asked.what = asked.what.max(Some(*range));
                asked.by.insert(by.clone());
            }
            Change::SetValue { key, name, data } => {
                let asked = self.values.entry((key.clone(), name.clone())).or_default();
                asked.what = asked.what.take().or_else(|| Some(data.clone()));
                asked.by.insert(by.clone());
            }
            Change::Uninstall { kb, removal } => {
                let asked = self.uninstalled.entry(kb.clone()).or_default();
                asked.what = asked.what.take().or_else(|| Some(removal.clone()));
                asked.by.insert(by.clone());
            }
            Change::RestartServer => {
                self.restart.insert(by.clone());
            }
        }
    }

    pub(super) fn stop(&mut self, service: &str, by: &FindingRef) {
        let asked = self.stops.entry(service.to_lowercase()).or_default();
        service.clone_into(&mut asked.what);
        asked.by.insert(by.clone());
    }

    pub(super) fn start(&mut self, stage: Stage, service: &str, by: &FindingRef) {
        let asked = self.starts.entry((stage, service.to_lowercase())).or_default();
        service.clone_into(&mut asked.what);
        asked.by.insert(by.clone());
    }
}

impl Ranges {
    fn add_all(&mut self, ranges: &[PortRange], by: &FindingRef) {
        self.what.extend(ranges);
        self.by.insert(by.clone());
    }
}

/// The facts show everything that stays changed as made. Stopping and restarting leave no trace, and so say nothing.
fn is_done(steps: &[Step], view: &View<'_>) -> bool {
    let lasting =
        |change: &&Change| !matches!(change, Change::Stop { .. } | Change::Restart { .. } | Change::RestartServer);
    let mut lasting = steps.iter().flat_map(|step| &step.changes).filter(lasting).peekable();
    lasting.peek().is_some() && lasting.all(|change| is_made(change, view))
}

fn is_made(change: &Change, view: &View<'_>) -> bool {
    match change {
        Change::Stop { .. } | Change::Restart { .. } | Change::RestartServer => false,
        Change::Start { service } => is_running(service, view),
        Change::Reserve { list, ranges } => {
            let Some(former) = former_ranges(*list, view) else { return false };
            let holds = |port: u16| former.iter().any(|range| range.contains(port));
            ranges.iter().all(|range| (range.start()..=range.end()).all(holds))
        }
        Change::Exclude { protocol, family, range } => {
            remedy::missing(*protocol, *family, range.start()..=range.end(), view).is_empty()
        }
        Change::MoveRange { protocol, family, range } => {
            former_range(*protocol, *family, view).is_some_and(|former| former.start() >= range.start())
        }
        Change::SetValue { key, name, data } => fixed_port::current(key, name, view) == Former::Was(data.clone()),
        Change::Uninstall { kb, .. } => {
            matches!(view.facts.updates, Section::Known(_)) && !matches!(view.presence(kb), Presence::Installed(_))
        }
    }
}

pub(super) fn is_running(service: &str, view: &View<'_>) -> bool {
    view.service(service).is_some_and(|service| service.state == ServiceState::Running)
}

/// As the list holds them. `None`: not read.
pub(super) fn former_ranges<'a>(list: RangeList, view: &View<'a>) -> Option<&'a [PortRange]> {
    match list {
        RangeList::ReservedPorts => view.policy_value(|policy| &policy.reserved_ports).ok().map(Vec::as_slice),
        RangeList::DnsPool => {
            view.policy_value(|policy| &policy.dns_socket_pool).ok().map(|pool| pool.excluded.as_slice())
        }
    }
}

/// The dynamic range as it is. `None`: not read.
pub(super) fn former_range(protocol: Protocol, family: Family, view: &View<'_>) -> Option<PortRange> {
    let ranges = view.policy_value(|policy| &policy.dynamic_ranges).ok()?;
    ranges.iter().find(|range| range.protocol == protocol && range.family == family).map(|range| range.range)
}
