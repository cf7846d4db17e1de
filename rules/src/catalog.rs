//! What is known beforehand: which ports a service needs, what takes ports at random, which updates do harm. The data
//! is TOML under `rules/catalog`, each entry cited; this module gives it types and finds entries by service, port and KB.
//!
//! Invariant: looking up costs what is asked for, not what the catalog holds. An entry marked `recalled` never makes a
//! finding more than possible.

mod bad_update;
mod builtin;
mod claim;
mod condition;
mod layers;
mod month;
mod parse;
mod taker;
mod validate;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

pub(crate) use bad_update::is_normalized_kb;
pub use bad_update::{
    Action, Alias, AliasKind, BadUpdate, Package, RegistryKind, RegistryValue, Status, StepsOn, Trace, UpdateRemedy,
    normalized_kb,
};
pub(crate) use claim::matches;
pub use claim::{Binding, Claim, Need, OptionalPorts, OsSpan, RangeOfPorts, ServiceEntry, StartKind};
pub use condition::{Condition, EventCondition, PRODUCTS, ProductCondition, ROLES, RegistryCondition};
pub use layers::{Kind, Layer, Layers, Origin, kind_of};
pub(crate) use month::Month;
pub use parse::{CatalogFault, schema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
pub use taker::{Draw, DrawnFrom, Mechanism, Reservation, ReservationMethod, Taker};

use crate::facts::OsGeneration;
use crate::ports::{Port, Protocol};

/// How well an entry is supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Grounding {
    /// From memory: never more than possible.
    Recalled,
    /// A source that says so was read.
    Verified,
}

/// All entries, with their indexes. Made by [`Catalog::builtin`] or [`Catalog::parse`].
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    services: Vec<ServiceEntry>,
    claims: Vec<Claim>,
    takers: Vec<Taker>,
    bad_updates: Vec<BadUpdate>,
    claims_by_service: HashMap<String, Vec<usize>>,
    /// Claims whose service name holds a `*`, by what stands before it.
    claims_by_pattern: BTreeMap<String, Vec<usize>>,
    claims_by_port: BTreeMap<Port, Vec<usize>>,
    /// Takers that draw ports by chance, by image name.
    takers_by_process: BTreeMap<String, Vec<usize>>,
    bad_updates_by_id: BTreeMap<String, usize>,
    bad_updates_by_kb: BTreeMap<String, Vec<usize>>,
    /// By the services that they affect, in lower case.
    bad_updates_by_service: BTreeMap<String, Vec<usize>>,
    /// The KB of a cumulative update by its build, such as `14393.2363`.
    kbs_by_build: BTreeMap<String, String>,
    /// Entries without a KB, by the generations that their conditions admit.
    bad_updates_by_os: BTreeMap<OsGeneration, Vec<usize>>,
    /// Where entries come from that are not built in.
    origins: BTreeMap<(Kind, String), Origin>,
}

impl Catalog {
    /// The catalog that is built into the program.
    ///
    /// # Panics
    /// Never in a build whose tests pass: one of them parses every built-in file.
    pub fn builtin() -> Self {
        match Self::parse(builtin::FILES) {
            Ok(catalog) => catalog,
            Err(faults) => panic!("the built-in catalog is faulty: {faults:?}"),
        }
    }

    /// Reads files as (name, text). The folder in the name says what a file holds: `claims/…`, `takers/…` or
    /// `bad-updates/…`. On faults nothing is kept, and all of them are returned.
    pub fn parse(files: &[(&str, &str)]) -> Result<Self, Vec<CatalogFault>> {
        Ok(Self::of(parse::parse(files)?))
    }

    fn of(entries: parse::Entries) -> Self {
        let mut catalog = Self {
            claims: entries.services.iter().flat_map(ServiceEntry::claims).collect(),
            services: entries.services,
            takers: entries.takers,
            bad_updates: entries.bad_updates,
            ..Self::default()
        };
        for (index, claim) in catalog.claims.iter().enumerate() {
            catalog.claims_by_port.entry(claim.port).or_default().push(index);
            let name = claim.service.to_lowercase();
            match name.split_once('*') {
                Some((start, _)) => catalog.claims_by_pattern.entry(start.to_owned()).or_default().push(index),
                None => catalog.claims_by_service.entry(name).or_default().push(index),
            }
        }
        for (index, taker) in catalog.takers.iter().enumerate().filter(|(_, taker)| taker.draws_by_chance()) {
            for process in &taker.processes {
                catalog.takers_by_process.entry(process.to_lowercase()).or_default().push(index);
            }
        }
        for (index, entry) in catalog.bad_updates.iter().enumerate() {
            catalog.bad_updates_by_id.insert(entry.id.clone(), index);
            for service in &entry.affected_services {
                catalog.bad_updates_by_service.entry(service.to_lowercase()).or_default().push(index);
            }
            for kb in entry.all_kbs() {
                catalog.bad_updates_by_kb.entry(kb.to_owned()).or_default().push(index);
            }
            for package in &entry.packages {
                if let Some(build) = package.build.as_deref().and_then(|build| build.strip_prefix("10.0.")) {
                    catalog.kbs_by_build.entry(build.to_owned()).or_insert_with(|| package.kb.clone());
                }
            }
            if entry.kb.is_none() {
                for generation in entry.conditions.generations() {
                    catalog.bad_updates_by_os.entry(generation).or_default().push(index);
                }
            }
        }
        catalog
    }

