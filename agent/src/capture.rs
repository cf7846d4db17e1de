//! Captures: text that commands printed on a server that cannot run the agent, read into facts.
//!
//! A file is recognised by what is in it, never by its name, and in any language: by columns, numbers and order, not by
//! words. What was understood is in the facts; every other line is listed with its number. Where files contradict each
//! other, that is said, and nothing is assumed.
//!
//! Invariant: [`read`] never fails but for size, never panics, and takes time and memory in proportion to its input.
//! No I/O, no clock.

pub mod script;

mod encoding;
mod gathered;
mod hotfixes;
mod join;
mod netstat;
mod page;
mod port_ranges;
mod prompt;
mod registry;
mod service_control;
mod started;
mod system_information;
mod system_properties;
mod tasklist;
mod tcpvcon;

use std::collections::BTreeMap;

use rules::facts::Facts;
use rules::text::Text;
use serde::Serialize;

use gathered::Gathered;
use page::Page;
pub use page::What;

/// Most files of one capture.
pub const MOST_FILES: usize = 500;
/// Most bytes of all files together. A list of all component packages of a server has about ten million.
pub const MOST_BYTES: usize = 32 << 20;
/// Most lines that are listed as not understood; the others are counted.
pub const MOST_LISTED: usize = 2000;

/// Characters of a line that is listed.
const LISTED_LINE: usize = 200;

/// One file as it came.
#[derive(Clone, Debug)]
pub struct CaptureFile {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// What a capture says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Capture {
    /// `collected_by` is `capture`; a section without a source is Unknown.
    pub facts: Facts,
    /// What each file holds, in the order of the files.
    pub understood: Vec<Piece>,
    /// Lines that are not in the facts, in the order of the files; at most [`MOST_LISTED`].
    pub not_understood: Vec<UnreadLine>,
    /// How many more lines were not understood.
    pub not_listed: usize,
    /// Sentences, each about two statements that cannot both be true of one host at one moment.
    pub contradictions: Vec<Text>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Piece {
    pub file: Text,
    pub what: What,
    pub lines: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnreadLine {
    pub file: Text,
    /// Counted from 1.
    pub line: usize,
    /// Its beginning.
    pub text: Text,
    pub why: Text,
}

/// A capture that is not read at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooMuch {
    #[error("a capture has at most {MOST_FILES} files, this one has {0}")]
    Files(usize),
    #[error("a capture has at most {} MiB, this one has {} MiB", MOST_BYTES >> 20, .0 >> 20)]
    Bytes(usize),
}

/// Reads the files of one host, collected at one moment.
pub fn read(files: &[CaptureFile]) -> Result<Capture, TooMuch> {
    if files.len() > MOST_FILES {
        return Err(TooMuch::Files(files.len()));
    }
    let bytes = files.iter().map(|file| file.bytes.len()).sum();
    if bytes > MOST_BYTES {
        return Err(TooMuch::Bytes(bytes));
    }
    let mut gathered = Gathered::default();
    let mut account = Account::default();
    for file in files {
        let mut page = Page::new(Text::new(&file.name), &file.bytes);
        gathered.read(&mut page);
        account.add(&page);
    }
    let (facts, contradictions) = join::join(&gathered);
    let Account { understood, not_understood, not_listed } = account;
    Ok(Capture { facts, understood, not_understood, not_listed, contradictions })
}

/// What became of each line.
#[derive(Debug, Default)]
struct Account {
    understood: Vec<Piece>,
    not_understood: Vec<UnreadLine>,
    not_listed: usize,
}

impl Account {
    fn add(&mut self, page: &Page) {
        let mut counts: BTreeMap<What, usize> = BTreeMap::new();
        for line in page.lines.iter().filter(|line| !line.is_blank()) {
            match line.taken {
                Some(what) => *counts.entry(what).or_default() += 1,
                None if self.not_understood.len() == MOST_LISTED => self.not_listed += 1,
                None => self.not_understood.push(UnreadLine {
                    file: page.file.clone(),
                    line: line.number,
                    text: Text::from(line.text.trim().chars().take(LISTED_LINE).collect::<String>()),
                    why: Text::new(line.refused.unwrap_or("no known output has a line of this shape")),
                }),
            }
        }
        let pieces = counts.into_iter().map(|(what, lines)| Piece { file: page.file.clone(), what, lines });
        self.understood.extend(pieces);
    }
}
