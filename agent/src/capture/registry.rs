//! `reg query`: keys, and below each its values as `name  REG_TYPE  data`.
//!
//! Invariant: a value belongs to the key that stands above it without a blank line between; otherwise it is refused.
//! No I/O.

use std::collections::BTreeMap;

use super::page::{Page, What};

/// What was queried of the registry, by path in lower case.
#[derive(Debug, Default)]
pub(super) struct Registry {
    keys: BTreeMap<String, Key>,
}

#[derive(Debug, Default)]
pub(super) struct Key {
    /// The name of the key itself, as printed.
    pub(super) name: String,
    values: BTreeMap<String, Data>,
    /// All its values were listed, as far as can be told: several, and the list ends before the file does.
    is_whole: bool,
}

#[derive(Clone, Debug, PartialEq)]
struct Data {
    kind: String,
    text: String,
}

const HIVE: &str = r"hkey_local_machine\";

impl Registry {
    /// Takes all keys and values of a page.
    pub(super) fn take(&mut self, page: &mut Page) {
        let mut current: Option<String> = None;
        for index in 0..page.lines.len() {
            let line = &page.lines[index];
            if line.is_blank() {
                self.end(current.take());
                continue;
            }
            if !line.is_free() {
                continue;
            }
            let text = line.text.trim().to_owned();
            if is_key(&text) {
                self.end(current.take());
                current = Some(self.add_key(&text));
                page.take(index, What::Registry);
            } else if let Some((name, data)) = value(&text) {
                match &current {
                    Some(path) => {
                        page.take(index, What::Registry);
                        if let Some(key) = self.keys.get_mut(path) {
                            key.values.insert(name.to_lowercase(), data);
                        }
                    }
                    None => page.refuse(index, "no key stands above this value of the registry"),
                }
            } else if text.starts_with("! REG.EXE VERSION") {
                page.take(index, What::Registry);
            }
        }
    }

    fn add_key(&mut self, path: &str) -> String {
        let name = path.rsplit('\\').next().unwrap_or_default().to_owned();
        let path = path.trim_end_matches('\\').to_lowercase();
        self.keys.entry(path.clone()).or_insert_with(|| Key { name, ..Key::default() });
        path
    }

    fn end(&mut self, path: Option<String>) {
        if let Some(key) = path.and_then(|path| self.keys.get_mut(&path)) {
            key.is_whole |= key.values.len() >= 2;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// A key below `HKEY_LOCAL_MACHINE`.
    pub(super) fn key(&self, path: &str) -> Option<&Key> {
        self.keys.get(&format!("{HIVE}{}", path.to_lowercase()))
    }

    /// The keys right below a path.
    pub(super) fn below(&self, path: &str) -> impl Iterator<Item = &Key> {
        let prefix = format!("{HIVE}{}\\", path.to_lowercase());
        let length = prefix.len();
        let from = self.keys.range(prefix.clone()..);
        let within = from.take_while(move |(path, _)| path.starts_with(&prefix));
        within.filter(move |(path, _)| !path[length..].contains('\\')).map(|(_, key)| key)
    }

    /// Whether a list of the keys below `parent` shows that this one does not exist: names before it and behind it are
    /// there, and it is not.
    pub(super) fn lacks(&self, parent: &str, child: &str) -> bool {
        /// A list of fewer keys is one of values that happened to lie below.
        const LEAST: usize = 20;
        let child = child.to_lowercase();
        let names: Vec<String> = self.below(parent).map(|key| key.name.to_lowercase()).collect();
        names.len() >= LEAST
            && names.iter().any(|name| *name < child)
            && names.iter().any(|name| *name > child)
            && !names.contains(&child)
    }
}

/// What a value is, where the capture can tell.
pub(super) enum Found<T> {
    Set(T),
    /// All values of the key are known, and this one is not among them; or there is no such key.
    NotSet,
    /// The capture does not hold the key, or a part of it.
    NotCaptured,
    /// It is there and is not what it should be.
    Odd(String),
}

impl Key {
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let data = self.values.get(&name.to_lowercase())?;
        matches!(data.kind.as_str(), "REG_SZ" | "REG_EXPAND_SZ").then_some(data.text.as_str())
    }

    pub(super) fn number(&self, name: &str) -> Option<u32> {
        match self.find_number(name) {
            Found::Set(number) => Some(number),
            _ => None,
        }
    }

    pub(super) fn find_number(&self, name: &str) -> Found<u32> {
        self.find(name, |data| {
            let digits = data.text.strip_prefix("0x").filter(|_| data.kind == "REG_DWORD")?;
            u32::from_str_radix(digits, 16).ok()
        })
    }

    /// The lines of a `REG_MULTI_SZ`, which `reg query` parts by `\0`.
    pub(super) fn find_lines(&self, name: &str) -> Found<Vec<String>> {
        self.find(name, |data| {
            let lines = data.text.split("\\0").map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned);
            (data.kind == "REG_MULTI_SZ").then(|| lines.collect())
        })
    }

    fn find<T>(&self, name: &str, read: impl Fn(&Data) -> Option<T>) -> Found<T> {
        match self.values.get(&name.to_lowercase()) {
            Some(data) => match read(data) {
                Some(value) => Found::Set(value),
                None => Found::Odd(format!("{name} is “{}” of type {}", data.text, data.kind)),
            },
            None if self.is_whole => Found::NotSet,
            None => Found::NotCaptured,
        }
    }

    pub(super) fn has_values(&self) -> bool {
        !self.values.is_empty()
    }

    pub(super) fn value_names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }
}

fn is_key(text: &str) -> bool {
    ["HKEY_LOCAL_MACHINE\\", "HKEY_CURRENT_USER\\", "HKEY_USERS\\", "HKEY_CLASSES_ROOT\\"]
        .iter()
        .any(|hive| text.starts_with(hive))
        && !text.contains("\tREG_")
        && !text.contains(" REG_")
}

fn value(text: &str) -> Option<(&str, Data)> {
    let (at, _) = text.match_indices("REG_").find(|(at, _)| *at > 0 && text[..*at].ends_with([' ', '\t']))?;
    let (name, rest) = (text[..at].trim(), &text[at..]);
    let (kind, data) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
    let is_kind = kind[4..].bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_') && kind.len() > 4;
    (is_kind && !name.is_empty()).then(|| (name, Data { kind: kind.to_owned(), text: data.trim().to_owned() }))
}
