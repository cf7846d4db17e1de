//! Reports that were made and are not acknowledged, on disk: what the host did while the server was away or this program
//! was not running is not lost.
//!
//! Invariants: a report is on the disk before it is sent, so no number is ever used twice; no more than the limit is
//! used; where the disk fails, reporting goes on from a bounded memory, and what was written stays readable.

pub(crate) mod disk;
mod marks;
mod record;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use prost::Message as _;
use proto::Digests;
use proto::fleet::v1;
use tracing::{info, warn};

use crate::spool::disk::Disk;
use crate::stream::{Held, Room};

/// Folder of the spool in the state folder.
pub const FOLDER: &str = "spool";

/// Bytes that the spool may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub disk: u64,
    /// While the disk cannot be written. At least as much as the largest report (64 messages of 192 KiB).
    pub memory: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { disk: 64 * 1024 * 1024, memory: 16 * 1024 * 1024 }
    }
}

#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    limits: Limits,
    /// `None`: the folder could not be opened.
    disk: Option<Disk>,
    /// What could not be written, in order, newer than everything on the disk.
    memory: VecDeque<(u64, Vec<v1::Report>)>,
    health: Health,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Good,
    /// Told once.
    Failing,
}

impl Spool {
    /// Takes up what an earlier run left. It never fails: without a disk there is memory. `fresh_id` is random, for a
    /// stream that begins.
    pub fn open(folder: &Path, limits: Limits, fresh_id: [u8; 16]) -> (Self, Held) {
        let (disk, held) = match Disk::open(folder, limits.disk, fresh_id) {
            Ok((disk, held)) => (Ok(disk), held),
            Err(error) => (Err(error), Held::nothing(fresh_id)),
        };
        let mut spool =
            Self { folder: folder.to_owned(), limits, disk: None, memory: VecDeque::new(), health: Health::Good };
        match disk {
            Ok(disk) => spool.disk = Some(disk),
            Err(error) => spool.failed(&error),
        }
        (spool, held)
    }

    pub fn room(&self) -> Room {
        match &self.disk {
            Some(disk) if self.health == Health::Good => Room { free: disk.free(), total: disk.total() },
            _ => {
                let parts = self.memory.iter().flat_map(|(_, parts)| parts);
                let used: usize = parts.map(v1::Report::encoded_len).sum();
                Room { free: self.limits.memory.saturating_sub(used as u64), total: self.limits.memory }
            }
        }
    }

    /// Returns once the report is safe, or as safe as it can be.
    pub fn keep(&mut self, seq: u64, parts: &[v1::Report]) {
        self.memory.push_back((seq, parts.to_vec()));
        let Some(disk) = &mut self.disk else { return };
        let mut written = Ok(());
        while let Some((seq, parts)) = self.memory.front() {
            written = disk.append(*seq, parts);
            if written.is_err() {
                break;
            }
            self.memory.pop_front();
        }
        let highest = if self.memory.is_empty() { 0 } else { seq };
        let written = written.and(disk.note_memory(highest));
        match written {
            Ok(()) if self.health == Health::Failing => {
                self.health = Health::Good;
                info!("Reports are kept in {} again", self.folder.display());
            }
            Ok(()) => {}
            Err(error) => self.failed(&error),
        }
    }

    /// `None`: the report was damaged on the disk.
    pub fn read(&mut self, seq: u64) -> Option<Vec<v1::Report>> {
        if let Some((_, parts)) = self.memory.iter().find(|(number, _)| *number == seq) {
            return Some(parts.clone());
        }
        self.disk.as_mut()?.read(seq)
    }

    /// Reports up to this number are acknowledged.
    pub fn forget(&mut self, up_to: u64) {
        while self.memory.pop_front_if(|(seq, _)| *seq <= up_to).is_some() {}
        self.on_disk(|disk| disk.forget(up_to));
    }

    /// Drops everything: what comes next makes up for it.
    pub fn give_up(&mut self) {
        self.memory.clear();
        self.on_disk(Disk::give_up);
    }

    /// Drops everything and begins another stream, whose first report has a higher number than `highest`.
    pub fn begin(&mut self, stream_id: [u8; 16], highest: u64) {
        self.memory.clear();
        self.on_disk(|disk| disk.begin(stream_id, highest));
    }

    /// Keeps what a Welcome told for the Hello of the next run.
    pub fn note(&mut self, epoch: u64, digests: &Digests) {
        // What waits in memory is part of what the digests say.
        if self.memory.is_empty() {
            self.on_disk(|disk| disk.note(epoch, digests));
        }
    }

    fn on_disk(&mut self, work: impl FnOnce(&mut Disk) -> io::Result<()>) {
        if let Some(disk) = &mut self.disk
            && let Err(error) = work(disk)
        {
            self.failed(&error);
        }
    }

    fn failed(&mut self, error: &io::Error) {
        if self.health == Health::Good {
            let (folder, mebibytes) = (self.folder.display(), self.limits.memory / 1024 / 1024);
            warn!("Reports cannot be kept in {folder} and stay in memory, up to {mebibytes} MiB: {error}");
        }
        self.health = Health::Failing;
    }
}
