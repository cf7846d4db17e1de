//! Reads a live Windows host. One file per source; what their values mean is told by the pure files beside this folder,
//! which are tested on any system.
//!
//! Invariant: a source that fails is `Unknown` with its reason, and never hides another source. Nothing here changes the
//! host, and the only program it starts is netsh (`policy`).
//!
//! All of it blocks: call it from a thread that may.

mod connections;
mod event_functions;
mod events;
mod host;
mod http;
mod memory;
mod owners;
mod platform;
mod policy;
mod processes;
mod products;
mod push;
mod registry;
mod restart;
mod service_names;
mod services;
mod sockets;
mod tables;
mod update_agent;
mod updates;
mod watch;

pub use self::memory::private_bytes;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use proto::wire;
use rules::facts::{Exclusion, Facts, PortPolicy, SCHEMA, Section, Service, ServiceState, StartMode, Update};
use rules::text::Text;

use self::events::EventLog;
use self::owners::Owners;
use self::processes::Processes;
use self::push::{Pushed, Pushes};
use self::services::configuration::Configurations;
use self::tables::Tables;
use self::update_agent::{Sign, UpdateAgent};
use self::watch::Changes;
use super::capability::Capability;
use super::live::Took;
use super::reading::{Unreadable, section};
use super::service_memory::{Entered, ExcludedPorts, ServiceMemory, since_process_start};
use crate::service::NAME;

/// How long what is dear to read stays valid without a sign of change: a safety net under the watched registry keys, and
/// the pace at which changes without a sign (dynamic ranges, exclusions at run time) are noticed.
const KEPT_FOR: TimeDelta = TimeDelta::hours(6);

/// How long a single look waits for each of the sources that answer in their own time.
const FIRST_ANSWERS: Duration = Duration::from_secs(15);

/// Reads the host again and again. Updates, port policy and the configuration of services are dear to read and kept until
/// the registry says that they changed; the rest is read at every look.
#[derive(Debug)]
pub struct Collector {
    changes: Arc<Changes>,
    /// Or why services are not pushed.
    pushes: Result<Pushes, String>,
    configurations: Configurations,
    memory: ServiceMemory,
    tables: Tables,
    owners: Owners,
    queues: http::Queues,
    counts: connections::Counts,
    laps: Laps,
    boot: Option<host::Boot>,
    events: EventLog,
    update_agent: UpdateAgent,
    lists: updates::Lists,
    updates: Kept<Section<Vec<Update>>>,
    software: Kept<host::Software>,
    policy: Kept<PortPolicy>,
}

impl Collector {
    /// Calls `on_change` from threads of its own when something changed that a new look will show: a service's state, which
    /// may come in storms; entries of the event log; updates, port policy and the list of services, at most once a second.
    /// Other changes are found by looking every few seconds. `folder`: where to keep what was read of the event log; `None`:
    /// nowhere, as for a single look.
    pub fn new(on_change: impl Fn() + Clone + Send + 'static, folder: Option<PathBuf>) -> Self {
        Self {
            changes: watch::start(on_change.clone()),
            events: EventLog::new(on_change.clone(), folder),
            update_agent: UpdateAgent::start(on_change.clone()),
            pushes: Pushes::start(on_change),
            configurations: Configurations::default(),
            memory: ServiceMemory::default(),
            tables: Tables::default(),
            owners: Owners::new(),
            queues: http::Queues::default(),
            counts: connections::Counts::default(),
            laps: Laps::start(),
            boot: None,
            lists: updates::Lists::default(),
            updates: Kept::default(),
            software: Kept::default(),
            policy: Kept::default(),
        }
    }

    /// Waits for sources that answer in their own time, for some seconds at most: a single look would miss them.
    pub fn settle(&mut self, now: DateTime<Utc>) {
        self.events.follow(self.boot.get_or_insert_with(|| host::Boot::read(now)), now);
        self.update_agent.ask(now, Sign::None);
        self.events.settle(FIRST_ANSWERS);
        self.update_agent.settle(FIRST_ANSWERS);
    }

