//! When something will be full, by how it grew. Pure.
//!
//! The rate is the median of the slopes between all pairs of samples (Theil and Sen): a week that was dropped, or an
//! import on one afternoon, does not bend it as it would a mean.

use chrono::{DateTime, TimeDelta, Utc};

/// Less than this, or over less time, is no base for a rate.
const LEAST_SAMPLES: usize = 12;
const LEAST_TIME: TimeDelta = TimeDelta::hours(24);
/// So many samples are compared pair by pair; of more, evenly many.
const MOST_SAMPLES: usize = 96;
const DAY_SECONDS: f64 = 86_400.0;

/// What is to be expected of a kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Forecast {
    /// Too few samples, or over too short a time.
    CannotTell,
    /// It does not grow, or has no budget. Bytes a day.
    NotFull { growth: f64 },
    /// At this rate the budget is used up after so many days; 0: it is.
    FullIn { growth: f64, days: f64 },
}

impl Forecast {
    /// Bytes a day. `None`: cannot tell.
    pub fn growth(self) -> Option<f64> {
        match self {
            Self::CannotTell => None,
            Self::NotFull { growth } | Self::FullIn { growth, .. } => Some(growth),
        }
    }

    /// `None`: cannot tell, or never.
    pub fn days(self) -> Option<f64> {
        match self {
            Self::FullIn { days, .. } => Some(days),
            Self::CannotTell | Self::NotFull { .. } => None,
        }
    }
}

/// From samples in order of time, the last of which is how large it is.
pub fn forecast(samples: &[(DateTime<Utc>, i64)], budget: Option<i64>) -> Forecast {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return Forecast::CannotTell };
    let growth = (samples.len() >= LEAST_SAMPLES && last.0 - first.0 >= LEAST_TIME).then(|| slope(samples));
    match (growth, budget) {
        (growth, Some(budget)) if last.1 >= budget => {
            Forecast::FullIn { growth: growth.unwrap_or_default(), days: 0.0 }
        }
        (None, _) => Forecast::CannotTell,
        (Some(growth), Some(budget)) if growth > 0.0 => {
            Forecast::FullIn { growth, days: number(budget - last.1) / growth }
        }
        (Some(growth), _) => Forecast::NotFull { growth },
    }
}

/// Bytes a day.
fn slope(samples: &[(DateTime<Utc>, i64)]) -> f64 {
    let step = samples.len().div_ceil(MOST_SAMPLES).max(1);
    let some: Vec<_> = samples.iter().rev().step_by(step).collect();
    let mut slopes = Vec::new();
    for (index, later) in some.iter().enumerate() {
        for earlier in &some[index + 1..] {
            let seconds = number((later.0 - earlier.0).num_seconds());
            if seconds > 0.0 {
                slopes.push(number(later.1 - earlier.1) / seconds * DAY_SECONDS);
            }
        }
    }
    slopes.sort_unstable_by(f64::total_cmp);
    slopes.get(slopes.len() / 2).copied().unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "a forecast in bytes needs no 53rd bit")]
fn number(whole: i64) -> f64 {
    whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: i64 = 1 << 30;

    fn hourly(hours: i32, bytes: impl Fn(i64) -> i64) -> Vec<(DateTime<Utc>, i64)> {
        let start = DateTime::UNIX_EPOCH;
        (0..i64::from(hours)).map(|hour| (start + TimeDelta::hours(hour), bytes(hour))).collect()
    }

    #[test]
    fn too_little_is_known_at_first() {
        assert_eq!(forecast(&[], Some(GIB)), Forecast::CannotTell);
        assert_eq!(forecast(&hourly(24, |hour| hour), Some(GIB)), Forecast::CannotTell);
    }

    #[test]
    fn what_grows_is_full_one_day() {
        let samples = hourly(25 * 4, |hour| hour * GIB / 24);
        let Forecast::FullIn { growth, days } = forecast(&samples, Some(10 * GIB)) else { panic!("it grows") };
        assert!((growth - number(GIB)).abs() < 100.0, "{growth}");
        assert!((days - (10.0 - 99.0 / 24.0)).abs() < 0.01, "{days}");
    }

    #[test]
    fn a_week_that_was_dropped_does_not_bend_the_rate() {
        let samples = hourly(24 * 14, |hour| hour * GIB / 24 - if hour > 200 { 7 * GIB } else { 0 });
        let growth = forecast(&samples, None).growth().unwrap_or_default();
        assert!((growth - number(GIB)).abs() < number(GIB) / 2.0, "{growth}");
    }

    #[test]
    fn what_does_not_grow_is_never_full() {
        assert_eq!(forecast(&hourly(48, |_| GIB), Some(2 * GIB)), Forecast::NotFull { growth: 0.0 });
    }

    #[test]
    fn what_is_over_its_budget_is_full_however_little_is_known() {
        assert_eq!(forecast(&hourly(1, |_| GIB), Some(GIB / 2)).days(), Some(0.0));
    }
}
