//! Rule `port-conflict/block-mode`: IPsec failed closed. Where IPSEC Services of Windows 2000 and 2003 cannot start, because
//! one of its ports is taken or its policies cannot be read, the driver drops all traffic that is not exempt at boot: the
//! server is gone from the network, and only its console is left.
//!
//! Sources: KB912023 (event 4292 and both ways out), KB956188. Later systems have no such mode.

use crate::blocked;
use crate::evidence;
use crate::facts::{Event, OsGeneration, Section, Service, ServiceState, StartMode};
use crate::failures;
use crate::finding::{CannotTell, Confidence, Evidence, Finding, Judgement, Severity, Subject};
use crate::remedy;
use crate::view::View;

pub(crate) const RULE: &str = "port-conflict/block-mode";

pub(crate) const SERVICE: &str = "PolicyAgent";

pub(crate) fn judge(view: &View<'_>, judgement: &mut Judgement) {
    match verdict(view) {
        Verdict::Blocks(finding) => judgement.findings.push(*finding),
        Verdict::CannotTell(reason) => {
            judgement.cannot_tell.push(CannotTell { rule: RULE.to_owned(), subject: Subject::new(), reason });
        }
        Verdict::Fine(_) => {}
    }
}

pub(crate) enum Verdict {
    Blocks(Box<Finding>),
    /// As a sentence.
    CannotTell(String),
    /// Why not, as a sentence.
    Fine(String),
}

pub(crate) fn verdict(view: &View<'_>) -> Verdict {
    let unread = |what: &str, reason: &str| {
        Verdict::CannotTell(format!(
            "Cannot tell whether IPsec blocks all traffic of this server: {what} could not be read ({reason})."
        ))
    };
    let is_old = view.generation().map(|generation| generation <= OsGeneration::Server2003);
    let event = failures::entries("IPSEC", &[4292], view).last().copied();
    if is_old == Some(false) {
        return Verdict::Fine("Only the IPsec driver of Windows 2000 and 2003 has a block mode.".to_owned());
    }
    if let Section::Unknown(reason) = &view.facts.services {
        return unread("the services", reason);
    }
    let Some(service) = view.service(SERVICE) else {
        return Verdict::Fine("This server has no IPSEC Services.".to_owned());
    };
    if service.state != ServiceState::Stopped || service.start == Some(StartMode::Disabled) {
        return Verdict::Fine("IPSEC Services is not stopped, or it is disabled.".to_owned());
    }
    if let Section::Unknown(reason) = &view.facts.host {
        return unread("the host facts", reason);
    }
    let blocked = blocked::verdict(service, view);
    let why = match blocked {
        blocked::Verdict::Blocked(findings) => {
            let best = findings.into_iter().max_by(|a, b| (a.confidence, &b.subject).cmp(&(b.confidence, &a.subject)));
            best.filter(|best| event.is_some() || best.confidence > Confidence::Possible)
        }
        blocked::Verdict::CannotTell(reason) if event.is_none() => return Verdict::CannotTell(reason),
        blocked::Verdict::CannotTell(_) | blocked::Verdict::Fine(_) => None,
    };
    match (why, event, failures::unread(view)) {
        (None, None, Some(reason)) => unread("the event logs", reason),
        (None, None, None) => Verdict::Fine("IPSEC Services is stopped, but nothing says that it failed.".to_owned()),
        (why, event, _) => Verdict::Blocks(Box::new(finding(service, why, event))),
    }
}

fn finding(service: &Service, why: Option<Finding>, event: Option<&Event>) -> Finding {
    let confidence = match (event, &why) {
        (Some(_), _) => Confidence::Certain,
        (None, Some(why)) => why.confidence,
        (None, None) => Confidence::Possible,
    };
    let mode = "The IPsec driver is in block mode: until IPSEC Services runs, it drops all traffic of this server that is not exempt at boot.";
    let told = event.map(|event| Evidence {
        at: event.at,
        text: "Event 4292: the IPsec driver has entered block mode".to_owned(),
        source: "event log".to_owned(),
    });
    let (cause, mut evidence, mut remedy, problem) = match why {
        Some(why) => (why.cause, why.evidence, why.remedy, why.problem),
        None => (
            "No port of it is taken now, so its policies may be damaged.".to_owned(),
            vec![evidence::now("IPSEC Services is stopped", "Service Control Manager")],
            remedy::of_block_mode(),
            "taker/ipsec-block-mode".to_owned(),
        ),
    };
    evidence.extend(told);
    evidence.sort_by_key(|evidence| (evidence.at.is_none(), evidence.at));
    "IPSEC Services runs, and the server answers on the network again.".clone_into(&mut remedy.proven_when);
    let cause = if cause.contains("block mode") { cause } else { format!("{mode} {cause}") };
    Finding {
        rule: RULE.to_owned(),
        subject: Subject::from([("service".to_owned(), service.name.to_string())]),
        problem,
        severity: Severity::Critical,
        confidence,
        title: "IPsec blocks all traffic of this server: IPSEC Services did not start".to_owned(),
        cause,
        evidence,
        remedy,
        since: event.and_then(|event| event.at).or(service.state_since),
        probability: None,
    }
}
