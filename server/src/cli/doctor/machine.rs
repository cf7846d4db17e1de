//! The machine that the server runs on: programs, folders, disk, limits, addresses.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit};
use nix::sys::statvfs::statvfs;

use super::{Verdict, bad, fine, look};
use crate::config::Place;
use crate::postgres::account::Account;
use crate::postgres::binaries::Binaries;

/// Below it a private Postgres may stop at any time.
const LEAST_FREE_BYTES: u64 = 1 << 30;
/// A stream is one open file, and 10,000 agents are what a server is made for.
const ENOUGH_FILES: u64 = 12_000;

/// Nothing where the database is somewhere else.
pub(super) async fn postgres_programs(place: &Place, data: &Path) -> Option<Verdict> {
    if place.database_url.is_some() {
        return None;
    }
    Some(match Binaries::find(&data.join("postgres")).await {
        Ok(found) => fine("postgres-programs", format!("Postgres {} is installed.", found.major)),
        Err(error) => bad("postgres-programs", format!("{error:#}."), "Debian: apt-get install postgresql"),
    })
}

pub(super) fn folder(data: &Path) -> Verdict {
    const WHAT: &str = "data-folder";
    if !data.exists() {
        return look(WHAT, format!("There is no data folder {} yet.", data.display()), "`run` makes it.");
    }
    let account = match Account::for_postgres() {
        Ok(account) => account,
        Err(error) => return bad(WHAT, format!("{error:#}."), "Make the account, or run the server as another one."),
    };
    for parent in data.ancestors() {
        let Ok(metadata) = std::fs::metadata(parent) else {
            return bad(WHAT, format!("Cannot read {}.", parent.display()), "Let the server's account read it.");
        };
        if let Some(account) = &account
            && !account.may_enter(&metadata)
        {
            let text = format!("Account {}, as which Postgres runs, may not enter {}.", account.name, parent.display());
            return bad(WHAT, text, format!("chmod o+x {}", parent.display()));
        }
    }
    let mode = std::fs::metadata(data).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o022 != 0 {
        let text = format!("Others may write in {} (mode {:o}).", data.display(), mode & 0o777);
        return bad(WHAT, text, format!("chmod go-w {}", data.display()));
    }
    fine(WHAT, format!("The data folder {} can be used.", data.display()))
}

pub(super) fn master_key(data: &Path) -> Verdict {
    const WHAT: &str = "master-key";
    let path = data.join("master.key");
    let Ok(metadata) = std::fs::metadata(&path) else {
        return look(WHAT, "There is no master.key here.", "The first start makes it; a replica needs a copy of it.");
    };
    if metadata.permissions().mode() & 0o077 != 0 {
        let text = format!("{} can be read by others.", path.display());
        return bad(WHAT, text, format!("chmod 600 {}", path.display()));
    }
    fine(WHAT, "master.key is readable by its owner only. Keep a copy elsewhere: without it this database is mute.")
}

/// Nothing where the folder is not there yet.
pub(super) fn disk(data: &Path) -> Option<Verdict> {
    const WHAT: &str = "disk";
    let volume = statvfs(data).ok()?;
    let free = volume.blocks_available().saturating_mul(volume.fragment_size());
    let total = volume.blocks().saturating_mul(volume.fragment_size()).max(1);
    let text = format!("{} MiB of {} are free for {}.", free >> 20, total >> 20, data.display());
    Some(if free < LEAST_FREE_BYTES {
        bad(WHAT, text, "Make room, or keep history for a shorter time.")
    } else if free / (total / 10).max(1) < 1 {
        look(WHAT, text, "Less than a tenth is left: make room, or keep history for a shorter time.")
    } else {
        fine(WHAT, text)
    })
}

/// Nothing where the system does not say. The server raises its limit as far as it may.
pub(super) fn open_files() -> Option<Verdict> {
    const WHAT: &str = "open-files";
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    Some(if most < ENOUGH_FILES {
        let text = format!("A process here may have {most} open files: so many agents fewer some hundreds connect.");
        look(WHAT, text, "For more, LimitNOFILE=65536 in the unit, or `ulimit -Hn 65536` before the start.")
    } else {
        fine(WHAT, format!("A process here may have {most} open files."))
    })
}

pub(super) fn address((flag, address): (&'static str, SocketAddr)) -> Verdict {
    const WHAT: &str = "address";
    match std::net::TcpListener::bind(address) {
        Ok(_) => fine(WHAT, format!("{address} (--{flag}) is free.")),
        Err(error) => bad(
            WHAT,
            format!("Cannot listen on {address} (--{flag}): {error}."),
            format!("Choose another with --{flag}."),
        ),
    }
}
