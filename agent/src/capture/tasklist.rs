//! `tasklist`: tables whose columns are as wide as the `=====` above them, and `/fo csv`. With `/svc` the third column
//! holds the services of the process, over several lines where they are many.
//!
//! What stands there for "no services" is in the language of the system; it is known by its place ([`no_services`]).
//! No I/O.

use std::collections::BTreeMap;

use rules::text::Text;

use super::page::{Page, What};

#[derive(Clone, Debug, PartialEq)]
pub(super) struct ProcessRow {
    pub(super) pid: u32,
    pub(super) image: Text,
    /// `None`: the table has no such column.
    pub(super) services: Option<ServiceCell>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct ServiceCell {
    pub(super) names: Vec<Text>,
    /// The list ends with a comma: lines of it are missing.
    pub(super) is_cut: bool,
}

pub(super) fn rows(page: &mut Page) -> Vec<ProcessRow> {
    let mut rows = Vec::new();
    let mut columns: Option<Columns> = None;
    let mut continues = false;
    for index in 0..page.lines.len() {
        if !page.lines[index].is_free() {
            continue;
        }
        let text = page.lines[index].text.clone();
        let text = text.as_str();
        if let Some(found) = Columns::of(text) {
            columns = Some(found);
            continues = false;
            page.take_headings(index, 1);
            page.take(index, What::Tasklist);
        } else if let Some(row) = csv_row(text) {
            page.take_headings(index, 1);
            page.take(index, What::Tasklist);
            rows.push(row);
        } else if let Some(columns) = &columns {
            if continues && let Some(more) = columns.continuation(text) {
                page.take(index, What::Tasklist);
                continues = extend(&mut rows, more);
            } else if let Some(row) = columns.row(text) {
                page.take(index, What::Tasklist);
                continues = row.services.as_ref().is_some_and(|cell| cell.is_cut);
                rows.push(row);
            }
        }
    }
    rows
}

/// Adds a continuation line to the last row. Says whether another one follows.
fn extend(rows: &mut [ProcessRow], more: &str) -> bool {
    let Some(cell) = rows.last_mut().and_then(|row| row.services.as_mut()) else { return false };
    let more = service_cell(more);
    cell.names.extend(more.names);
    cell.is_cut = more.is_cut;
    cell.is_cut
}

fn service_cell(text: &str) -> ServiceCell {
    let text = text.trim();
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(Text::new).collect();
    ServiceCell { names, is_cut: text.ends_with(',') }
}

/// The columns of a table, as characters from and to.
#[derive(Debug)]
struct Columns(Vec<(usize, usize)>);

impl Columns {
    fn of(line: &str) -> Option<Self> {
        let is_rule = |word: &str| word.len() >= 3 && word.bytes().all(|byte| byte == b'=');
        if !line.split_whitespace().all(is_rule) {
            return None;
        }
        let mut columns = Vec::new();
        let mut start = None;
        for (at, character) in line.chars().chain([' ']).enumerate() {
            match (character, start) {
                ('=', None) => start = Some(at),
                (other, Some(from)) if other != '=' => {
                    columns.push((from, at));
                    start = None;
                }
                _ => {}
            }
        }
        (columns.len() >= 3).then_some(Self(columns))
    }

    fn has_services(&self) -> bool {
        self.0.len() == 3
    }

    fn row(&self, line: &str) -> Option<ProcessRow> {
        let (image, pid, rest) = self.by_width(line).or_else(|| self.by_words(line))?;
        let services = self.has_services().then(|| service_cell(rest));
        Some(ProcessRow { pid, image: Text::new(image), services })
    }

    fn by_width<'a>(&self, line: &'a str) -> Option<(&'a str, u32, &'a str)> {
        let [(name_start, name_end), (_, pid_end), ..] = self.0[..] else { return None };
        let (name_start, name_end, pid_end) = (at(line, name_start), at(line, name_end), at(line, pid_end));
        let image = line.get(name_start..name_end)?.trim();
        let pid = line.get(name_end..pid_end)?;
        let rest = line.get(pid_end..)?;
        let is_parted = pid.starts_with(' ') && (rest.is_empty() || rest.starts_with(' '));
        (is_parted && !image.is_empty()).then_some((image, pid.trim().parse().ok()?, rest))
    }

    /// Where spaces were lost: a row of names and one number.
    fn by_words<'a>(&self, line: &'a str) -> Option<(&'a str, u32, &'a str)> {
        if !self.has_services() {
            return None;
        }
        let mut numbers = line.split_whitespace().filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()));
        let (number, None) = (numbers.next()?, numbers.next()) else { return None };
        let (image, rest) =
            line.split_once(&format!(" {number} ")).or_else(|| line.split_once(&format!("\t{number}\t")))?;
        let image = image.trim();
        // A sentence with a number in it has no name of a program in front.
        let is_program = image.rsplit_once('.').is_some_and(|(_, suffix)| suffix.len() == 3);
        is_program.then_some((image, number.parse().ok()?, rest))
    }

    /// A line that holds only services: empty up to the third column.
    fn continuation<'a>(&self, line: &'a str) -> Option<&'a str> {
        let (services, _) = *self.0.get(2).filter(|_| self.has_services())?;
        let indent = line.chars().take_while(|character| *character == ' ').count();
        (indent + 2 >= services && indent <= services + 2).then_some(line.trim())
    }
}

/// The byte at which the character of that number starts.
fn at(line: &str, character: usize) -> usize {
    line.char_indices().nth(character).map_or(line.len(), |(at, _)| at)
}

/// `"dns.exe","1420","DNS"`, and the longer rows of tables without services.
fn csv_row(line: &str) -> Option<ProcessRow> {
    let fields = quoted_fields(line.trim())?;
    let (image, pid) = (fields.first()?, fields.get(1)?);
    if image.is_empty() || !(3..=9).contains(&fields.len()) {
        return None;
    }
    let services = (fields.len() == 3).then(|| service_cell(fields[2]));
    Some(ProcessRow { pid: pid.parse().ok()?, image: Text::new(image), services })
}

fn quoted_fields(line: &str) -> Option<Vec<&str>> {
    let inner = line.strip_prefix('"')?.strip_suffix('"')?;
    Some(inner.split("\",\"").collect())
}

/// The cell that stands for "no services": what the idle process has, which hosts none; without that row, what several
/// processes have, as a service runs in one. `None`: neither is there.
pub(super) fn no_services(rows: &[ProcessRow]) -> Option<Text> {
    let only = |row: &ProcessRow| match row.services.as_ref()?.names.as_slice() {
        [name] => Some(name.clone()),
        _ => None,
    };
    if let Some(name) = rows.iter().filter(|row| row.pid == 0).find_map(only) {
        return Some(name);
    }
    let mut owners: BTreeMap<Text, Vec<u32>> = BTreeMap::new();
    for row in rows {
        if let Some(name) = only(row) {
            owners.entry(name).or_default().push(row.pid);
        }
    }
    let several = owners.into_iter().filter(|(_, pids)| pids.iter().any(|pid| *pid != pids[0]));
    several.max_by_key(|(_, pids)| pids.len()).map(|(name, _)| name)
}
