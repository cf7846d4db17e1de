//! The spool's folder: files of records (segments), written one after the other and deleted whole, oldest first.
//!
//! Invariants: a record is on the disk when [`Disk::append`] returns; a file is never written again after an error or a
//! restart; no file is deleted before the one that makes it dispensable is on the disk, except when the disk is full.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use prost::Message as _;
use proto::fleet::v1;
use proto::{Digests, wire};

use crate::private::{HeldFolder, create_file, secure_folder, sync_folder};
use crate::spool::marks::{Marks, MarksFile, RESERVE};
use crate::spool::record::{self, Kind, Record, Scan};
use crate::stream::Held;

/// Bytes after which a file is followed by the next one.
const SEGMENT: u64 = 256 * 1024;
/// What the files take beside the reports: headers of up to 64 parts, bases and marks.
const OVERHEAD: u64 = 4 * 1024;
const EXTENSION: &str = "reports";

#[derive(Debug)]
pub(super) struct Disk {
    folder: PathBuf,
    _guard: HeldFolder,
    limit: u64,
    file: MarksFile,
    marks: Marks,
    segments: VecDeque<Segment>,
    /// The last segment, while it may be written.
    active: Option<File>,
    /// The segment that was read last.
    cache: Option<Cache>,
    /// After every report that was made.
    digests: Digests,
    /// Highest number that was given to a report.
    highest: u64,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    index: u64,
    /// Highest number in it or before it.
    last: u64,
    bytes: u64,
}

#[derive(Debug)]
struct Cache {
    index: u64,
    bytes: Vec<u8>,
    records: Vec<Record>,
}

impl Disk {
    /// Finds what an earlier run left, or makes the folder; `fresh_id` is for a new stream.
    pub(super) fn open(folder: &Path, limit: u64, fresh_id: [u8; 16]) -> io::Result<(Self, Held)> {
        let guard = secure_folder(folder)?;
        let (mut file, marks) = MarksFile::open(folder)?;
        let indexes = segments_in(folder)?;
        let Some(marks) = marks else {
            for index in indexes {
                fs::remove_file(path(folder, index))?;
            }
            let mut marks = Marks::new(fresh_id, 0);
            file.write(&mut marks)?;
            return Ok((Self::with(folder, guard, limit, file, marks), Held::nothing(fresh_id)));
        };
        let mut disk = Self::with(folder, guard, limit, file, marks);
        let held = disk.salvage(indexes);
        Ok((disk, held))
    }

    fn with(folder: &Path, guard: HeldFolder, limit: u64, file: MarksFile, marks: Marks) -> Self {
        Self {
            folder: folder.to_owned(),
            _guard: guard,
            limit,
            file,
            marks,
            segments: VecDeque::new(),
            active: None,
            cache: None,
            digests: Digests::new(),
            highest: 0,
        }
    }

    /// Reads every file and keeps every intact record.
    fn salvage(&mut self, indexes: Vec<u64>) -> Held {
        let newest_is_missing = self.marks.segment > 0 && !indexes.contains(&self.marks.segment);
        let (mut is_damaged, mut end_is_lost) = (newest_is_missing, false);
        let mut numbers = Vec::new();
        for index in indexes {
            // What cannot be read is as good as not there.
            let bytes = fs::read(path(&self.folder, index)).unwrap_or_default();
            let scan = record::scan(&self.marks.stream_id, &bytes);
            if scan.records.is_empty() && index > self.marks.segment {
                // It was being made when this program ended.
                drop(fs::remove_file(path(&self.folder, index)));
                continue;
            }
            is_damaged |= scan.is_damaged || scan.records.is_empty();
            end_is_lost = scan.end_is_lost || scan.records.is_empty();
            self.highest = self.highest.max(scan.highest);
            self.learn(&scan, &bytes, &mut numbers);
            self.segments.push_back(Segment { index, last: self.highest, bytes: bytes.len() as u64 });
        }
        if newest_is_missing || end_is_lost {
            self.highest = self.highest.max(self.marks.reserved);
        }
        self.highest = self.highest.max(self.marks.in_memory);
        numbers.sort_unstable();
        numbers.dedup();
        let runs = runs(&numbers);
        let has_hole = runs.len() > 1 || runs.back().is_some_and(|(_, last)| *last < self.highest);
        if is_damaged || has_hole || self.marks.in_memory > 0 {
            self.digests = Digests::new();
        }
        Held {
            stream_id: self.marks.stream_id,
            epoch: self.marks.epoch,
            next_seq: self.highest + 1,
            digests: self.digests.clone(),
            reports: runs,
        }
    }

