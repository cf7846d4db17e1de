//! Rule `suspect-update/<KB>`: the fleet suspects an update of this host, and the host has the service that fails after it.
//!
//! The host's own lists decide whether it has the update. Never certain: nothing is known of the update but its record.
//! Of updates that cannot be told apart the host has one finding, under the first that it has.

use crate::evidence;
use crate::facts::{Section, Service, ServiceState, StartMode, Update, UpdateState};
use crate::finding::{CannotTell, Confidence, Evidence, Finding, Judgement, Severity, Subject};
use crate::remedy::{Exposure, of_suspect};
use crate::suspect::{Outcome, Suspect};
use crate::view::{Presence, View};
use crate::{bad_update, words};

/// The family of these rules.
const FAMILY: &str = "suspect-update";
/// ERROR_SERVICE_NEVER_STARTED: nothing failed.
const NEVER_STARTED: u32 = 1077;

pub(crate) fn judge(view: &View<'_>, judgement: &mut Judgement) {
    for suspect in &*view.history.suspects {
        match verdict(suspect, view) {
            Verdict::Suspected(finding) => judgement.findings.push(*finding),
            Verdict::CannotTell(reason) => judgement.cannot_tell.push(CannotTell {
                rule: FAMILY.to_owned(),
                subject: Subject::from([("service".to_owned(), suspect.service.clone())]),
                reason,
            }),
            Verdict::Silent => {}
        }
    }
    judgement.cannot_tell.dedup();
}

enum Verdict {
    Suspected(Box<Finding>),
    CannotTell(String),
    Silent,
}

fn verdict(suspect: &Suspect, view: &View<'_>) -> Verdict {
    let shown = suspect.shown();
    if let Section::Unknown(reason) = &view.facts.updates {
        return Verdict::CannotTell(format!(
            "Cannot tell whether {shown} is installed, after which {} fails elsewhere: the list of updates could not be read ({reason}).",
            suspect.service
        ));
    }
    let installed = suspect.kbs.iter().filter_map(|kb| match view.presence(kb) {
        Presence::Installed(rows) => Some((kb.as_str(), rows)),
        Presence::InHistory(_) | Presence::Superseded | Presence::No => None,
    });
    let mut here: Vec<(&str, Vec<&Update>)> = installed.collect();
    let is_installed = !here.is_empty();
    if !is_installed {
        here.extend(suspect.kbs.iter().filter_map(|kb| {
            let rows: Vec<&Update> = view.updates_of(kb).iter().copied().filter(|row| is_pending(row)).collect();
            (!rows.is_empty()).then_some((kb.as_str(), rows))
        }));
    }
    let Some((kb, rows)) = here.first() else { return Verdict::Silent };
    if let Section::Unknown(reason) = &view.facts.services {
        return Verdict::CannotTell(format!(
            "Cannot tell whether {kb} concerns this host: whether it has {} is not known, as its services could not be read ({reason}).",
            suspect.service
        ));
    }
    let service = view.service(&suspect.service).filter(|service| service.start != Some(StartMode::Disabled));
    let Some(service) = service else { return Verdict::Silent };
    let exposure = match () {
        () if !is_installed => Exposure::Pending,
        () if fails(service) => Exposure::Failing,
        () => Exposure::Running,
    };
    let kbs: Vec<&str> = here.iter().map(|(kb, _)| *kb).collect();
    Verdict::Suspected(Box::new(Finding {
        rule: format!("{FAMILY}/{kb}"),
        subject: Subject::from([("kb".to_owned(), (*kb).to_owned()), ("service".to_owned(), suspect.service.clone())]),
        problem: format!("{FAMILY}/{}", suspect.kbs.first().map_or(*kb, String::as_str)),
        severity: if exposure == Exposure::Failing { Severity::Warning } else { Severity::Info },
        confidence: suspect.confidence(),
        title: title(suspect, exposure, &shown),
        cause: cause(suspect, &shown),
        evidence: evidence(suspect, exposure, service, rows),
        remedy: of_suspect(exposure, &suspect.service, &kbs, rows, view),
        since: rows.iter().filter_map(|row| row.installed_at).min(),
        probability: None,
    }))
}

impl Suspect {
    /// Likely where it is sure, at more than one client, and free of what another week may have brought.
    pub fn confidence(&self) -> Confidence {
        let is_likely = self.q <= 0.001 && self.clients >= 2 && self.same_weeks && self.kbs.len() == 1;
        if is_likely { Confidence::Likely } else { Confidence::Possible }
    }

