//! Facts, indexed once for all rules of one judgement. Sections that are unknown stay unknown here.
//!
//! Invariant: every list is in an order of its own, so that no rule can depend on the order of rows in the facts.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use chrono::{DateTime, TimeDelta, Utc};

use crate::catalog::{Catalog, Claim, Month, is_normalized_kb, normalized_kb};
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
    services: Services<'a>,
    /// Processes that services run in, by PID and by the service's name, as places in `services`. Few sockets ask.
    processes: OnceCell<Vec<(u32, usize)>>,
    /// Ports that services were seen to hold in earlier boots, by the service's name in lower case.
    learned: BTreeMap<String, Vec<Claim>>,
    /// What the service control manager wrote of failures since the boot.
    failures: Vec<&'a Event>,
    /// The KBs that rows name, in order, one for each of `updates`.
    kbs: Vec<Cow<'a, str>>,
    /// Those rows, of one KB by source and id.
    updates: Vec<&'a Update>,
    /// Cumulative updates and monthly rollups of Windows by the month in their title, as places in `kbs`. Few entries ask.
    rollups: OnceCell<BTreeSet<(Month, usize)>>,
}

/// Names of services up to this many bytes are looked up without copying them to the heap.
const ASCII: usize = 128;

/// Services in the order of their names in lower case, each once, with what the catalog knows of them. Names and claims
/// lie side by side: a report costs a few allocations here, not some for each service.
struct Services<'a> {
    rows: Vec<Named<'a>>,
    /// In lower case, one behind the other.
    names: String,
    claims: Vec<&'a Claim>,
    /// The place of the service that was asked for last: rules ask for one after the other.
    last: Cell<usize>,
}

