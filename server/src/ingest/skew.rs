//! How far a host's clock is from ours, and times by the one as times by the other. Pure.
//!
//! A host's times are stored corrected, so that "at 03:00" means the same moment on every page. The difference that is
//! applied moves only when it has really moved: else the jitter of the network would rewrite unchanged rows.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

/// Differences smaller than this are the network's, not the clock's.
const NOISE: TimeDelta = TimeDelta::seconds(2);

/// A message that is heard sooner than this after we began to listen may have been there before.
const AT_ONCE: Duration = Duration::from_millis(100);

/// When a message was heard. It was said then or before: a server that has much to do lets it wait, which must not look
/// like a clock that is behind.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    pub at: DateTime<Utc>,
    /// At most.
    pub under_way: Duration,
}

/// How long what is heard of a stream may have waited: as long as what came before it was worked on, unless there was a
/// moment at which nothing was there.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    listens_at: Instant,
    empty_at: Instant,
}

impl Waiting {
    pub fn new(now: Instant) -> Self {
        Self { listens_at: now, empty_at: now }
    }

    /// We begin to listen again.
    pub fn listen(&mut self, now: Instant) {
        self.listens_at = now;
    }

    /// A message is heard: how long it was under way at most.
    pub fn hear(&mut self, now: Instant) -> Duration {
        if now.duration_since(self.listens_at) >= AT_ONCE {
            self.empty_at = now;
        }
        now.duration_since(self.empty_at)
    }
}

/// How far a host's clock is ahead of ours. Only signs of life say so: a report may have waited for days, and in which
/// boot of the host, so that neither its time nor its uptime tells when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostClock {
    skew: TimeDelta,
}

impl HostClock {
    /// From what is stored of the host, before it says anything.
    pub fn stored(skew_ms: i64) -> Self {
        Self { skew: TimeDelta::try_milliseconds(skew_ms).unwrap_or_default() }
    }

    /// The host says what its clock shows; 0: it does not. A difference that the time under way may account for is kept.
    pub fn hear(&mut self, wall_clock_ms: i64, heard: Heard) {
        let wall_clock = DateTime::from_timestamp_millis(wall_clock_ms).filter(|_| wall_clock_ms != 0);
        let Some(wall_clock) = wall_clock else { return };
        let under_way = TimeDelta::from_std(heard.under_way).unwrap_or_default();
        let least = wall_clock - heard.at;
        if self.skew < least - NOISE || self.skew > least + under_way + NOISE {
            // In whole milliseconds, as it is stored: what a time is corrected to is the same after a reconnect.
            let skew_ms = (least + under_way / 2).num_milliseconds();
            self.skew = TimeDelta::try_milliseconds(skew_ms).unwrap_or_default();
        }
    }

    /// A time by the host's clock as a time by ours. `None`: outside of what can be stored, so not known.
    pub fn correct(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        time.checked_sub_signed(self.skew).filter(|time| (EARLIEST_MS..LATEST_MS).contains(&time.timestamp_millis()))
    }

    pub fn skew_ms(&self) -> i64 {
        self.skew.num_milliseconds()
    }
}

/// 1601, where Windows begins to count.
const EARLIEST_MS: i64 = -11_644_473_600_000;
/// The year 10000.
const LATEST_MS: i64 = 253_402_300_800_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::{DateTime, TimeDelta, Utc};

    use tokio::time::Instant;

    use super::{Heard, HostClock, Waiting};

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn clock(skew_seconds: i64) -> HostClock {
        let mut clock = HostClock::stored(0);
        clock.hear((now() + TimeDelta::seconds(skew_seconds)).timestamp_millis(), at_once(now()));
        clock
    }

    fn at_once(at: DateTime<Utc>) -> Heard {
        Heard { at, under_way: Duration::ZERO }
    }

    #[test]
    fn a_host_that_is_ahead_is_set_back() {
        let clock = clock(90);
        assert_eq!(clock.correct(now() + TimeDelta::seconds(90)), Some(now()));
        assert_eq!(clock.skew_ms(), 90_000);
    }

    #[test]
    fn noise_of_the_network_moves_nothing() {
        let mut clock = clock(90);
        clock.hear((now() + TimeDelta::milliseconds(91_500)).timestamp_millis(), at_once(now()));
        assert_eq!(clock.skew_ms(), 90_000);
        clock.hear((now() + TimeDelta::milliseconds(92_500)).timestamp_millis(), at_once(now()));
        assert_eq!(clock.skew_ms(), 92_500);
    }

    #[test]
    fn what_waited_says_nothing_against_a_clock_that_the_wait_accounts_for() {
        let waited = |seconds| Heard { at: now(), under_way: Duration::from_secs(seconds) };
        let said = |seconds| (now() - TimeDelta::seconds(seconds)).timestamp_millis();
        let mut clock = clock(0);
        clock.hear(said(7), waited(8));
        assert_eq!(clock.skew_ms(), 0);
        clock.hear(said(60), waited(8));
        assert_eq!(clock.skew_ms(), -56_000);
        clock.hear(said(60), waited(0));
        assert_eq!(clock.skew_ms(), -60_000);
    }

    #[test]
    fn what_comes_at_once_may_have_waited_since_nothing_did() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut waiting = Waiting::new(start);
        assert_eq!(waiting.hear(after(10)), Duration::ZERO, "it came while we listened");
        waiting.listen(after(70));
        assert_eq!(waiting.hear(after(70)), Duration::from_mins(1), "the first was worked on for so long");
        waiting.listen(after(71));
        assert_eq!(waiting.hear(after(71)), Duration::from_secs(61), "the third may have come with the second");
        waiting.listen(after(72));
        assert_eq!(waiting.hear(after(73)), Duration::ZERO);
    }

    #[test]
    fn absurd_times_are_not_known() {
        let clock = clock(0);
        assert_eq!(clock.correct(DateTime::<Utc>::MAX_UTC), None);
        assert_eq!(clock.correct(DateTime::<Utc>::MIN_UTC), None);
        let mut clock = clock;
        clock.hear(i64::MAX, at_once(now()));
        clock.hear(i64::MIN, at_once(now()));
        clock.hear(0, at_once(now()));
        assert_eq!(clock.skew_ms(), 0);
    }
}
