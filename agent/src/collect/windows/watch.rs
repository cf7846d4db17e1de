//! Tells which parts of the registry changed, so that what is dear to read is read again only then.
//!
//! One thread waits for all keys. A key that does not exist yet is watched through its nearest ancestor that does.
//! A burst of changes (an update writes thousands of keys) is one change.
//! <https://learn.microsoft.com/windows/win32/api/winreg/nf-winreg-regnotifychangekeyvalue>
#![expect(unsafe_code, reason = "registry changes are signalled through event handles")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tracing::warn;
use windows::Win32::Foundation::{HANDLE, WAIT_OBJECT_0};
use windows::Win32::System::Registry::{
    HKEY, REG_NOTIFY_CHANGE_LAST_SET, REG_NOTIFY_CHANGE_NAME, RegNotifyChangeKeyValue,
};
use windows::Win32::System::Threading::{CreateEventW, INFINITE, ResetEvent, WaitForMultipleObjects};
use windows::core::{Owned, PCWSTR};
use winreg::{HKLM, RegKey};

use super::services::configuration::SERVICES;
use super::{policy, updates};

/// A burst ends when nothing changed for this long …
const QUIET: u32 = 1000;
/// … or when it has lasted this long: an installation may take an hour.
const LONGEST_BURST: Duration = Duration::from_secs(5);

/// What changed since it was last asked.
#[derive(Debug, Default)]
pub(super) struct Changes {
    updates: AtomicBool,
    policy: AtomicBool,
    services: AtomicBool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Changed {
    pub(super) updates: bool,
    pub(super) policy: bool,
    pub(super) services: bool,
}

impl Changes {
    /// Take before reading: what changes while it is read is then seen the next time.
    pub(super) fn take(&self) -> Changed {
        Changed {
            updates: self.updates.swap(false, Ordering::AcqRel),
            policy: self.policy.swap(false, Ordering::AcqRel),
            services: self.services.swap(false, Ordering::AcqRel),
        }
    }

