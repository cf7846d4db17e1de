//! Whether whoever says Hello is the agent that this identity belongs to, a restored snapshot of it, or a copy. Each
//! Welcome hands out an epoch that was never handed out before; an agent presents the last one it got, or, if it died
//! before it kept it, the one it had presented before. Whoever presents another one has an older state. No I/O, no clock.

use chrono::{DateTime, TimeDelta, Utc};

use crate::db::stream::{Cursor, Machine};
use crate::ingest::opening::Greeting;

/// Two states that are older than what was said, within this time, are two machines that take turns.
const TURNS: TimeDelta = TimeDelta::hours(24);

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Claim {
    /// The stream goes on, or a new one begins; with this cursor.
    Granted(Cursor),
    Denied(Denial),
}

/// Why nothing of what the agent holds may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denial {
    /// An older state of the same machine: it must begin another stream.
    Restored,
    /// Another machine.
    Cloned,
    /// The same machine, as far as can be told, twice.
    Forked,
    /// The host is watched no longer, or its agent speaks for another record since a moment ago.
    Departed,
}

pub(super) fn judge(stored: Option<(&Cursor, &Machine)>, greeting: &Greeting, now: DateTime<Utc>) -> Claim {
    let begins = greeting.epoch == 0;
    let Some((cursor, machine)) = stored else {
        // A state that belonged to another identity, from before this host was enrolled anew.
        if !begins {
            return Claim::Denied(Denial::Restored);
        }
        return Claim::Granted(fresh(0, greeting));
    };
    let is_other = machine.fingerprint.as_ref().is_some_and(|fingerprint| *fingerprint != greeting.fingerprint);
    if is_other && !greeting.fingerprint.is_empty() {
        return Claim::Denied(Denial::Cloned);
    }
    if cursor.stream_id != greeting.stream_id && begins {
        return Claim::Granted(fresh(cursor.pending_epoch, greeting));
    }
    let is_present = greeting.epoch == cursor.epoch || greeting.epoch == cursor.pending_epoch;
    if cursor.stream_id == greeting.stream_id && is_present {
        let pending_epoch = cursor.pending_epoch.saturating_add(1);
        return Claim::Granted(Cursor { epoch: greeting.epoch, pending_epoch, ..cursor.clone() });
    }
    let took_turns =
        !machine.is_from_backup && machine.restored_at.is_some_and(|restored_at| now - restored_at < TURNS);
    Claim::Denied(if took_turns { Denial::Forked } else { Denial::Restored })
}

fn fresh(last_epoch: i64, greeting: &Greeting) -> Cursor {
    Cursor {
        stream_id: greeting.stream_id,
        seq: 0,
        epoch: greeting.epoch,
        pending_epoch: last_epoch.saturating_add(1),
        clock_skew_ms: 0,
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};
    use uuid::Uuid;

    use super::{Claim, Denial, judge};
    use crate::db::stream::{Cursor, Machine};
    use crate::ingest::opening::Greeting;

    fn greeting(stream: u128, epoch: i64, fingerprint: &[u8]) -> Greeting {
        Greeting {
            stream_id: Uuid::from_u128(stream),
            boot_id: vec![0; 16],
            epoch,
            digests: proto::Digests::new(),
            pending: None,
            wall_clock_ms: 0,
            agent_version: None,
            fingerprint: fingerprint.to_vec(),
        }
    }

    fn cursor() -> Cursor {
        Cursor { stream_id: Uuid::from_u128(1), seq: 7, epoch: 4, pending_epoch: 5, clock_skew_ms: 0 }
    }

    fn machine(restored_before: Option<TimeDelta>) -> Machine {
        Machine {
            fingerprint: Some(vec![1; 32]),
            restored_at: restored_before.map(|before| now() - before),
            is_from_backup: false,
        }
    }

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000, 0).unwrap()
    }

    fn claim(stream: u128, epoch: i64, fingerprint: &[u8]) -> Claim {
        judge(Some((&cursor(), &machine(None))), &greeting(stream, epoch, fingerprint), now())
    }

    #[test]
    fn the_last_epoch_and_the_one_before_it_are_the_same_agent() {
        for epoch in [4, 5] {
            let granted = Claim::Granted(Cursor { epoch, pending_epoch: 6, ..cursor() });
            assert_eq!(claim(1, epoch, &[1; 32]), granted);
            assert_eq!(claim(1, epoch, &[]), granted, "what is not said is not another");
        }
    }

    #[test]
    fn a_stream_that_begins_is_granted_and_gets_an_epoch_of_its_own() {
        let Claim::Granted(begun) = claim(2, 0, &[1; 32]) else { panic!("denied") };
        assert_eq!((begun.seq, begun.epoch, begun.pending_epoch), (0, 0, 6));
        let Claim::Granted(first) = judge(None, &greeting(2, 0, &[]), now()) else { panic!("denied") };
        assert_eq!((first.seq, first.pending_epoch), (0, 1));
    }

    #[test]
    fn another_machine_is_denied_whatever_it_presents() {
        for (stream, epoch) in [(1, 4), (1, 5), (1, 3), (2, 0), (2, 9)] {
            assert_eq!(claim(stream, epoch, &[2; 32]), Claim::Denied(Denial::Cloned));
        }
    }

    #[test]
    fn an_older_state_is_a_snapshot_once_and_a_fork_when_it_comes_again() {
        for (stream, epoch) in [(1, 3), (1, 0), (1, 9), (2, 4), (2, 5)] {
            assert_eq!(claim(stream, epoch, &[1; 32]), Claim::Denied(Denial::Restored), "{stream} {epoch}");
        }
        assert_eq!(judge(None, &greeting(1, 3, &[]), now()), Claim::Denied(Denial::Restored));
        let again = |hours| {
            let machine = machine(Some(TimeDelta::hours(hours)));
            judge(Some((&cursor(), &machine)), &greeting(1, 3, &[1; 32]), now())
        };
        assert_eq!(again(23), Claim::Denied(Denial::Forked));
        assert_eq!(again(25), Claim::Denied(Denial::Restored));
    }

    #[test]
    fn after_a_restore_of_the_database_nobody_is_blamed() {
        let machine = Machine { is_from_backup: true, ..machine(Some(TimeDelta::hours(1))) };
        let claim = judge(Some((&cursor(), &machine)), &greeting(1, 9, &[1; 32]), now());
        assert_eq!(claim, Claim::Denied(Denial::Restored));
    }
}
