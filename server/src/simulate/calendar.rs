//! When a host boots, and when it is off: drawn day by day, so that any moment can be asked for without the days before.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::chance::Chance;

/// Sunday before a patch Tuesday for which the catalog has updates of most systems: where simulated time begins.
pub(super) fn epoch() -> DateTime<Utc> {
    DateTime::from_timestamp(1_775_952_000, 0).unwrap_or_default()
}

/// How long a restart takes, from the end of the last service to the first moment of the next boot.
const RESTART: TimeDelta = TimeDelta::minutes(3);

/// A host was booted at least this many days ago when the fleet begins.
const LONGEST_UPTIME: i64 = 40;

/// A start of the system, and when it was shut down before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Boot {
    pub(super) off_from: DateTime<Utc>,
    pub(super) at: DateTime<Utc>,
}

/// What decides about the boots of a host.
#[derive(Clone, Debug)]
pub(super) struct Calendar {
    pub(super) chance: Chance,
    /// It is switched off for hours now and then.
    pub(super) falls_silent: bool,
    /// Days on which updates were installed that want a restart, in order.
    pub(super) patched_on: Vec<NaiveDate>,
}

impl Calendar {
    /// The last boot at `time` or before it.
    pub(super) fn boot(&self, time: DateTime<Utc>) -> Boot {
        let today = day_of(time);
        let found = (0..=today + LONGEST_UPTIME).find_map(|back| self.boots_on(today - back, time));
        found.unwrap_or(Boot { off_from: time - RESTART, at: time })
    }

    /// When the next boot is, where the host is off at `time`. `None`: it is on.
    pub(super) fn off_until(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let next = (0..=1).find_map(|ahead| self.first_boot_after(day_of(time) + ahead, time))?;
        (next.off_from <= time).then_some(next.at)
    }

    /// The last boot of a day, not after `until`.
    fn boots_on(&self, day: i64, until: DateTime<Utc>) -> Option<Boot> {
        self.boots_of(day).into_iter().filter(|boot| boot.at <= until).max_by_key(|boot| boot.at)
    }

    fn first_boot_after(&self, day: i64, time: DateTime<Utc>) -> Option<Boot> {
        self.boots_of(day).into_iter().filter(|boot| boot.at > time).min_by_key(|boot| boot.at)
    }

    fn boots_of(&self, day: i64) -> Vec<Boot> {
        let chance = self.chance.of("boot").at(day);
        let midnight = epoch() + TimeDelta::days(day);
        let restart = |at: DateTime<Utc>| Boot { off_from: at - RESTART, at };
        let mut boots = Vec::new();
        // The night after updates were installed.
        let date = midnight.date_naive();
        if self.patched_on.iter().any(|patched| *patched + TimeDelta::days(1) == date) {
            boots.push(restart(midnight + TimeDelta::seconds(chance.of("night").between(2 * 3600, 5 * 3600))));
        }
        if self.falls_silent && chance.of("silence").happens(12) {
            let off_from = midnight + TimeDelta::seconds(chance.of("off").between(6 * 3600, 12 * 3600));
            let at = off_from + TimeDelta::seconds(chance.of("away").between(3600, 11 * 3600));
            boots.push(Boot { off_from, at });
        } else if chance.of("restart").below(45) == 0 {
            boots.push(restart(midnight + TimeDelta::seconds(chance.of("hour").between(6 * 3600, 23 * 3600))));
        }
        if day == -self.chance.of("first").between(1, LONGEST_UPTIME) {
            boots.push(restart(midnight + TimeDelta::seconds(chance.of("first hour").between(3600, 23 * 3600))));
        }
        boots
    }
}

/// Days since the epoch, negative before it.
fn day_of(time: DateTime<Utc>) -> i64 {
    (time - epoch()).num_seconds().div_euclid(86_400)
}

#[cfg(test)]
mod tests {
    use chrono::{Datelike as _, TimeDelta, Weekday};

    use super::{Calendar, epoch};
    use crate::simulate::chance::Chance;

    #[test]
    fn begins_on_a_sunday_before_a_patch_tuesday() {
        assert_eq!(epoch().to_rfc3339(), "2026-04-12T00:00:00+00:00");
        assert_eq!(epoch().weekday(), Weekday::Sun);
    }

    #[test]
    fn a_host_is_off_before_it_boots_and_on_after() {
        let calendar = Calendar { chance: Chance::new(3), falls_silent: true, patched_on: Vec::new() };
        let mut off = 0;
        for minute in 0..20_000 {
            let time = epoch() + TimeDelta::minutes(minute);
            let boot = calendar.boot(time);
            assert!(boot.at <= time && boot.off_from < boot.at);
            assert!(calendar.off_until(boot.at - TimeDelta::seconds(1)).is_some());
            off += i64::from(calendar.off_until(time).is_some());
        }
        assert!(off > 60, "off for {off} minutes of two weeks");
    }
}