    /// What `service` (an SCM key name, in any case) needs on a system of generation `os`; with `None` all that it
    /// needs on some system. An entry with the exact name hides those whose pattern matches it too.
    pub fn claims_of(&self, service: &str, os: Option<OsGeneration>) -> impl Iterator<Item = &Claim> {
        self.claims_of_key(&service.to_lowercase(), os)
    }

    /// The same with the name in lower case.
    pub(crate) fn claims_of_key(&self, name: &str, os: Option<OsGeneration>) -> impl Iterator<Item = &Claim> + use<'_> {
        let found = match self.claims_by_service.get(name) {
            Some(found) => Cow::Borrowed(found.as_slice()),
            None => Cow::Owned(self.by_pattern(name)),
        };
        (0..found.len())
            .map(move |at| &self.claims[found[at]])
            .filter(move |claim| os.is_none_or(|generation| claim.os.holds(generation)))
    }

    /// Claims whose pattern matches `name`. What a pattern begins with lies between the first character of the name and the
    /// whole of it.
    fn by_pattern(&self, name: &str) -> Vec<usize> {
        let first = name.chars().next().map_or(0, char::len_utf8);
        let starts = self.claims_by_pattern.range::<str, _>((Bound::Included(&name[..first]), Bound::Included(name)));
        let found = starts.filter(|(start, _)| name.starts_with(start.as_str())).flat_map(|(_, found)| found).copied();
        let mut found: Vec<usize> =
            found.filter(|&index| claim::matches(&self.claims[index].service.to_lowercase(), name)).collect();
        found.sort_unstable();
        found
    }

    /// Every claim on `port`, by whatever service.
    pub fn claims_on(&self, port: Port) -> impl Iterator<Item = &Claim> {
        self.claims_by_port.get(&port).into_iter().flatten().map(|&index| &self.claims[index])
    }

    pub fn claims(&self) -> &[Claim] {
        &self.claims
    }

    pub fn takers(&self) -> &[Taker] {
        &self.takers
    }

    /// The taker that a process is, by image name and protocol, where it draws its ports by chance.
    pub fn taker_of(&self, process: &str, protocol: Protocol) -> Option<&Taker> {
        let found = self.takers_by_process.get(&process.to_lowercase())?;
        found.iter().map(|&index| &self.takers[index]).find(|taker| taker.protocols.contains(&protocol))
    }

    /// Every entry about services and their ports, also those of services without a fixed one.
    pub fn services(&self) -> &[ServiceEntry] {
        &self.services
    }

    pub fn bad_updates(&self) -> &[BadUpdate] {
        &self.bad_updates
    }

    pub fn bad_update(&self, id: &str) -> Option<&BadUpdate> {
        self.bad_updates_by_id.get(id).map(|&index| &self.bad_updates[index])
    }

    /// Entries that name `kb` (`KB948609`, in any case) as their own or as an alias.
    pub fn entries_for_kb(&self, kb: &str) -> impl Iterator<Item = &BadUpdate> {
        let kb = if is_normalized_kb(kb) { Some(Cow::Borrowed(kb)) } else { normalized_kb(kb).map(Cow::Owned) };
        kb.and_then(|kb| self.bad_updates_by_kb.get(&*kb)).into_iter().flatten().map(|&index| &self.bad_updates[index])
    }

    /// Entries whose harm shows in `service`, an SCM key name in any case.
    pub(crate) fn entries_affecting(&self, service: &str) -> impl Iterator<Item = &BadUpdate> {
        let found = self.bad_updates_by_service.get(&service.to_lowercase());
        found.into_iter().flatten().map(|&index| &self.bad_updates[index])
    }

    /// The KB of the cumulative update that brings `build`, such as `14393.2363`. `None`: no entry names one.
    pub(crate) fn kb_of_build(&self, build: &str) -> Option<&str> {
        self.kbs_by_build.get(build).map(String::as_str)
    }

    /// Entries without a KB that may concern a system of generation `os`; with `None` all of them.
    pub fn entries_without_kb(&self, os: Option<OsGeneration>) -> impl Iterator<Item = &BadUpdate> {
        let found: BTreeSet<usize> = match os {
            Some(os) => self.bad_updates_by_os.get(&os).into_iter().flatten().copied().collect(),
            None => self.bad_updates_by_os.values().flatten().copied().collect(),
        };
        found.into_iter().map(|index| &self.bad_updates[index])
    }

    /// Numbers of services, takers and bad updates that entries exist for.
    pub fn counts(&self) -> (usize, usize, usize) {
        let names = self.services.iter().flat_map(|entry| &entry.services);
        let services: BTreeSet<_> = names.map(|name| name.to_lowercase()).collect();
        (services.len(), self.takers.len(), self.bad_updates.len())
    }
}
