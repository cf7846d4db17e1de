//! Hears of services that start and stop when they do, from the service control manager.
//!
//! One thread does it all: it asks for a notice for each service and waits alertably; the notices come as calls on this very
//! thread while it waits. Such a call only copies, because the functions of the service control manager may not be called
//! in it; one notice is given per request, so each is asked for again afterwards. The first one for a service tells its
//! present state at once.
//!
//! Invariant: a buffer that the service control manager may still write to is not freed. Whatever is not heard of is seen by
//! the next look.
//! <https://learn.microsoft.com/windows/win32/api/winsvc/nf-winsvc-notifyservicestatuschangew>
#![expect(unsafe_code, reason = "notices are asked for with raw buffers and delivered by a callback")]

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ffi::c_void;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rules::facts::ServiceState;
use rules::text::Text;
use tracing::warn;
use windows::Win32::Foundation::{ERROR_SERVICE_MARKED_FOR_DELETE, ERROR_SERVICE_NOTIFY_CLIENT_LAGGING, HANDLE};
use windows::Win32::System::Services::{
    NotifyServiceStatusChangeW, OpenSCManagerW, OpenServiceW, SC_HANDLE, SC_MANAGER_CONNECT, SERVICE_NOTIFY,
    SERVICE_NOTIFY_2W, SERVICE_NOTIFY_CONTINUE_PENDING, SERVICE_NOTIFY_DELETE_PENDING, SERVICE_NOTIFY_PAUSE_PENDING,
    SERVICE_NOTIFY_PAUSED, SERVICE_NOTIFY_RUNNING, SERVICE_NOTIFY_START_PENDING, SERVICE_NOTIFY_STATUS_CHANGE,
    SERVICE_NOTIFY_STOP_PENDING, SERVICE_NOTIFY_STOPPED, SERVICE_QUERY_STATUS, SERVICE_STATUS_CURRENT_STATE,
};
use windows::Win32::System::Threading::{CreateEventW, SetEvent, WaitForSingleObjectEx};
use windows::core::{HSTRING, Owned, PCWSTR};

use super::services;
use crate::collect::capability::Capability;

/// Services that could not be opened are tried again, and buffers of those that are gone are freed, this often.
const SWEEP_MS: u32 = 60_000;
/// How long the first look waits for the first notices.
const UNTIL_ARMED: Duration = Duration::from_secs(5);

/// A service entered a state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pushed {
    pub(super) state: ServiceState,
    pub(super) at: Instant,
}

/// What is heard of services, until it is dropped: then the thread closes what it holds of them, and ends.
#[derive(Debug)]
pub(super) struct Pushes {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    board: Mutex<Board>,
    is_arranged: Condvar,
    /// Wakes the thread: the board has news for it.
    event: Event,
}

/// What the collecting thread and the one that waits tell each other.
#[derive(Debug, Default)]
struct Board {
    /// Services to hear of, with the state that is known of them.
    wanted: HashMap<Text, ServiceState>,
    pushed: HashMap<Text, Pushed>,
    /// `None`: nothing was arranged yet.
    capability: Option<Capability>,
    is_over: bool,
}

