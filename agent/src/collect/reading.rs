//! What every source has in common: it was read, or it says why not.
//!
//! Invariant: a source that could not be read becomes [`Section::Unknown`] with a sentence, never an empty list.
//! No I/O.

use chrono::{DateTime, Duration, Utc};
use rules::facts::Section;
use rules::text::Text;

/// Why a source could not be read: a sentence for an operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

impl Unreadable {
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

/// What was read, as facts hold it.
pub fn section<T>(read: Result<T, Unreadable>) -> Section<T> {
    match read {
        Ok(value) => Section::Known(value),
        Err(Unreadable(reason)) => Section::Unknown(Text::new(&reason)),
    }
}

/// A FILETIME: steps of 100 ns since 1601-01-01 UTC. `None`: 0, which Windows and Wine write for "not known", or a
/// time that no calendar holds.
pub fn filetime(ticks: u64) -> Option<DateTime<Utc>> {
    const UNIX_EPOCH_IN_TICKS: i64 = 116_444_736_000_000_000;
    if ticks == 0 {
        return None;
    }
    let since_epoch = i64::try_from(ticks).ok()?.checked_sub(UNIX_EPOCH_IN_TICKS)?;
    DateTime::UNIX_EPOCH.checked_add_signed(Duration::microseconds(since_epoch.div_euclid(10)))
}

#[cfg(test)]
mod tests {
    use rules::facts::Section;

    use super::{Unreadable, filetime, section};

    #[test]
    fn a_source_that_failed_says_why() {
        let read: Result<Vec<u8>, _> = Err(Unreadable::new("netsh answered nothing"));
        assert_eq!(section(read), Section::Unknown("netsh answered nothing".into()));
    }

    #[test]
    fn times_count_from_1601() {
        assert_eq!(filetime(116_444_736_000_000_000).unwrap().to_rfc3339(), "1970-01-01T00:00:00+00:00");
        assert_eq!(filetime(0x01c9_2e3a_5f3a_1c00).unwrap().to_rfc3339(), "2008-10-14T20:20:59.739443+00:00");
        assert_eq!(filetime(0), None);
        assert_eq!(filetime(u64::MAX), None);
    }
}
