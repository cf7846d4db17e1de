//! Rule `service/failed`: a service that the system starts by itself stopped with an error, and neither a port nor an
//! update of the catalog explains it. What became different since it last ran is told with it, the most telling first.
//!
//! The exit code decides; events only support it. A service that ended with 0, was not started since the boot, is about to
//! be started again, or fails because one that it depends on did, is not told of: the root is. This rule comes last, since
//! it reads what the others said.

mod changes;
mod quiet;
mod words;

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::blocked::{self, Exit};
use crate::catalog::{Grounding, Need};
use crate::facts::{RecoveryKind, Section, Service, ServiceState, StartMode};
use crate::finding::{CannotTell, Confidence, Finding, Judgement, Severity, Subject};
use crate::remedy;
use crate::view::View;

pub(crate) const RULE: &str = "service/failed";

/// ERROR_SERVICE_DEPENDENCY_FAIL.
const DEPENDENCY_FAILED: u32 = 1068;

/// ERROR_SHUTDOWN_IN_PROGRESS.
const SHUTTING_DOWN: u32 = 1115;

/// What the service control manager takes beside the delay that a service asks for.
const RESTART_SLACK: TimeDelta = TimeDelta::seconds(15);

pub(crate) fn judge(view: &View<'_>, judgement: &mut Judgement) {
    if let Section::Unknown(reason) = &view.facts.services {
        judgement.cannot_tell.push(CannotTell {
            rule: RULE.to_owned(),
            subject: Subject::new(),
            reason: format!("Cannot tell whether a service failed: the services could not be read ({reason})."),
        });
        return;
    }
    let failed = view.services().filter(|service| is_stopped_with_error(service));
    let verdicts: Verdicts<'_> =
        failed.map(|service| (service.name.to_lowercase(), (service, verdict(service, view, judgement)))).collect();
    for (service, verdict) in verdicts.values() {
        match root(service, verdict, &verdicts) {
            Verdict::Failed => {
                let dependents = dependents(service, &verdicts);
                judgement.findings.push(finding(service, &dependents, view));
            }
            Verdict::CannotTell(reason) => judgement.cannot_tell.push(CannotTell {
                rule: RULE.to_owned(),
                subject: subject(service),
                reason: reason.clone(),
            }),
            Verdict::Fine | Verdict::Explained => {}
        }
    }
}

enum Verdict {
    Failed,
    /// It failed, and something else tells why.
    Explained,
    /// Why not, as a sentence.
    CannotTell(String),
    Fine,
}

/// What all but a few services of a host are not: asked first, because it costs nothing.
fn is_stopped_with_error(service: &Service) -> bool {
    service.state == ServiceState::Stopped && !matches!(Exit::of(service), Exit::Clean | Exit::NeverStarted)
}

fn subject(service: &Service) -> Subject {
    Subject::from([("service".to_owned(), service.name.to_string())])
}

/// What is said of one service alone, with what the other rules say of it in `judgement`.
fn verdict(service: &Service, view: &View<'_>, judgement: &Judgement) -> Verdict {
    let name = &service.name;
    if is_blocked(service, judgement) {
        return Verdict::Explained;
    }
    let is_shutting_down = [service.exit_code, service.service_exit_code].contains(&Some(SHUTTING_DOWN));
    if is_shutting_down || quiet::is_quiet(name) || is_about_to_restart(service, view) {
        return Verdict::Fine;
    }
    match (service.start, service.trigger_start, Exit::of(service)) {
        // Neither how it starts nor how it ended: nothing says that it matters.
        (None, _, Exit::Unknown) => return Verdict::Fine,
        (None, ..) => {
            return Verdict::CannotTell(format!(
                "Cannot tell whether {name} failed: it {}, but how it starts was not read.",
                words::exit(service)
            ));
        }
        (Some(StartMode::Auto), Some(false) | None, Exit::Unknown) => {
            return Verdict::CannotTell(format!(
                "Cannot tell whether {name} failed: it is stopped, and its exit code is not known."
            ));
        }
        (Some(StartMode::Auto), Some(false) | None, _) => {}
        _ => return Verdict::Fine,
    }
    explanation(service, view, judgement).unwrap_or(Verdict::Failed)
}

fn is_blocked(service: &Service, judgement: &Judgement) -> bool {
    let is_its = |of: &String| **of == *service.name;
    judgement
        .findings
        .iter()
        .any(|finding| finding.rule == blocked::RULE && finding.subject.get("service").is_some_and(is_its))
}

