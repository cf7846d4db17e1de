//! The stories of all hosts, as far as they tell of updates and failures: what is learned from.
//!
//! Names are kept once and stand as places in lists, for a fleet of thousands holds few of them, many times.

use chrono::{DateTime, Utc};

/// Every host at one moment.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    /// KBs, each once.
    pub kbs: Vec<String>,
    /// SCM key names of services, each once without regard to case.
    pub services: Vec<String>,
    pub hosts: Vec<FleetHost>,
}

/// The story of one host. Times are by its clock, corrected by its skew.
#[derive(Clone, Debug)]
pub struct FleetHost {
    /// Whose it is: told from others, nothing else.
    pub client: i32,
    /// Hosts of one class can be compared: they share system, build line and roles.
    pub class: u32,
    /// Whether anything failed outside of this span is not known.
    pub seen_from: DateTime<Utc>,
    pub seen_until: DateTime<Utc>,
    /// Every boot in that span, in order; also the one that it began in.
    pub boots: Vec<DateTime<Utc>>,
    /// In order of their KBs, each once.
    pub updates: Vec<Installed>,
    /// Places in [`Fleet::services`] of those that the host has, in order.
    pub services: Vec<u32>,
    pub troubles: Vec<Trouble>,
}

/// An update that was installed at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Place in [`Fleet::kbs`].
    pub kb: u32,
    /// `None`: not known. The host then counts neither as with it nor as without it.
    pub at: Option<DateTime<Utc>>,
}

/// A service failed, or another took a port that it had held the boot before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Place in [`Fleet::services`].
    pub service: u32,
    pub at: DateTime<Utc>,
    /// When the service was well again, or the boot over.
    pub until: DateTime<Utc>,
}

impl Fleet {
    pub(super) fn kb(&self, place: u32) -> &str {
        name(&self.kbs, place)
    }

    pub(super) fn service(&self, place: u32) -> &str {
        name(&self.services, place)
    }
}

fn name(names: &[String], place: u32) -> &str {
    usize::try_from(place).ok().and_then(|place| names.get(place)).map_or("", String::as_str)
}

impl FleetHost {
    /// `None`: the host does not have it.
    pub(super) fn installed(&self, kb: u32) -> Option<Installed> {
        let place = self.updates.binary_search_by_key(&kb, |update| update.kb).ok()?;
        self.updates.get(place).copied()
    }

    pub(super) fn has(&self, service: u32) -> bool {
        self.services.binary_search(&service).is_ok()
    }
}
