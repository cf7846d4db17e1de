//! From TOML to entries. Unknown members, unknown words and missing sources are faults; every fault names its file and
//! line, and all are found in one run.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

use super::bad_update::BadUpdate;
use super::claim::ServiceEntry;
use super::taker::Taker;
use super::validate::{self, Complaint};

/// What is wrong with a catalog file, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
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
    pub(super) services: Vec<ServiceEntry>,
    pub(super) takers: Vec<Taker>,
    pub(super) bad_updates: Vec<BadUpdate>,
}

/// A file of claims: one product family, several services.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ClaimFile {
    claim: Vec<SpannedEntry>,
}

/// An entry and the byte at which it begins.
struct SpannedEntry(toml::Spanned<ServiceEntry>);

impl<'de> Deserialize<'de> for SpannedEntry {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        toml::Spanned::deserialize(deserializer).map(Self)
    }
}

impl JsonSchema for SpannedEntry {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        ServiceEntry::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<ServiceEntry>()
    }
}

/// The three kinds of files by their folders.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "stands for the folders in the published schema, and is never made")]
#[serde(rename_all = "kebab-case")]
struct CatalogFiles {
    /// `bad-updates/NAME.toml`: one entry a file.
    bad_updates: BadUpdate,
    /// `claims/NAME.toml`: any number of `[[claim]]`.
    claims: ClaimFile,
    /// `takers/NAME.toml`: one entry a file.
    takers: Taker,
}

/// The JSON Schema of the catalog: one member for each folder, which describes a file there.
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(CatalogFiles)
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
                // The span of an entry is that of its header; it goes on to the next one.
                let starts: Vec<usize> = file.claim.iter().map(|SpannedEntry(entry)| entry.span().start).collect();
                let ends = starts.clone().into_iter().skip(1).chain([text.len()]);
                let spans = starts.into_iter().zip(ends).map(|(start, end)| start..end);
                let entries =
                    file.claim.into_iter().map(|SpannedEntry(entry)| Entry::Claim(Box::new(entry.into_inner())));
                spans.zip(entries).collect()
            }),
            "takers" => toml::from_str(text).map(|taker| vec![(0..text.len(), Entry::Taker(Box::new(taker)))]),
            "bad-updates" => toml::from_str(text).map(|entry| vec![(0..text.len(), Entry::BadUpdate(Box::new(entry)))]),
            _ => {
                faults.push(fault(0, "a catalog file lies in claims/, takers/ or bad-updates/".to_owned()));
                continue;
            }
        };
        let found: Vec<(std::ops::Range<usize>, Entry)> = match found {
            Ok(found) => found,
            Err(error) => {
                faults.push(fault(error.span().map_or(0, |span| span.start), error.message().to_owned()));
                continue;
            }
        };
        for (span, entry) in found {
            let place = |complaint: &Complaint| span.start + complaint.place_in(text.get(span.clone()).unwrap_or(""));
            faults.extend(entry.complaints().into_iter().map(|complaint| fault(place(&complaint), complaint.message)));
            if !ids.insert((folder, entry.id().to_owned())) {
                faults.push(fault(span.start, format!("the id {} is taken already", entry.id())));
            }
            match entry {
                Entry::Claim(entry) => entries.services.push(*entry),
                Entry::Taker(taker) => entries.takers.push(*taker),
                Entry::BadUpdate(entry) => entries.bad_updates.push(*entry),
            }
        }
    }
    faults.sort();
    if faults.is_empty() { Ok(entries) } else { Err(faults) }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|&&byte| byte == b'\n').count() + 1
}

enum Entry {
    Claim(Box<ServiceEntry>),
    Taker(Box<Taker>),
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

    fn complaints(&self) -> Vec<Complaint> {
        let mut found = validate::of_id(self.id());
        found.extend(match self {
            Self::Claim(entry) => validate::of_service(entry),
            Self::Taker(entry) => validate::of_taker(entry),
            Self::BadUpdate(entry) => validate::of_bad_update(entry),
        });
        found
    }
}
