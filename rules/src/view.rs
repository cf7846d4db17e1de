//! Facts, indexed once for all rules of one judgement. Sections that are unknown stay unknown here.
//!
//! Invariant: every list is in an order of its own, so that no rule can depend on the order of rows in the facts.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use crate::catalog::{Catalog, Claim, Month, normalized_kb};
use crate::facts::{
    Event, Facts, Host, OsGeneration, PortPolicy, Section, Service, ServiceState, Socket, Update, UpdateSource,
    UpdateState,
};
use crate::failures;
use crate::history::History;
use crate::ports::{Port, Protocol};
use crate::text::Text;

pub(crate) struct View<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) catalog: &'a Catalog,
    pub(crate) history: &'a History,
    /// By port, then by the other fields. Empty where the section is unknown.
    sockets: Vec<&'a Socket>,
    /// By name in lower case.
    services: BTreeMap<String, &'a Service>,
    /// Names of the services that run in a process, by its PID.
    processes: BTreeMap<u32, Vec<&'a str>>,
    /// What the catalog knows of each service here, by its name in lower case.
    claims: BTreeMap<String, Vec<&'a Claim>>,
    /// Ports that services were seen to hold in earlier boots, by the service's name in lower case.
    learned: BTreeMap<String, Vec<Claim>>,
    /// What the service control manager wrote of failures since the boot.
    failures: Vec<&'a Event>,
    /// Rows that name a KB, by that KB.
    updates: BTreeMap<String, Vec<&'a Update>>,
    /// Cumulative updates and monthly rollups of Windows by the month in their title, with their KB.
    rollups: BTreeSet<(Month, String)>,
}

