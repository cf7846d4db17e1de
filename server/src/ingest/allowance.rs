//! How much one may take over time: a burst, and then at the rate at which it is paid off.
//!
//! Invariant: sixteen bytes and no clock of its own, so that every stream can have several.

use std::time::Duration;

use tokio::time::Instant;

/// What was taken, as the moment at which it will be paid off.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    paid_at: Instant,
}

impl Allowance {
    pub(super) fn new(now: Instant) -> Self {
        Self { paid_at: now }
    }

    /// Takes what is paid off after `cost`, and tells how long to wait for it. Zero: within the burst.
    pub(super) fn take(&mut self, now: Instant, cost: Duration, burst: Duration) -> Duration {
        self.paid_at = self.paid_at.max(now) + cost;
        (self.paid_at - now).saturating_sub(burst)
    }

    pub(super) fn is_paid(&self, now: Instant) -> bool {
        self.paid_at <= now
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Allowance;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn after_a_burst_it_goes_at_the_rate() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        let waits: Vec<_> = (0..5).map(|_| allowance.take(start, SECOND, 3 * SECOND).as_secs()).collect();
        assert_eq!(waits, [0, 0, 0, 1, 2]);
        assert_eq!(allowance.take(start + 3 * SECOND, SECOND, 3 * SECOND), Duration::ZERO);
    }

    #[test]
    fn what_is_not_used_is_not_saved_up() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        let later = start + 1000 * SECOND;
        assert!(allowance.is_paid(later));
        let waits: Vec<_> = (0..4).map(|_| allowance.take(later, SECOND, 2 * SECOND).as_secs()).collect();
        assert_eq!(waits, [0, 0, 1, 2]);
        assert!(!allowance.is_paid(later + 3 * SECOND) && allowance.is_paid(later + 4 * SECOND));
    }
}
