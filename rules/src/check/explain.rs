//! Why a verdict is as it is, also where there is no finding: `check --explain SERVICE|KB|proto/port`.

use crate::catalog::{Catalog, Need, normalized_kb};
use crate::facts::{Facts, Section, SocketState};
use crate::finding::{Finding, Judgement};
use crate::history::History;
use crate::ports::Port;
use crate::view::View;
use crate::{at_risk, bad_update, block_mode, blocked, by_design, degraded, words};

use super::render;

/// Neither a service of this host or of the catalog, nor a KB, nor a port.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a service of this host or of the catalog, nor a KB, nor a port such as udp/1812")]
pub struct NotASubject(pub String);

/// What can be said of `subject` on this host, as plain text.
pub fn explain(facts: &Facts, catalog: &Catalog, subject: &str) -> Result<String, NotASubject> {
    let history = History::default();
    let view = View::new(facts, catalog, &history);
    let lines = if let Ok(port) = subject.parse::<Port>() {
        port_lines(port, &view)
    } else if let Some(kb) = normalized_kb(subject) {
        kb_lines(&kb, &view)
    } else if view.service(subject).is_some() || catalog.claims_of(subject, None).next().is_some() {
        service_lines(subject, &view)
    } else {
        return Err(NotASubject(subject.to_owned()));
    };
    Ok(lines.join("\n") + "\n")
}

fn service_lines(name: &str, view: &View<'_>) -> Vec<String> {
    let service = match (&view.facts.services, view.service(name)) {
        (_, Some(service)) => service,
        (Section::Unknown(reason), None) => {
            return vec![format!("{name}: cannot tell, because the services could not be read ({reason}).")];
        }
        (Section::Known(_), None) => return vec![format!("{name}: there is no such service on this host.")],
    };
    let mut lines = vec![match blocked::verdict(service, view) {
        blocked::Verdict::Fine(why) => format!("{name}: {}", why.sentence(&service.name)),
        blocked::Verdict::CannotTell(why) => format!("{name}: {why}"),
        blocked::Verdict::Blocked(findings) => shown(findings),
    }];
    match degraded::verdict(service, view) {
        degraded::Verdict::Degraded(findings) => lines.push(shown(findings)),
        degraded::Verdict::CannotTell(why) => lines.push(format!("{name}: {why}")),
        degraded::Verdict::Fine => {}
    }
    let risks = at_risk::risks(service, &at_risk::Pools::default(), view);
    let mut ports: Vec<(Port, &Need)> = view.claims_of(name).iter().map(|claim| (claim.port, &claim.need)).collect();
    ports.sort_by_key(|(port, _)| *port);
    for (port, need) in ports {
        let when = match need {
            Need::Required => String::new(),
            Need::Optional(when) => format!(" (needed {when})"),
        };
        lines.push(format!("{name}: {}{when}", occupation(port, view)));
        lines.extend(at_risk::why_not(port, view).map(|why| format!("{name}: {why}")));
    }
    lines.extend(risks.open.iter().map(|why| format!("{name}: what the next boot may take cannot be told: {why}.")));
    if !risks.findings.is_empty() {
        lines.push(shown(risks.findings));
    }
    let rivals = by_design::of_service(service, view);
    if !rivals.is_empty() {
        lines.push(shown(rivals));
    }
    if service.name.eq_ignore_ascii_case(block_mode::SERVICE) {
        lines.push(match block_mode::verdict(view) {
            block_mode::Verdict::Fine(why) | block_mode::Verdict::CannotTell(why) => format!("{name}: {why}"),
            block_mode::Verdict::Blocks(finding) => shown(vec![*finding]),
        });
    }
    lines
}

fn shown(findings: Vec<Finding>) -> String {
    render(&Judgement { findings, ..Judgement::default() }).trim_end().to_owned()
}

