//! A backup is a folder: the database as `pg_dump` writes it, a manifest with sizes and hashes, and the master key only
//! where somebody asked for it.
//!
//! Invariant: a folder under its own name is whole; what was interrupted has another name.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::db::restore::Described;

pub const MANIFEST: &str = "manifest.json";
pub const DUMP: &str = "database.dump";
pub const KEY: &str = "master.key";

/// What this program writes and reads.
const FORMAT: u32 = 1;

/// What a backup says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    /// Nothing that was committed after it is sure to be in the backup.
    pub taken_at: DateTime<Utc>,
    pub installation_id: Uuid,
    /// Of the program that took it.
    pub server_version: String,
    /// Number of the newest migration.
    pub migration: i64,
    /// Of the programs that took it.
    pub postgres_major: u32,
    /// By their names in the folder.
    pub files: BTreeMap<String, FileFacts>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    pub bytes: u64,
    /// In hexadecimal digits.
    pub sha256: String,
}

/// Why a folder is no backup that can be restored.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("{0} is no backup: it has no {MANIFEST} that can be read ({1})")]
    NoManifest(PathBuf, String),
    #[error("the backup is of format {0}; this program reads format {FORMAT}")]
    Format(u32),
    #[error("the backup is of a newer server ({0}); restore it with that version or a later one")]
    Newer(String),
    #[error("{0} is missing or cannot be read: {1}")]
    Unreadable(String, std::io::Error),
    #[error("{0} is not the file that was backed up: its bytes differ from the manifest")]
    Damaged(String),
    #[error("the backup was taken with Postgres {0}, and Postgres {1} is installed here; install {0} or later")]
    Postgres(u32, u32),
}

/// A backup in the making.
#[derive(Debug)]
pub struct Draft {
    unfinished: PathBuf,
    target: PathBuf,
}

impl Draft {
    /// An empty folder beside the target, which must not exist yet.
    pub fn begin(target: &Path) -> anyhow::Result<Self> {
        anyhow::ensure!(!target.exists(), "{} exists already; name a folder that does not", target.display());
        let mut name = target.file_name().context("a backup needs the name of a folder")?.to_owned();
        name.push(".unfinished");
        let unfinished = target.with_file_name(name);
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished)?;
        }
        let made = fs::DirBuilder::new().mode(0o700).create(&unfinished);
        made.with_context(|| format!("cannot make {}", unfinished.display()))?;
        Ok(Self { unfinished, target: target.to_owned() })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.unfinished.join(name)
    }

    /// Writes the manifest of what lies in the folder, and gives it its name.
    pub fn finish(
        self,
        described: Described,
        postgres_major: u32,
        taken_at: DateTime<Utc>,
    ) -> anyhow::Result<Manifest> {
        let mut files = BTreeMap::new();
        for name in [DUMP, KEY] {
            let path = self.path(name);
            if path.exists() {
                File::open(&path)?.sync_all()?;
                files.insert(name.to_owned(), facts_of(&path)?);
            }
        }
        let manifest = Manifest {
            format: FORMAT,
            taken_at,
            installation_id: described.installation_id,
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            migration: described.migration,
            postgres_major,
            files,
        };
        write_private(&self.path(MANIFEST), format!("{:#}\n", serde_json::to_value(&manifest)?).as_bytes())?;
        fs::rename(&self.unfinished, &self.target)?;
        if let Some(parent) = self.target.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            File::open(parent)?.sync_all()?;
        }
        Ok(manifest)
    }
}

/// Reads the manifest of a folder and compares every file with it. `migration` is the newest that this program knows.
pub fn verify(folder: &Path, migration: i64, postgres_major: u32) -> Result<Manifest, Fault> {
    let no_manifest = |error: String| Fault::NoManifest(folder.to_owned(), error);
    let text = fs::read(folder.join(MANIFEST)).map_err(|error| no_manifest(error.to_string()))?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| no_manifest(error.to_string()))?;
    if manifest.format != FORMAT {
        return Err(Fault::Format(manifest.format));
    }
    if manifest.migration > migration {
        return Err(Fault::Newer(manifest.server_version));
    }
    if manifest.postgres_major > postgres_major {
        return Err(Fault::Postgres(manifest.postgres_major, postgres_major));
    }
    if !manifest.files.contains_key(DUMP) {
        return Err(no_manifest(format!("it names no {DUMP}")));
    }
    for (name, facts) in &manifest.files {
        // Of a manifest from elsewhere: a name may not lead out of the folder.
        if ![DUMP, KEY].contains(&name.as_str()) {
            return Err(no_manifest(format!("it names {name}")));
        }
        let present = facts_of(&folder.join(name)).map_err(|error| Fault::Unreadable(name.clone(), error))?;
        if present != *facts {
            return Err(Fault::Damaged(name.clone()));
        }
    }
    Ok(manifest)
}

/// A file that nobody else may read.
pub fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = made.with_context(|| format!("cannot make {}", path.display()))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(())
}

fn facts_of(path: &Path) -> std::io::Result<FileFacts> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(FileFacts { bytes, sha256: hex::encode(hash.finalize()) });
        }
        hash.update(&buffer[..count]);
        bytes += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use chrono::DateTime;
    use uuid::Uuid;

    use super::{DUMP, Described, Draft, Fault, MANIFEST, verify};

    #[test]
    fn a_backup_is_what_its_manifest_says_or_is_refused() {
        let folder = std::env::temp_dir().join(format!("portreeve-backup-{}", Uuid::new_v4()));
        let draft = Draft::begin(&folder).unwrap();
        fs::write(draft.path(DUMP), b"rows").unwrap();
        let described = Described { installation_id: Uuid::nil(), migration: 17 };
        let written = draft.finish(described, 15, DateTime::UNIX_EPOCH).unwrap();
        assert_eq!(verify(&folder, 17, 15).unwrap(), written);
        assert!(Draft::begin(&folder).is_err(), "a backup is never written over");
        assert!(matches!(verify(&folder, 16, 15), Err(Fault::Newer(_))));
        assert!(matches!(verify(&folder, 17, 14), Err(Fault::Postgres(15, 14))));
        fs::write(folder.join(DUMP), b"rowz").unwrap();
        assert!(matches!(verify(&folder, 17, 15), Err(Fault::Damaged(_))));
        fs::remove_file(folder.join(DUMP)).unwrap();
        assert!(matches!(verify(&folder, 17, 15), Err(Fault::Unreadable(..))));
        fs::remove_file(folder.join(MANIFEST)).unwrap();
        assert!(matches!(verify(&folder, 17, 15), Err(Fault::NoManifest(..))));
        fs::remove_dir_all(&folder).unwrap();
    }
}
