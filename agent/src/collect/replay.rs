//! Plays a recorded host through the real stream, on any system.
//!
//! A recording is a sequence of facts documents, usually one a line, each with one more member: `after_ms`, the time since
//! the document before it (0 when it is absent). A section that is absent is as it was in the document before; in the first
//! one it is unknown. `collected_at`, when absent, is that of the document before plus `after_ms`. The host speaks by the
//! clock of the recording, so that a server that allows for the skew of clocks shows its times as if it lived now.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rules::facts::{Connections, Event, Facts, Host, PortPolicy, SCHEMA, Section, Service, Socket, Update};
use rules::text::Text;
use serde::Deserialize;
use tokio::sync::{mpsc, watch};

use crate::run::Source;

/// The host at one moment of the recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// Since the frame before it.
    pub after: Duration,
    pub facts: Facts,
}

/// What follows the last frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterLast {
    /// The source ends.
    Leave,
    /// The host stays as it is.
    Stay,
}

/// Why a recording cannot be played.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct BadRecording {
    pub line: usize,
    pub column: usize,
    pub message: String,
}

#[derive(Deserialize)]
struct Document {
    schema: Text,
    #[serde(default)]
    after_ms: u64,
    collected_at: Option<DateTime<Utc>>,
    host: Option<Section<Host>>,
    sockets: Option<Section<Vec<Socket>>>,
    services: Option<Section<Vec<Service>>>,
    updates: Option<Section<Vec<Update>>>,
    port_policy: Option<Section<PortPolicy>>,
    events: Option<Section<Vec<Event>>>,
    connections: Option<Section<Connections>>,
}

/// The frames of a recording; there is at least one.
pub fn read(recording: &[u8]) -> Result<Vec<Frame>, BadRecording> {
    let recording = recording.strip_prefix(b"\xef\xbb\xbf").unwrap_or(recording);
    let mut documents = serde_json::Deserializer::from_slice(recording).into_iter::<Document>();
    let mut frames: Vec<Frame> = Vec::new();
    while let Some(document) = documents.next() {
        let document = document.map_err(|error| fault(&error))?;
        if document.schema != SCHEMA {
            let line = recording[..documents.byte_offset()].split(|byte| *byte == b'\n').count();
            let message = format!("the schema is `{}`; this program reads `{SCHEMA}`", document.schema);
            return Err(BadRecording { line, column: 1, message });
        }
        let before = frames.last().map(|frame| frame.facts.clone()).unwrap_or_default();
        frames.push(Frame { after: Duration::from_millis(document.after_ms), facts: continued(before, document) });
    }
    if frames.is_empty() {
        return Err(BadRecording { line: 1, column: 1, message: "there is no facts document".to_owned() });
    }
    Ok(frames)
}

fn continued(before: Facts, document: Document) -> Facts {
    let after = TimeDelta::try_milliseconds(i64::try_from(document.after_ms).unwrap_or(i64::MAX)).unwrap_or_default();
    let by_pace = before.collected_at.and_then(|time| time.checked_add_signed(after));
    Facts {
        schema: before.schema,
        collected_at: document.collected_at.or(by_pace),
        host: document.host.unwrap_or(before.host),
        sockets: document.sockets.unwrap_or(before.sockets),
        services: document.services.unwrap_or(before.services),
        updates: document.updates.unwrap_or(before.updates),
        port_policy: document.port_policy.unwrap_or(before.port_policy),
        events: document.events.unwrap_or(before.events),
        connections: document.connections.unwrap_or(before.connections),
    }
}

fn fault(error: &serde_json::Error) -> BadRecording {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    // The message may quote the recording, which is hostile.
    let message = Text::new(text.strip_suffix(&place).unwrap_or(&text)).into_string();
    BadRecording { line: error.line(), column: error.column(), message }
}

/// Plays `frames`, `speed` times as fast as they were recorded. Call it inside a tokio runtime.
pub fn play(frames: Vec<Frame>, speed: f64, after_last: AfterLast) -> Source {
    let (sender, facts) = mpsc::channel(1);
    let (collect_every, _) = watch::channel(Duration::ZERO);
    tokio::spawn(async move {
        for frame in frames {
            // Out of range is a recording that pauses for ages: it pauses.
            let pause = Duration::try_from_secs_f64(frame.after.as_secs_f64() / speed).unwrap_or(Duration::MAX);
            tokio::time::sleep(pause).await;
            if sender.send(frame.facts).await.is_err() {
                return;
            }
        }
        if after_last == AfterLast::Stay {
            sender.closed().await;
        }
    });
    Source { facts, collect_every, connections: None }
}

#[cfg(test)]
mod tests {
    use super::read;

    const FIRST: &str =
        r#"{"schema": "portreeve.facts/1", "collected_at": "2008-08-06T03:00:00Z", "services": {"known": []}}"#;

    #[test]
    fn an_absent_section_is_as_before() {
        let second = r#"{"schema": "portreeve.facts/1", "after_ms": 1500, "sockets": {"known": []}, "other": 1}"#;
        let frames = read(format!("{FIRST}\n{second}\n").as_bytes()).unwrap();
        assert_eq!(frames.len(), 2);
        assert_eq!((frames[0].after.as_millis(), frames[1].after.as_millis()), (0, 1500));
        assert!(frames[0].facts.sockets.unknown().is_some());
        assert!(frames[1].facts.sockets.known().is_some() && frames[1].facts.services.known().is_some());
        let elapsed = frames[1].facts.collected_at.unwrap() - frames[0].facts.collected_at.unwrap();
        assert_eq!(elapsed.num_milliseconds(), 1500);
    }

    #[test]
    fn says_where_a_recording_is_wrong() {
        let at = |text: &str| read(text.as_bytes()).map_err(|fault| (fault.line, fault.message)).unwrap_err();
        assert_eq!(at("").1, "there is no facts document");
        assert_eq!(at(&format!("{FIRST}\n{{\"schema\": \"x/2\"}}")).0, 2);
        assert_eq!(at(&format!("{FIRST}\n{{\"schema\": 5}}")).0, 2);
        assert_eq!(at(&format!("{FIRST}\n\n{{")).0, 3);
    }
}
