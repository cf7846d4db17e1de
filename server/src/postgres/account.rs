//! The account that Postgres runs as. initdb and postgres refuse root, so as root its child is dropped to another one;
//! the server keeps its own.

use std::{fs::Metadata, os::unix::fs::MetadataExt, path::Path};

use anyhow::{Context, bail};
use nix::unistd::{Uid, User, geteuid};

/// An account to which a child of ours is dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
}

impl Account {
    /// `None`: we are not root, and Postgres runs as we do.
    pub fn for_postgres() -> anyhow::Result<Option<Self>> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        for name in ["postgres", "nobody"] {
            if let Some(user) = User::from_name(name)? {
                return Ok(Some(user.into()));
            }
        }
        bail!("Postgres refuses to run as root, and this system has neither account `postgres` nor `nobody` for it");
    }

    /// As [`Account::for_postgres`], but keeps the owner of a cluster that exists.
    pub fn for_data_of(data: &Path) -> anyhow::Result<Option<Self>> {
        let usual = Self::for_postgres()?;
        let Ok(metadata) = std::fs::metadata(data) else { return Ok(usual) };
        let ours = usual.as_ref().map_or_else(|| geteuid().as_raw(), |account| account.uid);
        if metadata.uid() == ours {
            return Ok(usual);
        }
        let owner = User::from_uid(Uid::from_raw(metadata.uid()))?
            .with_context(|| format!("{} belongs to an account that does not exist", data.display()))?;
        if usual.is_none() || owner.uid.is_root() {
            bail!("{} belongs to account {}, which we cannot run Postgres as", data.display(), owner.name);
        }
        Ok(Some(owner.into()))
    }

    /// Whether the folder's mode lets the account pass through it. Supplementary groups are left out, as they are of
    /// the child.
    pub fn may_enter(&self, folder: &Metadata) -> bool {
        let needed = if folder.uid() == self.uid {
            0o100
        } else if folder.gid() == self.gid {
            0o010
        } else {
            0o001
        };
        folder.mode() & needed != 0
    }
}

impl From<User> for Account {
    fn from(user: User) -> Self {
        Self { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw() }
    }
}