    /// `KB1`, `KB1 or KB2`.
    fn shown(&self) -> String {
        self.kbs.join(" or ")
    }

    /// `14 of 120 hosts with it, 1 of 400 without`.
    fn counts(&self) -> String {
        let of = |outcome: Outcome| format!("{} of {} hosts", outcome.failed, outcome.hosts);
        format!("{} with it, {} without", of(self.exposed), of(self.compared))
    }
}

fn is_pending(row: &Update) -> bool {
    matches!(row.state, UpdateState::InstallPending | UpdateState::Staged)
}

fn fails(service: &Service) -> bool {
    service.state == ServiceState::Stopped && !matches!(service.exit_code, None | Some(0 | NEVER_STARTED))
}

fn title(suspect: &Suspect, exposure: Exposure, shown: &str) -> String {
    let service = &suspect.service;
    let counts = suspect.counts();
    match exposure {
        Exposure::Failing => format!("{service} fails, perhaps because of {shown}: it failed on {counts}"),
        Exposure::Running => format!("{shown} may make {service} fail: it failed on {counts}"),
        Exposure::Pending => {
            format!("{shown} is about to be installed and may make {service} fail: it failed on {counts}")
        }
    }
}

fn cause(suspect: &Suspect, shown: &str) -> String {
    let mut cause = format!(
        "{} failed or lost a port within 72 hours of the first boot with {shown} significantly more often than on comparable hosts without it.",
        suspect.service
    );
    if suspect.kbs.len() > 1 {
        cause.push_str(" They came with the same boots, so that nothing tells which of them it is.");
    }
    if suspect.clients == 1 {
        cause.push_str(" It failed at one client only, where something else may have happened at that time.");
    }
    cause
}

fn evidence(suspect: &Suspect, exposure: Exposure, service: &Service, rows: &[&Update]) -> Vec<Evidence> {
    let mut evidence: Vec<Evidence> = rows
        .iter()
        .map(|row| match exposure {
            Exposure::Pending => evidence::now(format!("\"{}\" is to be installed", row.title), "list of updates"),
            Exposure::Failing | Exposure::Running => bad_update::listed_evidence(row),
        })
        .collect();
    evidence.sort_by(|a, b| (a.at, &a.text).cmp(&(b.at, &b.text)));
    evidence.dedup();
    if let (Exposure::Failing, Some(code)) = (exposure, service.exit_code) {
        evidence.push(Evidence {
            at: service.state_since,
            text: format!("{} is stopped with exit code {code}", service.name),
            source: "services".to_owned(),
        });
    }
    let weeks = if suspect.same_weeks { "the same weeks" } else { "the same weeks or the four before" };
    evidence.push(evidence::now(
        format!(
            "Failed within 72 hours of the first boot: {}. Compared are hosts of the same system and roles after boots of {weeks}",
            suspect.counts()
        ),
        "fleet",
    ));
    evidence.push(evidence::now(
        format!(
            "The share that fails is {:.1} points higher, the odds at least {:.1} times (95 %); exact test p = {}, q = {}",
            suspect.rise * 100.0,
            suspect.odds_ratio_at_least,
            small(suspect.p),
            small(suspect.q)
        ),
        "fleet",
    ));
    if !suspect.hosts_here.is_empty() {
        const SHOWN: usize = 10;
        let mut names: Vec<&str> = suspect.hosts_here.iter().map(|name| &**name).take(SHOWN).collect();
        let more = format!("{} more", suspect.hosts_here.len().saturating_sub(SHOWN));
        if suspect.hosts_here.len() > SHOWN {
            names.push(&more);
        }
        evidence.push(evidence::now(format!("Of this client it failed on {}", words::list(&names)), "fleet"));
    }
    evidence
}

/// `0.003`, `4e-9`.
fn small(probability: f64) -> String {
    if probability >= 0.001 { format!("{probability:.3}") } else { format!("{probability:.0e}") }
}

#[cfg(test)]
mod tests {
    use super::small;

    #[test]
    fn small_numbers_stay_readable() {
        assert_eq!(small(0.0034), "0.003");
        assert_eq!(small(0.000_000_004), "4e-9");
        assert_eq!(small(0.0), "0e0");
    }
}
