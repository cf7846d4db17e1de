//! Rule `port-conflict/blocked`: a service that should run does not, and a port it needs is held by something else or
//! lies in a block that nobody administers.
//!
//! Certain with a bind error, or a holder that bound before the failure; likely where the service stopped with another
//! or an unknown code; possible where it never started. Without a bind error a service that ended with 0, is
//! trigger-started, manual or disabled is not blocked.

mod exit;
mod holder;
mod words;

use chrono::{DateTime, TimeDelta, Utc};

pub(crate) use exit::{Exit, Seen};
pub(crate) use holder::{Holder, claim_is_free, is_of, own_socket};

use crate::catalog::{Binding, Claim, Need};
use crate::conditions::Answer;
use crate::evidence::distinct;
use crate::facts::{Event, Exclusion, Section, Service, ServiceState, StartMode};
use crate::failures;
use crate::finding::{CannotTell, Confidence, Finding, Judgement, Severity, Subject};
use crate::ports::{Family, Port};
use crate::remedy::{self, Conflict};
use crate::view::View;

pub(crate) const RULE: &str = "port-conflict/blocked";

/// So long after a boot an automatic service may still be waiting for its turn.
const STARTING: TimeDelta = TimeDelta::minutes(10);

pub(crate) fn judge(view: &View<'_>, judgement: &mut Judgement) {
    if let Section::Unknown(reason) = &view.facts.services {
        judgement.cannot_tell.push(CannotTell {
            rule: RULE.to_owned(),
            subject: Subject::new(),
            reason: format!(
                "Cannot tell whether a port keeps a service from starting: the services could not be read ({reason})."
            ),
        });
        return;
    }
    for service in view.services() {
        match verdict(service, view) {
            Verdict::Blocked(findings) => {
                judgement.cannot_tell.extend(unseen_blocks(service, &findings, view));
                judgement.findings.extend(findings);
            }
            Verdict::CannotTell(reason) => judgement.cannot_tell.push(CannotTell {
                rule: RULE.to_owned(),
                subject: Subject::from([("service".to_owned(), service.name.to_string())]),
                reason,
            }),
            Verdict::Fine(_) => {}
        }
    }
}

/// Ports of a service that failed with 10013 which may lie in a block that could not be read: one port that is seen to
/// be held says nothing about the others.
fn unseen_blocks(service: &Service, findings: &[Finding], view: &View<'_>) -> Vec<CannotTell> {
    let Err(why) = view.policy_value(|policy| &policy.exclusions) else { return Vec::new() };
    if !Exit::seen(service, view).exit.is_forbidden() {
        return Vec::new();
    }
    let subject = |port: Port| {
        Subject::from([("service".to_owned(), service.name.to_string()), ("port".to_owned(), port.to_string())])
    };
    let ports = distinct(view.claims_of(&service.name).iter().map(|claim| claim.port));
    ports
        .into_iter()
        .filter(|&port| findings.iter().all(|finding| finding.subject != subject(port)))
        .map(|port| CannotTell {
            rule: RULE.to_owned(),
            subject: subject(port),
            reason: format!(
                "Cannot tell whether {port} keeps {} from starting too: whether it lies in an excluded block is not known ({why}).",
                service.name
            ),
        })
        .collect()
}

pub(crate) enum Verdict {
    Blocked(Vec<Finding>),
    /// Why not, as a sentence.
    CannotTell(String),
    Fine(Fine),
}

/// Why a service is not blocked. Said in words only where somebody asks: of nearly every service nobody does.
pub(crate) enum Fine {
    NotStopped,
    EndedWithoutError,
    NeedNotStart,
    StillStarting,
    NeedsNoKnownPort,
    HasItsPorts(Vec<Port>),
}

impl Fine {
    /// As a sentence about the service of this name.
    pub(crate) fn sentence(&self, name: &str) -> String {
        match self {
            Self::NotStopped => format!("{name} is not stopped."),
            Self::EndedWithoutError => format!("{name} is stopped and ended without an error."),
            Self::NeedNotStart => {
                format!("{name} is stopped, but the system need not start it, and no failed bind is known.")
            }
            Self::StillStarting => {
                format!("{name} has not started yet, and the boot was less than 10 minutes ago.")
            }
            Self::NeedsNoKnownPort => format!("{name} is stopped, and the catalog knows no port that it needs."),
            Self::HasItsPorts(ports) => {
                let are = if ports.len() == 1 { "is" } else { "are" };
                format!("{name} is stopped, but {} {are} free or its own.", crate::words::ports(ports))
            }
        }
    }
}

