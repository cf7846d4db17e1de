//! From TOML to entries. Unknown members, unknown words and missing sources are faults; every fault names its file and
//! line, and all are found in one run.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;

use super::bad_update::BadUpdate;
use super::claim::{Binding, Claim, Need, OsSpan};
use super::condition::Condition;
use super::taker::Taker;
use super::{Grounding, normalized_kb};
use crate::ports::Port;

/// What is wrong with a catalog file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct CatalogFault {
    pub file: String,
    /// 1 for the first line.
    pub line: usize,
    pub message: String,
}

impl fmt::Display for CatalogFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.file, self.line, self.message)
    }
}

#[derive(Default)]
pub(super) struct Entries {
    pub(super) claims: Vec<Claim>,
    pub(super) takers: Vec<Taker>,
    pub(super) bad_updates: Vec<BadUpdate>,
}

/// A file of claims: one product family, several services.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClaimFile {
    claim: Vec<toml::Spanned<ClaimEntry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClaimEntry {
    id: String,
    services: Vec<String>,
    product: String,
    #[serde(default)]
    ports: Vec<Port>,
    #[serde(default)]
    optional: Vec<OptionalPorts>,
    #[serde(default)]
    binding: Binding,
    #[serde(default)]
    kernel: bool,
    #[serde(default)]
    shared_with: Vec<String>,
    #[serde(default)]
    process: Option<String>,
    #[serde(default)]
    os: OsSpan,
    grounding: Grounding,
    sources: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OptionalPorts {
    ports: Vec<Port>,
    /// The configurations that use them: `with an HTTPS listener`.
    when: String,
    /// Where the entry as a whole is better supported than these ports.
    #[serde(default)]
    grounding: Option<Grounding>,
}

pub(super) fn parse(files: &[(&str, &str)]) -> Result<Entries, Vec<CatalogFault>> {
    let mut entries = Entries::default();
    let mut faults = Vec::new();
    let mut ids = BTreeSet::new();
    for &(file, text) in files {
        let fault = |offset: usize, message: String| CatalogFault {
            file: file.to_owned(),
            line: line_of(text, offset),
            message,
        };
        let folder = file.rsplit('/').nth(1).unwrap_or_default();
        let found = match folder {
            "claims" => toml::from_str::<ClaimFile>(text).map(|file| {
                file.claim.into_iter().map(|entry| (entry.span().start, Entry::Claim(entry.into_inner()))).collect()
            }),
            "takers" => toml::from_str(text).map(|taker| vec![(0, Entry::Taker(taker))]),
            "bad-updates" => toml::from_str(text).map(|entry| vec![(0, Entry::BadUpdate(Box::new(entry)))]),
            _ => {
                faults.push(fault(0, "a catalog file lies in claims/, takers/ or bad-updates/".to_owned()));
                continue;
            }
        };
        let found: Vec<(usize, Entry)> = match found {
            Ok(found) => found,
            Err(error) => {
                faults.push(fault(error.span().map_or(0, |span| span.start), error.message().to_owned()));
                continue;
            }
        };
        for (offset, entry) in found {
            faults.extend(entry.faults().into_iter().map(|message| fault(offset, message)));
            if !ids.insert((folder, entry.id().to_owned())) {
                faults.push(fault(offset, format!("the id {} is taken already", entry.id())));
            }
            match entry {
                Entry::Claim(entry) => entries.claims.extend(claims(&entry)),
                Entry::Taker(taker) => entries.takers.push(taker),
                Entry::BadUpdate(entry) => entries.bad_updates.push(*entry),
            }
        }
    }
    if faults.is_empty() { Ok(entries) } else { Err(faults) }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|&&byte| byte == b'\n').count() + 1
}

enum Entry {
    Claim(ClaimEntry),
    Taker(Taker),
    BadUpdate(Box<BadUpdate>),
}

impl Entry {
    fn id(&self) -> &str {
        match self {
            Self::Claim(entry) => &entry.id,
            Self::Taker(entry) => &entry.id,
            Self::BadUpdate(entry) => &entry.id,
        }
    }

    /// What the types cannot say.
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let id_is_fine = !self.id().is_empty()
            && self.id().bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !id_is_fine {
            faults.push(format!("the id `{}` must be of a-z, 0-9 and -", self.id()));
        }
        match self {
            Self::Claim(entry) => {
                cite(&mut faults, entry.grounding, &entry.sources);
                if entry.services.is_empty() {
                    faults.push("a claim names at least one service".to_owned());
                }
                if entry.ports.is_empty() && entry.optional.is_empty() {
                    faults.push("a claim names at least one port".to_owned());
                }
            }
            Self::Taker(entry) => {
                cite(&mut faults, entry.grounding, &entry.sources);
                if entry.services.is_empty() {
                    faults.push("a taker names at least one service".to_owned());
                }
            }
            Self::BadUpdate(entry) => {
                cite(&mut faults, entry.grounding, &entry.sources);
                let fixes = entry.fixed_by.iter().chain(entry.packages.iter().flat_map(|package| &package.fixed_by));
                for kb in entry.all_kbs().chain(fixes.map(String::as_str)) {
                    if normalized_kb(kb).as_deref() != Some(kb) {
                        faults.push(format!("`{kb}` is no KB: write KB948609"));
                    }
                }
                condition_faults(&entry.conditions, &mut faults);
            }
        }
        faults
    }
}

fn cite(faults: &mut Vec<String>, grounding: Grounding, sources: &[String]) {
    if grounding == Grounding::Verified && sources.is_empty() {
        faults.push("a verified entry names its sources".to_owned());
    }
}

fn condition_faults(condition: &Condition, faults: &mut Vec<String>) {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => {
            if parts.is_empty() {
                faults.push("`all` and `any` hold at least one condition".to_owned());
            }
            for part in parts {
                condition_faults(part, faults);
            }
        }
        Condition::Not(part) => condition_faults(part, faults),
        Condition::Product(product) => {
            for version in product.from.iter().chain(&product.below) {
                if crate::version::Version::parse(version).is_none() {
                    faults.push(format!("`{version}` is no version"));
                }
            }
        }
        Condition::BuildAtLeast(build) if crate::version::Version::parse(build).is_none() => {
            faults.push(format!("`{build}` is no build"));
        }
        _ => {}
    }
}

fn claims(entry: &ClaimEntry) -> Vec<Claim> {
    let required = entry.ports.iter().map(|&port| (port, Need::Required, entry.grounding));
    let optional = entry.optional.iter().flat_map(|group| {
        let grounding = group.grounding.unwrap_or(entry.grounding);
        group.ports.iter().map(move |&port| (port, Need::Optional(group.when.clone()), grounding))
    });
    let ports: Vec<_> = required.chain(optional).collect();
    let claim = |service: &String, (port, need, grounding): &(Port, Need, Grounding)| Claim {
        id: entry.id.clone(),
        service: service.clone(),
        product: entry.product.clone(),
        port: *port,
        need: need.clone(),
        binding: entry.binding,
        kernel: entry.kernel,
        shared_with: entry.shared_with.clone(),
        process: entry.process.clone(),
        os: entry.os,
        grounding: *grounding,
        sources: entry.sources.clone(),
    };
    entry.services.iter().flat_map(|service| ports.iter().map(move |port| claim(service, port))).collect()
}
