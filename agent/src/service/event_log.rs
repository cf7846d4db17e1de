//! What an operator should hear of a host goes to the Application log of Windows as well: warnings, errors, start and
//! stop.

#![expect(unsafe_code, reason = "the event log is reached by raw calls")]

use std::fmt::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use windows::Win32::System::EventLog::{
    DeregisterEventSource, EVENTLOG_ERROR_TYPE, EVENTLOG_INFORMATION_TYPE, EVENTLOG_WARNING_TYPE, REPORT_EVENT_TYPE,
    RegisterEventSourceW, ReportEventW,
};
use windows::core::{HSTRING, PCWSTR};

use super::registry::EVENT_SOURCE;

/// What is told there whatever its level.
pub(super) const NOTICE: &str = "portreeve_agent::notice";

/// A server that is away is worth one entry an hour, not one for each attempt.
const REPEATED_AFTER: Duration = Duration::from_hours(1);

/// Longest text of an entry is 31,839 characters; nothing we say comes near.
const LONGEST: usize = 8 * 1024;

#[derive(Debug, Default)]
pub(super) struct EventLog {
    last: Mutex<Option<(String, Instant)>>,
}

impl<S: Subscriber> Layer<S> for EventLog {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let (kind, id) = match *metadata.level() {
            Level::ERROR => (EVENTLOG_ERROR_TYPE, 3),
            Level::WARN => (EVENTLOG_WARNING_TYPE, 2),
            _ if metadata.target() == NOTICE => (EVENTLOG_INFORMATION_TYPE, 1),
            _ => return,
        };
        let mut sentence = Sentence::default();
        event.record(&mut sentence);
        if self.is_news(&sentence.0) {
            report(kind, id, &sentence.0);
        }
    }
}

impl EventLog {
    fn is_news(&self, text: &str) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if last.as_ref().is_some_and(|(said, at)| said == text && now - *at < REPEATED_AFTER) {
            return false;
        }
        *last = Some((text.to_owned(), now));
        true
    }
}

/// A message and its fields, as one line.
#[derive(Default)]
struct Sentence(String);

impl Visit for Sentence {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String does not fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

/// A log that cannot be written has nobody to complain to.
fn report(kind: REPORT_EVENT_TYPE, id: u32, text: &str) {
    let text = HSTRING::from(text.chars().take(LONGEST).collect::<String>());
    let source = HSTRING::from(EVENT_SOURCE);
    // SAFETY: the texts end with a zero and outlive the calls; the source is given back once.
    unsafe {
        let Ok(log) = RegisterEventSourceW(None, &source) else { return };
        let _ = ReportEventW(log, kind, 0, id, None, 0, Some(&[PCWSTR(text.as_ptr())]), None);
        let _ = DeregisterEventSource(log);
    }
}