/// What the other rules say of a service that failed and that no port keeps from starting. `None`: nothing.
fn explanation(service: &Service, view: &View<'_>, judgement: &Judgement) -> Option<Verdict> {
    let name = &service.name;
    let affecting = || view.catalog.entries_affecting(name);
    let is_certain = |rule: &str| {
        judgement.findings.iter().any(|finding| finding.rule == rule && finding.confidence == Confidence::Certain)
    };
    if affecting().any(|entry| is_certain(&entry.rule())) {
        return Some(Verdict::Explained);
    }
    let cannot_tell = |why: String| Some(Verdict::CannotTell(format!("Cannot tell why {name} failed: {why}.")));
    if let Section::Unknown(reason) = &view.facts.host {
        return cannot_tell(format!("the host facts could not be read ({reason})"));
    }
    let is_open = |rule: &str, subject: &Subject| judgement.cannot_tell.iter().any(|open| open.covers(rule, subject));
    if is_open(blocked::RULE, &subject(service)) {
        if let Section::Unknown(reason) = &view.facts.sockets {
            return cannot_tell(format!("the socket table could not be read ({reason})"));
        }
        if Exit::of(service).is_forbidden()
            && let Err(reason) = view.policy_value(|policy| &policy.exclusions)
        {
            return cannot_tell(format!("the excluded port ranges could not be read ({reason})"));
        }
    }
    let open = affecting().find(|entry| is_open(&entry.rule(), &Subject::new()))?;
    cannot_tell(format!("whether a known-bad update did it is open (\"{}\")", open.title))
}

/// Whether the service control manager waits to start the service again, as it is told to.
fn is_about_to_restart(service: &Service, view: &View<'_>) -> bool {
    let (Some(failed), Some(collected)) = (service.state_since, view.facts.collected_at) else { return false };
    let actions = service.recovery.iter().flat_map(|recovery| &recovery.actions);
    let restarts = actions.filter(|action| action.kind == RecoveryKind::Restart);
    restarts
        .map(|action| TimeDelta::milliseconds(action.delay_ms.into()))
        .max()
        .is_some_and(|delay| (TimeDelta::zero()..delay + RESTART_SLACK).contains(&(collected - failed)))
}

/// By name in lower case.
type Verdicts<'a> = BTreeMap<String, (&'a Service, Verdict)>;

/// A service that was not started because another failed shares the verdict on that one.
fn root<'a>(service: &Service, verdict: &'a Verdict, verdicts: &'a Verdicts<'_>) -> &'a Verdict {
    if service.exit_code != Some(DEPENDENCY_FAILED) || !matches!(verdict, Verdict::Failed) {
        return verdict;
    }
    let needed = || service.depends_on.iter().filter_map(|name| Some(&verdicts.get(&name.to_lowercase())?.1));
    if let Some(open) = needed().find(|needed| matches!(needed, Verdict::CannotTell(_))) {
        return open;
    }
    let is_told = needed().any(|needed| matches!(needed, Verdict::Failed | Verdict::Explained));
    if is_told { &Verdict::Explained } else { verdict }
}

/// Names of the services that were not started because this one failed.
fn dependents<'a>(service: &Service, verdicts: &Verdicts<'a>) -> Vec<&'a str> {
    let needs_it = |other: &&Service| {
        other.exit_code == Some(DEPENDENCY_FAILED)
            && other.depends_on.iter().any(|name| name.eq_ignore_ascii_case(&service.name))
    };
    verdicts.values().map(|(service, _)| *service).filter(needs_it).map(|other| &*other.name).collect()
}

fn finding(service: &Service, dependents: &[&str], view: &View<'_>) -> Finding {
    let last_good = view.history.last_good.iter().find(|good| good.service.eq_ignore_ascii_case(&service.name));
    let story = words::Story { service, dependents, last_good, view };
    Finding {
        rule: RULE.to_owned(),
        subject: subject(service),
        problem: format!("service/{}", service.name.to_lowercase()),
        severity: if serves_others(service, view) { Severity::Critical } else { Severity::Warning },
        confidence: Confidence::Certain,
        title: story.title(),
        cause: story.cause(),
        evidence: story.evidence(),
        remedy: remedy::of_failure(service, last_good, view),
        since: service.state_since,
        probability: None,
    }
}

/// Whether the catalog knows that other hosts rely on the service: it needs a port.
fn serves_others(service: &Service, view: &View<'_>) -> bool {
    let mut claims = view.catalog.claims_of(&service.name, view.generation());
    claims.any(|claim| claim.need == Need::Required && claim.grounding == Grounding::Verified)
}
