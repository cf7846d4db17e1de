//! What operators decided about entries of the catalog for one client: another severity, or that an entry does not apply
//! there. Laid over a judgement after it is made; each has an end, and says in the evidence who decided what and why.
//!
//! Invariant: an override never hides what has happened. It takes away what an entry claims of a host (a bad update, a
//! risk), never a service that lost its port.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::finding::{Evidence, Finding, Judgement, Severity};

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// Id of a bad update or of a taker.
    pub entry: String,
    pub decision: Decision,
    pub reason: String,
    /// Who decided.
    pub by: String,
    /// From here on it counts no more.
    pub until: DateTime<Utc>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    Severity(Severity),
    NotApplicable,
}

impl Override {
    pub fn is_in_force(&self, now: DateTime<Utc>) -> bool {
        now < self.until
    }

    fn concerns(&self, finding: &Finding) -> bool {
        names(&finding.rule, "bad-update/", &self.entry) || names(&finding.problem, "taker/", &self.entry)
    }
}

/// `judgement` as those of `overrides` that are in force would have it.
#[must_use]
pub fn apply(mut judgement: Judgement, overrides: &[Override], now: DateTime<Utc>) -> Judgement {
    for decided in overrides.iter().filter(|decided| decided.is_in_force(now)) {
        match decided.decision {
            Decision::NotApplicable => remove(&mut judgement, decided),
            Decision::Severity(severity) => {
                for finding in judgement.findings.iter_mut().filter(|finding| decided.concerns(finding)) {
                    set_severity(finding, severity, decided);
                }
            }
        }
    }
    judgement
}

fn remove(judgement: &mut Judgement, decided: &Override) {
    judgement.findings.retain(|finding| !(decided.concerns(finding) && is_claim_of_entry(finding)));
    judgement.cannot_tell.retain(|doubt| !names(&doubt.rule, "bad-update/", &decided.entry));
    judgement.forecasts.retain(|forecast| forecast.taker != decided.entry);
}

fn is_claim_of_entry(finding: &Finding) -> bool {
    finding.rule.starts_with("bad-update/") || finding.rule == "port-conflict/at-risk"
}

fn set_severity(finding: &mut Finding, severity: Severity, decided: &Override) {
    if finding.severity == severity {
        return;
    }
    let way = if severity < finding.severity { "lowered" } else { "raised" };
    let text = format!(
        "{way} from {} to {} by {} until {}: {}",
        word(finding.severity),
        word(severity),
        decided.by,
        decided.until.format("%Y-%m-%d"),
        decided.reason
    );
    finding.severity = severity;
    finding.evidence.push(Evidence { at: None, text, source: "override".to_owned() });
}

fn names(text: &str, prefix: &str, entry: &str) -> bool {
    text.strip_prefix(prefix) == Some(entry)
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};

    use super::{Decision, Override, apply};
    use crate::catalog::Catalog;
    use crate::check::parse_facts;
    use crate::finding::{CannotTell, Judgement, Severity, Subject};
    use crate::history::History;

    const ENTRY: &str = "dotnet20sp2-exchange2007-autodiscover";

    fn judged(case: &str) -> Judgement {
        let path = format!("{}/cases/{case}/facts.json", env!("CARGO_MANIFEST_DIR"));
        let facts = parse_facts(&std::fs::read(path).unwrap()).unwrap();
        crate::judge(&facts, &Catalog::builtin(), &History::default())
    }

    fn until() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn decided(entry: &str, decision: Decision) -> Override {
        Override {
            entry: entry.to_owned(),
            decision,
            reason: "Autodiscover is not used here".to_owned(),
            by: "kim".to_owned(),
            until: until(),
        }
    }

    fn autodiscover() -> Judgement {
        let judgement = judged("bad-update-dotnet20sp2-exchange2007-autodiscover/installed-on-sp1");
        assert_eq!(judgement.findings.len(), 1);
        assert_eq!(judgement.findings[0].severity, Severity::Critical);
        judgement
    }

    #[test]
    fn another_severity_says_who_decided_and_ends() {
        let decided = [decided(ENTRY, Decision::Severity(Severity::Info))];
        let lowered = apply(autodiscover(), &decided, until() - TimeDelta::seconds(1));
        assert_eq!(lowered.findings[0].severity, Severity::Info);
        let said = &lowered.findings[0].evidence.last().unwrap().text;
        assert_eq!(said, "lowered from critical to info by kim until 2027-01-15: Autodiscover is not used here");
        assert_eq!(apply(autodiscover(), &decided, until()), autodiscover());
    }

    #[test]
    fn what_does_not_apply_is_gone_and_so_is_the_doubt_about_it() {
        let decided = [decided(ENTRY, Decision::NotApplicable)];
        let mut judgement = autodiscover();
        let doubt = |rule: &str| CannotTell { rule: rule.to_owned(), subject: Subject::new(), reason: String::new() };
        judgement.cannot_tell = vec![doubt("bad-update"), doubt(&format!("bad-update/{ENTRY}"))];
        let left = apply(judgement, &decided, until() - TimeDelta::days(1));
        assert!(left.findings.is_empty());
        assert_eq!(left.cannot_tell, [doubt("bad-update")]);
    }

    #[test]
    fn a_lost_port_stays_whatever_is_decided_of_its_taker() {
        let judgement = judged("port-conflict-blocked/ias-loses-to-dns-pool");
        assert_eq!(judgement.findings[0].problem, "taker/dns-socket-pool");
        let gone = [decided("dns-socket-pool", Decision::NotApplicable)];
        assert_eq!(apply(judgement.clone(), &gone, until() - TimeDelta::days(1)).findings, judgement.findings);
        let lowered = [decided("dns-socket-pool", Decision::Severity(Severity::Info))];
        assert_eq!(apply(judgement, &lowered, until() - TimeDelta::days(1)).findings[0].severity, Severity::Info);
    }

    #[test]
    fn other_entries_are_left_alone() {
        let others = [decided("kb973917-iis6", Decision::NotApplicable)];
        assert_eq!(apply(autodiscover(), &others, until() - TimeDelta::days(1)), autodiscover());
    }
}
