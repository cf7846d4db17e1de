//! What a rule says of a host: findings, and what cannot be told. Pure data; the words are made by the rules.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::forecast::Forecast;
use crate::remedy::Change;

/// Everything that the rules say of one host's facts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    pub findings: Vec<Finding>,
    pub cannot_tell: Vec<CannotTell>,
    /// What may happen at the next boot, by service and taker.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forecasts: Vec<Forecast>,
}

/// A rule that is true of a host. Identity: (host, rule, subject).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// `port-conflict/blocked`, `bad-update/<entry id>`.
    pub rule: String,
    pub subject: Subject,
    /// The same for all findings that one cause brings about, on any host: `bad-update/<entry id>`,
    /// `taker/<taker id>`, `holder/<image>`. They are one problem.
    pub problem: String,
    pub severity: Severity,
    pub confidence: Confidence,
    /// One sentence with names, ports and numbers in it.
    pub title: String,
    /// How it came about, in a sentence or two.
    pub cause: String,
    pub evidence: Vec<Evidence>,
    pub remedy: Remedy,
    /// Since when it has been so on the host, by the host's clock. `None`: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
    /// 0 to 1, where the finding is a forecast with a known mechanism.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
}

/// What a finding is about, stable over reports: `{"service": "IAS", "port": "udp/1812"}`, `{"kb": "KB948609"}`.
/// Never a PID, a time or a count.
pub type Subject = BTreeMap<String, String>;

/// A rule that could not be decided, because a fact it needs is unknown. It neither opens nor resolves the findings of
/// `rule` whose subject has every member of `subject`; an empty subject stands for all of the rule, and the rule
/// `bad-update` for all rules of that family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CannotTell {
    pub rule: String,
    pub subject: Subject,
    /// A sentence: what cannot be told, and which source failed how.
    pub reason: String,
}

impl CannotTell {
    pub fn covers(&self, rule: &str, subject: &Subject) -> bool {
        let of_family = || rule.strip_prefix(&self.rule).is_some_and(|rest| rest.starts_with('/'));
        (self.rule == rule || of_family()) && self.subject.iter().all(|(name, value)| subject.get(name) == Some(value))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    Possible,
    Likely,
    Certain,
}

/// One observed fact that speaks for the finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// By the host's clock. `None`: true at the time of the report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
    pub text: String,
    /// Where it was read: `socket table`, `Service Control Manager`, `registry`, `catalog`.
    pub source: String,
}

/// How to mend it on this generation of the system. Shown and downloaded, never executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remedy {
    /// The steps in half a sentence: `Keep udp/1812 out of the DNS pool, then start IAS`.
    pub summary: String,
    /// The generation the steps are for, such as `Server 2008 R2`.
    pub applies_to: String,
    pub steps: Vec<Step>,
    pub risk: String,
    pub restart: Restart,
    pub undo: Vec<Step>,
    /// What the next reports will show when it worked.
    pub proven_when: String,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub text: String,
    /// To be run in an elevated command prompt, as it stands. `None`: the step is done by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The same as data, for [`crate::plan`]. Empty: a person must decide or act.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Restart {
    None,
    Service,
    Server,
}
