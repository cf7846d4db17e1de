//! Follows the event logs: a subscription that tells of each wanted entry, and costs nothing while there is none.
//!
//! Where reading ended is kept on disk with what was read since the boot, so that a restart of the agent neither misses
//! an entry nor tells all of them again.
//!
//! Invariant: what could not be followed is said ([`Capability`]), and is never an empty log.
#![expect(unsafe_code, reason = "the subscription signals through an event handle")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use std::{fs, thread};

use chrono::{DateTime, TimeDelta, Utc};
use rules::facts::{Event, Section};
use rules::text::Text;
use tracing::warn;
use windows::Win32::Foundation::{
    ERROR_EVT_QUERY_RESULT_INVALID_POSITION, ERROR_EVT_QUERY_RESULT_STALE, ERROR_NOT_FOUND, HANDLE,
};
use windows::Win32::System::Threading::{CreateEventW, ResetEvent, WaitForSingleObject};
use windows::core::{Owned, PCWSTR};

use super::event_functions::{EventFault, EventFunctions, Object};
use super::host::Boot;
use super::service_names::ServiceNames;
use crate::collect::capability::Capability;
use crate::collect::event_log::{Kept, Window, event, query};
use crate::private::write_whole;

const FILE: &str = "events.json";
/// A file of this length was not written by this program.
const LARGEST_FILE: u64 = 8 * 1024 * 1024;

/// Before the boot so much is read: who asked for it, and how the shutdown went.
const BEFORE_BOOT: TimeDelta = TimeDelta::minutes(15);
/// The first time no older entries are read, however long the system runs.
const FIRST_TIME: TimeDelta = TimeDelta::hours(24);
/// What was read is kept on disk this often, or after so many entries.
const KEEP_EVERY: Duration = Duration::from_secs(30);
const KEEP_AFTER: u32 = 100;
/// A log that failed is asked again after this long.
const TRY_AGAIN: Duration = Duration::from_mins(1);

/// The entries of this boot, as far as they were read.
#[derive(Debug)]
pub(super) struct EventLog {
    shared: Arc<Shared>,
    /// What the thread takes with it.
    waiting: Option<Waiting>,
}

struct Waiting {
    on_change: Box<dyn Fn() + Send>,
    folder: Option<PathBuf>,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Waiting").field("folder", &self.folder).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Told when the entries that were there first are read, or that they cannot be.
    is_read: Condvar,
}

#[derive(Debug, Default)]
struct State {
    window: Window,
    progress: Progress,
    /// Why entries may be missing.
    gap: Option<String>,
    /// An entry told that updates came or went.
    has_update: bool,
}

#[derive(Debug, Default)]
enum Progress {
    #[default]
    Reading,
    Following,
    Failed(String),
}

impl EventLog {
    /// Calls `on_change` from a thread of its own when there are new entries. `folder`: where to keep what was read; `None`:
    /// nowhere, as for a single look.
    pub(super) fn new(on_change: impl Fn() + Send + 'static, folder: Option<PathBuf>) -> Self {
        Self { shared: Arc::default(), waiting: Some(Waiting { on_change: Box::new(on_change), folder }) }
    }

    /// Begins at the first call.
    pub(super) fn follow(&mut self, boot: &Boot, now: DateTime<Utc>) {
        let Some(waiting) = self.waiting.take() else { return };
        let start = Start::new(boot, now, waiting.folder);
        let shared = Arc::downgrade(&self.shared);
        let on_change = waiting.on_change;
        if let Err(error) =
            thread::Builder::new().name("events".to_owned()).spawn(move || follow(&shared, start, &on_change))
        {
            self.shared.fail(format!("the event log is not read: no thread ({error})"));
        }
    }

    /// Waits until what was there first is read, at most for `patience`.
    pub(super) fn settle(&self, patience: Duration) {
        let is_reading = |state: &mut State| matches!(state.progress, Progress::Reading);
        // What it returns is the state, which whoever waits does not look at.
        drop(self.shared.is_read.wait_timeout_while(self.shared.lock(), patience, is_reading));
    }

