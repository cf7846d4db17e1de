//! The log of a program without standard error: two files of bounded length, the newer one and the one before it.
//!
//! Invariant: a log that cannot be written never stops what is logged.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

const NEWER: &str = "agent.log";
const OLDER: &str = "agent.log.1";

#[derive(Debug)]
pub(crate) struct LogFile {
    folder: PathBuf,
    file: File,
    length: u64,
    limit: u64,
}

impl LogFile {
    /// Goes on with the log in `folder`, which is there. `limit`: the longest that one of the two files gets.
    pub(crate) fn open(folder: &Path, limit: u64) -> io::Result<Self> {
        let (file, length) = open_at_end(&folder.join(NEWER))?;
        Ok(Self { folder: folder.to_owned(), file, length, limit })
    }

    fn turn_over(&mut self) -> io::Result<()> {
        let (newer, older) = (self.folder.join(NEWER), self.folder.join(OLDER));
        // Windows renames an open file only when everybody who opened it allows that, as std does.
        fs::rename(&newer, older)?;
        (self.file, self.length) = open_at_end(&newer)?;
        Ok(())
    }
}

/// Not for appending: Windows lets nobody shorten a file that is open so.
fn open_at_end(path: &Path) -> io::Result<(File, u64)> {
    let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    let length = file.seek(SeekFrom::End(0))?;
    Ok((file, length))
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.length > 0 && self.length + line.len() as u64 > self.limit && self.turn_over().is_err() {
            // Somebody holds the older file. What is here goes, so that the log stays bounded.
            self.file.set_len(0)?;
            self.file.rewind()?;
            self.length = 0;
        }
        let written = self.file.write(line)?;
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::{LogFile, NEWER, OLDER};

    #[test]
    fn the_log_stays_bounded_and_keeps_what_is_newest() {
        let folder = tempfile::tempdir().unwrap();
        for part in 0..3 {
            let mut log = LogFile::open(folder.path(), 100).unwrap();
            for line in 0..10 {
                writeln!(log, "line {:03} of the log", part * 10 + line).unwrap();
            }
        }
        let read = |name| fs::read_to_string(folder.path().join(name)).unwrap();
        let (older, newer) = (read(OLDER), read(NEWER));
        assert!(older.len() <= 100 && newer.len() <= 100, "{older}{newer}");
        assert!(newer.ends_with("line 029 of the log\n"), "{newer}");
        let numbers: Vec<_> =
            older.lines().chain(newer.lines()).map(|line| line[5..8].parse::<u32>().unwrap()).collect();
        assert!(numbers.len() > 5 && numbers.is_sorted() && numbers.windows(2).all(|pair| pair[1] == pair[0] + 1));
    }
}
