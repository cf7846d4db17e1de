//! The only reader of the clock. Everything else takes `now` as an argument, so that tests own time.

use chrono::{DateTime, SubsecRound, Utc};

/// The present instant, in whole microseconds: what Postgres stores, so that a value read back equals the one written.
pub fn now() -> DateTime<Utc> {
    #[expect(clippy::disallowed_methods, reason = "this is the clock module")]
    let now = Utc::now();
    now.trunc_subsecs(6)
}