    fn learn(&mut self, scan: &Scan, bytes: &[u8], numbers: &mut Vec<u64>) {
        for record in &scan.records {
            let body = &bytes[record.body.clone()];
            match record.kind {
                Kind::Base => {
                    let digests = v1::Heartbeat::decode(body).ok().map(|base| base.digests);
                    self.digests =
                        digests.and_then(|digests| wire::digests_from_wire(digests).ok()).unwrap_or_default();
                }
                Kind::Report => {
                    numbers.push(record.number);
                    self.digests.extend(digests_of(&record::decode_parts(body).unwrap_or_default()));
                }
            }
        }
    }

    /// Bytes of reports that may still be added.
    pub(super) fn free(&self) -> u64 {
        self.total().saturating_sub(self.bytes())
    }

    pub(super) fn total(&self) -> u64 {
        self.limit.saturating_sub(OVERHEAD)
    }

    fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// On an error the report is not here, or is here and is passed over when it comes again.
    pub(super) fn append(&mut self, number: u64, parts: &[v1::Report]) -> io::Result<()> {
        if self.active.is_none() || self.segments.back().is_none_or(|segment| segment.bytes >= self.segment_bytes()) {
            self.rotate()?;
        }
        if number > self.marks.reserved {
            self.mark(Marks { reserved: number + RESERVE, ..self.marks })?;
        }
        self.write(Kind::Report, number, &record::encode_parts(parts))?;
        self.highest = self.highest.max(number);
        self.digests.extend(digests_of(parts));
        if let Some(segment) = self.segments.back_mut() {
            segment.last = self.highest;
        }
        Ok(())
    }

    /// Sets aside the numbers of reports that could not be written, up to this one: they are sent from memory. The marks
    /// are overwritten where they are, which works on a full disk.
    pub(super) fn note_memory(&mut self, highest: u64) -> io::Result<()> {
        let in_memory = if highest == 0 { 0 } else { highest + RESERVE };
        if highest <= self.marks.in_memory && (highest == 0) == (self.marks.in_memory == 0) {
            return Ok(());
        }
        self.mark(Marks { in_memory, ..self.marks })
    }

    fn mark(&mut self, mut marks: Marks) -> io::Result<()> {
        self.file.write(&mut marks)?;
        self.marks = marks;
        Ok(())
    }

    pub(super) fn read(&mut self, number: u64) -> Option<Vec<v1::Report>> {
        let index = self.segments.iter().find(|segment| segment.last >= number)?.index;
        let find = |cache: &Cache| {
            let record = cache.records.iter().find(|record| record.kind == Kind::Report && record.number == number)?;
            record::decode_parts(&cache.bytes[record.body.clone()])
        };
        if let Some(cache) = self.cache.as_ref().filter(|cache| cache.index == index)
            && let Some(parts) = find(cache)
        {
            return Some(parts);
        }
        let bytes = fs::read(path(&self.folder, index)).ok()?;
        let records = record::scan(&self.marks.stream_id, &bytes).records;
        find(self.cache.insert(Cache { index, bytes, records }))
    }

    /// Reports up to this number are dispensable.
    pub(super) fn forget(&mut self, up_to: u64) -> io::Result<()> {
        while self.segments.len() > 1 && self.segments.front().is_some_and(|segment| segment.last <= up_to) {
            self.remove_oldest()?;
        }
        let is_done = |segment: &Segment| segment.last <= up_to && segment.bytes >= self.segment_bytes() / 4;
        if self.segments.len() == 1 && self.segments.front().is_some_and(is_done) {
            self.rotate()?;
            self.remove_oldest()?;
        }
        Ok(())
    }

    /// Every report is dispensable, and nobody knows what the server will hold.
    pub(super) fn give_up(&mut self) -> io::Result<()> {
        self.digests = Digests::new();
        // On a full disk room comes before order: a crash in between costs numbers, not truth.
        let is_ready = self.rotate().is_ok();
        let kept = usize::from(is_ready);
        while self.segments.len() > kept {
            self.remove_oldest()?;
        }
        Ok(())
    }

    /// Another stream begins; its first report has a higher number than `highest`.
    pub(super) fn begin(&mut self, stream_id: [u8; 16], highest: u64) -> io::Result<()> {
        self.active = None;
        while !self.segments.is_empty() {
            self.remove_oldest()?;
        }
        self.digests = Digests::new();
        self.highest = highest;
        // Both slots: damage to one must not bring the old stream back.
        self.mark(Marks { generation: self.marks.generation, ..Marks::new(stream_id, highest) })?;
        self.mark(self.marks)
    }

