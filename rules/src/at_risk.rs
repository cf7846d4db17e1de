//! Rule `port-conflict/at-risk`: a service runs, but its port lies where a taker of this host draws from, and nothing
//! keeps it out. And the forecast of each service: what the next boot may take from it.
//!
//! A probability stands only for the DNS server's pool, whose draw is random and known. LSASS and others draw in turn:
//! of them a finding tells where a boot has shown it, or where the service is known to have lost a port to them, and
//! without a number. Blocks that Windows reserves at run time likewise.

mod pool;
mod turn;

use std::collections::BTreeSet;

use crate::blocked::{Expected, Holder, own_socket};
use crate::catalog::{Claim, Need};
use crate::conditions::{Answer, Gap};
use crate::facts::{Section, Service, ServiceState, Socket};
use crate::finding::{CannotTell, Confidence, Evidence, Finding, Judgement, Remedy, Severity, Subject};
use crate::forecast::Forecast;
use crate::ports::Port;
use crate::view::View;

pub(crate) use pool::{Pools, why_not};

pub(crate) const RULE: &str = "port-conflict/at-risk";

pub(crate) fn judge(view: &View<'_>, judgement: &mut Judgement) {
    if let Section::Unknown(reason) = &view.facts.services {
        judgement.cannot_tell.push(CannotTell {
            rule: RULE.to_owned(),
            subject: Subject::new(),
            reason: format!(
                "Cannot tell which services may lose a port at the next boot: the services could not be read ({reason})."
            ),
        });
        return;
    }
    let pools = Pools::default();
    for service in view.services() {
        let found = risks(service, &pools, view);
        judgement.findings.extend(found.findings);
        judgement.forecasts.extend(found.forecasts);
        if !found.open.is_empty() {
            let gaps: Vec<String> = found.open.into_iter().collect();
            judgement.cannot_tell.push(CannotTell {
                rule: RULE.to_owned(),
                subject: Subject::from([("service".to_owned(), service.name.to_string())]),
                reason: format!(
                    "Cannot tell whether {} may lose a port at the next boot: {}.",
                    service.name,
                    gaps.join("; ")
                ),
            });
        }
    }
}

/// What may happen to one service.
#[derive(Default)]
pub(crate) struct Risks {
    pub(crate) findings: Vec<Finding>,
    pub(crate) forecasts: Vec<Forecast>,
    /// What would have to be known.
    pub(crate) open: BTreeSet<String>,
}

pub(crate) fn risks(service: &Service, pools: &Pools, view: &View<'_>) -> Risks {
    let mut risks = Risks::default();
    if Expected::of(service) == Expected::No {
        return risks;
    }
    let claims = view.claims_of(&service.name);
    let stakes = stakes(service, &claims, view);
    if stakes.is_empty() {
        return risks;
    }
    let mut told: BTreeSet<Port> = BTreeSet::new();
    for part in [pool::judge, turn::of_history, turn::of_known_victims, turn::of_blocks] {
        let Risks { findings, forecasts, open } = part(service, &stakes, pools, view);
        risks.open.extend(open);
        risks.forecasts.extend(forecasts);
        // One finding a port: what can be counted goes before what cannot.
        let new = findings.into_iter().filter(|finding| told.insert(port_of(finding)));
        risks.findings.extend(new.collect::<Vec<_>>());
    }
    if let Section::Unknown(reason) = &view.facts.sockets
        && !risks.findings.is_empty()
    {
        risks.open.insert(format!("the socket table could not be read ({reason})"));
        risks.findings.clear();
        risks.forecasts.clear();
    }
    if service.state == ServiceState::Stopped {
        // Why it does not run now is told by other rules.
        risks.findings.clear();
    }
    risks
}

fn port_of(finding: &Finding) -> Port {
    let port = finding.subject.get("port").and_then(|port| port.parse().ok());
    port.unwrap_or(Port { protocol: crate::ports::Protocol::Tcp, number: 0 })
}

/// A port that the service needs and that could be drawn.
pub(crate) struct Stake<'a> {
    pub(crate) claim: &'a Claim,
    /// By which it has the port now. `None`: nobody holds it, or that is not known.
    pub(crate) socket: Option<&'a Socket>,
    /// Something else holds it now, of which other rules tell.
    pub(crate) is_lost: bool,
}

/// Required ports, and others that the service has now. Ports below 1024 are never handed out.
fn stakes<'v>(service: &Service, claims: &[&'v Claim], view: &'v View<'_>) -> Vec<Stake<'v>> {
    let mut stakes: Vec<Stake<'v>> = Vec::new();
    for claim in claims.iter().filter(|claim| claim.port.number >= 1024) {
        let socket = own_socket(service, claim, view);
        let is_known = stakes.iter().any(|stake| stake.claim.port == claim.port);
        if (claim.need == Need::Required || socket.is_some()) && !is_known {
            let is_lost = socket.is_none() && Holder::foreign(service, claim, view).is_some();
            stakes.push(Stake { claim, socket, is_lost });
        }
    }
    stakes.sort_by_key(|stake| stake.claim.port);
    stakes
}

impl Stake<'_> {
    /// How sure it is that there is something to lose.
    fn confidence(&self, service: &Service) -> Confidence {
        let is_sure = self.socket.is_some() && Expected::of(service) == Expected::Yes;
        // A forecast is never certain.
        let seen = if is_sure { Confidence::Likely } else { Confidence::Possible };
        seen.min(self.claim.at_most())
    }

    /// Of a port that the service does not hold now, nothing may be lost.
    fn severity(&self) -> Severity {
        if self.socket.is_some() { Severity::Warning } else { Severity::Info }
    }

    fn evidence(&self, service: &Service) -> Vec<Evidence> {
        let held = self.socket.map(|socket| Evidence {
            at: socket.bound_at,
            text: format!("{} holds {} at {} now", service.name, self.claim.port, socket.address),
            source: "socket table".to_owned(),
        });
        held.into_iter().chain([crate::evidence::need(self.claim)]).collect()
    }
}

/// What a finding of this rule says.
struct Story {
    /// Id in the catalog.
    taker: String,
    severity: Severity,
    confidence: Confidence,
    title: String,
    cause: String,
    evidence: Vec<Evidence>,
    remedy: Remedy,
    probability: Option<f64>,
}

fn finding(service: &Service, port: Port, story: Story) -> Finding {
    let Story { taker, severity, confidence, title, cause, evidence, remedy, probability } = story;
    Finding {
        rule: RULE.to_owned(),
        subject: Subject::from([
            ("service".to_owned(), service.name.to_string()),
            ("port".to_owned(), port.to_string()),
        ]),
        problem: format!("taker/{taker}"),
        severity,
        confidence,
        title,
        cause,
        evidence,
        remedy,
        since: None,
        probability,
    }
}

/// The questions of an open answer.
fn gaps(answer: &Answer) -> BTreeSet<String> {
    let Answer::Open(gaps) = answer else { return BTreeSet::new() };
    let question = |gap: &Gap| match gap {
        Gap::Unread(what) => what.clone(),
        Gap::Unsaid(what) => format!("{what} is not known"),
    };
    gaps.iter().map(question).collect()
}
