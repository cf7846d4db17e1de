//! When a delivery that failed is tried again. Pure: the jitter is an argument.

use std::time::Duration;

/// Waits after the first, second, … failed attempt: 75 hours in all, so that a receiver may be down over a weekend.
/// Source: the example schedule of Standard Webhooks, <https://github.com/standard-webhooks/standard-webhooks>.
const WAITS_SECONDS: [u64; 9] = [5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600];

/// A receiver may ask for a longer wait, but not for one that outlives the schedule.
const LONGEST_ASKED: Duration = Duration::from_hours(24);

/// How long to wait after `failed` attempts (1 or more). `jitter` is from 0 to 1 and moves the wait by up to 20 % to
/// either side; `asked` is the receiver's Retry-After. `None`: the schedule is at its end, the delivery is dead.
pub(super) fn wait_after(failed: u32, jitter: f64, asked: Option<Duration>) -> Option<Duration> {
    let index = usize::try_from(failed).ok()?.checked_sub(1)?;
    let wait = Duration::from_secs(*WAITS_SECONDS.get(index)?).mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0));
    Some(wait.max(asked.unwrap_or_default().min(LONGEST_ASKED)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{LONGEST_ASKED, wait_after};

    #[test]
    fn waits_longer_each_time_and_ends() {
        let waits: Vec<u64> = (1..=9).map(|failed| wait_after(failed, 0.5, None).unwrap().as_secs()).collect();
        assert_eq!(waits, [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]);
        assert_eq!(wait_after(10, 0.5, None), None);
        assert_eq!(wait_after(10, 0.5, Some(Duration::from_secs(1))), None);
    }

    #[test]
    fn jitter_moves_by_a_fifth() {
        assert_eq!(wait_after(1, 0.0, None), Some(Duration::from_secs(4)));
        assert_eq!(wait_after(1, 1.0, None), Some(Duration::from_secs(6)));
    }

    #[test]
    fn the_receiver_may_ask_for_more_within_a_day() {
        assert_eq!(wait_after(1, 0.5, Some(Duration::from_mins(1))), Some(Duration::from_mins(1)));
        assert_eq!(wait_after(2, 0.5, Some(Duration::from_mins(1))), Some(Duration::from_mins(5)));
        assert_eq!(wait_after(1, 0.5, Some(Duration::from_secs(1 << 40))), Some(LONGEST_ASKED));
    }
}