/// Whether a KB is on the host.
pub(crate) enum Presence<'a> {
    /// A list of what is installed now holds it; the rows that say so.
    Installed(Vec<&'a Update>),
    /// Only the history of installations does; it may have been removed since.
    InHistory(Vec<&'a Update>),
    /// It was replaced by a later update that carries it.
    Superseded,
    No,
}

impl<'a> View<'a> {
    pub(crate) fn new(facts: &'a Facts, catalog: &'a Catalog, history: &'a History) -> Self {
        let sockets = in_order(facts.sockets.known().map(Vec::as_slice).unwrap_or_default());
        let mut services: BTreeMap<String, &Service> = BTreeMap::new();
        for service in facts.services.known().into_iter().flatten() {
            services
                .entry(service.name.to_lowercase())
                // Names that differ in case only: any order of the rows must choose the same one.
                .and_modify(|kept| {
                    if format!("{service:?}") < format!("{kept:?}") {
                        *kept = service;
                    }
                })
                .or_insert(service);
        }
        let mut processes: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
        for service in services.values().copied().filter(|service| service.state != ServiceState::Stopped) {
            if let Some(pid) = service.pid.filter(|&pid| pid != 0) {
                processes.entry(pid).or_default().push(&service.name);
            }
        }
        let generation = facts.host.known().map(|host| host.os.generation());
        let claims = services
            .iter()
            .map(|(name, service)| (name.clone(), catalog.claims_of(&service.name, generation).collect()))
            .collect();
        let mut learned: BTreeMap<String, Vec<Claim>> = BTreeMap::new();
        for claim in &history.claims {
            let name = claim.service.to_lowercase();
            let Some(service) = services.get(&name) else { continue };
            let product = if service.display_name.is_empty() { &service.name } else { &service.display_name };
            learned.entry(name).or_default().push(Claim::learned(claim, product));
        }
        for claims in learned.values_mut() {
            claims.sort_by(|a, b| (a.port, b.at_most(), &a.sources).cmp(&(b.port, a.at_most(), &b.sources)));
            claims.dedup_by_key(|claim| claim.port);
        }
        let mut updates: BTreeMap<String, Vec<&Update>> = BTreeMap::new();
        let mut rollups = BTreeSet::new();
        for update in facts.updates.known().into_iter().flatten() {
            let month = Month::of_cumulative(&update.title);
            for kb in kbs_of(update, catalog) {
                rollups.extend(month.map(|month| (month, kb.clone())));
                updates.entry(kb).or_default().push(update);
            }
        }
        for rows in updates.values_mut() {
            rows.sort_by(|a, b| (a.source, &a.id).cmp(&(b.source, &b.id)));
        }
        Self {
            facts,
            catalog,
            history,
            sockets,
            services,
            processes,
            claims,
            learned,
            failures: failures::of_manager(facts),
            updates,
            rollups,
        }
    }

    pub(crate) fn host(&self) -> Option<&'a Host> {
        self.facts.host.known()
    }

    /// `None`: the host section is unknown.
    pub(crate) fn generation(&self) -> Option<OsGeneration> {
        self.host().map(|host| host.os.generation())
    }

    pub(crate) fn policy(&self) -> Option<&'a PortPolicy> {
        self.facts.port_policy.known()
    }

    /// A value of the port policy, or why it is not known.
    pub(crate) fn policy_value<T>(&self, pick: impl Fn(&'a PortPolicy) -> &'a Section<T>) -> Result<&'a T, &'a Text> {
        let policy = match &self.facts.port_policy {
            Section::Known(policy) => policy,
            Section::Unknown(reason) => return Err(reason),
        };
        match pick(policy) {
            Section::Known(value) => Ok(value),
            Section::Unknown(reason) => Err(reason),
        }
    }

    pub(crate) fn services(&self) -> impl Iterator<Item = &'a Service> {
        self.services.values().copied()
    }

    pub(crate) fn service(&self, name: &str) -> Option<&'a Service> {
        self.services.get(&name.to_lowercase()).copied()
    }

    /// What `service` needs on this host: as the catalog knows it, and as its earlier boots have shown.
    pub(crate) fn claims_of(&self, service: &str) -> Vec<&Claim> {
        let name = service.to_lowercase();
        let mut claims: Vec<&Claim> = match self.claims.get(&name) {
            Some(known) => known.clone(),
            None => self.catalog.claims_of(service, self.generation()).collect(),
        };
        let learned = self.learned.get(&name).into_iter().flatten();
        let new: Vec<&Claim> = learned.filter(|new| claims.iter().all(|claim| claim.port != new.port)).collect();
        claims.extend(new);
        claims
    }

    /// The services that may own `socket`: those that it names, or else those that run in its process.
    pub(crate) fn services_of(&self, socket: &'a Socket) -> impl Iterator<Item = &'a str> {
        let running = socket.pid.filter(|_| socket.services.is_empty()).and_then(|pid| self.processes.get(&pid));
        let running = running.map_or(&[][..], Vec::as_slice);
        socket.services.iter().map(|name| &**name).chain(running.iter().copied())
    }

    pub(crate) fn sockets_on(&self, port: Port) -> &[&'a Socket] {
        let start = self.sockets.partition_point(|socket| socket.local_port() < port);
        let end = self.sockets.partition_point(|socket| socket.local_port() <= port);
        &self.sockets[start..end]
    }

    pub(crate) fn failures(&self) -> &[&'a Event] {
        &self.failures
    }

    pub(crate) fn sockets_of(&self, protocol: Protocol) -> impl Iterator<Item = &'a Socket> {
        let start = self.sockets.partition_point(|socket| socket.protocol < protocol);
        let end = self.sockets.partition_point(|socket| socket.protocol <= protocol);
        self.sockets[start..end].iter().copied()
    }

    pub(crate) fn sockets(&self) -> impl Iterator<Item = &'a Socket> {
        self.sockets.iter().copied()
    }

    /// Every KB that some row names.
    pub(crate) fn kbs(&self) -> impl Iterator<Item = &str> {
        self.updates.keys().map(String::as_str)
    }

    pub(crate) fn updates_of(&self, kb: &str) -> &[&'a Update] {
        self.updates.get(kb).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn presence(&self, kb: &str) -> Presence<'a> {
        let (history, current): (Vec<&Update>, Vec<&Update>) =
            self.updates_of(kb).iter().copied().partition(|row| row.source == UpdateSource::UpdateHistory);
        let installed: Vec<_> = current.iter().copied().filter(|row| is_installed(row)).collect();
        if !installed.is_empty() {
            return Presence::Installed(installed);
        }
        if current.iter().any(|row| row.state == UpdateState::Superseded) {
            return Presence::Superseded;
        }
        let remembered: Vec<_> = history.into_iter().filter(|row| is_installed(row)).collect();
        if current.is_empty() && !remembered.is_empty() {
            return Presence::InHistory(remembered);
        }
        Presence::No
    }

    /// The cumulative updates of months later than `month` that some row names, by KB.
    pub(crate) fn rollups_after(&self, month: Month) -> impl Iterator<Item = &str> {
        self.rollups.iter().filter(move |(of, _)| *of > month).map(|(_, kb)| kb.as_str())
    }

    /// The rows that say that `kb` could not be installed; empty where it is there after all.
    pub(crate) fn failures_of(&self, kb: &str) -> Vec<&'a Update> {
        if !matches!(self.presence(kb), Presence::No) {
            return Vec::new();
        }
        self.updates_of(kb).iter().copied().filter(|row| row.state == UpdateState::Failed).collect()
    }

    /// `2008-10-14`, in the host's time where its offset is known.
    pub(crate) fn date(&self, at: DateTime<Utc>) -> String {
        let offset = self.host().and_then(|host| host.utc_offset_minutes).unwrap_or(0);
        let local = at.checked_add_signed(TimeDelta::minutes(i64::from(offset))).unwrap_or(at);
        local.format("%Y-%m-%d").to_string()
    }
}