    pub(super) fn section(&self) -> Section<Vec<Event>> {
        let state = self.shared.lock();
        match &state.progress {
            Progress::Reading => Section::Unknown(Text::new("the event log is still being read")),
            Progress::Following => Section::Known(state.window.events()),
            Progress::Failed(reason) => Section::Unknown(Text::new(reason)),
        }
    }

    pub(super) fn capability(&self) -> Capability {
        let state = self.shared.lock();
        match (&state.progress, &state.gap) {
            (Progress::Reading, _) => Capability::Degraded("the event log is still being read".to_owned()),
            (Progress::Following, None) => Capability::Ok,
            (Progress::Following, Some(gap)) => Capability::Degraded(gap.clone()),
            (Progress::Failed(reason), _) => Capability::Unavailable(reason.clone()),
        }
    }

    /// Whether an entry told since the last call that updates came, went or were offered.
    pub(super) fn take_update(&self) -> bool {
        std::mem::take(&mut self.shared.lock().has_update)
    }
}

impl Shared {
    /// A thread that panicked while it held the lock left whole values behind.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, reason: String) {
        self.lock().progress = Progress::Failed(reason);
        self.is_read.notify_all();
    }
}

/// Where reading begins.
struct Start {
    boot_id: Text,
    /// Entries from before are not wanted.
    since: DateTime<Utc>,
    /// Where an earlier run of this program ended. `None`: at none, or the log does not hold it any longer.
    bookmark: Option<String>,
    window: Window,
    folder: Option<PathBuf>,
}

impl Start {
    fn new(boot: &Boot, now: DateTime<Utc>, folder: Option<PathBuf>) -> Self {
        let first_time = now - FIRST_TIME;
        let led_to_boot = boot.at.map(|at| at - BEFORE_BOOT);
        let Some(kept) = folder.as_deref().and_then(kept) else {
            let since = led_to_boot.map_or(first_time, |since| since.max(first_time));
            return Self { boot_id: boot.id.clone(), since, bookmark: None, window: Window::default(), folder };
        };
        // What was read in an earlier boot is with the server.
        let window = if kept.boot_id == boot.id { kept.window } else { Window::default() };
        let since = led_to_boot.unwrap_or(first_time);
        Self { boot_id: boot.id.clone(), since, bookmark: Some(kept.bookmark), window, folder }
    }
}

