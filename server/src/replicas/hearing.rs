//! Whether bulletins of other servers were missed: each has a number, and each server says how many it sent.

use std::collections::HashMap;

use uuid::Uuid;

/// What was heard of each other server.
#[derive(Debug, Default)]
pub(super) struct Hearing(HashMap<Uuid, Heard>);

#[derive(Clone, Copy, Debug)]
struct Heard {
    /// The number of the newest bulletin that was heard, or that is known to be missed.
    newest: i64,
    /// How many there were at the last comparison. What is heard no later than at the next one is not missed.
    told: i64,
}

impl Hearing {
    /// Takes note of a bulletin; whether one before it was missed.
    pub(super) fn heard(&mut self, from: Uuid, number: i64) -> bool {
        // Of a server that was never compared: it has just started, or we have, and read everything then.
        let heard = self.0.entry(from).or_insert(Heard { newest: number, told: number });
        let has_missed = number > heard.newest + 1;
        heard.newest = heard.newest.max(number);
        has_missed
    }

    /// Takes note of how many each server says that it sent; whether one of them was missed.
    pub(super) fn compare(&mut self, told_by: &[(Uuid, i64)]) -> bool {
        self.0.retain(|server, _| told_by.iter().any(|(other, _)| other == server));
        let mut has_missed = false;
        for (server, told) in told_by {
            let heard = self.0.entry(*server).or_insert(Heard { newest: *told, told: *told });
            has_missed |= heard.newest < heard.told;
            *heard = Heard { newest: heard.newest.max(heard.told), told: *told };
        }
        has_missed
    }
}

#[cfg(test)]
mod tests {
    use super::Hearing;
    use uuid::Uuid;

    const A: Uuid = Uuid::from_u128(1);

    #[test]
    fn who_hears_all_misses_nothing() {
        let mut hearing = Hearing::default();
        assert!(!hearing.compare(&[(A, 5)]), "what was before the start was read");
        assert!(!hearing.heard(A, 6));
        assert!(!hearing.heard(A, 7));
        assert!(!hearing.compare(&[(A, 7)]));
        assert!(!hearing.compare(&[(A, 8)]), "8 is under way");
        assert!(!hearing.heard(A, 8));
        assert!(!hearing.compare(&[(A, 8)]));
        assert!(!hearing.compare(&[]), "it ended");
        assert!(!hearing.compare(&[(A, 1)]), "and is another one now");
    }

    #[test]
    fn a_gap_is_noticed_at_once() {
        let mut hearing = Hearing::default();
        assert!(!hearing.compare(&[(A, 0)]));
        assert!(!hearing.heard(A, 1));
        assert!(hearing.heard(A, 3));
        assert!(!hearing.heard(A, 4), "once");
    }

    #[test]
    fn who_hears_nothing_notices_by_the_count() {
        let mut hearing = Hearing::default();
        assert!(!hearing.compare(&[(A, 0)]));
        assert!(!hearing.compare(&[(A, 3)]), "they may be under way");
        assert!(hearing.compare(&[(A, 3)]));
        assert!(!hearing.compare(&[(A, 3)]), "once");
        assert!(!hearing.compare(&[(A, 4)]));
        assert!(hearing.compare(&[(A, 9)]));
    }
}
