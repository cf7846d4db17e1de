//! What must be known of a stream even when its reports cannot be read: its id, its epoch, and which numbers may be used.
//!
//! Two slots in one file are written in turn, each with a generation and a checksum: a write that is cut short costs the
//! newer one, and the older one is still true, because nothing is done with a mark before it is on the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::private::{create_file, sync_folder};

const FILE: &str = "marks";
/// Numbers that are set aside with one write of the marks.
pub(super) const RESERVE: u64 = 16;
const MAGIC: [u8; 4] = *b"PRM1";
const SLOT: usize = 128;
const FIELDS: usize = 60;
const CHECKSUM: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) generation: u64,
    pub(super) stream_id: [u8; 16],
    pub(super) epoch: u64,
    /// No report has a higher number.
    pub(super) reserved: u64,
    /// The newest file of reports. When it is missing, reports are.
    pub(super) segment: u64,
    /// The highest number of a report that is in memory only; 0: none is. Should this program end, it is lost.
    pub(super) in_memory: u64,
}

#[derive(Debug)]
pub(super) struct MarksFile(File);

impl Marks {
    pub(super) fn new(stream_id: [u8; 16], reserved: u64) -> Self {
        Self { generation: 0, stream_id, epoch: 0, reserved, segment: 0, in_memory: 0 }
    }

    /// A newer mark is lost: it may have allowed one more set of numbers, or said that some are in memory only.
    fn in_doubt(self) -> Self {
        Self { in_memory: self.reserved.max(self.in_memory) + 2 * RESERVE, ..self }
    }

    fn encode(&self) -> Vec<u8> {
        let mut slot = Vec::new();
        slot.extend(MAGIC);
        slot.extend(self.generation.to_le_bytes());
        slot.extend(self.stream_id);
        for value in [self.epoch, self.reserved, self.segment, self.in_memory] {
            slot.extend(value.to_le_bytes());
        }
        let digest = Sha256::digest(&slot);
        slot.extend(&digest[..CHECKSUM]);
        slot
    }

    fn decode(slot: &[u8]) -> Option<Self> {
        let fields = slot.get(..FIELDS)?;
        let checksum = slot.get(FIELDS..FIELDS + CHECKSUM)?;
        if fields[..4] != MAGIC || checksum != &Sha256::digest(fields)[..CHECKSUM] {
            return None;
        }
        let value = |at: usize| fields[at..at + 8].try_into().ok().map(u64::from_le_bytes);
        Some(Self {
            generation: value(4)?,
            stream_id: fields[12..28].try_into().ok()?,
            epoch: value(28)?,
            reserved: value(36)?,
            segment: value(44)?,
            in_memory: value(52)?,
        })
    }
}

impl MarksFile {
    /// The newest intact mark. `None`: there is none, and whatever else lies in the folder belongs to nobody. Where the
    /// other slot is damaged, a newer mark may have stood there: numbers that it allowed are taken for used.
    pub(super) fn open(folder: &Path) -> io::Result<(Self, Option<Marks>)> {
        let path = folder.join(FILE);
        let mut file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                drop(create_file(&path)?);
                sync_folder(folder)?;
                OpenOptions::new().read(true).write(true).open(&path)?
            }
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let written = bytes.chunks(SLOT).take(2).filter(|slot| slot.iter().any(|&byte| byte != 0));
        let (intact, damaged): (Vec<_>, Vec<_>) = written.map(Marks::decode).partition(Option::is_some);
        let newest = intact.into_iter().flatten().max_by_key(|marks| marks.generation);
        let newest = newest.map(|marks| if damaged.is_empty() { marks } else { marks.in_doubt() });
        Ok((Self(file), newest))
    }

    /// Returns once it is on the disk.
    pub(super) fn write(&mut self, marks: &mut Marks) -> io::Result<()> {
        let next = Marks { generation: marks.generation + 1, ..*marks };
        self.0.seek(SeekFrom::Start(next.generation % 2 * SLOT as u64))?;
        self.0.write_all(&next.encode())?;
        self.0.sync_data()?;
        *marks = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Marks, MarksFile};

    #[test]
    fn a_write_that_is_cut_short_leaves_the_mark_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let (mut file, none) = MarksFile::open(folder.path()).unwrap();
        assert_eq!(none, None);
        let mut marks = Marks::new([3; 16], 16);
        file.write(&mut marks).unwrap();
        let before = Marks { epoch: 5, ..marks };
        let mut marks = before;
        file.write(&mut marks).unwrap();
        let before = marks;
        marks.reserved = 99;
        file.write(&mut marks).unwrap();
        assert_eq!(MarksFile::open(folder.path()).unwrap().1, Some(marks));
        let path = folder.path().join("marks");
        let mut bytes = std::fs::read(&path).unwrap();
        let at = usize::try_from(marks.generation % 2).unwrap() * super::SLOT;
        bytes[at + 40] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        // What the lost mark allowed may have been used.
        let in_doubt = Marks { in_memory: before.reserved + 2 * super::RESERVE, ..before };
        assert_eq!(MarksFile::open(folder.path()).unwrap().1, Some(in_doubt));
        std::fs::write(&path, b"PRM1").unwrap();
        assert_eq!(MarksFile::open(folder.path()).unwrap().1, None);
    }
}