/// Whether the system should have started a service by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    Yes,
    No,
    Unknown,
}

impl Expected {
    pub(crate) fn of(service: &Service) -> Self {
        match service.start {
            None => Self::Unknown,
            Some(StartMode::Boot | StartMode::System | StartMode::Auto) if service.trigger_start != Some(true) => {
                Self::Yes
            }
            Some(_) => Self::No,
        }
    }
}

pub(crate) fn verdict(service: &Service, view: &View<'_>) -> Verdict {
    let name = &service.name;
    if service.state != ServiceState::Stopped {
        return Verdict::Fine(Fine::NotStopped);
    }
    let Seen { exit, event } = Exit::seen(service, view);
    let claims = view.claims_of(name);
    let hidden = hidden(service, &claims, exit, view);
    if exit == Exit::Clean {
        return hidden.map_or(Verdict::Fine(Fine::EndedWithoutError), Verdict::CannotTell);
    }
    let expected = Expected::of(service);
    let bind_error =
        exit.is_bind_error_of_any() || claims.iter().any(|claim| is_bind_error(service, claim, exit, view));
    if !bind_error && expected == Expected::No {
        if let Some(hidden) = hidden {
            return Verdict::CannotTell(hidden);
        }
        return Verdict::Fine(Fine::NeedNotStart);
    }
    if exit == Exit::NeverStarted && still_starting(view) {
        return Verdict::Fine(Fine::StillStarting);
    }
    if claims.is_empty() {
        if bind_error {
            return Verdict::CannotTell(format!(
                "Cannot tell which port {name} lost: it {}, and the catalog knows no port of it.",
                exit.words()
            ));
        }
        return Verdict::Fine(Fine::NeedsNoKnownPort);
    }
    let ports: Vec<Port> = claims.iter().map(|claim| claim.port).collect();
    if let Section::Unknown(reason) = &view.facts.sockets {
        return Verdict::CannotTell(format!(
            "Cannot tell whether {name} is kept from starting: who holds {} is not known, because the socket table could not be read ({reason}).",
            crate::words::ports(&ports)
        ));
    }
    let obstacles: Vec<(&Claim, Obstacle<'_>)> = claims
        .iter()
        .filter_map(|claim| obstacle(service, claim, exit, view).map(|obstacle| (*claim, obstacle)))
        .collect();
    // A required port explains the failure already: what stands in the way of an optional one in the same way adds none.
    let is_explained = |claim: &Claim, obstacle: &Obstacle<'_>| {
        let same_kind =
            |other: &Obstacle<'_>| matches!(other, Obstacle::Block(_)) == matches!(obstacle, Obstacle::Block(_));
        claim.need != Need::Required
            && obstacles.iter().any(|(other, of_other)| other.need == Need::Required && same_kind(of_other))
    };
    let findings: Vec<(&Claim, Finding)> = obstacles
        .iter()
        .filter(|(claim, obstacle)| !is_explained(claim, obstacle))
        .map(|(claim, obstacle)| {
            (*claim, finding(&Failed { service, claims: &claims, exit, event }, claim, obstacle, view))
        })
        .collect();
    let hinges_on_host = exit == Exit::NeverStarted || findings.iter().any(|(claim, _)| !claim.os.is_open());
    if let Section::Unknown(reason) = &view.facts.host
        && hinges_on_host
        && !findings.is_empty()
    {
        return Verdict::CannotTell(format!(
            "Cannot tell whether {name} is kept from starting: that depends on the system and its boot, and the host facts could not be read ({reason})."
        ));
    }
    let findings: Vec<Finding> = findings.into_iter().map(|(_, finding)| finding).collect();
    if expected == Expected::Unknown && !bind_error && !findings.is_empty() {
        return Verdict::CannotTell(format!(
            "Cannot tell whether {name} should run: a port that it needs is taken, but how it starts was not read."
        ));
    }
    if !findings.is_empty() {
        return Verdict::Blocked(without_doubles(findings));
    }
    if exit.is_forbidden()
        && let Err(reason) = view.policy_value(|policy| &policy.exclusions)
    {
        return Verdict::CannotTell(format!(
            "Cannot tell why {name} did not start: it {}, nobody holds {}, and whether an excluded block does is not known ({reason}).",
            exit.words(),
            crate::words::ports(&ports)
        ));
    }
    // Only its next start tells whether the port was all: until then nothing opens, and nothing is over.
    if bind_error && service.start != Some(StartMode::Disabled) {
        return Verdict::CannotTell(format!(
            "Cannot tell whether {name} would start now: it {}, but {} {} free or its own. Whatever was in its way seems to be gone; start {name}.",
            exit.words(),
            crate::words::ports(&ports),
            if ports.len() == 1 { "is" } else { "are" }
        ));
    }
    if let Some(hidden) = hidden {
        return Verdict::CannotTell(hidden);
    }
    Verdict::Fine(Fine::HasItsPorts(ports))
}

