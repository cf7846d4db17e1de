//! What to do about a budget: which weeks of spans would have to go. Pure.

use chrono::{DateTime, TimeDelta, Utc};

/// A week of spans, as its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Week {
    pub ends_at: DateTime<Utc>,
    pub bytes: i64,
}

/// What dropping the oldest weeks comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Weeks that ended at this time or before go.
    pub before: DateTime<Utc>,
    /// What is kept then.
    pub keep_days: i32,
    /// Whether the rest fits.
    pub is_enough: bool,
}

/// The fewest of the oldest weeks that must go for the kind to fit; none that ended within the least days, whatever
/// that leaves. `None`: it fits, or nothing may go.
pub fn cut(weeks: &[Week], bytes: i64, budget: i64, least_days: i32, now: DateTime<Utc>) -> Option<Cut> {
    let keep = now - TimeDelta::days(least_days.into());
    let mut weeks: Vec<Week> = weeks.iter().copied().filter(|week| week.ends_at <= keep).collect();
    weeks.sort_unstable_by_key(|week| week.ends_at);
    let mut left = bytes;
    let mut before = None;
    for week in weeks {
        if left <= budget {
            break;
        }
        left -= week.bytes;
        before = Some(week.ends_at);
    }
    let before = before?;
    let keep_days = i32::try_from((now - before).num_days()).unwrap_or(i32::MAX);
    Some(Cut { before, keep_days, is_enough: left <= budget })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weeks(now: DateTime<Utc>, bytes: &[i64]) -> Vec<Week> {
        let end = |ago: usize| now - TimeDelta::weeks(i64::try_from(ago).unwrap_or_default());
        bytes.iter().enumerate().map(|(ago, &bytes)| Week { ends_at: end(ago), bytes }).collect()
    }

    #[test]
    fn the_oldest_weeks_go_until_it_fits() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let weeks = weeks(now, &[10, 10, 10, 10]);
        assert_eq!(cut(&weeks, 40, 40, 7, now), None);
        let two = Cut { before: now - TimeDelta::weeks(2), keep_days: 14, is_enough: true };
        assert_eq!(cut(&weeks, 40, 25, 7, now), Some(two));
    }

    #[test]
    fn the_least_days_stay_even_over_the_budget() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let all_but_two = Cut { before: now - TimeDelta::weeks(2), keep_days: 14, is_enough: false };
        assert_eq!(cut(&weeks(now, &[10, 10, 10, 10]), 40, 1, 14, now), Some(all_but_two));
        assert_eq!(cut(&weeks(now, &[10]), 10, 1, 7, now), None);
    }
}