    fn mark(&self, topic: Topic) {
        let flag = match topic {
            Topic::Updates => &self.updates,
            Topic::Policy => &self.policy,
            Topic::Services => &self.services,
            Topic::ServiceNames => return,
        };
        flag.store(true, Ordering::Release);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Topic {
    Updates,
    Policy,
    /// Their configurations.
    Services,
    /// Services come and go: nothing is kept of that, but it is worth a look.
    ServiceNames,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Values and names of the key itself: below `Tcpip\Parameters` every lease is written.
    Key,
    Subtree,
    /// Names of the keys right below it.
    Names,
}

/// The noisiest comes last: of several keys that changed, the first is told.
const WATCHED: [(Topic, &str, Reach); 16] = [
    (Topic::Updates, updates::PACKAGES, Reach::Subtree),
    (Topic::Updates, updates::UNINSTALL, Reach::Subtree),
    (Topic::Updates, updates::UNINSTALL_32, Reach::Subtree),
    (Topic::Updates, updates::INSTALLER_PRODUCTS, Reach::Subtree),
    (Topic::Updates, updates::FRAMEWORKS, Reach::Subtree),
    (Topic::Policy, policy::TCPIP_PARAMETERS, Reach::Key),
    (Topic::Policy, policy::DNS_PARAMETERS, Reach::Key),
    (Topic::Policy, policy::NTDS_PARAMETERS, Reach::Key),
    (Topic::Policy, policy::NETLOGON_PARAMETERS, Reach::Key),
    (Topic::Policy, policy::FRS_PARAMETERS, Reach::Key),
    (Topic::Policy, policy::RPC, Reach::Key),
    (Topic::Policy, policy::HTTP_PARAMETERS, Reach::Subtree),
    (Topic::Policy, policy::SQL_SERVER, Reach::Subtree),
    (Topic::Policy, policy::NETWORK_STORE, Reach::Subtree),
    (Topic::ServiceNames, SERVICES, Reach::Names),
    (Topic::Services, SERVICES, Reach::Subtree),
];

/// Watches until the [`Changes`] that it returns are dropped. `on_change` is called after a burst that touched updates, policy
/// or the list of services, never for what is below a service's key alone: that is written all the time, and services are
/// read every few seconds anyway.
pub(super) fn start(on_change: impl Fn() + Send + 'static) -> Arc<Changes> {
    let changes = Arc::new(Changes::default());
    let for_thread = Arc::downgrade(&changes);
    let (armed, until_armed) = mpsc::channel::<()>();
    let watch = move || {
        let mut watched: Vec<Watched> =
            WATCHED.iter().filter_map(|(topic, path, reach)| Watched::new(*topic, path, *reach)).collect();
        let events: Vec<HANDLE> = watched.iter().map(|watched| *watched.event).collect();
        drop(armed);
        while let Some(first) = wait(&events, INFINITE) {
            let Some(changes) = for_thread.upgrade() else { return };
            let started = Instant::now();
            let mut is_worth_a_look = false;
            let mut next = Some(first);
            while let Some(watched) = next.and_then(|index| watched.get_mut(index)) {
                changes.mark(watched.topic);
                is_worth_a_look |= watched.topic != Topic::Services;
                watched.arm();
                next = if started.elapsed() < LONGEST_BURST { wait(&events, QUIET) } else { None };
            }
            if is_worth_a_look {
                on_change();
            }
        }
        warn!("Registry changes are not watched any longer: waiting for them failed");
    };
    if let Err(error) = thread::Builder::new().name("registry".to_owned()).spawn(watch) {
        warn!(%error, "Registry changes are not watched: no thread");
    }
    // Only what changes from here on is told. The thread sends nothing; the channel ends when every key is watched.
    let _ = until_armed.recv();
    changes
}

/// The index of an event that was signalled. `None`: none within the time, or waiting failed.
fn wait(events: &[HANDLE], milliseconds: u32) -> Option<usize> {
    // SAFETY: the handles are open, and no more than 64.
    let answer = unsafe { WaitForMultipleObjects(events, false, milliseconds) };
    let index = usize::try_from(answer.0.checked_sub(WAIT_OBJECT_0.0)?).ok()?;
    (index < events.len()).then_some(index)
}

struct Watched {
    topic: Topic,
    path: &'static str,
    reach: Reach,
    event: Owned<HANDLE>,
    /// The key that is watched now.
    key: Option<RegKey>,
}

impl Watched {
    fn new(topic: Topic, path: &'static str, reach: Reach) -> Option<Self> {
        // SAFETY: an unnamed event that resets itself; the handle is ours alone, and `Owned` closes it.
        let event = unsafe { CreateEventW(None, false, false, PCWSTR::null()).map(|event| Owned::new(event)) };
        let event = event.inspect_err(|error| warn!(%error, "HKLM\\{path} is not watched")).ok()?;
        let mut watched = Self { topic, path, reach, event, key: None };
        watched.arm();
        Some(watched)
    }

    /// One call tells one change, so this is called again after each.
    fn arm(&mut self) {
        // Keys come and go meanwhile: it is done when what is watched is still the nearest there is.
        for _ in 0..8 {
            // Closing a key signals its event. What changes before the next watch is in place is not lost: who
            // arms looks afterwards.
            self.key = None;
            // SAFETY: the event is open.
            let is_reset = unsafe { ResetEvent(*self.event) }.is_ok();
            let Some((key, at)) = nearest(self.path) else { break };
            let is_watched = is_reset && self.tell_next_change(&key, at);
            self.key = Some(key);
            if is_watched && nearest(self.path).is_some_and(|(_, nearest)| nearest == at) {
                return;
            }
        }
        warn!("HKLM\\{} is not watched", self.path);
    }

    fn tell_next_change(&self, key: &RegKey, at: &str) -> bool {
        // An ancestor is watched for new keys only.
        let (subtree, filter) = match self.reach {
            Reach::Subtree if at == self.path => (true, REG_NOTIFY_CHANGE_NAME | REG_NOTIFY_CHANGE_LAST_SET),
            Reach::Key if at == self.path => (false, REG_NOTIFY_CHANGE_NAME | REG_NOTIFY_CHANGE_LAST_SET),
            _ => (false, REG_NOTIFY_CHANGE_NAME),
        };
        // SAFETY: key and event are open and stay so as long as `self`, which lives on this thread.
        unsafe { RegNotifyChangeKeyValue(HKEY(key.raw_handle()), subtree, filter, Some(*self.event), true) }.is_ok()
    }
}

/// The key, or its nearest ancestor that exists, and its path.
fn nearest(path: &str) -> Option<(RegKey, &str)> {
    let mut at = path;
    loop {
        if let Ok(key) = HKLM.open_subkey(at) {
            return Some((key, at));
        }
        at = &at[..at.rfind('\\')?];
    }
}
