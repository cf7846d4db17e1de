//! Refusals of gRPC calls: a status whose trailer `portreeve-code` holds a stable code (docs/errors.md). Agents log the
//! code and back off; text is for people.

use std::time::Duration;

use tonic::{Code, Status, metadata::MetadataValue};

/// Name of the trailer.
pub const TRAILER: &str = "portreeve-code";

/// Name of the trailer with the milliseconds within which the agent should come back, at a moment of its own choice.
pub const RETRY_TRAILER: &str = "portreeve-retry-within-ms";

/// A status with a stable code such as `token.expired`.
pub fn status(kind: Code, code: &'static str, message: impl Into<String>) -> Status {
    let mut status = Status::new(kind, message);
    status.metadata_mut().insert(TRAILER, MetadataValue::from_static(code));
    status
}

/// Tells with the refusal within which time the agent should come back: a number, because agents act on no text.
pub fn retry_within(mut status: Status, within: Duration) -> Status {
    let milliseconds = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    status.metadata_mut().insert(RETRY_TRAILER, MetadataValue::from(milliseconds));
    status
}

/// The database (or something else of ours) failed. The cause is logged here; the agent learns that it may come back.
pub fn unavailable(cause: &dyn std::error::Error) -> Status {
    tracing::warn!(error = %cause, "Refused a call because the database did not answer");
    status(Code::Unavailable, "server.unavailable", "the server cannot reach its database; try again later")
}

/// The stable code of a status that we or our server made; `None`: it carries none.
pub fn code_of(status: &Status) -> Option<&str> {
    status.metadata().get(TRAILER).and_then(|value| value.to_str().ok())
}
