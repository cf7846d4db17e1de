//! How many connections this process may hold: the kernel counts them as open files.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::{debug, warn};

use crate::listeners::accept::WAITING;

/// What the server opens beside the connections of agents: those of browsers, the database, webhooks, and files; and those
/// that wait for their handshake.
const OTHERS: u64 = 512 + WAITING as u64;

/// Raises the limit of open files as far as this account may. What it is then; `None`: the kernel does not tell.
pub fn raise_limit() -> Option<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    if soft < hard
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        debug!(%error, "Cannot raise the limit of open files");
        return Some(soft);
    }
    Some(hard)
}

/// Says when the agents that are enrolled cannot all be connected.
pub fn warn_when_too_low(limit: Option<u64>, hosts: u64) {
    let Some(limit) = limit else { return };
    let needed = hosts.saturating_add(OTHERS);
    if limit < needed {
        warn!(
            limit,
            needed,
            hosts,
            "The limit of open files is below what the enrolled hosts need: raise LimitNOFILE of the service"
        );
    }
}