impl Shared {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pushes {
    /// Calls `on_push` from a thread of its own when a service changed its state or was deleted.
    pub(super) fn start(on_push: impl Fn() + Send + 'static) -> Result<Self, String> {
        let event = Event::new().map_err(|error| format!("no event: {error}"))?;
        let shared = Arc::new(Shared { board: Mutex::default(), is_arranged: Condvar::new(), event });
        let for_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("services".to_owned())
            .spawn(move || follow(&for_thread, on_push))
            .map_err(|error| format!("no thread: {error}"))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// What came since it was last asked. Take it before reading the states, or a push is stamped on a later one.
    pub(super) fn take(&self) -> HashMap<Text, Pushed> {
        std::mem::take(&mut self.shared.board().pushed)
    }

    /// Hears of these services from here on, whose states were just read. The first time it waits until they are heard of.
    pub(super) fn want(&self, wanted: HashMap<Text, ServiceState>) {
        let mut board = self.shared.board();
        let is_as_before =
            board.wanted.len() == wanted.len() && wanted.keys().all(|name| board.wanted.contains_key(name));
        if is_as_before && board.capability.is_some() {
            return;
        }
        board.wanted = wanted;
        self.shared.event.set();
        if board.capability.is_none() {
            let wait =
                self.shared.is_arranged.wait_timeout_while(board, UNTIL_ARMED, |board| board.capability.is_none());
            drop(wait);
        }
    }

    pub(super) fn capability(&self) -> Capability {
        let late = || Capability::Degraded("the service control manager has not answered yet".to_owned());
        self.shared.board().capability.clone().unwrap_or_else(late)
    }
}

impl Drop for Pushes {
    fn drop(&mut self) {
        self.shared.board().is_over = true;
        self.shared.event.set();
        // A process that ends with its handles open leaves it to the service control manager to notice; until then none of
        // these services can be removed, nor our own replaced.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn follow(shared: &Shared, on_push: impl Fn()) {
    let mut watch = Watch::default();
    loop {
        let wanted = {
            let board = shared.board();
            if board.is_over {
                return;
            }
            board.wanted.clone()
        };
        let capability = watch.arrange(&wanted);
        shared.board().capability = Some(capability);
        shared.is_arranged.notify_all();

        let waited_since = Instant::now();
        shared.event.wait_alertably(SWEEP_MS);
        let mut has_news = false;
        for notice in NOTICES.take() {
            match watch.hear(&notice) {
                Heard::Nothing => {}
                Heard::Gone => has_news = true,
                Heard::State(name, state) => {
                    shared.board().pushed.insert(name, Pushed { state, at: notice.at });
                    has_news = true;
                }
            }
        }
        if has_news {
            on_push();
        }
        if waited_since.elapsed() >= Duration::from_millis(SWEEP_MS.into()) {
            watch.sweep();
        }
    }
}

/// What a callback copied.
#[derive(Clone, Copy, Debug)]
struct Notice {
    id: usize,
    error: u32,
    triggered: u32,
    state: SERVICE_STATUS_CURRENT_STATE,
    at: Instant,
}

thread_local! {
    static NOTICES: RefCell<Vec<Notice>> = const { RefCell::new(Vec::new()) };
}

/// # Safety
/// `parameter` is a buffer that was handed to `NotifyServiceStatusChangeW` and not freed.
unsafe extern "system" fn copy(parameter: *const c_void) {
    // SAFETY: promised by the caller.
    let buffer = unsafe { &*parameter.cast::<SERVICE_NOTIFY_2W>() };
    let notice = Notice {
        id: buffer.pContext.addr(),
        error: buffer.dwNotificationStatus,
        triggered: buffer.dwNotificationTriggered,
        state: buffer.ServiceStatus.dwCurrentState,
        at: Instant::now(),
    };
    NOTICES.with_borrow_mut(|notices| notices.push(notice));
}

enum Heard {
    Nothing,
    State(Text, ServiceState),
    /// The service is being deleted.
    Gone,
}

/// Handles and buffers of the services that are heard of. Lives on one thread.
#[derive(Default)]
struct Watch {
    manager: Option<Owned<SC_HANDLE>>,
    armed: HashMap<usize, Armed>,
    ids: HashMap<Text, usize>,
    next_id: usize,
    /// Services that cannot be heard of, until the next sweep.
    refused: HashSet<Text>,
    why_refused: Option<String>,
    /// Buffers of services that are not heard of any more. Their handles are closed, but a notice may be under way.
    retired: Vec<Box<SERVICE_NOTIFY_2W>>,
}

struct Armed {
    name: Text,
    /// Closed before the buffer goes.
    service: Owned<SC_HANDLE>,
    buffer: Box<SERVICE_NOTIFY_2W>,
    /// The state that was known when it was armed, until the first notice, which tells it again.
    known: Option<ServiceState>,
}

impl Watch {
    fn arrange(&mut self, wanted: &HashMap<Text, ServiceState>) -> Capability {
        let unwanted: Vec<usize> =
            self.armed.iter().filter(|(_, armed)| !wanted.contains_key(&armed.name)).map(|(id, _)| *id).collect();
        for id in unwanted {
            self.retire(id);
        }
        for (name, state) in wanted {
            if self.ids.contains_key(name) || self.refused.contains(name) {
                continue;
            }
            match self.arm(name, *state) {
                Ok(()) => {}
                // A service that is being deleted is no loss.
                Err(error) if error.code() == ERROR_SERVICE_MARKED_FOR_DELETE.to_hresult() => {
                    self.refused.insert(name.clone());
                }
                Err(error) => {
                    self.why_refused = Some(format!("{name}: {error}"));
                    self.refused.insert(name.clone());
                }
            }
        }
        match &self.why_refused {
            None => Capability::Ok,
            Some(why) if self.armed.is_empty() => Capability::Unavailable(why.clone()),
            Some(why) => {
                Capability::Degraded(format!("{} services are only polled, such as {why}", self.refused.len()))
            }
        }
    }

    fn arm(&mut self, name: &Text, known: ServiceState) -> windows::core::Result<()> {
        let manager = match &self.manager {
            Some(manager) => **manager,
            None => **self.manager.insert(open_manager()?),
        };
        let wide = HSTRING::from(name.as_str());
        // SAFETY: the manager is open and the name ends with U+0000; the handle is ours alone, and `Owned` closes it.
        let service = unsafe { OpenServiceW(manager, &wide, SERVICE_QUERY_STATUS).map(|handle| Owned::new(handle)) }?;
        let id = self.next_id;
        self.next_id += 1;
        let buffer = Box::new(SERVICE_NOTIFY_2W {
            dwVersion: SERVICE_NOTIFY_STATUS_CHANGE,
            pfnNotifyCallback: Some(copy),
            pContext: std::ptr::without_provenance_mut(id),
            ..SERVICE_NOTIFY_2W::default()
        });
        let mut armed = Armed { name: name.clone(), service, buffer, known: Some(known) };
        armed.ask()?;
        self.ids.insert(name.clone(), id);
        self.armed.insert(id, armed);
        Ok(())
    }