/// By port, then by the other fields. The ports are laid side by side first: a pool has thousands of sockets, and following
/// each of them at every comparison would take most of the judgement's time.
fn in_order(sockets: &[Socket]) -> Vec<&Socket> {
    let mut keyed: Vec<(Port, &Socket)> = sockets.iter().map(|socket| (socket.local_port(), socket)).collect();
    keyed.sort_unstable_by(|(a_port, a), (b_port, b)| a_port.cmp(b_port).then_with(|| a.cmp(b)));
    keyed.into_iter().map(|(_, socket)| socket).collect()
}

fn is_installed(update: &Update) -> bool {
    matches!(update.state, UpdateState::Installed | UpdateState::UninstallPending)
}

/// The KBs that a row names: its own and its further ones, or else those in its identity and title. The package of a
/// cumulative update names none; its build tells it.
fn kbs_of(update: &Update, catalog: &Catalog) -> BTreeSet<String> {
    let named: BTreeSet<String> =
        update.kb.iter().chain(&update.aliases).filter_map(|name| normalized_kb(name)).collect();
    if !named.is_empty() {
        return named;
    }
    let words = update.id.split(is_separator).chain(update.title.split(is_separator));
    // A bare number is no KB here: titles hold dates and versions.
    let named = words.filter(|word| word.get(..2).is_some_and(|prefix| prefix.eq_ignore_ascii_case("KB")));
    let named: BTreeSet<String> = named.filter_map(normalized_kb).collect();
    if !named.is_empty() {
        return named;
    }
    rollup_build(&update.id).and_then(|build| catalog.kb_of_build(&build)).map(str::to_owned).into_iter().collect()
}

/// `14393.4989` of `Package_for_RollupFix~31bf3856ad364e35~amd64~~14393.4989.1.9`.
fn rollup_build(id: &str) -> Option<String> {
    let version = id.strip_prefix("Package_for_RollupFix~")?.rsplit('~').next()?;
    let mut numbers = version.split('.');
    let (build, revision) = (numbers.next()?, numbers.next()?);
    Some(format!("{build}.{revision}"))
}

fn is_separator(c: char) -> bool {
    !c.is_alphanumeric()
}
