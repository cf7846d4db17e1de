//! Reads a live Windows host. One file per source; what their values mean is told by the pure files beside this folder,
//! which are tested on any system.
//!
//! Invariant: a source that fails is `Unknown` with its reason, and never hides another source. Nothing here changes the
//! host, and the only program it starts is netsh (`policy`).
//!
//! All of it blocks: call it from a thread that may.

mod host;
mod policy;
mod processes;
mod products;
mod registry;
mod restart;
mod services;
mod sockets;
mod updates;
mod watch;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use rules::facts::{Facts, PortPolicy, SCHEMA, Section, Service, Update};
use rules::text::Text;

use self::processes::Processes;
use self::services::Configurations;
use self::watch::Changes;
use super::reading::section;
use super::service_memory::{ExcludedPorts, ServiceMemory};

/// How long what is dear to read stays valid without a sign of change: a safety net under the watched registry keys, and
/// the pace at which changes without a sign (dynamic ranges, exclusions at run time) are noticed.
const KEPT_FOR: TimeDelta = TimeDelta::hours(6);

/// Reads the host again and again. Updates, port policy and the configuration of services are dear to read and kept until
/// the registry says that they changed; the rest is read at every look.
#[derive(Debug)]
pub struct Collector {
    changes: Arc<Changes>,
    configurations: Configurations,
    memory: ServiceMemory,
    boot: Option<host::Boot>,
    packages: updates::Packages,
    updates: Kept<Section<Vec<Update>>>,
    software: Kept<host::Software>,
    policy: Kept<PortPolicy>,
}

impl Collector {
    /// Calls `on_change` from a thread of its own, at most once a second, when updates or port policy changed: a new look
    /// will show it. Other changes are found by looking every few seconds.
    pub fn new(on_change: impl Fn() + Send + 'static) -> Self {
        Self {
            changes: watch::start(on_change),
            configurations: Configurations::default(),
            memory: ServiceMemory::default(),
            boot: None,
            packages: updates::Packages::default(),
            updates: Kept::default(),
            software: Kept::default(),
            policy: Kept::default(),
        }
    }

    /// The host as it is `now`.
    pub fn look(&mut self, now: DateTime<Utc>) -> Facts {
        let changed = self.changes.take();
        if changed.services {
            self.configurations.forget_changed();
        }
        let mut services = services::read(&mut self.configurations);
        let mut excluded = ExcludedPorts::AsBefore;
        if let Ok(services) = &mut services {
            excluded = self.memory.stamp(services, now);
        }
        let services = section(services);

        if changed.updates {
            self.updates.forget();
            self.software.forget();
        }
        if changed.policy || excluded == ExcludedPorts::MayHaveMoved {
            self.policy.forget();
        }
        let boot = self.boot.get_or_insert_with(|| host::Boot::read(now));
        let software = self.software.get(now, host::Software::read);
        Facts {
            schema: SCHEMA.to_owned(),
            collected_at: Some(now),
            host: section(host::read(boot, software, &services, now)),
            sockets: section(sockets::read(&mut Processes::new(known(&services)))),
            updates: self.updates.get(now, || section(updates::read(&mut self.packages))),
            port_policy: Section::Known(self.policy.get(now, || policy::read(boot.at))),
            services,
            events: Section::Unknown(Text::new("event logs are not read yet")),
            connections: Section::Unknown(Text::new("connections are not counted yet")),
        }
    }
}

fn known(services: &Section<Vec<Service>>) -> &[Service] {
    services.known().map_or(&[], Vec::as_slice)
}

/// A value that is read again when it is forgotten or old.
#[derive(Debug)]
struct Kept<T> {
    value: Option<(DateTime<Utc>, T)>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { value: None }
    }
}

impl<T: Clone> Kept<T> {
    fn get(&mut self, now: DateTime<Utc>, read: impl FnOnce() -> T) -> T {
        match &self.value {
            // A clock that was set back makes the value one from the future: read it again as well.
            Some((read_at, value)) if (TimeDelta::zero()..KEPT_FOR).contains(&(now - *read_at)) => value.clone(),
            _ => {
                let value = read();
                self.value = Some((now, value.clone()));
                value
            }
        }
    }

    fn forget(&mut self) {
        self.value = None;
    }
}