    fn hear(&mut self, notice: &Notice) -> Heard {
        // One that was retired meanwhile.
        let Some(armed) = self.armed.get_mut(&notice.id) else { return Heard::Nothing };
        if notice.error == ERROR_SERVICE_NOTIFY_CLIENT_LAGGING.0 {
            self.start_anew();
            return Heard::Nothing;
        }
        if notice.error != 0 || notice.triggered & SERVICE_NOTIFY_DELETE_PENDING.0 != 0 {
            // It cannot be deleted as long as we hold it.
            self.retire(notice.id);
            return Heard::Gone;
        }
        let known = armed.known.take();
        let heard = match services::state(notice.state) {
            Some(state) if Some(state) != known => Heard::State(armed.name.clone(), state),
            _ => Heard::Nothing,
        };
        match armed.ask() {
            Ok(()) => {}
            Err(error) if error.code() == ERROR_SERVICE_NOTIFY_CLIENT_LAGGING.to_hresult() => self.start_anew(),
            Err(error) => {
                let (name, is_deleted) =
                    (armed.name.clone(), error.code() == ERROR_SERVICE_MARKED_FOR_DELETE.to_hresult());
                if !is_deleted {
                    warn!(%error, "Service {name} is only polled");
                    self.why_refused = Some(format!("{name}: {error}"));
                }
                self.retire(notice.id);
                self.refused.insert(name);
            }
        }
        heard
    }

    /// We were too slow for the service control manager and notices are lost: ask for all of them again.
    fn start_anew(&mut self) {
        warn!("Notices of services were lost and are asked for again");
        let ids: Vec<usize> = self.armed.keys().copied().collect();
        for id in ids {
            self.retire(id);
        }
        self.manager = None;
    }

    fn retire(&mut self, id: usize) {
        if let Some(Armed { name, service, buffer, .. }) = self.armed.remove(&id) {
            self.ids.remove(&name);
            drop(service);
            self.retired.push(buffer);
        }
    }

    /// Called when a whole interval has passed without anything: no notice is under way then.
    fn sweep(&mut self) {
        self.retired.clear();
        self.refused.clear();
        self.why_refused = None;
    }
}

impl Drop for Watch {
    /// Nobody waits for the notices that may be under way: their buffers are given up.
    fn drop(&mut self) {
        for (_, Armed { service, buffer, .. }) in self.armed.drain() {
            drop(service);
            Box::leak(buffer);
        }
        for buffer in self.retired.drain(..) {
            Box::leak(buffer);
        }
    }
}

impl Armed {
    /// Asks for the next notice.
    fn ask(&mut self) -> windows::core::Result<()> {
        const STATES: SERVICE_NOTIFY = SERVICE_NOTIFY(
            SERVICE_NOTIFY_STOPPED.0
                | SERVICE_NOTIFY_START_PENDING.0
                | SERVICE_NOTIFY_STOP_PENDING.0
                | SERVICE_NOTIFY_RUNNING.0
                | SERVICE_NOTIFY_CONTINUE_PENDING.0
                | SERVICE_NOTIFY_PAUSE_PENDING.0
                | SERVICE_NOTIFY_PAUSED.0
                | SERVICE_NOTIFY_DELETE_PENDING.0,
        );
        // SAFETY: the service is open. The buffer lives on the heap until the handle is closed and a sweep has passed.
        let error = unsafe { NotifyServiceStatusChangeW(*self.service, STATES, &raw mut *self.buffer) };
        windows::Win32::Foundation::WIN32_ERROR(error).ok()
    }
}

fn open_manager() -> windows::core::Result<Owned<SC_HANDLE>> {
    // SAFETY: null names are this machine and its only database; the handle is ours alone, and `Owned` closes it.
    unsafe { OpenSCManagerW(PCWSTR::null(), PCWSTR::null(), SC_MANAGER_CONNECT).map(|handle| Owned::new(handle)) }
}

/// An event that resets itself, shared by two threads.
#[derive(Debug)]
struct Event(Owned<HANDLE>);
// SAFETY: a handle is a number that any thread of the process may use; it is closed by the last owner.
unsafe impl Send for Event {}
// SAFETY: as above; the system serialises what threads do with an event.
unsafe impl Sync for Event {}

impl Event {
    fn new() -> windows::core::Result<Self> {
        // SAFETY: an unnamed event; the handle is ours alone, and `Owned` closes it.
        unsafe { CreateEventW(None, false, false, PCWSTR::null()).map(|event| Self(Owned::new(event))) }
    }

    fn set(&self) {
        // SAFETY: the handle is open. It cannot fail for an open event.
        let _ = unsafe { SetEvent(*self.0) };
    }

    /// Until it is set, a callback ran, or the time passed.
    fn wait_alertably(&self, milliseconds: u32) {
        // SAFETY: the handle is open.
        unsafe { WaitForSingleObjectEx(*self.0, milliseconds, true) };
    }
}
