//! How well each source of facts works on this host, so that what is missing is said instead of looking like nothing.
//!
//! Invariant: what is not [`Capability::Ok`] says why. No I/O.

use std::time::Duration;

use rules::facts::{Collector, CollectorState, Section};
use rules::text::Text;

use super::reading::Unreadable;

const SLOW: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Capability {
    #[default]
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

    /// Of a list that was just read.
    pub fn of_list<T>(list: &Result<T, Unreadable>) -> Self {
        list.as_ref().err().map_or(Self::Ok, |reason| Self::Unavailable(reason.to_string()))
    }

    /// Of a source whose reading took this long. One that takes half a minute tells of a system that is not well, and tells
    /// it late.
    #[must_use]
    pub fn slowed(self, took: Option<Duration>) -> Self {
        match (self, took.filter(|took| *took > SLOW)) {
            (Self::Ok, Some(took)) => Self::Degraded(format!("reading took {} s", took.as_secs())),
            (capability, _) => capability,
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Capability;

    #[test]
    fn what_takes_too_long_is_degraded() {
        let took = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(Capability::Ok.slowed(None), Capability::Ok);
        assert_eq!(Capability::Ok.slowed(took(30)), Capability::Ok);
        assert_eq!(Capability::Ok.slowed(took(41)), Capability::Degraded("reading took 41 s".to_owned()));
        let gone = Capability::Unavailable("access denied".to_owned());
        assert_eq!(gone.clone().slowed(took(41)), gone);
    }
}
