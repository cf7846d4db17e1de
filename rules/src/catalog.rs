//! What is known beforehand: which ports a service needs, what takes ports at random, which updates do harm. The data
//! is TOML under `rules/catalog`, each entry cited; this module gives it types and finds entries by service, port and KB.
//!
//! Invariant: looking up costs what is asked for, not what the catalog holds. An entry marked `recalled` never makes a
//! finding more than possible.

mod bad_update;
mod builtin;
mod claim;
mod condition;
mod parse;
mod taker;

use std::collections::{BTreeMap, BTreeSet};

pub use bad_update::{Action, Alias, AliasKind, BadUpdate, Package, StepsOn, UpdateRemedy, normalized_kb};
pub(crate) use claim::matches;
pub use claim::{Binding, Claim, Need, OsSpan};
pub use condition::{Condition, ProductCondition};
pub use parse::CatalogFault;
use serde::{Deserialize, Serialize};
pub use taker::{Mechanism, Taker};

use crate::facts::OsGeneration;
use crate::ports::{Port, Protocol};

/// How well an entry is supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
    claims: Vec<Claim>,
    takers: Vec<Taker>,
    bad_updates: Vec<BadUpdate>,
    claims_by_service: BTreeMap<String, Vec<usize>>,
    /// Claims whose service name holds a `*`.
    claims_by_pattern: Vec<usize>,
    claims_by_port: BTreeMap<Port, Vec<usize>>,
    bad_updates_by_kb: BTreeMap<String, Vec<usize>>,
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
        let entries = parse::parse(files)?;
        let mut catalog = Self {
            claims: entries.claims,
            takers: entries.takers,
            bad_updates: entries.bad_updates,
            ..Self::default()
        };
        for (index, claim) in catalog.claims.iter().enumerate() {
            catalog.claims_by_port.entry(claim.port).or_default().push(index);
            if claim.service.contains('*') {
                catalog.claims_by_pattern.push(index);
            } else {
                catalog.claims_by_service.entry(claim.service.to_lowercase()).or_default().push(index);
            }
        }
        for (index, entry) in catalog.bad_updates.iter().enumerate() {
            for kb in entry.all_kbs() {
                catalog.bad_updates_by_kb.entry(kb.to_owned()).or_default().push(index);
            }
        }
        Ok(catalog)
    }

    /// What `service` (an SCM key name, in any case) needs on a system of generation `os`; with `None` all that it
    /// needs on some system. An entry with the exact name hides those whose pattern matches it too.
    pub fn claims_of(&self, service: &str, os: Option<OsGeneration>) -> impl Iterator<Item = &Claim> {
        let name = service.to_lowercase();
        let exact = self.claims_by_service.get(&name);
        let patterns = exact.is_none().then(|| {
            self.claims_by_pattern
                .iter()
                .filter(move |&&index| claim::matches(&self.claims[index].service.to_lowercase(), &name))
        });
        exact
            .into_iter()
            .flatten()
            .chain(patterns.into_iter().flatten())
            .map(|&index| &self.claims[index])
            .filter(move |claim| os.is_none_or(|generation| claim.os.holds(generation)))
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

    /// The taker that a process is, by image name and protocol.
    pub fn taker_of(&self, process: &str, protocol: Protocol) -> Option<&Taker> {
        self.takers.iter().find(|taker| taker.takes(process, protocol))
    }

    pub fn bad_updates(&self) -> &[BadUpdate] {
        &self.bad_updates
    }

    pub fn bad_update(&self, id: &str) -> Option<&BadUpdate> {
        self.bad_updates.iter().find(|entry| entry.id == id)
    }

    /// Entries that name `kb` (`KB948609`, in any case) as their own or as an alias.
    pub fn entries_for_kb(&self, kb: &str) -> impl Iterator<Item = &BadUpdate> {
        let kb = normalized_kb(kb);
        kb.and_then(|kb| self.bad_updates_by_kb.get(&kb)).into_iter().flatten().map(|&index| &self.bad_updates[index])
    }

    /// Numbers of services, takers and bad updates that entries exist for.
    pub fn counts(&self) -> (usize, usize, usize) {
        let services: BTreeSet<_> = self.claims.iter().map(|claim| claim.service.to_lowercase()).collect();
        (services.len(), self.takers.len(), self.bad_updates.len())
    }
}
