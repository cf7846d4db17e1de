//! One catalog of several: what is built in, what an imported release brings, and what operators added themselves. Of
//! two entries of one kind and id the later layer has the word.

use std::collections::BTreeMap;

use super::parse::{self, Entries};
use super::{Catalog, CatalogFault, builtin};

/// What an entry tells of, and the folder that its files lie in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    BadUpdate,
    Claim,
    Taker,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::BadUpdate, Self::Claim, Self::Taker];

    pub fn folder(self) -> &'static str {
        match self {
            Self::BadUpdate => "bad-updates",
            Self::Claim => "claims",
            Self::Taker => "takers",
        }
    }

    /// `None`: no folder of a catalog.
    pub fn of_folder(folder: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.folder() == folder)
    }
}

/// Where an entry comes from, in the order in which a later one wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    BuiltIn,
    Release,
    Own,
}

/// Files as (name, text), as [`Catalog::parse`] takes them.
pub type Layer<'a> = &'a [(&'a str, &'a str)];

/// What is laid over the built-in catalog.
#[derive(Clone, Copy, Debug, Default)]
pub struct Layers<'a> {
    pub release: Layer<'a>,
    pub own: Layer<'a>,
}

/// What a file without a folder tells of, by the members that only one kind has. Text that is no TOML counts as a bad
/// update, so that reading it says what is wrong with it.
pub fn kind_of(text: &str) -> Kind {
    let Ok(table) = toml::from_str::<toml::Table>(text) else { return Kind::BadUpdate };
    if table.contains_key("claim") {
        Kind::Claim
    } else if table.contains_key("mechanism") {
        Kind::Taker
    } else {
        Kind::BadUpdate
    }
}

impl Catalog {
    /// The built-in catalog with `layers` over it. On faults nothing is kept, and all of them are returned.
    pub fn composed(layers: Layers<'_>) -> Result<Self, Vec<CatalogFault>> {
        let mut origins = BTreeMap::new();
        let mut merged = parse::parse(builtin::FILES)?;
        for (origin, files) in [(Origin::Release, layers.release), (Origin::Own, layers.own)] {
            let entries = parse::parse(files)?;
            origins.extend(names(&entries).map(|name| (name, origin)));
            lay_over(&mut merged.bad_updates, entries.bad_updates, |entry| &entry.id);
            lay_over(&mut merged.services, entries.services, |entry| &entry.id);
            lay_over(&mut merged.takers, entries.takers, |entry| &entry.id);
        }
        Ok(Self { origins, ..Self::of(merged) })
    }

    /// The built-in files as (name, text): what the version of a composed catalog also depends on.
    pub fn builtin_files() -> Layer<'static> {
        builtin::FILES
    }

    pub fn origin(&self, kind: Kind, id: &str) -> Origin {
        self.origins.get(&(kind, id.to_owned())).copied().unwrap_or(Origin::BuiltIn)
    }

    /// The ids of all entries, by kind.
    pub fn ids(&self) -> impl Iterator<Item = (Kind, &str)> {
        let bad_updates = self.bad_updates.iter().map(|entry| (Kind::BadUpdate, entry.id.as_str()));
        let services = self.services.iter().map(|entry| (Kind::Claim, entry.id.as_str()));
        let takers = self.takers.iter().map(|entry| (Kind::Taker, entry.id.as_str()));
        bad_updates.chain(services).chain(takers)
    }
}

fn names(entries: &Entries) -> impl Iterator<Item = (Kind, String)> {
    let bad_updates = entries.bad_updates.iter().map(|entry| (Kind::BadUpdate, entry.id.clone()));
    let services = entries.services.iter().map(|entry| (Kind::Claim, entry.id.clone()));
    let takers = entries.takers.iter().map(|entry| (Kind::Taker, entry.id.clone()));
    bad_updates.chain(services).chain(takers)
}

/// An entry takes the place of the one with its id, so that the order of all others stays.
fn lay_over<T>(below: &mut Vec<T>, above: Vec<T>, id: impl Fn(&T) -> &str) {
    let places: BTreeMap<String, usize> =
        below.iter().enumerate().map(|(at, entry)| (id(entry).to_owned(), at)).collect();
    for entry in above {
        match places.get(id(&entry)) {
            Some(&at) => below[at] = entry,
            None => below.push(entry),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Layers, Origin, kind_of};
    use crate::catalog::{Catalog, builtin};
    use crate::finding::Severity;

    fn builtin(name: &str) -> &'static str {
        builtin::FILES.iter().find(|(file, _)| *file == name).unwrap().1
    }

    #[test]
    fn the_own_entry_has_the_word_over_the_release_and_that_over_what_is_built_in() {
        let text = builtin("bad-updates/kb973917-iis6.toml");
        assert!(text.contains("severity = \"warning\"") || text.contains("severity = \"critical\""));
        let of = |severity: &str| {
            let line = text.lines().find(|line| line.starts_with("severity = ")).unwrap();
            text.replace(line, &format!("severity = \"{severity}\""))
        };
        let (released, own) = (of("critical"), of("info"));
        let release = [("bad-updates/kb973917-iis6.toml", released.as_str())];
        let own = [("bad-updates/any-name.toml", own.as_str())];
        let severity = |layers| Catalog::composed(layers).unwrap().bad_update("kb973917-iis6").unwrap().severity;
        assert_eq!(severity(Layers { release: &release, own: &[] }), Severity::Critical);
        assert_eq!(severity(Layers { release: &release, own: &own }), Severity::Info);

        let composed = Catalog::composed(Layers { release: &release, own: &own }).unwrap();
        assert_eq!(composed.counts(), Catalog::builtin().counts(), "nothing is there twice");
        assert_eq!(composed.origin(Kind::BadUpdate, "kb973917-iis6"), Origin::Own);
        assert_eq!(composed.origin(Kind::Taker, "kb973917-iis6"), Origin::BuiltIn);
        assert_eq!(composed.ids().count(), Catalog::builtin().ids().count());
    }

    #[test]
    fn a_faulty_layer_is_refused_with_its_line() {
        let own = [("takers/own.toml", "id = \"own\"\nmechanism = \"magic\"\n")];
        let faults = Catalog::composed(Layers { release: &[], own: &own }).unwrap_err();
        assert_eq!((faults[0].file.as_str(), faults[0].line), ("takers/own.toml", 2));
    }

    #[test]
    fn a_file_tells_by_itself_what_it_is() {
        for (name, text) in builtin::FILES {
            let (folder, _) = name.split_once('/').unwrap();
            assert_eq!(kind_of(text).folder(), folder, "{name}");
        }
    }
}