/// A service, and where in [`Services`] its name and its claims lie.
struct Named<'a> {
    service: &'a Service,
    name: Range<usize>,
    claims: Range<usize>,
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
        let generation = facts.host.known().map(|host| host.os.generation());
        let services = Services::new(facts, catalog, generation);
        let mut learned: BTreeMap<String, Vec<Claim>> = BTreeMap::new();
        for claim in &history.claims {
            let name = claim.service.to_lowercase();
            let Some(Named { service, .. }) = services.find(&name) else { continue };
            let product = if service.display_name.is_empty() { &service.name } else { &service.display_name };
            learned.entry(name).or_default().push(Claim::learned(claim, product));
        }
        for claims in learned.values_mut() {
            claims.sort_by(|a, b| (a.port, b.at_most(), &a.sources).cmp(&(b.port, a.at_most(), &b.sources)));
            claims.dedup_by_key(|claim| claim.port);
        }
        let mut updates: Vec<(Cow<'_, str>, &Update)> = Vec::new();
        for update in facts.updates.known().into_iter().flatten() {
            kbs_of(update, catalog, |kb| updates.push((kb, update)));
        }
        updates.sort_by(|(a_kb, a), (b_kb, b)| (a_kb, a.source, &a.id).cmp(&(b_kb, b.source, &b.id)));
        let (kbs, updates) = updates.into_iter().unzip();
        Self {
            facts,
            catalog,
            history,
            sockets,
            services,
            processes: OnceCell::new(),
            learned,
            failures: failures::of_manager(facts),
            kbs,
            updates,
            rollups: OnceCell::new(),
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
        self.services.rows.iter().map(|named| named.service)
    }

    pub(crate) fn service(&self, name: &str) -> Option<&'a Service> {
        self.services.find(name).map(|named| named.service)
    }

    /// What `service` needs on this host: as the catalog knows it, and as its earlier boots have shown.
    pub(crate) fn claims_of(&self, service: &str) -> Cow<'_, [&Claim]> {
        let known = match self.services.find(service) {
            Some(known) => Cow::Borrowed(self.services.claims_of(known)),
            None => Cow::Owned(self.catalog.claims_of(service, self.generation()).collect()),
        };
        if self.learned.is_empty() {
            return known;
        }
        let learned = self.learned.get(&service.to_lowercase()).into_iter().flatten();
        let new: Vec<&Claim> = learned.filter(|new| known.iter().all(|claim| claim.port != new.port)).collect();
        if new.is_empty() { known } else { Cow::Owned([&*known, &new].concat()) }
    }

    /// The services that may own `socket`: those that it names, or else those that run in its process.
    pub(crate) fn services_of(&self, socket: &'a Socket) -> impl Iterator<Item = &'a str> {
        let running = socket.pid.filter(|_| socket.services.is_empty()).map_or(&[][..], |pid| self.running_in(pid));
        let named = socket.services.iter().map(|name| &**name);
        named.chain(running.iter().map(|&(_, at)| &*self.services.rows[at].service.name))
    }

    fn running_in(&self, pid: u32) -> &[(u32, usize)] {
        let processes = self.processes.get_or_init(|| {
            let rows = self.services.rows.iter().enumerate();
            let running = rows.filter(|(_, row)| row.service.state != ServiceState::Stopped);
            let in_process = running.filter_map(|(at, row)| Some((row.service.pid.filter(|&pid| pid != 0)?, at)));
            let mut processes: Vec<(u32, usize)> = in_process.collect();
            processes.sort_unstable();
            processes
        });
        let start = processes.partition_point(|(other, _)| *other < pid);
        let count = processes[start..].iter().take_while(|(other, _)| *other == pid).count();
        &processes[start..start + count]
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

    /// Every KB that some row names, once.
    pub(crate) fn kbs(&self) -> impl Iterator<Item = &str> {
        self.kbs.chunk_by(|a, b| a == b).filter_map(<[_]>::first).map(AsRef::as_ref)
    }

    pub(crate) fn updates_of(&self, kb: &str) -> &[&'a Update] {
        let start = self.kbs.partition_point(|named| **named < *kb);
        let count = self.kbs[start..].iter().take_while(|named| **named == *kb).count();
        &self.updates[start..start + count]
    }

    pub(crate) fn presence(&self, kb: &str) -> Presence<'a> {
        let rows = self.updates_of(kb);
        if rows.is_empty() {
            return Presence::No;
        }
        let (history, current): (Vec<&Update>, Vec<&Update>) =
            rows.iter().copied().partition(|row| row.source == UpdateSource::UpdateHistory);
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
        let rollups = self.rollups.get_or_init(|| {
            let rows = self.updates.iter().enumerate();
            rows.filter_map(|(at, update)| Some((Month::of_cumulative(&update.title)?, at))).collect()
        });
        rollups.iter().filter(move |(of, _)| *of > month).filter_map(|&(_, at)| self.kbs.get(at)).map(AsRef::as_ref)
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

/// By port, then by the other fields. Rows that come in this order, as those of a connected host do, cost one look at each.
/// Otherwise the ports are laid side by side first: a pool has thousands of sockets, and following each of them at every
/// comparison would take most of the judgement's time.
fn in_order(sockets: &[Socket]) -> Vec<&Socket> {
    if sockets.is_sorted_by(|a, b| Socket::by_port(a, b).is_le()) {
        return sockets.iter().collect();
    }
    let mut keyed: Vec<(Port, &Socket)> = sockets.iter().map(|socket| (socket.local_port(), socket)).collect();
    keyed.sort_unstable_by(|(a_port, a), (b_port, b)| a_port.cmp(b_port).then_with(|| a.cmp(b)));
    keyed.into_iter().map(|(_, socket)| socket).collect()
}

impl<'a> Services<'a> {
    fn new(facts: &'a Facts, catalog: &'a Catalog, generation: Option<OsGeneration>) -> Self {
        let rows = facts.services.known().map(Vec::as_slice).unwrap_or_default();
        let mut names = String::with_capacity(rows.iter().map(|service| service.name.len()).sum());
        let each = rows.iter().map(|service| {
            let start = names.len();
            push_lower(&mut names, &service.name);
            Named { service, name: start..names.len(), claims: 0..0 }
        });
        let mut rows: Vec<Named<'_>> = each.collect();
        rows.sort_by(|a, b| names[a.name.clone()].cmp(&names[b.name.clone()]));
        // Of names that differ in case only, any order of the rows must choose the same one.
        rows.dedup_by(|row, kept| {
            let is_same = names[row.name.clone()] == names[kept.name.clone()];
            if is_same && format!("{:?}", row.service) < format!("{:?}", kept.service) {
                kept.service = row.service;
            }
            is_same
        });
        let mut claims = Vec::with_capacity(rows.len());
        for row in &mut rows {
            let start = claims.len();
            claims.extend(catalog.claims_of_key(&names[row.name.clone()], generation));
            row.claims = start..claims.len();
        }
        Self { rows, names, claims, last: Cell::new(0) }
    }

    /// By a name in any case. It is asked for every service by several rules, so that nothing is copied for it.
    fn find(&self, name: &str) -> Option<&Named<'a>> {
        let last = self.last.get();
        let near =
            [last, last + 1].into_iter().find(|&at| self.rows.get(at).is_some_and(|row| *row.service.name == *name));
        let at = near.or_else(|| self.search(name))?;
        self.last.set(at);
        self.rows.get(at)
    }

    fn search(&self, name: &str) -> Option<usize> {
        let names = self.names.as_bytes();
        let at = |lower: &[u8]| self.rows.binary_search_by(|row| names[row.name.clone()].cmp(lower)).ok();
        let mut room = [0; ASCII];
        match room.get_mut(..name.len()) {
            Some(lower) if name.is_ascii() => {
                lower.copy_from_slice(name.as_bytes());
                lower.make_ascii_lowercase();
                at(lower)
            }
            _ => at(name.to_lowercase().as_bytes()),
        }
    }

    fn claims_of(&self, row: &Named<'a>) -> &[&'a Claim] {
        &self.claims[row.claims.clone()]
    }
}

fn push_lower(names: &mut String, name: &str) {
    if name.is_ascii() {
        let start = names.len();
        names.push_str(name);
        names[start..].make_ascii_lowercase();
    } else {
        names.push_str(&name.to_lowercase());
    }
}

fn is_installed(update: &Update) -> bool {
    matches!(update.state, UpdateState::Installed | UpdateState::UninstallPending)
}

/// The KBs that a row names, each once: its own and its further ones, or else those in its identity and title. The package
/// of a cumulative update names none; its build tells it.
fn kbs_of<'a>(update: &'a Update, catalog: &'a Catalog, mut each: impl FnMut(Cow<'a, str>)) {
    if update.aliases.is_empty()
        && let Some(kb) = update.kb.as_deref()
        && is_normalized_kb(kb)
    {
        return each(Cow::Borrowed(kb));
    }
    let named: BTreeSet<String> =
        update.kb.iter().chain(&update.aliases).filter_map(|name| normalized_kb(name)).collect();
    if !named.is_empty() {
        return named.into_iter().map(Cow::Owned).for_each(each);
    }
    let words = update.id.split(is_separator).chain(update.title.split(is_separator));
    // A bare number is no KB here: titles hold dates and versions.
    let named = words.filter(|word| word.get(..2).is_some_and(|prefix| prefix.eq_ignore_ascii_case("KB")));
    let named: BTreeSet<String> = named.filter_map(normalized_kb).collect();
    if !named.is_empty() {
        return named.into_iter().map(Cow::Owned).for_each(each);
    }
    let build = rollup_build(&update.id).and_then(|build| catalog.kb_of_build(&build));
    build.map(Cow::Borrowed).into_iter().for_each(each);
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
