//! How long to wait before the next connection: so long that ten thousand agents do not come back at once.

use std::time::Duration;

/// Every duration that the stream goes by.
#[derive(Clone, Debug)]
pub struct Pacing {
    /// The first retry comes within this; each further failure doubles it …
    pub base: Duration,
    /// … up to this: less than an interval, so that whatever was away for long, what was observed meanwhile is stored within
    /// an interval of its return.
    pub cap: Duration,
    /// Longest time that a server may name; also between two renewals of a certificate.
    pub later: Duration,
    /// A session that lived longer than `settled` ended because the server went away, for all agents at once: they come
    /// back spread evenly over `spread`: the time that a server which stops names to ten thousand.
    pub settled: Duration,
    pub spread: Duration,
    /// Between two attempts of an agent that waits for a person.
    pub denied: Duration,
    /// Longest silence of the agent; the server may change it.
    pub heartbeat: Duration,
}

impl Default for Pacing {
    fn default() -> Self {
        Self {
            base: Duration::from_secs(1),
            cap: Duration::from_secs(45),
            later: Duration::from_mins(5),
            settled: Duration::from_mins(5),
            spread: Duration::from_secs(40),
            denied: Duration::from_hours(1),
            heartbeat: Duration::from_mins(1),
        }
    }
}

/// How a connection ended, or why it was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Lost,
    /// The server has too much to do.
    Overloaded,
    /// The server named the time within which it wants us back.
    Later(Duration),
    /// By the server's clock our certificate has ended: a new one is needed first.
    Expired,
    /// Our state is older than what we said before: another stream is to be begun.
    Restored,
    /// Another machine has our identity: only a person can settle that.
    Denied,
    /// We ended it, to come back with a new certificate.
    Renewed,
    /// The identity was revoked: there is no other connection.
    Revoked,
}

#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// `lived`: how long the session was open. `None`: there was none. `random`: uniform in 0 to 1.
    pub(super) fn after(&mut self, ending: Ending, lived: Option<Duration>, random: f64, pacing: &Pacing) -> Duration {
        if ending == Ending::Renewed {
            return Duration::ZERO;
        }
        if ending == Ending::Denied {
            return pacing.denied.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0);
        }
        if let Ending::Later(within) = ending {
            // The server stops or is full, for all agents alike: it alone knows how many come back with us.
            return within.min(pacing.later).mul_f64(random.clamp(0.0, 1.0));
        }
        if lived.is_some_and(|lived| lived > pacing.settled) {
            self.failures = 0;
            return pacing.spread.mul_f64(random.clamp(0.0, 1.0));
        }
        // A session that outlived the wait before it was worth it.
        if lived.is_some_and(|lived| lived >= self.window(pacing)) {
            self.failures = 0;
        }
        let window = self.window(pacing);
        self.failures = self.failures.saturating_add(1);
        let window = if ending == Ending::Overloaded { window * 3 } else { window };
        window.mul_f64(random.clamp(0.0, 1.0))
    }

    fn window(&self, pacing: &Pacing) -> Duration {
        pacing.base.saturating_mul(2_u32.saturating_pow(self.failures.min(16))).min(pacing.cap)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Backoff, Ending, Pacing};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waits_longer_after_each_failure_up_to_the_cap() {
        let (mut backoff, pacing) = (Backoff::default(), Pacing::default());
        let waits: Vec<_> = (0..8).map(|_| backoff.after(Ending::Lost, None, 1.0, &pacing).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 45, 45]);
    }

    #[test]
    fn takes_any_part_of_the_window() {
        let pacing = Pacing::default();
        let wait = |random| Backoff { failures: 3 }.after(Ending::Lost, None, random, &pacing);
        assert_eq!((wait(0.0), wait(0.5), wait(7.0)), (Duration::ZERO, 4 * SECOND, 8 * SECOND));
    }

    #[test]
    fn spreads_the_fleet_after_a_long_session() {
        let (mut backoff, pacing) = (Backoff { failures: 9 }, Pacing::default());
        assert_eq!(backoff.after(Ending::Lost, Some(301 * SECOND), 0.5, &pacing), 20 * SECOND);
        assert_eq!(backoff.after(Ending::Lost, None, 1.0, &pacing), SECOND);
    }

    #[test]
    fn a_session_shorter_than_the_wait_before_it_is_a_failure() {
        let pacing = Pacing::default();
        let wait = |lived| Backoff { failures: 5 }.after(Ending::Lost, Some(lived), 1.0, &pacing);
        assert_eq!((wait(31 * SECOND), wait(33 * SECOND)), (32 * SECOND, SECOND));
    }

    #[test]
    fn one_that_is_denied_waits_for_a_person() {
        let wait = |random| Backoff::default().after(Ending::Denied, None, random, &Pacing::default());
        assert_eq!((wait(0.0), wait(1.0)), (1800 * SECOND, 3600 * SECOND));
    }

    #[test]
    fn one_that_is_told_when_to_come_takes_any_part_of_that_time() {
        let (mut backoff, pacing) = (Backoff { failures: 9 }, Pacing::default());
        let mut wait = |within, random| backoff.after(Ending::Later(within), None, random, &pacing);
        assert_eq!((wait(25 * SECOND, 0.2), wait(25 * SECOND, 1.0)), (5 * SECOND, 25 * SECOND));
        assert_eq!(wait(Duration::MAX, 1.0), pacing.later, "a server that is wrong loses nobody");
    }

    #[test]
    fn an_overloaded_server_gets_three_times_as_long() {
        assert_eq!(Backoff::default().after(Ending::Overloaded, None, 1.0, &Pacing::default()), 3 * SECOND);
    }
}
