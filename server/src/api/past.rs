//! The past in answers: which moment is asked for, and what an answer about it says of itself.
//!
//! Invariant: an answer about a moment says so (`as_of`), and says whether the host was heard of then.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::problem::{Code, Problem};
use crate::db::read_past::{HostAt, Silence};

/// Which moment. Left out: now.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AtQuery {
    /// What was true then, such as `2026-11-22T03:00:00Z`; not in the future.
    at: Option<DateTime<Utc>>,
}

impl AtQuery {
    /// `None`: now.
    pub fn moment(&self, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, Problem> {
        self.at.map(|at| past("at", at, now)).transpose()
    }
}

/// A moment that has come. What lies before all records is their beginning.
pub fn past(field: &'static str, at: DateTime<Utc>, now: DateTime<Utc>) -> Result<DateTime<Utc>, Problem> {
    if at > now {
        return Err(Problem::field(Code::BadQuery, field, "is still to come"));
    }
    Ok(at.max(DateTime::UNIX_EPOCH))
}

/// The moment that an answer is about.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct AsOf {
    pub at: DateTime<Utc>,
    /// When the host was not heard of, if that was so then: what is told is what was true before. `null`: it was heard of.
    pub silence: Option<Unheard>,
}

/// A time in which nothing was heard of a host, by the server's clock.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Unheard {
    pub since: DateTime<Utc>,
    /// `null`: it has not been heard of again.
    pub until: Option<DateTime<Utc>>,
}

impl AsOf {
    pub async fn of(host: &mut HostAt, at: DateTime<Utc>) -> sqlx::Result<Self> {
        Ok(Self { at, silence: host.silence().await?.map(Unheard::from) })
    }
}

impl From<Silence> for Unheard {
    fn from(silence: Silence) -> Self {
        Self { since: silence.since, until: silence.until }
    }
}
