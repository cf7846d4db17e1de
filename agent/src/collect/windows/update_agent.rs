//! Asks the Windows Update Agent what it remembers and what it offers, on a thread of its own: an answer takes from half a
//! second to minutes, and a service that hangs never answers.
//!
//! Invariant: nobody waits for it but who says how long, and what it did not answer is said ([`Capability`]). It is asked
//! for what it has on disk, never to look for updates over the network.
#![expect(unsafe_code, reason = "the Windows Update Agent is reached through COM")]

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use rules::facts::Update;
use windows::Win32::Foundation::VARIANT_FALSE;
use windows::Win32::System::Com::{
    CLSCTX_INPROC_SERVER, COINIT_MULTITHREADED, CoCreateInstance, CoInitializeEx, CoUninitialize,
};
use windows::Win32::System::UpdateAgent::{
    IStringCollection, IUpdate, IUpdateHistoryEntry, IUpdateSearcher, IUpdateSession, UpdateSession,
};
use windows::core::{BSTR, Error};

use crate::collect::capability::Capability;
use crate::collect::update_history::{Attempt, Offer, history, offer};

/// Newest attempts that are read: years, unless a virus scanner gets its definitions this way.
const MOST_ATTEMPTS: i32 = 1000;
const MOST_OFFERS: i32 = 500;
/// Updates are not told without their history for so long after the start; a service that hangs must not hide them.
const FIRST_ANSWER: Duration = Duration::from_mins(1);
/// A question that takes longer hangs.
const LONGEST: Duration = Duration::from_mins(10);
/// After a sign that updates came or went: an installation gives many.
const AFTER_SIGN: TimeDelta = TimeDelta::seconds(30);
/// Without a sign.
const ASK_EVERY: TimeDelta = TimeDelta::hours(24);

/// Criteria: <https://learn.microsoft.com/windows/win32/api/wuapi/nf-wuapi-iupdatesearcher-search>
const OFFERED: &str = "IsInstalled=0 and IsHidden=0";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    History,
    Offers,
}

#[derive(Debug)]
pub(super) struct UpdateAgent {
    shared: Arc<Shared>,
    questions: Sender<Question>,
    history_due: Option<DateTime<Utc>>,
    offers_due: Option<DateTime<Utc>>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    has_answered: Condvar,
}

#[derive(Debug)]
struct State {
    started: Instant,
    history: Answer,
    offers: Answer,
    working_since: Option<Instant>,
    /// There is another answer than when [`UpdateAgent::take_news`] was last asked.
    has_news: bool,
    was_awaited: bool,
}

/// The last rows, and why there are no newer ones.
#[derive(Debug, Default)]
struct Answer {
    rows: Option<Vec<Update>>,
    failure: Option<String>,
}

