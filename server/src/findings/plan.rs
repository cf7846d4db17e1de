//! What must happen to a host's stored findings so that they say what the judgement says. No I/O, no clock, no
//! randomness: identifiers follow from what they name, so that a replay makes the same ones.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rules::finding::{Confidence, Finding, Judgement, Severity, Subject};
use uuid::{Uuid, uuid};

/// Namespace of all identifiers that are derived from what they name (UUIDv5).
pub const NAMESPACE: Uuid = uuid!("5b0c8c4e-6c39-5e0e-9a83-5a4f0f1c7d21");

/// A finding as it is stored, open or resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    pub id: Uuid,
    pub is: State,
    pub episode: i32,
    pub opened_at: DateTime<Utc>,
    /// Why the last report could not tell; `None`: it could.
    pub cannot_tell: Option<String>,
    pub finding: Finding,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Open,
    Resolved,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    Opened,
    Resolved,
    Reopened,
    /// Still open, in other words: another severity, confidence, title, cause, evidence or remedy.
    Changed,
}

impl Transition {
    /// As stored and as the webhook's type ends.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Resolved => "resolved",
            Self::Reopened => "reopened",
            Self::Changed => "changed",
        }
    }
}

/// A finding that changes with this report.
#[derive(Clone, Debug, PartialEq)]
pub struct FindingChange {
    pub id: Uuid,
    pub transition: Transition,
    /// Counts from 1; a return is a new one.
    pub episode: i32,
    /// When this episode began, by the server's clock.
    pub opened_at: DateTime<Utc>,
    /// What the rules say now; of a resolved one what they said last.
    pub finding: Finding,
    /// What was said before, where it was open before.
    pub before: Option<Said>,
    /// Why it ends where no report shows that it is over. `None`: a report does.
    pub because: Option<&'static str>,
}

/// The part of a finding that people act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub severity: Severity,
    pub confidence: Confidence,
    pub title: String,
}

impl Said {
    pub fn of(finding: &Finding) -> Self {
        Self { severity: finding.severity, confidence: finding.confidence, title: finding.title.clone() }
    }
}

impl FindingChange {
    /// Whether the timeline tells of it. New evidence alone does not: a process id would fill the page.
    pub fn is_news(&self) -> bool {
        self.transition != Transition::Changed || self.before.as_ref() != Some(&Said::of(&self.finding))
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub changes: Vec<FindingChange>,
    /// Open findings whose `cannot_tell` differs from what is stored.
    pub marks: Vec<(Uuid, Option<String>)>,
}

/// `stored` holds the host's open findings, and those of any state that the judgement names.
pub fn plan(client_id: i32, host_id: i64, judgement: &Judgement, stored: Vec<Stored>, now: DateTime<Utc>) -> Plan {
    let mut stored: BTreeMap<Uuid, Stored> = stored.into_iter().map(|stored| (stored.id, stored)).collect();
    let mut plan = Plan::default();
    let mut judged: BTreeMap<Uuid, &Finding> = BTreeMap::new();
    for finding in &judgement.findings {
        let id = finding_id(client_id, host_id, &finding.rule, &finding.subject);
        // One rule that names one subject twice would open it twice; the first says enough.
        if judged.insert(id, finding).is_some() {
            continue;
        }
        let change = |transition, episode, opened_at, before| FindingChange {
            id,
            transition,
            episode,
            opened_at,
            finding: finding.clone(),
            before,
            because: None,
        };
        match stored.remove(&id) {
            None => plan.changes.push(change(Transition::Opened, 1, now, None)),
            Some(was) if was.is == State::Resolved => {
                plan.changes.push(change(Transition::Reopened, was.episode + 1, now, None));
            }
            Some(was) => {
                if was.finding != *finding {
                    let before = Some(Said::of(&was.finding));
                    plan.changes.push(change(Transition::Changed, was.episode, was.opened_at, before));
                }
                if was.cannot_tell.is_some() {
                    plan.marks.push((id, None));
                }
            }
        }
    }
    for was in stored.into_values().filter(|was| was.is == State::Open) {
        let doubt = judgement.cannot_tell.iter().find(|doubt| doubt.covers(&was.finding.rule, &was.finding.subject));
        match doubt {
            Some(doubt) if was.cannot_tell.as_ref() == Some(&doubt.reason) => {}
            Some(doubt) => plan.marks.push((was.id, Some(doubt.reason.clone()))),
            None => plan.changes.push(end(was, None)),
        }
    }
    plan
}

/// Ends every finding of a host that is watched no longer, for a reason that people read.
pub fn end_all(stored: Vec<Stored>, because: &'static str) -> Plan {
    let open = stored.into_iter().filter(|was| was.is == State::Open);
    Plan { changes: open.map(|was| end(was, Some(because))).collect(), marks: Vec::new() }
}

fn end(was: Stored, because: Option<&'static str>) -> FindingChange {
    FindingChange {
        id: was.id,
        transition: Transition::Resolved,
        episode: was.episode,
        opened_at: was.opened_at,
        before: Some(Said::of(&was.finding)),
        finding: was.finding,
        because,
    }
}

/// The same for ever for one (client, host, rule, subject).
pub fn finding_id(client_id: i32, host_id: i64, rule: &str, subject: &Subject) -> Uuid {
    let name = format!("finding/{client_id}/{host_id}/{rule}/{}", subject_key(subject));
    Uuid::new_v5(&NAMESPACE, name.as_bytes())
}

/// The subject as canonical JSON: members in order, no spaces.
pub fn subject_key(subject: &Subject) -> String {
    serde_json::json!(subject).to_string()
}

#[cfg(test)]
mod tests;
