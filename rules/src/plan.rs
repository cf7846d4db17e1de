//! One plan for a host: the remedies of all its findings joined into one list of changes, in an order in which they can be
//! done, with what each one needs, risks, restarts and proves, and the way back. [`script`] writes it as a file.
//!
//! The order: stop what holds a port, make the exclusions and settings, start who lost its port, start what was stopped,
//! remove updates, restart. What only works on a port that a part of Windows gives back at a restart follows after that.
//!
//! Invariant: the plan depends on what the findings and facts say, not on their order, and holds nothing that the facts
//! show as done. It is shown and downloaded, never executed by us.

mod build;
mod collect;
mod deed;
pub mod script;
mod words;

pub use deed::Deed;

use chrono::{DateTime, Utc};

use crate::catalog::Catalog;
use crate::facts::{Facts, Os, OsGeneration};
use crate::finding::{Judgement, Restart, Step, Subject};
use crate::history::History;
use crate::view::View;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// As the host calls itself; hostile text. Empty: not known.
    pub host: String,
    /// `None`: the host facts are not known, and with them the ways of the system.
    pub os: Option<Os>,
    /// When the facts were read, by the host's clock. `None`: not known.
    pub collected_at: Option<DateTime<Utc>>,
    pub steps: Vec<PlanStep>,
    /// To be done when the server is up again.
    pub after_restart: Vec<PlanStep>,
    /// What the plan leaves to a person.
    pub by_hand: Vec<ByHand>,
    /// Takes the steps back, in reverse.
    pub undo: Vec<UndoStep>,
    /// The most that any step restarts.
    pub restart: Restart,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanStep {
    pub deed: Deed,
    pub text: String,
    /// Lines for an elevated command prompt. Empty: a name is not safe there, or a value was not read.
    pub commands: Vec<String>,
    /// What must be so before. `None`: nothing beyond the step before.
    pub precondition: Option<String>,
    pub risk: Option<String>,
    pub restart: Restart,
    /// The way back in a sentence. `None`: nothing stays changed.
    pub undo: Option<String>,
    /// What the next report shows when it was done.
    pub proven_when: String,
    /// The findings that ask for it.
    pub findings: Vec<FindingRef>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UndoStep {
    /// `None`: by hand.
    pub deed: Option<Deed>,
    pub text: String,
    pub commands: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FindingRef {
    pub rule: String,
    pub subject: Subject,
}

/// The steps of one finding that a person must do or decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByHand {
    pub finding: FindingRef,
    pub title: String,
    pub steps: Vec<Step>,
}

impl Plan {
    /// Nothing is to be done, by script or by hand.
    pub fn is_empty(&self) -> bool {
        !self.has_changes() && self.by_hand.is_empty()
    }

    /// A script has something to do.
    pub fn has_changes(&self) -> bool {
        !self.steps.is_empty() || !self.after_restart.is_empty()
    }

    pub fn generation(&self) -> OsGeneration {
        self.os.as_ref().map_or(OsGeneration::Other, Os::generation)
    }
}

/// Joins the remedies of all findings of `judgement`, which was made of `facts` or of earlier ones of the same host.
pub fn of_host(facts: &Facts, catalog: &Catalog, judgement: &Judgement) -> Plan {
    let history = History::default();
    let view = View::new(facts, catalog, &history);
    let collected = collect::of(judgement, &view);
    build::plan(collected, &view)
}