    /// What a Welcome told: it is what the next run says in its Hello.
    pub(super) fn note(&mut self, epoch: u64, digests: &Digests) -> io::Result<()> {
        if epoch != self.marks.epoch {
            self.mark(Marks { epoch, ..self.marks })?;
        }
        if *digests == self.digests {
            return Ok(());
        }
        self.digests.clone_from(digests);
        if self.active.is_none() {
            return self.rotate();
        }
        self.write(Kind::Base, self.highest, &self.base())
    }

    /// Begins the next file.
    fn rotate(&mut self) -> io::Result<()> {
        self.active = None;
        let index = self.segments.back().map_or(0, |segment| segment.index).max(self.marks.segment) + 1;
        let path = path(&self.folder, index);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.active = Some(create_file(&path)?);
        self.segments.push_back(Segment { index, last: self.highest, bytes: 0 });
        let written = self.write(Kind::Base, self.highest, &self.base()).and_then(|()| {
            sync_folder(&self.folder)?;
            self.mark(Marks { segment: index, ..self.marks })
        });
        if written.is_err() {
            self.active = None;
            self.segments.pop_back();
            // A file without a report; the next attempt makes it anew.
            drop(fs::remove_file(&path));
        }
        written
    }

    fn base(&self) -> Vec<u8> {
        let digests = wire::digests_to_wire(&self.digests);
        v1::Heartbeat { digests, seq: self.highest, ..v1::Heartbeat::default() }.encode_to_vec()
    }

    /// After an error the file ends here, whatever of the record is in it.
    fn write(&mut self, kind: Kind, number: u64, body: &[u8]) -> io::Result<()> {
        let record = record::encode(&self.marks.stream_id, kind, number, body);
        let (Some(file), Some(segment)) = (&mut self.active, self.segments.back_mut()) else {
            return Err(io::Error::other("no file is open"));
        };
        let written = faults::write_all(file, &record).and_then(|()| file.sync_data());
        if written.is_ok() {
            segment.bytes += record.len() as u64;
        } else {
            drop(file.set_len(segment.bytes));
            segment.bytes = file.metadata().map_or(segment.bytes, |metadata| metadata.len());
            self.active = None;
        }
        written
    }

    fn remove_oldest(&mut self) -> io::Result<()> {
        let Some(segment) = self.segments.front() else { return Ok(()) };
        if self.cache.as_ref().is_some_and(|cache| cache.index == segment.index) {
            self.cache = None;
        }
        match fs::remove_file(path(&self.folder, segment.index)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.segments.pop_front();
        Ok(())
    }

    fn segment_bytes(&self) -> u64 {
        SEGMENT.min(self.limit / 8)
    }
}

fn path(folder: &Path, index: u64) -> PathBuf {
    folder.join(format!("{index:016}.{EXTENSION}"))
}

/// In the order in which they were written.
fn segments_in(folder: &Path) -> io::Result<Vec<u64>> {
    let mut indexes = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_ours = path.extension().is_some_and(|extension| extension == EXTENSION);
        let index: Option<u64> = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        indexes.extend(index.filter(|_| is_ours));
    }
    indexes.sort_unstable();
    Ok(indexes)
}

fn digests_of(parts: &[v1::Report]) -> Digests {
    let sections = parts.iter().flat_map(|part| &part.sections);
    sections.map(|section| (section.section(), section.digest.clone())).collect()
}

/// Unbroken runs of sorted numbers, each as its first and last.
fn runs(numbers: &[u64]) -> VecDeque<(u64, u64)> {
    let mut runs: VecDeque<(u64, u64)> = VecDeque::new();
    for &number in numbers {
        match runs.back_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push_back((number, number)),
        }
    }
    runs
}

/// Where tests make the disk full.
#[cfg(not(test))]
mod faults {
    use std::fs::File;
    use std::io::{self, Write as _};

    pub(super) fn write_all(file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }
}

#[cfg(test)]
pub(crate) mod faults {
    use std::cell::Cell;
    use std::fs::File;
    use std::io::{self, Write as _};

    thread_local! {
        /// Bytes that still fit on the disk.
        pub(crate) static ROOM: Cell<Option<usize>> = const { Cell::new(None) };
    }

    pub(super) fn write_all(file: &mut File, bytes: &[u8]) -> io::Result<()> {
        let Some(room) = ROOM.get() else { return file.write_all(bytes) };
        ROOM.set(Some(room.saturating_sub(bytes.len())));
        file.write_all(&bytes[..room.min(bytes.len())])?;
        if room < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}
