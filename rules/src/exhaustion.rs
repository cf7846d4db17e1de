//! Rule `port-conflict/exhaustion`: the dynamic ports are nearly used up, or were. Sign-ins, SMB and DNS then fail, although
//! no port is in conflict.
//!
//! Certain by the counts of connections; by events alone less, since they tell of a moment.

use chrono::TimeDelta;

use crate::evidence;
use crate::facts::{Connections, DynamicPortUse, Event, TcpState};
use crate::failures;
use crate::finding::{CannotTell, Confidence, Evidence, Finding, Judgement, Severity, Subject};
use crate::ports::{Family, Protocol};
use crate::remedy;
use crate::text::Text;
use crate::view::View;
use crate::words::{count, list, percent};

pub(crate) const RULE: &str = "port-conflict/exhaustion";

/// Of the range, in percent: programs fail before the last port is gone, because a port is reused late.
pub(crate) const NEARLY_ALL: u64 = 80;

/// So long an event counts.
const RECENT: TimeDelta = TimeDelta::hours(24);

/// All ports in use: TCP, UDP. A local port reused for the same peer too early.
const ALL_TCP: u32 = 4231;
const ALL_UDP: u32 = 4266;
const REUSED: u32 = 4227;

pub(crate) fn judge(view: &View<'_>, judgement: &mut Judgement) {
    // What no source tells, as with a capture, no finding ever rested on.
    let connections = view.facts.connections.unknown().map(Text::as_str);
    let unread = [
        ("connections", connections.filter(|reason| *reason != "not collected")),
        ("the event logs", failures::unread(view)),
    ];
    for (what, reason) in unread {
        if let Some(reason) = reason {
            judgement.cannot_tell.push(CannotTell {
                rule: RULE.to_owned(),
                subject: Subject::new(),
                reason: format!(
                    "Cannot tell whether the dynamic ports are used up: {what} could not be read ({reason})."
                ),
            });
        }
    }
    judgement.findings.extend([Protocol::Tcp, Protocol::Udp].into_iter().filter_map(|protocol| of(protocol, view)));
}

fn of(protocol: Protocol, view: &View<'_>) -> Option<Finding> {
    let used = fullest(protocol, view).filter(|used| u64::from(used.in_use) * 100 >= u64::from(used.size) * NEARLY_ALL);
    let events = events(protocol, view);
    let all = events.iter().rev().find(|event| event.id != REUSED).copied();
    let newest = all.or(events.last().copied());
    let confidence = match (used, all, newest) {
        (Some(_), _, _) => Confidence::Certain,
        (None, Some(_), _) => Confidence::Likely,
        (None, None, Some(_)) => Confidence::Possible,
        (None, None, None) => return None,
    };
    let shown = protocol.as_str().to_uppercase();
    let owners = owners(protocol, view);
    let title = match used {
        Some(used) => format!(
            "{} of {} dynamic {shown} ports are in use ({})",
            count(used.in_use as usize),
            count(used.size as usize),
            percent(f64::from(used.in_use) / f64::from(used.size.max(1)))
        ),
        None if all.is_some() => format!("All dynamic {shown} ports were in use"),
        None => format!("Dynamic {shown} ports are reused too early"),
    };
    let mut sentences = vec![format!(
        "A program that asks for any {shown} port gets none when the range is used up; sign-ins, file shares and DNS then fail, although no port is in conflict."
    )];
    if !owners.is_empty() {
        sentences.push(format!("Most connections are held by {}.", list(&owners)));
    }
    sentences.extend(waiting(view).filter(|_| protocol == Protocol::Tcp));
    Some(Finding {
        rule: RULE.to_owned(),
        subject: Subject::from([("protocol".to_owned(), protocol.as_str().to_owned())]),
        problem: "taker/outbound-exhaustion".to_owned(),
        severity: if confidence == Confidence::Possible { Severity::Warning } else { Severity::Critical },
        confidence,
        title,
        cause: sentences.join(" "),
        evidence: evidence_of(used, newest, &owners, &shown),
        remedy: remedy::of_exhaustion(protocol, owners.first().map(String::as_str), view),
        since: newest.and_then(|event| event.at),
        probability: None,
    })
}

/// The family of which least is left.
fn fullest<'a>(protocol: Protocol, view: &View<'a>) -> Option<&'a DynamicPortUse> {
    let uses =
        view.facts.connections.known()?.dynamic_ports.iter().filter(|used| used.protocol == protocol && used.size > 0);
    uses.max_by_key(|used| (u64::from(used.in_use) * 1_000_000 / u64::from(used.size), used.family == Family::Ipv4))
}

/// The newest last.
fn events<'a>(protocol: Protocol, view: &View<'a>) -> Vec<&'a Event> {
    let ids: &[u32] = match protocol {
        Protocol::Tcp => &[REUSED, ALL_TCP],
        Protocol::Udp => &[ALL_UDP],
    };
    let mut found = failures::entries("Tcpip", ids, view);
    let collected = view.facts.collected_at;
    found.retain(|event| event.at.zip(collected).is_none_or(|(at, collected)| collected - at <= RECENT));
    found
}

/// `agent.exe (PID 12) with 9,000`, the three with most.
fn owners(protocol: Protocol, view: &View<'_>) -> Vec<String> {
    let Some(connections) = view.facts.connections.known().filter(|_| protocol == Protocol::Tcp) else {
        return Vec::new();
    };
    let mut owners: Vec<_> = connections.owners.iter().collect();
    owners.sort_by(|a, b| b.count.cmp(&a.count).then(a.pid.cmp(&b.pid)));
    let name = |image: &str| image.rsplit(['\\', '/']).next().unwrap_or(image).to_owned();
    let shown = owners.into_iter().take(3).map(|owner| match &owner.image {
        Some(image) => format!("{} (PID {}) with {}", name(image), owner.pid, count(owner.count as usize)),
        None => format!("process {} with {}", owner.pid, count(owner.count as usize)),
    });
    shown.collect()
}

/// Where most connections are over, and only wait.
fn waiting(view: &View<'_>) -> Option<String> {
    let Connections { states, .. } = view.facts.connections.known()?;
    let sum = |wanted: Option<TcpState>| -> u32 {
        states.iter().filter(|row| wanted.is_none_or(|state| row.state == state)).map(|row| row.count).sum()
    };
    let (all, waiting) = (sum(None), sum(Some(TcpState::TimeWait)));
    (waiting > 0 && u64::from(waiting) * 2 > u64::from(all)).then(|| {
        format!(
            "{} of {} connections are closed already and only wait (TIME_WAIT).",
            count(waiting as usize),
            count(all as usize)
        )
    })
}

fn evidence_of(used: Option<&DynamicPortUse>, event: Option<&Event>, owners: &[String], shown: &str) -> Vec<Evidence> {
    let mut found: Vec<Evidence> = Vec::new();
    found.extend(event.map(|event| Evidence {
        at: event.at,
        text: match event.id {
            REUSED => "Event 4227: a local port was used again for the same peer too early".to_owned(),
            id => format!("Event {id}: all dynamic {shown} ports are in use"),
        },
        source: "event log".to_owned(),
    }));
    found.extend(used.map(|used| {
        let family = if used.family == Family::Ipv4 { "IPv4" } else { "IPv6" };
        evidence::now(
            format!(
                "{} of {} dynamic {shown} ports of {family} are in use",
                count(used.in_use as usize),
                count(used.size as usize)
            ),
            "connections",
        )
    }));
    found.extend(owners.iter().map(|owner| evidence::now(format!("{owner} connections"), "connections")));
    found
}