/// `udp/1812 is free.`
fn occupation(port: Port, view: &View<'_>) -> String {
    if let Section::Unknown(reason) = &view.facts.sockets {
        return format!(
            "whether {port} is free cannot be told, because the socket table could not be read ({reason})."
        );
    }
    let mut holders: Vec<String> = view
        .sockets_on(port)
        .iter()
        .filter(|socket| socket.state != SocketState::Connected)
        .map(|socket| {
            let name = socket.process().unwrap_or("a process that could not be read");
            match socket.pid {
                Some(pid) => format!("{name} (PID {pid}) at {}", socket.address),
                None => format!("{name} at {}", socket.address),
            }
        })
        .collect();
    holders.dedup();
    let mut text = match holders.as_slice() {
        [] => format!("{port} is free."),
        holders => format!("{port} is held by {}.", words::list(holders)),
    };
    let exclusions = view.policy_value(|policy| &policy.exclusions).ok().into_iter().flatten();
    let holds = |exclusion: &&crate::facts::Exclusion| {
        exclusion.protocol == port.protocol && exclusion.range.contains(port.number)
    };
    if let Some(exclusion) = exclusions.filter(holds).min_by_key(|exclusion| (!exclusion.administered, exclusion.range))
    {
        let kind = if exclusion.administered {
            "reserved by an administrator, which keeps it free for who asks by number"
        } else {
            "reserved by Windows at run time, so binding it fails with 10013"
        };
        text = format!("{text} It lies in {}/{}: {kind}.", port.protocol, exclusion.range);
    }
    text
}

fn port_lines(port: Port, view: &View<'_>) -> Vec<String> {
    let mut lines = vec![occupation(port, view)];
    lines.extend(at_risk::why_not(port, view));
    let mut services: Vec<&str> = view.catalog.claims_on(port).map(|claim| claim.service.as_str()).collect();
    services.sort_unstable();
    services.dedup();
    if services.is_empty() {
        lines.push(format!("The catalog knows no service that needs {port}."));
    }
    for name in services {
        if let Some(service) = view.service(name) {
            lines.push(match blocked::verdict(service, view) {
                blocked::Verdict::Fine(why) => format!("{name} needs it: {}", why.sentence(&service.name)),
                blocked::Verdict::CannotTell(why) => format!("{name} needs it: {why}"),
                blocked::Verdict::Blocked(findings) => {
                    let titles: Vec<String> = findings.into_iter().map(|finding| finding.title).collect();
                    format!("{name} needs it: {}.", titles.join("; "))
                }
            });
            let risks = at_risk::risks(service, &at_risk::Pools::default(), view).findings.into_iter();
            let about = risks.filter(|finding| finding.subject.get("port").is_some_and(|of| *of == port.to_string()));
            lines.extend(about.map(|finding| format!("{name} needs it: {}.", finding.title)));
        }
    }
    lines
}

fn kb_lines(kb: &str, view: &View<'_>) -> Vec<String> {
    if let Section::Unknown(reason) = &view.facts.updates {
        return vec![format!("{kb}: cannot tell, because the list of updates could not be read ({reason}).")];
    }
    let entries: Vec<_> = view.catalog.entries_for_kb(kb).collect();
    if entries.is_empty() {
        let listed = view.updates_of(kb);
        let here = if listed.is_empty() { "is not installed here" } else { "is listed on this host" };
        return vec![format!("{kb} {here}; the catalog knows no harm of it.")];
    }
    let verdicts = entries.into_iter().map(|entry| match bad_update::verdict(entry, view) {
        bad_update::Verdict::Harmless(why) => format!("{}: {why}", entry.rule()),
        bad_update::Verdict::CannotTell(cannot_tell) => format!("{}: {}", entry.rule(), cannot_tell.reason),
        bad_update::Verdict::Harmful(finding) => {
            render(&Judgement { findings: vec![*finding], ..Judgement::default() }).trim_end().to_owned()
        }
    });
    verdicts.collect()
}
