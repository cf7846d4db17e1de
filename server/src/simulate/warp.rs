//! Simulated time on the real clock. What happens after the beginning of the fleet happens `speed` times as fast; what
//! happened before it keeps its distance. A host so never speaks of the future, and its clock goes as fast as any.

use chrono::{DateTime, TimeDelta, Utc};
use rules::facts::{Facts, Section};

use super::calendar::epoch;

#[derive(Clone, Copy, Debug)]
pub struct Warp {
    /// The real moment at which the fleet begins.
    pub origin: DateTime<Utc>,
    /// Simulated seconds in a real one.
    pub speed: u32,
}

impl Warp {
    /// Simulated time into real time.
    pub fn real(&self, simulated: DateTime<Utc>) -> DateTime<Utc> {
        let since = (simulated - epoch()).num_milliseconds();
        let real = if since < 0 { since } else { since / i64::from(self.speed.max(1)) };
        self.origin + TimeDelta::milliseconds(real)
    }

    /// Real time into simulated time; until the origin the fleet stands still.
    pub fn simulated(&self, real: DateTime<Utc>) -> DateTime<Utc> {
        let since = (real - self.origin).num_milliseconds().max(0);
        epoch() + TimeDelta::milliseconds(since.saturating_mul(i64::from(self.speed)))
    }

    /// Facts of a simulated moment as the host tells them, by a clock that is ahead of ours by `skew`.
    pub fn told(&self, mut facts: Facts, skew: TimeDelta) -> Facts {
        each_time(&mut facts, |time| *time = self.real(*time) + skew);
        facts
    }
}

fn each_time(facts: &mut Facts, mut change: impl FnMut(&mut DateTime<Utc>)) {
    facts.collected_at.iter_mut().for_each(&mut change);
    if let Section::Known(host) = &mut facts.host {
        host.booted_at.iter_mut().for_each(&mut change);
    }
    for socket in known(&mut facts.sockets) {
        socket.bound_at.iter_mut().chain(&mut socket.process_started_at).for_each(&mut change);
    }
    for service in known(&mut facts.services) {
        service.state_since.iter_mut().for_each(&mut change);
    }
    for update in known(&mut facts.updates) {
        update.installed_at.iter_mut().for_each(&mut change);
    }
    for event in known(&mut facts.events) {
        event.at.iter_mut().for_each(&mut change);
    }
}

fn known<T>(section: &mut Section<Vec<T>>) -> impl Iterator<Item = &mut T> {
    match section {
        Section::Known(rows) => rows.iter_mut(),
        Section::Unknown(_) => [].iter_mut(),
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::{Warp, epoch};

    #[test]
    fn the_past_keeps_its_distance_and_the_future_comes_fast() {
        let origin = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let warp = Warp { origin, speed: 60 };
        assert_eq!(warp.real(epoch() - TimeDelta::hours(2)), origin - TimeDelta::hours(2));
        assert_eq!(warp.real(epoch() + TimeDelta::hours(2)), origin + TimeDelta::minutes(2));
        assert_eq!(warp.simulated(origin + TimeDelta::minutes(2)), epoch() + TimeDelta::hours(2));
        assert_eq!(warp.simulated(origin - TimeDelta::minutes(2)), epoch());
    }
}