/// Something is in the way, and whether the service failed because of it stands in logs that could not be read.
fn hidden(service: &Service, claims: &[&Claim], exit: Exit, view: &View<'_>) -> Option<String> {
    let reason = failures::unread(view)?;
    let in_the_way = |claim: &&&Claim| Holder::foreign(service, claim, view).is_some() || block(claim, view).is_some();
    let claim = claims.iter().filter(|_| exit.may_hide_a_failed_bind(service)).find(in_the_way)?;
    Some(format!(
        "Cannot tell whether {} failed to bind {}, which is taken: the event logs could not be read ({reason}).",
        service.name, claim.port
    ))
}

/// By the exit code of the service, or by an event that names the port.
fn is_bind_error(service: &Service, claim: &Claim, exit: Exit, view: &View<'_>) -> bool {
    exit.is_bind_error(claim) || (claim.kernel && failures::of_port(service, claim.port, view).is_some())
}

/// One finding a port: two claims of one service may name the same one.
fn without_doubles(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by(|a, b| a.subject.cmp(&b.subject).then(b.confidence.cmp(&a.confidence)));
    findings.dedup_by(|a, b| a.subject == b.subject);
    findings
}

pub(crate) fn still_starting(view: &View<'_>) -> bool {
    let booted = view.host().and_then(|host| host.booted_at);
    booted.zip(view.facts.collected_at).is_some_and(|(booted, collected)| collected - booted < STARTING)
}

/// What keeps a service from a port.
pub(crate) enum Obstacle<'a> {
    Holder(Holder<'a>),
    /// A block that was taken at run time.
    Block(Exclusion),
}

impl Obstacle<'_> {
    /// What the findings of one cause have in common.
    pub(crate) fn problem(&self) -> String {
        match self {
            Self::Holder(holder) => holder.problem(),
            Self::Block(_) => "taker/winnat-reserved-blocks".to_owned(),
        }
    }
}

fn obstacle<'a>(service: &Service, claim: &Claim, exit: Exit, view: &View<'a>) -> Option<Obstacle<'a>> {
    match Holder::foreign(service, claim, view) {
        Some(holder) => Some(Obstacle::Holder(holder)),
        // Binding in a block fails with 10013 and with nothing else.
        None if exit.is_forbidden() => block(claim, view).map(Obstacle::Block),
        None => None,
    }
}

/// A service that does not run, and how it ended.
struct Failed<'a> {
    service: &'a Service,
    /// All that it needs.
    claims: &'a [&'a Claim],
    exit: Exit,
    /// The entry of the log that told `exit`.
    event: Option<&'a Event>,
}

impl Failed<'_> {
    /// `None`: not known.
    fn at(&self) -> Option<DateTime<Utc>> {
        self.service.state_since.or(self.event.and_then(|event| event.at))
    }
}

fn finding(failed: &Failed<'_>, claim: &Claim, obstacle: &Obstacle<'_>, view: &View<'_>) -> Finding {
    let &Failed { service, claims, exit, event } = failed;
    let confidence = confidence(failed, claim, obstacle, view);
    let story = words::Story { service, claim, claims, exit, event, failed_at: failed.at(), obstacle, view };
    let conflict = Conflict { service, claim, claims, obstacle };
    Finding {
        rule: RULE.to_owned(),
        subject: Subject::from([
            ("service".to_owned(), service.name.to_string()),
            ("port".to_owned(), claim.port.to_string()),
        ]),
        problem: obstacle.problem(),
        severity: if confidence == Confidence::Possible { Severity::Warning } else { Severity::Critical },
        confidence,
        title: story.title(),
        cause: story.cause(),
        evidence: story.evidence(),
        remedy: remedy::of_port(&conflict, view),
        since: failed.at(),
        probability: None,
    }
}