    /// The host as it is `now`.
    pub fn look(&mut self, now: DateTime<Utc>) -> Facts {
        self.laps = Laps::start();
        let changed = self.changes.take();
        if changed.services {
            self.configurations.forget_changed();
        }
        // Before the states are read: what is pushed while they are belongs to the next look.
        let pushed = self.pushes.as_ref().map(Pushes::take).unwrap_or_default();
        let mut services = services::read(&mut self.configurations);
        let mut processes = Processes::new(services.as_deref().unwrap_or_default());
        let mut excluded = ExcludedPorts::AsBefore;
        if let Ok(services) = &mut services {
            if self.memory.is_new() {
                since_process_start(services, |pid| processes.get(pid).started_at);
            }
            excluded = self.memory.stamp(services, &entered(pushed, now), now);
            if let Ok(pushes) = &self.pushes {
                pushes.want(worth_hearing_of(services));
            }
        }
        let services = section(services);
        self.laps.end("services");

        let boot = self.boot.get_or_insert_with(|| host::Boot::read(now));
        self.events.follow(boot, now);
        let has_sign = changed.updates | self.events.take_update();
        self.update_agent.ask(now, if has_sign { Sign::Seen } else { Sign::None });
        self.laps.end("event-log");
        if has_sign {
            self.software.forget();
        }
        if has_sign | self.update_agent.take_news() {
            self.updates.forget();
        }
        if changed.policy || excluded == ExcludedPorts::MayHaveMoved {
            self.policy.forget();
        }
        let mut sockets = sockets::read(&mut self.tables, &mut self.owners, &mut processes);
        self.laps.end("sockets");
        let http_queues = match &mut sockets {
            Ok(sockets) => self.queues.name_services(sockets, &mut processes, now),
            Err(reason) => Capability::Unavailable(reason.to_string()),
        };
        self.laps.end("http-queues");
        let bind_times = sockets::bind_times(sockets.as_deref().unwrap_or_default());
        let sockets = section(sockets);
        let updates = self.updates.get(now, || section(updates::read(&mut self.lists, &self.update_agent)));
        self.laps.end("update-packages");
        let port_policy = self.policy.get(now, || policy::read(boot.at));
        self.laps.end("port-exclusions");
        let software = self.software.get(now, host::Software::read);
        let products = software.products();
        self.laps.end("products");
        let connections = section(self.counts.get(
            now,
            &mut self.tables,
            &mut processes,
            sockets.known().map_or(&[], Vec::as_slice),
            port_policy.dynamic_ranges.known().map_or(&[], Vec::as_slice),
        ));
        self.laps.end("connections");
        let mut host = section(host::read(boot, software, &services, now));
        if let Section::Known(host) = &mut host {
            host.collectors = vec![
                Capability::of(&sockets).slowed(self.laps.took.get("sockets").copied()).named("sockets"),
                self.owners.capability().named("socket-owners"),
                bind_times.named("socket-bind-times"),
                http_queues.named("http-queues"),
                Capability::of(&services).named("services"),
                self.service_push().named("service-push"),
                self.configurations.capability().named("service-config"),
                Capability::of(&connections).named("connections"),
                self.events.capability().named("event-log"),
                self.lists.packages.named("update-packages"),
                self.lists.installer_patches.named("installer-patches"),
                self.lists.uninstall_entries.named("uninstall-entries"),
                self.update_agent.history().named("update-history"),
                self.update_agent.offers().named("update-offers"),
                Capability::of(&port_policy.dynamic_ranges).named("dynamic-ranges"),
                Capability::of(&port_policy.exclusions).named("port-exclusions"),
                products.named("products"),
            ];
        }
        Facts {
            schema: SCHEMA.to_owned(),
            collected_at: Some(now),
            host,
            sockets,
            updates,
            port_policy: Section::Known(port_policy),
            services,
            events: self.events.section(),
            connections,
        }
    }
}

/// Exclusions that netsh says to last across boots.
pub fn lasting_exclusions() -> Result<Vec<Exclusion>, Unreadable> {
    policy::exclusions(policy::Store::Persistent)
}

/// The connections of this moment, those of the processes with most of them first.
pub fn list_connections() -> Result<Vec<wire::Connection>, Unreadable> {
    let mut processes = Processes::new(&[]);
    let connections = connections::read(&mut Tables::default())?;
    Ok(super::connections::named(connections, |pid| processes.get(pid).image.clone()))
}

impl Collector {
    /// How long each source took in the last look.
    pub fn took(&self) -> &Took {
        &self.laps.took
    }

    fn service_push(&self) -> Capability {
        match &self.pushes {
            Ok(pushes) => pushes.capability(),
            Err(reason) => Capability::Unavailable(reason.clone()),
        }
    }
}

/// Tells what each part of a look took.
#[derive(Debug)]
struct Laps {
    since: Instant,
    took: Took,
}

impl Laps {
    fn start() -> Self {
        Self { since: Instant::now(), took: Took::new() }
    }

    /// The time since the last lap is of the collector `name`, as far as it was read in this look.
    fn end(&mut self, name: &'static str) {
        self.took.insert(name, self.since.elapsed());
        self.since = Instant::now();
    }
}

/// Services that ought to run, and those that do. Our own is not: it would not hear of its end, and as long as it holds
/// itself it cannot be deleted (under Wine not even when this process has ended).
fn worth_hearing_of(services: &[Service]) -> HashMap<Text, ServiceState> {
    services
        .iter()
        .filter(|service| service.name.as_str() != NAME)
        .filter(|service| service.start == Some(StartMode::Auto) || service.state != ServiceState::Stopped)
        .map(|service| (service.name.clone(), service.state))
        .collect()
}

/// What was pushed, by the clock of `now`.
fn entered(pushed: HashMap<Text, Pushed>, now: DateTime<Utc>) -> HashMap<Text, Entered> {
    let at = |instant: Instant| now - TimeDelta::from_std(instant.elapsed()).unwrap_or_default();
    pushed.into_iter().map(|(name, pushed)| (name, Entered { state: pushed.state, at: at(pushed.at) })).collect()
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