impl UpdateAgent {
    /// Calls `on_change` from a thread of its own when there is an answer.
    pub(super) fn start(on_change: impl Fn() + Send + 'static) -> Self {
        let (questions, asked) = mpsc::channel();
        let state = State {
            started: Instant::now(),
            history: Answer::default(),
            offers: Answer::default(),
            working_since: None,
            has_news: false,
            was_awaited: true,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), has_answered: Condvar::new() });
        let for_thread = Arc::downgrade(&shared);
        let work = move || answer(&asked, &for_thread, &on_change);
        if let Err(error) = thread::Builder::new().name("update agent".to_owned()).spawn(work) {
            let mut state = shared.lock();
            let reason = format!("the Windows Update Agent is not asked: no thread ({error})");
            (state.history.failure, state.offers.failure) = (Some(reason.clone()), Some(reason));
        }
        Self { shared, questions, history_due: None, offers_due: None }
    }

    /// Asks what is due: everything at the first call and once a day, the rest after a sign.
    pub(super) fn ask(&mut self, now: DateTime<Utc>, sign: Sign) {
        if sign == Sign::Seen {
            let soon = now + AFTER_SIGN;
            self.history_due = self.history_due.map(|due| due.min(soon));
            self.offers_due = self.offers_due.map(|due| due.min(soon));
        }
        for (question, due) in [(Question::History, &mut self.history_due), (Question::Offers, &mut self.offers_due)] {
            // A clock that was set back leaves it due in more than a day.
            if due.is_none_or(|due| due <= now || due - now > ASK_EVERY) {
                *due = Some(now + ASK_EVERY);
                // Its thread is there, or `failure` says why not.
                let _ = self.questions.send(question);
            }
        }
    }

    /// Waits until the history is read, at most for `patience`.
    pub(super) fn settle(&self, patience: Duration) {
        let is_pending = |state: &mut State| state.history.is_pending();
        // What it returns is the state, which whoever waits does not look at.
        drop(self.shared.has_answered.wait_timeout_while(self.shared.lock(), patience, is_pending));
    }

    /// Whether [`rows`](Self::rows) says something new since the last call.
    pub(super) fn take_news(&self) -> bool {
        let mut state = self.shared.lock();
        let is_awaited = state.is_awaited();
        let has_given_up = std::mem::replace(&mut state.was_awaited, is_awaited) && !is_awaited;
        std::mem::take(&mut state.has_news) | has_given_up
    }

    /// What it remembers and offers. `None`: the first answer is awaited.
    pub(super) fn rows(&self) -> Option<Vec<Update>> {
        let state = self.shared.lock();
        if state.is_awaited() {
            return None;
        }
        Some(state.history.rows.iter().chain(&state.offers.rows).flatten().cloned().collect())
    }

    pub(super) fn history(&self) -> Capability {
        let state = self.shared.lock();
        state.history.capability(state.hangs())
    }

    pub(super) fn offers(&self) -> Capability {
        let state = self.shared.lock();
        state.offers.capability(state.hangs())
    }
}

/// Something told that updates came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Seen,
    None,
}

impl Shared {
    /// A thread that panicked while it held the lock left whole values behind.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_awaited(&self) -> bool {
        self.history.is_pending() && self.started.elapsed() < FIRST_ANSWER
    }

    fn hangs(&self) -> bool {
        self.working_since.is_some_and(|since| since.elapsed() > LONGEST)
    }
}

impl Answer {
    fn is_pending(&self) -> bool {
        self.rows.is_none() && self.failure.is_none()
    }

    fn capability(&self, hangs: bool) -> Capability {
        let hang = hangs.then(|| "the Windows Update Agent does not answer".to_owned());
        match (&self.rows, hang.or_else(|| self.failure.clone())) {
            (Some(_), None) => Capability::Ok,
            (Some(_), Some(reason)) => Capability::Degraded(reason),
            (None, Some(reason)) => Capability::Unavailable(reason),
            (None, None) => Capability::Degraded("the Windows Update Agent has not answered yet".to_owned()),
        }
    }

    /// What was read before stays, with the reason why it may be old.
    fn take(&mut self, read: Result<Vec<Update>, String>) -> bool {
        match read {
            Ok(rows) => {
                let is_new = self.rows.as_ref() != Some(&rows) || self.failure.is_some();
                (self.rows, self.failure) = (Some(rows), None);
                is_new
            }
            Err(reason) => self.failure.replace(reason.clone()).is_none_or(|before| before != reason),
        }
    }
}

/// Until nobody asks any more.
fn answer(asked: &Receiver<Question>, shared: &Weak<Shared>, on_change: &dyn Fn()) {
    // SAFETY: this thread is ours, and uses COM only until it leaves it below.
    let is_ready = unsafe { CoInitializeEx(None, COINIT_MULTITHREADED) }.ok();
    while let Ok(question) = asked.recv() {
        let Some(state) = shared.upgrade() else { break };
        state.lock().working_since = Some(Instant::now());
        let read = is_ready.clone().and_then(|()| match question {
            Question::History => read_history(),
            Question::Offers => read_offers(),
        });
        let read = read.map_err(|error| explain(question, &error));
        let is_new = {
            let mut state = state.lock();
            state.working_since = None;
            let is_new = match question {
                Question::History => state.history.take(read),
                Question::Offers => state.offers.take(read),
            };
            state.has_news |= is_new;
            is_new
        };
        state.has_answered.notify_all();
        if is_new {
            on_change();
        }
    }
    if is_ready.is_ok() {
        // SAFETY: it was initialised on this thread, and no object of it is left.
        unsafe { CoUninitialize() };
    }
}

