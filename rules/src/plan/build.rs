//! Puts what was asked for in order, less what is done, with what the facts say of before.

use std::collections::{BTreeMap, BTreeSet};

use super::collect::{self, Asked, Collected, Stage};
use super::deed::Deed;
use super::words::{self as say, Way};
use super::{FindingRef, Plan, PlanStep, UndoStep};
use crate::blocked::Holder;
use crate::catalog::Claim;
use crate::facts::{OsGeneration, SocketState};
use crate::finding::Restart;
use crate::ports::{Family, Port, PortRange, Protocol};
use crate::remedy::{self, Former, RangeList, fixed_port};
use crate::view::View;
use crate::words;

const DNS: &str = "DNS";

pub(super) fn plan(mut collected: Collected, view: &View<'_>) -> Plan {
    let mut excluded = exclusions(&mut collected, view);
    let mut builder = Builder { view, steps: Vec::new() };
    let after = std::mem::take(&mut excluded.1);
    builder.before_restart(&collected, excluded.0);
    let steps = std::mem::take(&mut builder.steps);
    builder.after_restart(&collected, after, &steps);
    let after_restart = std::mem::take(&mut builder.steps);
    let restart = steps.iter().map(|step| step.restart).max_by_key(|restart| weight(*restart));
    let undo = undo(&steps, &after_restart);
    let host = view.host();
    Plan {
        host: host.map(|host| host.name.to_string()).unwrap_or_default(),
        os: host.map(|host| host.os.clone()),
        collected_at: view.facts.collected_at,
        restart: restart.unwrap_or(Restart::None),
        steps,
        after_restart,
        by_hand: collected.by_hand,
        undo,
    }
}

fn weight(restart: Restart) -> u8 {
    match restart {
        Restart::None => 0,
        Restart::Service => 1,
        Restart::Server => 2,
    }
}

/// Exclusions before the restart and after it.
type Exclusions = BTreeMap<(Protocol, Family), Asked<Vec<PortRange>>>;

/// What is to be excluded and is not yet. Whoever holds a port of it is stopped as well, its rightful owner too; what
/// cannot be stopped gives its port back at the restart, so that the exclusion waits for that.
fn exclusions(collected: &mut Collected, view: &View<'_>) -> (Exclusions, Exclusions) {
    let (mut now, mut later) = (Exclusions::new(), Exclusions::new());
    for ((stage, protocol, family), asked) in std::mem::take(&mut collected.excluded) {
        let ports = asked.what.iter().flat_map(|range| range.start()..=range.end());
        let missing = remedy::missing(protocol, family, ports, view);
        for number in missing.iter().flat_map(|range| range.start()..=range.end()) {
            let port = Port { protocol, number };
            let held = holders(port, view);
            if held.contains(&HeldBy::ItsOwner) {
                continue;
            }
            let waits = stage == Stage::AfterRestart || held.contains(&HeldBy::Windows);
            if waits {
                collected.restart.extend(asked.by.iter().cloned());
            }
            for service in held.iter().filter_map(HeldBy::service).filter(|_| !waits) {
                for by in &asked.by {
                    collected.stop(service, by);
                    collected.start(Stage::Now, service, by);
                }
            }
            let into = if waits { &mut later } else { &mut now };
            let entry = into.entry((protocol, family)).or_default();
            entry.what.push(PortRange::single(number));
            entry.by.extend(asked.by.iter().cloned());
        }
    }
    for asked in now.values_mut().chain(later.values_mut()) {
        asked.what = words::merged(std::mem::take(&mut asked.what));
    }
    (now, later)
}

#[derive(PartialEq, Eq)]
enum HeldBy {
    Service(String),
    /// A part that cannot be stopped.
    Windows,
    /// Such a part, which claims this very port: nothing is reserved against it.
    ItsOwner,
    /// A program that is no service, or none that is known: the remedy's own steps tell of it.
    Program,
}

impl HeldBy {
    fn service(&self) -> Option<&str> {
        match self {
            Self::Service(name) => Some(name),
            Self::Windows | Self::ItsOwner | Self::Program => None,
        }
    }
}

fn holders(port: Port, view: &View<'_>) -> Vec<HeldBy> {
    let bound = view.sockets_on(port).iter().filter(|socket| socket.state != SocketState::Connected);
    let held = bound.map(|socket| {
        let services: Vec<&str> = view.services_of(socket).collect();
        let is_vital = Holder::is_vital(socket, &services);
        let claims =
            |claim: &Claim| claim.kernel || services.iter().any(|name| claim.service.eq_ignore_ascii_case(name));
        match services.as_slice() {
            _ if is_vital && view.catalog.claims_on(port).any(claims) => HeldBy::ItsOwner,
            _ if is_vital => HeldBy::Windows,
            &[only] => HeldBy::Service(only.to_owned()),
            _ => HeldBy::Program,
        }
    });
    held.collect()
}

struct Builder<'a, 'b> {
    view: &'b View<'a>,
    steps: Vec<PlanStep>,
}

