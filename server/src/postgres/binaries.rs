//! Finds the system's Postgres: Debian's folders, then `pg_config`, then PATH. Nothing is ever downloaded.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tokio::process::Command;

/// The oldest version with everything that the migrations use.
pub const OLDEST: u32 = 15;

/// One installed Postgres.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// Empty: the programs are found by PATH.
    folder: PathBuf,
    pub major: u32,
}

impl Binaries {
    /// The newest one, or the one that made `data`: a cluster opens only under its own major version.
    pub async fn find(data: &Path) -> anyhow::Result<Self> {
        let made_by: Option<u32> = match std::fs::read_to_string(data.join("PG_VERSION")) {
            Ok(text) => Some(text.trim().parse().context("PG_VERSION of the cluster is not a number")?),
            Err(_) => None,
        };
        let installed = Self::installed().await;
        if let Some(major) = made_by {
            return installed.iter().find(|found| found.major == major).cloned().with_context(|| {
                format!("{} was made by Postgres {major}, which is not installed here", data.display())
            });
        }
        match installed.into_iter().max_by_key(|found| found.major) {
            Some(newest) if newest.major >= OLDEST => Ok(newest),
            Some(newest) => bail!("Postgres {OLDEST} or later is needed; found only {}", newest.major),
            None => bail!(
                "no Postgres found: install one (Debian: `apt-get install postgresql`), or name a database with \
                 DATABASE_URL"
            ),
        }
    }

    /// Path of one of its programs.
    pub fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }

    async fn installed() -> Vec<Self> {
        let mut folders = Vec::new();
        for root in ["/usr/lib/postgresql", "/usr/local/lib/postgresql"] {
            let Ok(versions) = std::fs::read_dir(root) else { continue };
            folders.extend(versions.flatten().map(|version| version.path().join("bin")));
        }
        if let Ok(output) = Command::new("pg_config").arg("--bindir").output().await {
            folders.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
        }
        folders.push(PathBuf::new());

        let mut found = Vec::new();
        for folder in folders {
            if let Some(major) = version_of(&folder.join("postgres")).await
                && version_of(&folder.join("initdb")).await == Some(major)
            {
                found.push(Self { folder, major });
            }
        }
        found
    }
}

/// `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)` → 15.
async fn version_of(program: &Path) -> Option<u32> {
    let output = Command::new(program).arg("--version").output().await.ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let (_, after) = text.split_once("(PostgreSQL) ")?;
    after.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}
