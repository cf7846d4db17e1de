//! Any system but Windows: there is nothing to read, and it says so instead of being empty.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use proto::wire;
use rules::facts::{Exclusion, Facts, SCHEMA, Section};
use rules::text::Text;

use super::live::Took;
use super::reading::Unreadable;

#[derive(Debug)]
pub(super) struct Collector {
    took: Took,
}

impl Collector {
    /// Nothing ever changes here.
    pub(super) fn new(_on_change: impl Fn() + Clone + Send + 'static, _folder: Option<PathBuf>) -> Self {
        Self { took: Took::new() }
    }

    /// There is nothing that takes time.
    pub(super) fn took(&self) -> &Took {
        &self.took
    }

    #[expect(clippy::unused_self, reason = "as the collector of Windows")]
    pub(super) fn settle(&mut self, _now: DateTime<Utc>) {}

    #[expect(clippy::unused_self, reason = "as the collector of Windows")]
    pub(super) fn look(&mut self, now: DateTime<Utc>) -> Facts {
        let reason = Text::new("this agent reads Windows only");
        Facts {
            schema: SCHEMA.to_owned(),
            collected_at: Some(now),
            host: Section::Unknown(reason.clone()),
            sockets: Section::Unknown(reason.clone()),
            services: Section::Unknown(reason.clone()),
            updates: Section::Unknown(reason.clone()),
            port_policy: Section::Unknown(reason.clone()),
            events: Section::Unknown(reason.clone()),
            connections: Section::Unknown(reason),
        }
    }
}

pub(super) fn private_bytes() -> Option<u64> {
    None
}

pub(super) fn lasting_exclusions() -> Result<Vec<Exclusion>, Unreadable> {
    Err(Unreadable::new("this agent reads Windows only"))
}

pub(super) fn list_connections() -> Result<Vec<wire::Connection>, Unreadable> {
    Err(Unreadable::new("this agent reads Windows only"))
}
