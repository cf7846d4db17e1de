//! The only reader of the clock; everything else is told the time.

use chrono::{DateTime, Utc};

#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}
