//! Chance that can be asked for again: a number that depends on the seed and on what it is drawn for, and on no draw
//! before it.

/// What one subject draws from. Cheap to copy; every question of its own is [`Chance::of`] it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(mixed(seed))
    }

    /// For one thing among others of the same subject.
    pub(super) fn of(self, what: &str) -> Self {
        Self(what.bytes().fold(self.0, |state, byte| mixed(state ^ u64::from(byte))))
    }

    /// For one of many.
    pub(super) fn at(self, index: i64) -> Self {
        Self(mixed(self.0 ^ index.cast_unsigned()))
    }

    pub(super) fn number(self) -> u64 {
        mixed(self.0)
    }

    /// Uniform in 0 to `limit`, not including it.
    pub(super) fn below(self, limit: u64) -> u64 {
        self.number() % limit.max(1)
    }

    /// Uniform in `from` to `to`, both included.
    pub(super) fn between(self, from: i64, to: i64) -> i64 {
        from + i64::try_from(self.below(u64::try_from(to - from + 1).unwrap_or(1))).unwrap_or_default()
    }

    pub(super) fn happens(self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// The finalizer of SplitMix64.
fn mixed(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