fn explain(question: Question, error: &Error) -> String {
    /// HRESULT of ERROR_SERVICE_DISABLED.
    const DISABLED: u32 = 0x8007_0422;
    let what = match question {
        Question::History => "the history of updates",
        Question::Offers => "the list of offered updates",
    };
    match error.code().0.cast_unsigned() {
        DISABLED => format!("{what} cannot be read: the service Windows Update is disabled"),
        code => format!("{what} cannot be read: the Windows Update Agent answers {code:#010x}"),
    }
}

fn searcher() -> windows::core::Result<IUpdateSearcher> {
    // SAFETY: COM is initialised on this thread, and the interface is one of the class.
    unsafe {
        let session: IUpdateSession = CoCreateInstance(&UpdateSession, None, CLSCTX_INPROC_SERVER)?;
        session.CreateUpdateSearcher()
    }
}

fn read_history() -> windows::core::Result<Vec<Update>> {
    let searcher = searcher()?;
    // SAFETY: the objects are alive as long as they are used, on the thread that made them.
    let attempts = unsafe {
        let count = searcher.GetTotalHistoryCount()?.min(MOST_ATTEMPTS);
        if count <= 0 {
            // Asking for none is an error.
            return Ok(Vec::new());
        }
        let entries = searcher.QueryHistory(0, count)?;
        let count = entries.Count()?;
        // An entry that is damaged costs itself.
        (0..count)
            .filter_map(|index| entries.get_Item(index).and_then(|entry| attempt(&entry)).ok())
            .collect::<Vec<_>>()
    };
    Ok(history(&attempts))
}

fn attempt(entry: &IUpdateHistoryEntry) -> windows::core::Result<Attempt> {
    // SAFETY: as in `read_history`.
    unsafe {
        let identity = entry.UpdateIdentity()?;
        Ok(Attempt {
            update_id: identity.UpdateID()?.to_string(),
            revision: identity.RevisionNumber()?,
            title: entry.Title()?.to_string(),
            operation: entry.Operation()?.0,
            result: entry.ResultCode()?.0,
            date: entry.Date()?,
            client: entry.ClientApplicationID().unwrap_or_default().to_string(),
        })
    }
}

fn read_offers() -> windows::core::Result<Vec<Update>> {
    let searcher = searcher()?;
    // SAFETY: as in `read_history`.
    unsafe {
        searcher.SetOnline(VARIANT_FALSE)?;
        let updates = searcher.Search(&BSTR::from(OFFERED))?.Updates()?;
        let count = updates.Count()?.min(MOST_OFFERS);
        Ok((0..count)
            .filter_map(|index| updates.get_Item(index).and_then(|update| offered(&update)).ok())
            .map(|offered| offer(&offered))
            .collect())
    }
}

fn offered(update: &IUpdate) -> windows::core::Result<Offer> {
    // SAFETY: as in `read_history`.
    unsafe {
        let identity = update.Identity()?;
        Ok(Offer {
            update_id: identity.UpdateID()?.to_string(),
            revision: identity.RevisionNumber()?,
            title: update.Title()?.to_string(),
            articles: strings(&update.KBArticleIDs()?)?,
            bulletins: strings(&update.SecurityBulletinIDs()?)?,
        })
    }
}

fn strings(collection: &IStringCollection) -> windows::core::Result<Vec<String>> {
    // SAFETY: as in `read_history`.
    unsafe { (0..collection.Count()?).map(|index| Ok(collection.get_Item(index)?.to_string())).collect() }
}