/// The unadministered block in which the port lies although nobody holds it. HTTP.sys reserves the single ports that it
/// serves in the same list, and no administered exclusion is ever a fault.
fn block(claim: &Claim, view: &View<'_>) -> Option<Exclusion> {
    let holds = |exclusion: &&Exclusion| {
        exclusion.protocol == claim.port.protocol && exclusion.range.contains(claim.port.number)
    };
    let exclusions = view.policy_value(|policy| &policy.exclusions).ok()?;
    let persistent = view.policy_value(|policy| &policy.persistent_exclusions).ok().into_iter().flatten();
    let administered = exclusions.iter().filter(|exclusion| exclusion.administered).chain(persistent);
    if administered.clone().any(|exclusion| holds(&exclusion)) || !claim_is_free(claim, view) {
        return None;
    }
    let mut blocks: Vec<_> = exclusions.iter().filter(|exclusion| !exclusion.administered).filter(holds).collect();
    // One for IPv6 alone comes last: it explains less.
    blocks.sort_by_key(|exclusion| (exclusion.family == Some(Family::Ipv6), exclusion.range, exclusion.family));
    blocks.into_iter().find(|block| !claim.kernel || block.range.count() > 1).copied()
}

/// Whether a service of this host runs without a port that it needs, because a block that was reserved at run time holds
/// it. Of a stopped service the rule itself tells.
pub(crate) fn block_holds_claim(view: &View<'_>) -> Answer {
    for (reason, what) in [
        (view.facts.services.unknown(), "the services"),
        (view.facts.sockets.unknown(), "the socket table"),
        (view.policy_value(|policy| &policy.exclusions).err(), "the excluded port ranges"),
    ] {
        if let Some(reason) = reason {
            return Answer::unread(what, reason);
        }
    }
    let running = view.services().filter(|service| service.state == ServiceState::Running);
    let mut claims = running.flat_map(|service| view.claims_of(&service.name).into_owned());
    Answer::from_bool(claims.any(|claim| claim.need == Need::Required && block(claim, view).is_some()))
}

fn confidence(failed: &Failed<'_>, claim: &Claim, obstacle: &Obstacle<'_>, view: &View<'_>) -> Confidence {
    let at_most = claim.at_most();
    if at_most == Confidence::Possible {
        return at_most;
    }
    seen(failed, claim, obstacle, view).min(at_most)
}

/// What the holder and the exit code say, however well the claim is known.
fn seen(failed: &Failed<'_>, claim: &Claim, obstacle: &Obstacle<'_>, view: &View<'_>) -> Confidence {
    let &Failed { service, exit, .. } = failed;
    let bind_error = is_bind_error(service, claim, exit, view);
    let holder = match obstacle {
        Obstacle::Holder(holder) => holder,
        // The other family, by which the service may do without, is free.
        Obstacle::Block(block) if block.family == Some(Family::Ipv6) => return Confidence::Likely,
        Obstacle::Block(_) => {
            return if matches!(claim.need, Need::Optional(_)) { Confidence::Likely } else { Confidence::Certain };
        }
    };
    let bound_after = holder.bound_after(failed.at());
    let confidence = match exit {
        Exit::NeverStarted | Exit::Elsewhere(_) => Confidence::Possible,
        _ if bind_error && bound_after => Confidence::Likely,
        _ if bind_error => Confidence::Certain,
        _ if bound_after => Confidence::Possible,
        _ if holder.bound_before(failed.at()) => Confidence::Certain,
        _ => Confidence::Likely,
    };
    // Whether it needs the port at all, or whether the port will not be free in a moment, is less than sure.
    if matches!(claim.need, Need::Optional(_)) || holder.is_connection() {
        return confidence.min(if bind_error { Confidence::Likely } else { Confidence::Possible });
    }
    // A service that binds another address of the host is not in conflict with one at a single address.
    let address = holder.socket.address.to_canonical();
    match bind_error || address.is_unspecified() || claim.binding == Binding::Loopback {
        true => confidence,
        false if address.is_loopback() => confidence.min(Confidence::Possible),
        false => confidence.min(Confidence::Likely),
    }
}
