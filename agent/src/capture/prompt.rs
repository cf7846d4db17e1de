//! The lines on which commands were typed, and what `ver` and `hostname` answer. A command says what the numbers below
//! it are where they do not say it themselves. No I/O.

use super::page::{Page, What};

/// What our script notes behind a command that failed.
const FAILED: &str = "rem this ended with an error: ";

/// Commands of a page, each with the line on which it stands.
#[derive(Debug, Default)]
pub(super) struct Prompts(Vec<(usize, String)>);

impl Prompts {
    pub(super) fn take(page: &mut Page) -> Self {
        let mut prompts = Vec::new();
        for index in 0..page.lines.len() {
            if page.lines[index].is_blank() {
                continue;
            }
            if let Some(command) = command(page.lines[index].text.trim()) {
                prompts.push((index, command.to_ascii_lowercase()));
                if command.starts_with(FAILED) {
                    page.refuse(index, "the command ended with an error: what it asks for may not be there");
                } else {
                    page.take(index, What::Prompt);
                }
            }
        }
        Self(prompts)
    }

    /// The command whose output the line belongs to. `None`: no command stands above.
    pub(super) fn above(&self, index: usize) -> Option<&str> {
        let after = self.0.partition_point(|(at, _)| *at < index);
        self.0.get(after.checked_sub(1)?).map(|(_, command)| command.as_str())
    }

    fn iter(&self) -> impl Iterator<Item = (usize, &str)> {
        self.0.iter().map(|(at, command)| (*at, command.as_str()))
    }
}

/// `C:\>netstat -ano`, `PS C:\Users\x> hostname`, `[dc1]: PS C:\> hostname`, and the marks of our own script.
fn command(line: &str) -> Option<&str> {
    if let Some(command) = line.strip_prefix("portreeve>") {
        return Some(command.trim());
    }
    let line = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map_or(line, |(_, rest)| rest);
    let line = line.strip_prefix("PS ").unwrap_or(line);
    let (place, command) = line.split_once('>')?;
    let mut characters = place.chars();
    let is_drive = characters.next().is_some_and(|c| c.is_ascii_alphabetic()) && characters.next() == Some(':');
    let is_path = characters.next().is_none_or(|c| c == '\\') && !place.contains(['<', '"', '|', '*', '?', '=']);
    (is_drive && is_path).then_some(command.trim())
}

/// What `hostname` answered.
pub(super) fn host_names(page: &mut Page, prompts: &Prompts) -> Vec<String> {
    let mut names = Vec::new();
    for (at, command) in prompts.iter() {
        if command != "hostname" && command != "hostname.exe" {
            continue;
        }
        let answer = (at + 1..page.lines.len()).find(|index| !page.lines[*index].is_blank());
        let Some(index) = answer.filter(|index| page.lines[*index].is_free()) else { continue };
        let name = page.lines[index].text.trim().to_owned();
        if is_host_name(&name) {
            page.take(index, What::Version);
            names.push(name);
        }
    }
    names
}

pub(super) fn is_host_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.contains(|c: char| c.is_whitespace() || c.is_control() || "\\/:*?\"<>|,=".contains(c))
}

/// `Microsoft Windows [Version 5.2.3790]`, as `ver` and every console window print it.
pub(super) fn versions(page: &mut Page) -> Vec<[u32; 3]> {
    let mut versions = Vec::new();
    for index in 0..page.lines.len() {
        if !page.lines[index].is_free() {
            continue;
        }
        let text = page.lines[index].text.trim();
        if let Some(version) = version(text) {
            page.take(index, What::Version);
            versions.push(version);
        } else if is_copyright(text) && index.checked_sub(1).is_some_and(|above| follows_version(page, above)) {
            page.take(index, What::Version);
        }
    }
    versions
}

fn follows_version(page: &Page, above: usize) -> bool {
    page.lines[above].taken == Some(What::Version)
}

/// "(C) Copyright 1985-2003 Microsoft Corp." below the version, in any language: it has a year.
fn is_copyright(text: &str) -> bool {
    let mut words = text.split(|c: char| !c.is_ascii_digit());
    text.len() <= 120 && words.any(|word| word.len() == 4 && (word.starts_with("19") || word.starts_with("20")))
}

fn version(text: &str) -> Option<[u32; 3]> {
    let (system, rest) = text.split_once('[')?;
    if !system.starts_with("Microsoft Windows") || system.len() > 60 {
        return None;
    }
    let numbers = rest.strip_suffix(']')?.split_whitespace().last()?;
    dotted(numbers)
}

/// The first three numbers of `5.2.3790` or `10.0.14393.2068`.
pub(super) fn dotted(text: &str) -> Option<[u32; 3]> {
    let mut numbers = text.split('.').map(|number| number.parse().ok());
    let version = [numbers.next()??, numbers.next()??, numbers.next()??];
    numbers.all(|number: Option<u32>| number.is_some()).then_some(version)
}