impl Builder<'_, '_> {
    fn before_restart(&mut self, collected: &Collected, excluded: Exclusions) {
        for asked in collected.stops.values() {
            self.push(Deed::Stop { service: asked.what.clone() }, &asked.by);
        }
        self.exclude(excluded);
        for (&list, asked) in &collected.reserved {
            self.reserve(list, asked);
        }
        for (&(protocol, family), asked) in &collected.moved {
            let former = collect::former_range(protocol, family, self.view);
            let Some(range) = asked.what.filter(|range| former.is_none_or(|former| former.start() < range.start()))
            else {
                continue;
            };
            self.push(Deed::MoveRange { protocol, family, range, former }, &asked.by);
        }
        for ((key, name), asked) in &collected.values {
            let Some(data) = &asked.what else { continue };
            let former = fixed_port::current(key, name, self.view);
            if former == Former::Was(data.clone()) {
                continue;
            }
            let deed = Deed::SetValue { key: key.clone(), name: name.clone(), data: data.clone(), former };
            self.push(deed, &asked.by);
        }
        // Those that lost a port before those that had to let go of it.
        let is_stopped = |name: &String| collected.stops.contains_key(name);
        let starts = || collected.starts.iter().filter(|((stage, _), _)| *stage == Stage::Now);
        for ((_, name), asked) in starts().filter(|((_, name), _)| !is_stopped(name)) {
            if !collect::is_running(name, self.view) {
                self.push(Deed::Start { service: asked.what.clone() }, &asked.by);
            }
        }
        for (_, asked) in starts().filter(|((_, name), _)| is_stopped(name)) {
            self.push(Deed::Start { service: asked.what.clone() }, &asked.by);
        }
        for (kb, asked) in &collected.uninstalled {
            let Some(removal) = asked.what.clone() else { continue };
            self.push(Deed::Uninstall { kb: kb.clone(), removal }, &asked.by);
        }
        if !collected.restart.is_empty() {
            self.push(Deed::RestartServer, &collected.restart);
        }
    }

    fn after_restart(&mut self, collected: &Collected, excluded: Exclusions, before: &[PlanStep]) {
        self.exclude(excluded);
        for ((stage, _), asked) in &collected.starts {
            let deed = Deed::Start { service: asked.what.clone() };
            // What is started before the restart, or runs already, Windows starts by itself.
            let is_known = before.iter().any(|step| step.deed == deed) || collect::is_running(&asked.what, self.view);
            if *stage == Stage::AfterRestart && !is_known {
                self.push(deed, &asked.by);
            }
        }
    }

    fn exclude(&mut self, excluded: Exclusions) {
        for ((protocol, family), asked) in excluded {
            for range in asked.what {
                self.push(Deed::Exclude { protocol, family, range }, &asked.by);
            }
        }
    }

    /// Without what the list holds already, and without ports that the taker itself claims by number.
    fn reserve(&mut self, list: RangeList, asked: &Asked<Vec<PortRange>>) {
        let former = collect::former_ranges(list, self.view);
        let is_own = |number: u16| {
            let port = Port { protocol: Protocol::Udp, number };
            let mut claims = self.view.catalog.claims_on(port);
            list == RangeList::DnsPool && claims.any(|claim| claim.service.eq_ignore_ascii_case(DNS))
        };
        let is_held = |number: u16| former.into_iter().flatten().any(|range| range.contains(number));
        let ports = asked.what.iter().flat_map(|range| range.start()..=range.end());
        let added = words::ranges(ports.filter(|&number| !is_own(number) && !is_held(number)));
        if !added.is_empty() {
            self.push(Deed::AddRanges { list, added, former: former.map(<[PortRange]>::to_vec) }, &asked.by);
        }
    }

    fn push(&mut self, deed: Deed, by: &BTreeSet<FindingRef>) {
        let generation = self.view.generation().unwrap_or(OsGeneration::Other);
        self.steps.push(PlanStep {
            text: say::text(&deed, Way::There),
            commands: deed.commands(),
            precondition: say::precondition(&deed, generation),
            risk: say::risk(&deed, generation),
            restart: say::restart(&deed),
            undo: say::undo(&deed),
            proven_when: say::proven_when(&deed),
            findings: by.iter().cloned().collect(),
            deed,
        });
    }
}

/// Takes what stays changed back, the last first; then whoever read it at its start is started anew.
fn undo(steps: &[PlanStep], after_restart: &[PlanStep]) -> Vec<UndoStep> {
    let lasting = |step: &&PlanStep| step.undo.is_some();
    let taken_back: Vec<&PlanStep> = steps.iter().chain(after_restart).filter(lasting).collect();
    let mut undo: Vec<UndoStep> = taken_back
        .iter()
        .rev()
        .map(|step| match step.deed.inverse() {
            Some(deed) => UndoStep { text: say::text(&deed, Way::Back), commands: deed.commands(), deed: Some(deed) },
            None => UndoStep { deed: None, text: step.undo.clone().unwrap_or_default(), commands: Vec::new() },
        })
        .collect();
    let reads_pool = |step: &&PlanStep| matches!(step.deed, Deed::AddRanges { list: RangeList::DnsPool, .. });
    let mut follow = |deed: Deed| {
        undo.push(UndoStep { text: say::text(&deed, Way::Back), commands: deed.commands(), deed: Some(deed) });
    };
    if taken_back.iter().any(reads_pool) {
        follow(Deed::Stop { service: DNS.to_owned() });
        follow(Deed::Start { service: DNS.to_owned() });
    }
    if taken_back.iter().any(|step| step.restart == Restart::Server) {
        follow(Deed::RestartServer);
    }
    undo
}
