//! Rule `port-conflict/degraded`: a service runs, but one of its ports is held by another.
//!
//! Likely where the holder drew the port by chance, certain where the service holds another of its ports beside it, or
//! where an event says that the bind failed. Where the holder is set to the port, the service may be set to another one:
//! possible, and nothing where it visibly is. A process without a service may be a worker of this one: it is no holder, unless
//! this one has none, being of the kernel or in svchost.exe.

use crate::blocked::{Holder, Obstacle, is_of, own_socket, still_starting};
use crate::catalog::{Binding, Claim, Mechanism, Need};
use crate::evidence;
use crate::facts::{Event, Section, Service, ServiceState, SocketState};
use crate::failures;
use crate::finding::{CannotTell, Confidence, Evidence, Finding, Judgement, Severity, Subject};
use crate::remedy::{Conflict, of_running};
use crate::view::View;

pub(crate) const RULE: &str = "port-conflict/degraded";

pub(crate) fn judge(view: &View<'_>, judgement: &mut Judgement) {
    let unread = view.facts.services.unknown().map(|reason| ("the services", reason));
    if let Some((what, reason)) = unread.or(view.facts.sockets.unknown().map(|reason| ("the socket table", reason))) {
        judgement.cannot_tell.push(CannotTell {
            rule: RULE.to_owned(),
            subject: Subject::new(),
            reason: format!(
                "Cannot tell whether a service runs without its port: {what} could not be read ({reason})."
            ),
        });
        return;
    }
    for service in view.services() {
        match verdict(service, view) {
            Verdict::Degraded(findings) => judgement.findings.extend(findings),
            Verdict::CannotTell(reason) => judgement.cannot_tell.push(CannotTell {
                rule: RULE.to_owned(),
                subject: Subject::from([("service".to_owned(), service.name.to_string())]),
                reason,
            }),
            Verdict::Fine => {}
        }
    }
}

pub(crate) enum Verdict {
    Degraded(Vec<Finding>),
    /// Why not, as a sentence.
    CannotTell(String),
    Fine,
}

pub(crate) fn verdict(service: &Service, view: &View<'_>) -> Verdict {
    let runs = matches!(
        service.state,
        ServiceState::Running | ServiceState::Paused | ServiceState::PausePending | ServiceState::ContinuePending
    );
    if !runs || still_starting(view) {
        return Verdict::Fine;
    }
    let claims = view.claims_of(&service.name);
    let mut findings: Vec<Finding> = Vec::new();
    let mut hinges_on_events = false;
    for claim in claims.iter() {
        let Some(holder) =
            Holder::foreign(service, claim, view).filter(|holder| is_another(service, claim, holder, view))
        else {
            continue;
        };
        let event = failures::of_port(service, claim.port, view);
        match confidence(service, claim, &claims, &holder, event, view) {
            Some(confidence) => findings.push(finding(service, claim, &claims, holder, event, confidence, view)),
            None => hinges_on_events |= claim.kernel || service.name.eq_ignore_ascii_case("DNS"),
        }
    }
    findings.sort_by(|a, b| a.subject.cmp(&b.subject).then(b.confidence.cmp(&a.confidence)));
    findings.dedup_by(|a, b| a.subject == b.subject);
    match (&view.facts.host, failures::unread(view)) {
        (Section::Unknown(reason), _) if !findings.is_empty() => Verdict::CannotTell(format!(
            "Cannot tell whether {} runs without its port: that depends on the system and its boot, and the host facts could not be read ({reason}).",
            service.name
        )),
        (_, Some(reason)) if findings.is_empty() && hinges_on_events => Verdict::CannotTell(format!(
            "Cannot tell whether {} failed to bind its port: the event logs could not be read ({reason}).",
            service.name
        )),
        _ if findings.is_empty() => Verdict::Fine,
        _ => Verdict::Degraded(findings),
    }
}

/// The holder is known to be something else than a worker process of the service itself.
fn is_another(service: &Service, claim: &Claim, holder: &Holder<'_>, view: &View<'_>) -> bool {
    // A second instance of the product is set to a port of its own.
    let is_sibling = |other: &&Claim| other.id == claim.id && other.port == claim.port && other.learned.is_none();
    if holder.services.iter().any(|name| view.claims_of(name).iter().any(is_sibling)) {
        return false;
    }
    let is_taker = matches!(holder.mechanism, Some(Mechanism::SocketPool | Mechanism::DynamicRpc));
    let is_named = !holder.services.is_empty() || is_taker || holder.is_kernel();
    let is_seen = holder.socket.process().is_some_and(|process| !process.is_empty());
    let is_loopback = holder.socket.address.to_canonical().is_loopback();
    // The kernel, or the shared process that it runs in, holds the ports of such a service, never a program of its own.
    let has_no_workers = claim.kernel || is_in_svchost(service);
    (is_named || (has_no_workers && is_seen)) && !(is_loopback && claim.binding == Binding::All)
}

