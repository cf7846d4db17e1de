//! Rule `port-conflict/by-design`: two automatic services claim one port. Each boot is a race between them, until one of
//! them gets another port or is switched off.
//!
//! Both must be present, start by themselves, need the port, and be seen to be so configured: one holds it, and the other
//! failed. Services that share the port, that the kernel serves both, or that are one product are none.

use std::collections::BTreeMap;

use crate::blocked::{Exit, Expected, Holder, Obstacle, own_socket, still_starting};
use crate::catalog::{self, Claim, Need};
use crate::evidence;
use crate::facts::{Section, Service, ServiceState};
use crate::failures;
use crate::finding::{CannotTell, Confidence, Evidence, Finding, Judgement, Severity, Subject};
use crate::ports::Port;
use crate::remedy::{self, Conflict};
use crate::view::View;

pub(crate) const RULE: &str = "port-conflict/by-design";

pub(crate) fn judge(view: &View<'_>, judgement: &mut Judgement) {
    if let Section::Unknown(reason) = &view.facts.services {
        judgement.cannot_tell.push(cannot_tell("the services", reason));
        return;
    }
    let pairs = pairs(view);
    for (what, reason) in
        [("the socket table", view.facts.sockets.unknown()), ("the host facts", view.facts.host.unknown())]
    {
        if let Some(reason) = reason.filter(|_| !pairs.is_empty()) {
            judgement.cannot_tell.push(cannot_tell(what, reason));
            return;
        }
    }
    if let Some(reason) = failures::unread(view).filter(|_| !pairs.is_empty()) {
        judgement.cannot_tell.push(cannot_tell("the event logs", reason));
    }
    for pair in pairs {
        judgement.findings.extend(finding(&pair, view));
    }
}

/// The findings about one service.
pub(crate) fn of_service(service: &Service, view: &View<'_>) -> Vec<Finding> {
    let is_in = |pair: &&Pair<'_, '_>| pair.first.0.name == service.name || pair.second.0.name == service.name;
    pairs(view).iter().filter(is_in).filter_map(|pair| finding(pair, view)).collect()
}

fn cannot_tell(what: &str, reason: &str) -> CannotTell {
    CannotTell {
        rule: RULE.to_owned(),
        subject: Subject::new(),
        reason: format!("Cannot tell whether two services are set to one port: {what} could not be read ({reason})."),
    }
}

/// Two services and their claims on one port, the first by name first.
struct Pair<'v, 'a> {
    port: Port,
    first: (&'a Service, &'v Claim),
    second: (&'a Service, &'v Claim),
}

fn pairs<'v, 'a>(view: &'v View<'a>) -> Vec<Pair<'v, 'a>> {
    let mut by_port: BTreeMap<Port, Vec<(&'a Service, &'v Claim)>> = BTreeMap::new();
    for service in view.services().filter(|service| Expected::of(service) == Expected::Yes) {
        for claim in view.claims_of(&service.name).iter().copied().filter(|claim| claim.need == Need::Required) {
            by_port.entry(claim.port).or_default().push((service, claim));
        }
    }
    let mut pairs = Vec::new();
    for (port, claimants) in by_port {
        for (index, &first) in claimants.iter().enumerate() {
            let others = claimants[index + 1..].iter().filter(|second| are_rivals(first, **second));
            pairs.extend(others.map(|&second| Pair { port, first, second }));
        }
    }
    pairs
}

fn are_rivals((first, a): (&Service, &Claim), (second, b): (&Service, &Claim)) -> bool {
    let shares = |claim: &Claim, other: &Service| {
        let other = other.name.to_lowercase();
        claim.shared_with.iter().any(|pattern| catalog::matches(&pattern.to_lowercase(), &other))
    };
    let same_process = a.process.is_some() && a.process == b.process;
    let is_one_product = a.id == b.id && a.learned.is_none();
    first.name != second.name
        && a.binding == b.binding
        && !is_one_product
        && !same_process
        && !(a.kernel && b.kernel)
        && !(first.pid.is_some() && first.pid == second.pid)
        && !shares(a, second)
        && !shares(b, first)
}

/// What is seen of a service that wants a port.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stand {
    Has,
    /// As sure as it is that the port was the reason.
    Lost(Confidence),
    /// It runs without the port, or ended by itself.
    Elsewhere,
}

fn stand(service: &Service, claim: &Claim, view: &View<'_>) -> Stand {
    if own_socket(service, claim, view).is_some() {
        return Stand::Has;
    }
    if service.state != ServiceState::Stopped {
        return match failures::of_port(service, claim.port, view) {
            Some(_) => Stand::Lost(Confidence::Certain),
            None => Stand::Elsewhere,
        };
    }
    match Exit::seen(service, view).exit {
        exit if exit.is_bind_error(claim) => Stand::Lost(Confidence::Certain),
        Exit::NeverStarted if still_starting(view) => Stand::Elsewhere,
        Exit::Clean => Stand::Elsewhere,
        Exit::NeverStarted | Exit::Elsewhere(_) => Stand::Lost(Confidence::Possible),
        _ => Stand::Lost(Confidence::Likely),
    }
}

fn finding(pair: &Pair<'_, '_>, view: &View<'_>) -> Option<Finding> {
    let of = |(service, claim): (&Service, &Claim)| stand(service, claim, view);
    let (winner, loser, confidence) = match (of(pair.first), of(pair.second)) {
        (Stand::Has, Stand::Lost(confidence)) => (pair.first, pair.second, confidence),
        (Stand::Lost(confidence), Stand::Has) => (pair.second, pair.first, confidence),
        _ => return None,
    };
    let port = pair.port;
    let confidence = confidence.min(winner.1.at_most()).min(loser.1.at_most());
    let (has, lost) = (&winner.0.name, &loser.0.name);
    let holder = Holder::foreign(loser.0, loser.1, view)?;
    let mut evidence = vec![
        Evidence {
            at: holder.bound_at,
            text: format!("{} holds {port} at {}", holder.full_name(), holder.socket.address),
            source: "socket table".to_owned(),
        },
        evidence::now(format!("{has} and {lost} both start by themselves"), "Service Control Manager"),
        Evidence {
            at: loser.0.state_since,
            text: if loser.0.state == ServiceState::Stopped {
                format!("{lost} {}", Exit::seen(loser.0, view).exit.words())
            } else {
                format!("{lost} could not bind {port}")
            },
            source: "Service Control Manager".to_owned(),
        },
        evidence::need(winner.1),
        evidence::need(loser.1),
    ];
    evidence.sort_by_key(|evidence| (evidence.at.is_none(), evidence.at));
    let obstacle = Obstacle::Holder(holder);
    let conflict = Conflict { service: loser.0, claim: loser.1, claims: &[loser.1], obstacle: &obstacle };
    Some(Finding {
        rule: RULE.to_owned(),
        subject: Subject::from([
            ("service".to_owned(), pair.first.0.name.to_string()),
            ("other".to_owned(), pair.second.0.name.to_string()),
            ("port".to_owned(), port.to_string()),
        ]),
        problem: obstacle.problem(),
        severity: if confidence == Confidence::Possible { Severity::Info } else { Severity::Warning },
        confidence,
        title: format!("{} and {} are both set to {port}", pair.first.0.name, pair.second.0.name),
        cause: format!(
            "{} ({}) and {} ({}) both start with the server and both need {port}. Whoever starts first has it: now {has}. The next boot is the same race.",
            pair.first.0.name, pair.first.1.product, pair.second.0.name, pair.second.1.product
        ),
        evidence,
        remedy: remedy::of_port(&conflict, view),
        since: loser.0.state_since,
        probability: None,
    })
}
