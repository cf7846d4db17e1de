//! How well each source of facts works on this host, so that what is missing is said instead of looking like nothing.
//!
//! Invariant: what is not [`Capability::Ok`] says why. No I/O.

use rules::facts::{Collector, CollectorState, Section};
use rules::text::Text;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capability {
    Ok,
    /// Part of what it should tell is missing.
    Degraded(String),
    /// It tells nothing on this host.
    Unavailable(String),
}

impl Capability {
    /// Of a source that is read whole or not at all.
    pub fn of<T>(section: &Section<T>) -> Self {
        match section {
            Section::Known(_) => Self::Ok,
            Section::Unknown(reason) => Self::Unavailable(reason.as_str().to_owned()),
        }
    }

    /// As facts hold it.
    pub fn named(&self, name: &str) -> Collector {
        let (state, reason) = match self {
            Self::Ok => (CollectorState::Ok, None),
            Self::Degraded(reason) => (CollectorState::Degraded, Some(reason)),
            Self::Unavailable(reason) => (CollectorState::Unavailable, Some(reason)),
        };
        Collector { name: Text::new(name), state, reason: reason.map(|reason| Text::new(reason)) }
    }
}