/// `None`: nothing was kept, or not by this program.
fn kept(folder: &Path) -> Option<Kept> {
    let path = folder.join(FILE);
    if fs::metadata(&path).ok()?.len() > LARGEST_FILE {
        return None;
    }
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Reads until nobody wants to know any more.
fn follow(shared: &Weak<Shared>, start: Start, on_change: &dyn Fn()) {
    let reader = EventFunctions::load().map_err(|error| error.to_string()).and_then(|functions| {
        // SAFETY: an unnamed event that stays set until it is reset; the handle is ours alone, and `Owned` closes it.
        let signal = unsafe { CreateEventW(None, true, true, PCWSTR::null()).map(|event| Owned::new(event)) };
        let signal = signal.map_err(|error| format!("the event log is not followed: {error}"))?;
        Ok(Reader {
            functions,
            signal,
            names: ServiceNames::default(),
            buffer: vec![0; 8192],
            start,
            kept: None,
            unkept: 0,
        })
    });
    let mut reader = match reader {
        Ok(reader) => reader,
        Err(reason) => {
            if let Some(shared) = shared.upgrade() {
                shared.fail(reason);
                on_change();
            }
            return;
        }
    };
    if let Some(shared) = shared.upgrade() {
        shared.lock().window = reader.start.window.clone();
    }
    loop {
        let Err(fault) = reader.read(shared, on_change) else { return };
        let Some(shared) = shared.upgrade() else { return };
        if reader.start.bookmark.is_some() && is_lost(&fault) {
            reader.start.bookmark = None;
            let gap = "the event log does not hold any longer what was read last: entries may be missing";
            warn!("{gap}");
            shared.lock().gap = Some(gap.to_owned());
            continue;
        }
        warn!("The event log is not followed: {fault}");
        shared.fail(format!("the event log cannot be read: {fault}"));
        drop(shared);
        on_change();
        // SAFETY: the event is open. What set it belongs to the subscription that failed.
        let _ = unsafe { ResetEvent(*reader.signal) };
        reader.wait(TRY_AGAIN);
    }
}

/// Whether the place where reading ended is not in the log any longer.
fn is_lost(fault: &EventFault) -> bool {
    [ERROR_NOT_FOUND, ERROR_EVT_QUERY_RESULT_STALE, ERROR_EVT_QUERY_RESULT_INVALID_POSITION].contains(&fault.error)
}

struct Reader {
    functions: EventFunctions,
    /// Set by the system when there are entries.
    signal: Owned<HANDLE>,
    names: ServiceNames,
    buffer: Vec<u16>,
    start: Start,
    kept: Option<Instant>,
    /// Entries since then.
    unkept: u32,
}

impl Reader {
    /// `Ok`: nobody wants to know any more.
    fn read(&mut self, shared: &Weak<Shared>, on_change: &dyn Fn()) -> Result<(), EventFault> {
        let bookmark = self.functions.bookmark(self.start.bookmark.as_deref())?;
        let after = self.start.bookmark.as_ref().map(|_| &bookmark);
        let query = query(self.start.since);
        let subscription = self.functions.subscribe(*self.signal, &query, after)?;
        loop {
            // First: what comes while entries are fetched sets it again.
            // SAFETY: the event is open.
            let _ = unsafe { ResetEvent(*self.signal) };
            let mut is_new = false;
            loop {
                let entries = self.functions.next(&subscription)?;
                let Some(last) = entries.last() else { break };
                let Some(shared) = shared.upgrade() else { return Ok(()) };
                for entry in &entries {
                    is_new |= self.tell(&shared, entry);
                }
                self.functions.move_bookmark(&bookmark, last)?;
                if self.unkept >= KEEP_AFTER {
                    self.keep(&shared, &bookmark)?;
                }
            }
            let Some(shared) = shared.upgrade() else { return Ok(()) };
            is_new |= !matches!(shared.lock().progress, Progress::Following);
            shared.lock().progress = Progress::Following;
            shared.is_read.notify_all();
            if self.unkept > 0 && self.kept.is_none_or(|at| at.elapsed() >= KEEP_EVERY) {
                self.keep(&shared, &bookmark)?;
            }
            drop(shared);
            if is_new {
                on_change();
            }
            self.wait(KEEP_EVERY);
        }
    }

    /// Whether it is one of the entries that are wanted.
    fn tell(&mut self, shared: &Shared, entry: &Object) -> bool {
        self.unkept += 1;
        let Ok(xml) = self.functions.xml(entry, &mut self.buffer) else { return false };
        let Some(event) = event(&xml, |name| self.names.key_of(name)) else { return false };
        let mut state = shared.lock();
        state.has_update |= tells_of_updates(&event);
        state.window.push(event);
        true
    }

    fn keep(&mut self, shared: &Shared, bookmark: &Object) -> Result<(), EventFault> {
        let place = self.functions.bookmark_xml(bookmark, &mut self.buffer)?;
        let kept =
            Kept { boot_id: self.start.boot_id.clone(), bookmark: place.clone(), window: shared.lock().window.clone() };
        self.start.bookmark = Some(place);
        (self.kept, self.unkept) = (Some(Instant::now()), 0);
        let Some(folder) = &self.start.folder else { return Ok(()) };
        let written = serde_json::to_vec(&kept).map_err(Into::into).and_then(|bytes| write_whole(folder, FILE, &bytes));
        if let Err(error) = written {
            warn!(%error, "What was read of the event log is not kept: a restart of the agent reads it again");
        }
        Ok(())
    }

    fn wait(&self, time: Duration) {
        let milliseconds = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        // SAFETY: the event is open. However the wait ends, entries are fetched next.
        let _ = unsafe { WaitForSingleObject(*self.signal, milliseconds) };
    }
}

fn tells_of_updates(event: &Event) -> bool {
    event.log.eq_ignore_ascii_case("Setup") || event.provider.ends_with("WindowsUpdateClient")
}