fn is_in_svchost(service: &Service) -> bool {
    service.image_path.as_ref().is_some_and(|path| path.to_lowercase().contains("\\svchost.exe"))
}

/// `None`: the service may well be set to another port.
fn confidence(
    service: &Service,
    claim: &Claim,
    claims: &[&Claim],
    holder: &Holder<'_>,
    event: Option<&Event>,
    view: &View<'_>,
) -> Option<Confidence> {
    let at_most = claim.at_most();
    if event.is_some() {
        return Some(at_most);
    }
    let is_drawn = holder.mechanism.is_some() || holder.is_connection() || holder.socket.specific_port == Some(false);
    let seen = match (&claim.need, is_drawn) {
        (Need::Required, true) => {
            let beside =
                claims.iter().any(|other| other.port != claim.port && own_socket(service, other, view).is_some());
            if beside && !holder.is_connection() { Confidence::Certain } else { Confidence::Likely }
        }
        (Need::Required, false) if is_set_elsewhere(service, claims, view) => return None,
        (Need::Optional(_), true) | (Need::Required, false) => Confidence::Possible,
        (Need::Optional(_), false) => return None,
    };
    let is_whole = holder.socket.address.to_canonical().is_unspecified();
    let seen = if is_whole { seen } else { seen.min(Confidence::Possible) };
    Some(seen.min(at_most))
}

/// It listens on a port that nobody told of: that may be what it was set to.
fn is_set_elsewhere(service: &Service, claims: &[&Claim], view: &View<'_>) -> bool {
    view.sockets().any(|socket| {
        socket.state != SocketState::Connected
            && socket.port < 49152
            && claims.iter().all(|claim| claim.port != socket.local_port())
            && is_of(service, socket, view)
    })
}

fn finding(
    service: &Service,
    claim: &Claim,
    claims: &[&Claim],
    holder: Holder<'_>,
    event: Option<&Event>,
    confidence: Confidence,
    view: &View<'_>,
) -> Finding {
    let name = &service.name;
    let port = claim.port;
    let since = holder.bound_at;
    let verb = if since.is_some() { "bound" } else { "holds" };
    let mut evidence = vec![
        Evidence {
            at: since,
            text: format!("{} {verb} {port} at {}", holder.full_name(), holder.socket.address),
            source: "socket table".to_owned(),
        },
        evidence::now(format!("{name} runs and does not hold {port}"), "services and socket table"),
    ];
    evidence.extend(event.map(|event| Evidence {
        at: event.at,
        text: format!("Event {} of {}: {port} could not be bound", event.id, event.provider),
        source: "event log".to_owned(),
    }));
    evidence.push(evidence::need(claim));
    evidence.sort_by_key(|evidence| (evidence.at.is_none(), evidence.at));
    let mut sentences =
        vec![format!("{} holds {port}, which {} needs; {name} runs without it.", holder.full_name(), claim.product)];
    match &claim.need {
        Need::Optional(when) => sentences.push(format!("It needs {port} {when}.")),
        Need::Required if confidence == Confidence::Possible => {
            sentences.push(format!("Whether {name} is set to another port is not known."));
        }
        Need::Required => {}
    }
    let holder_name = holder.name();
    let obstacle = Obstacle::Holder(holder);
    Finding {
        rule: RULE.to_owned(),
        subject: Subject::from([("service".to_owned(), name.to_string()), ("port".to_owned(), port.to_string())]),
        problem: obstacle.problem(),
        severity: if confidence == Confidence::Possible { Severity::Info } else { Severity::Warning },
        confidence,
        title: format!("{name} runs without {port}, which is held by {holder_name}"),
        cause: capitalized(sentences.join(" ")),
        evidence,
        remedy: of_running(&Conflict { service, claim, claims, obstacle: &obstacle }, view),
        since,
        probability: None,
    }
}

/// `the kernel` begins a sentence.
fn capitalized(mut text: String) -> String {
    if text.starts_with("the ") || text.starts_with("a process") {
        text.replace_range(..1, &text[..1].to_uppercase());
    }
    text
}
