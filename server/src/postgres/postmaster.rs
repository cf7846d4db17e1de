//! Reads postmaster.pid, the one place that tells whether a cluster runs, and where its socket is.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use nix::{errno::Errno, sys::signal::kill, unistd::Pid};

/// A running postmaster, as its pid file describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Postmaster {
    pub pid: Pid,
    pub socket_folder: PathBuf,
    /// False while it starts, recovers or stops.
    pub is_ready: bool,
}

impl Postmaster {
    /// `None`: nothing runs on this data folder; a pid file left by a crash does not count.
    pub fn running(data: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(data.join("postmaster.pid")).ok()?;
        let postmaster = Self::parse(&text)?;
        let is_alive = matches!(kill(postmaster.pid, None), Ok(()) | Err(Errno::EPERM));
        (is_alive && works_in(postmaster.pid, data)).then_some(postmaster)
    }

    /// Lines: pid, data folder, start time, port, socket folder, address, shared memory key, status.
    fn parse(text: &str) -> Option<Self> {
        let lines: Vec<&str> = text.lines().collect();
        Some(Self {
            pid: Pid::from_raw(lines.first()?.trim().parse().ok().filter(|&pid| pid > 1)?),
            socket_folder: PathBuf::from(lines.get(4).copied().unwrap_or_default()),
            is_ready: lines.get(7).is_some_and(|status| status.trim() == "ready"),
        })
    }
}

/// Whether the process is the postmaster of this folder and not one that was given its number since. Its command line
/// names the folder and is readable across accounts (its working folder is not, without CAP_SYS_PTRACE, as in most
/// containers); a zombie has none. Where there is no /proc, being alive has to do.
fn works_in(pid: Pid, data: &Path) -> bool {
    if !Path::new("/proc/self").exists() {
        return true;
    }
    let Ok(command) = std::fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let wanted = data.as_os_str().as_bytes();
    command.split(|&byte| byte == 0).any(|argument| argument == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_in_the_making_is_not_ready() {
        let whole = "4711\n/data\n1763829371\n5432\n/tmp/portreeve-1\n\n  5432001  0\nready   \n";
        let postmaster = Postmaster::parse(whole).unwrap();
        assert_eq!(postmaster.pid.as_raw(), 4711);
        assert_eq!(postmaster.socket_folder, Path::new("/tmp/portreeve-1"));
        assert!(postmaster.is_ready);
        assert!(!Postmaster::parse("4711\n/data\n").unwrap().is_ready);
        assert_eq!(Postmaster::parse(""), None);
        assert_eq!(Postmaster::parse("-1\n"), None);
    }
}
