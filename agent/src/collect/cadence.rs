//! When to look at the host again.
//!
//! A look costs most where the tables are long, and tells most in the minutes after a boot, when ports are taken. What is
//! pushed is looked at when it happens; the rest waits for the next look. No I/O, no clock.

use std::time::Duration;

/// Ports are taken in these minutes.
const AFTER_BOOT: Duration = Duration::from_mins(10);
/// Rows beyond which a look is dear.
const MANY_SOCKETS: usize = 2_000;
/// A host that something happened to is not idle for this long.
const ASTIR: Duration = Duration::from_mins(1);
/// Changes come in storms: a product that stops takes twenty services with it.
const SHORTEST_REST: Duration = Duration::from_millis(250);

/// What decides on the pause.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The interval that the server wants.
    pub every: Duration,
    /// Since the boot of the host. `None`: not known.
    pub uptime: Option<Duration>,
    /// Rows of the socket tables.
    pub sockets: usize,
    /// Since something was pushed. `None`: nothing was.
    pub since_push: Option<Duration>,
}

impl Pace {
    /// From the end of a look to the next, unless something is pushed: the interval of the server, a fifth of it in the ten
    /// minutes after a boot, and three times as long where the tables are long and nothing happens.
    pub fn pause(self) -> Duration {
        if self.uptime.is_some_and(|uptime| uptime < AFTER_BOOT) {
            return self.every / 5;
        }
        let is_idle = self.since_push.is_none_or(|since| since > ASTIR);
        if is_idle && self.sockets > MANY_SOCKETS { self.every * 3 } else { self.every }
    }
}

/// From the end of a look that took `took` to the next, whatever is pushed: half of the time of one thread at most.
pub fn rest(took: Duration) -> Duration {
    took.max(SHORTEST_REST)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Pace, rest};

    const CALM: Pace =
        Pace { every: Duration::from_secs(5), uptime: Some(Duration::from_hours(30)), sockets: 100, since_push: None };

    fn seconds(pace: Pace) -> u64 {
        pace.pause().as_secs()
    }

    #[test]
    fn looks_at_the_interval_of_the_server() {
        assert_eq!(seconds(CALM), 5);
        assert_eq!(seconds(Pace { every: Duration::from_mins(1), ..CALM }), 60);
        assert_eq!(seconds(Pace { uptime: None, ..CALM }), 5);
    }

    #[test]
    fn looks_every_second_in_the_ten_minutes_after_a_boot() {
        assert_eq!(seconds(Pace { uptime: Some(Duration::from_secs(599)), ..CALM }), 1);
        assert_eq!(seconds(Pace { uptime: Some(Duration::from_secs(599)), sockets: 5_000, ..CALM }), 1);
        assert_eq!(seconds(Pace { uptime: Some(Duration::from_mins(10)), ..CALM }), 5);
    }

    #[test]
    fn long_tables_are_read_less_often_while_nothing_happens() {
        let long = Pace { sockets: 5_000, ..CALM };
        assert_eq!(seconds(long), 15);
        assert_eq!(seconds(Pace { since_push: Some(Duration::from_secs(59)), ..long }), 5);
        assert_eq!(seconds(Pace { since_push: Some(Duration::from_secs(61)), ..long }), 15);
    }

    #[test]
    fn a_storm_takes_half_of_a_thread_at_most() {
        assert_eq!(rest(Duration::from_millis(3)), Duration::from_millis(250));
        assert_eq!(rest(Duration::from_secs(2)), Duration::from_secs(2));
    }
}
