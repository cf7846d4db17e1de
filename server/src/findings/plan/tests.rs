//! One table: what was stored, what is judged, what must happen.

use chrono::{DateTime, Utc};
use rules::finding::{CannotTell, Confidence, Evidence, Finding, Judgement, Remedy, Restart, Severity, Subject};

use super::{Plan, State, Stored, finding_id, plan, subject_key};

const RULE: &str = "port-conflict/blocked";

fn subject(service: &str) -> Subject {
    Subject::from([("port".to_owned(), "udp/1812".to_owned()), ("service".to_owned(), service.to_owned())])
}

fn finding(service: &str, severity: Severity, evidence: &str) -> Finding {
    Finding {
        rule: RULE.to_owned(),
        subject: subject(service),
        problem: String::new(),
        severity,
        confidence: Confidence::Certain,
        title: format!("{service} did not start"),
        cause: String::new(),
        evidence: vec![Evidence { at: None, text: evidence.to_owned(), source: "socket table".to_owned() }],
        remedy: Remedy {
            summary: String::new(),
            applies_to: String::new(),
            steps: Vec::new(),
            risk: String::new(),
            restart: Restart::None,
            undo: Vec::new(),
            proven_when: String::new(),
        },
        since: None,
        probability: None,
    }
}

fn critical(service: &str) -> Finding {
    finding(service, Severity::Critical, "PID 1420")
}

fn at(minute: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + minute * 60, 0).unwrap()
}

fn stored(service: &str, is: State, episode: i32, cannot_tell: Option<&str>) -> Stored {
    Stored {
        id: finding_id(1, 2, RULE, &subject(service)),
        is,
        episode,
        opened_at: at(0),
        cannot_tell: cannot_tell.map(str::to_owned),
        finding: critical(service),
    }
}

fn doubt(subject: Subject) -> CannotTell {
    CannotTell { rule: RULE.to_owned(), subject, reason: "the socket table could not be read".to_owned() }
}

/// `IAS opened 1` for a change, `IAS ? reason` for a mark, `IAS !` for a mark taken away; a change that the timeline
/// does not tell of ends in `(quiet)`.
fn shown(plan: &Plan) -> Vec<String> {
    let changes = plan.changes.iter().map(|change| {
        let service = &change.finding.subject["service"];
        let quiet = if change.is_news() { "" } else { " (quiet)" };
        format!("{service} {} {}{quiet}", change.transition.as_str(), change.episode)
    });
    let marks = plan.marks.iter().map(|(id, reason)| {
        let name = ["IAS", "DNS"].into_iter().find(|name| finding_id(1, 2, RULE, &subject(name)) == *id).unwrap();
        reason.as_ref().map_or_else(|| format!("{name} !"), |reason| format!("{name} ? {reason}"))
    });
    changes.chain(marks).collect()
}

#[test]
fn brings_what_is_stored_in_line_with_what_is_judged() {
    use State::{Open, Resolved};
    let everything = Subject::new();
    let of_dns = Subject::from([("service".to_owned(), "DNS".to_owned())]);
    let table = [
        ("nothing, nothing", vec![], vec![], vec![], vec![]),
        ("new", vec![], vec![critical("IAS")], vec![], vec!["IAS opened 1"]),
        ("as it was", vec![stored("IAS", Open, 1, None)], vec![critical("IAS")], vec![], vec![]),
        ("gone", vec![stored("IAS", Open, 3, None)], vec![], vec![], vec!["IAS resolved 3"]),
        ("back", vec![stored("IAS", Resolved, 1, None)], vec![critical("IAS")], vec![], vec!["IAS reopened 2"]),
        ("stays resolved", vec![stored("IAS", Resolved, 1, None)], vec![], vec![], vec![]),
        (
            "worse evidence is quiet",
            vec![stored("IAS", Open, 1, None)],
            vec![finding("IAS", Severity::Critical, "PID 99")],
            vec![],
            vec!["IAS changed 1 (quiet)"],
        ),
        (
            "another severity is news",
            vec![stored("IAS", Open, 2, None)],
            vec![finding("IAS", Severity::Warning, "PID 1420")],
            vec![],
            vec!["IAS changed 2"],
        ),
        (
            "unknown does not resolve",
            vec![stored("IAS", Open, 1, None)],
            vec![],
            vec![doubt(everything.clone())],
            vec!["IAS ? the socket table could not be read"],
        ),
        (
            "the same doubt is not said twice",
            vec![stored("IAS", Open, 1, Some("the socket table could not be read"))],
            vec![],
            vec![doubt(everything)],
            vec![],
        ),
        (
            "a doubt about another subject does not hold it open",
            vec![stored("IAS", Open, 1, None), stored("DNS", Open, 1, None)],
            vec![],
            vec![doubt(of_dns.clone())],
            vec!["IAS resolved 1", "DNS ? the socket table could not be read"],
        ),
        (
            "seen again after a doubt",
            vec![stored("IAS", Open, 1, Some("the socket table could not be read"))],
            vec![critical("IAS")],
            vec![],
            vec!["IAS !"],
        ),
        ("unknown does not open", vec![], vec![], vec![doubt(of_dns)], vec![]),
        ("said twice by the rules", vec![], vec![critical("IAS"), critical("IAS")], vec![], vec!["IAS opened 1"]),
    ];
    for (name, before, findings, cannot_tell, expected) in table {
        let judgement = Judgement { findings, cannot_tell, forecasts: Vec::new() };
        assert_eq!(shown(&plan(1, 2, &judgement, before, at(5))), expected, "{name}");
    }
}

#[test]
fn an_episode_keeps_its_beginning_and_a_return_has_its_own() {
    let judgement = Judgement { findings: vec![finding("IAS", Severity::Info, "")], ..Judgement::default() };
    let still_open = plan(1, 2, &judgement, vec![stored("IAS", State::Open, 1, None)], at(5));
    assert_eq!(still_open.changes[0].opened_at, at(0));
    let returned = plan(1, 2, &judgement, vec![stored("IAS", State::Resolved, 1, None)], at(5));
    assert_eq!(returned.changes[0].opened_at, at(5));
}

#[test]
fn identity_is_the_host_the_rule_and_the_subject() {
    let id = finding_id(1, 2, RULE, &subject("IAS"));
    assert_eq!(id, finding_id(1, 2, RULE, &subject("IAS")));
    for other in [
        finding_id(2, 2, RULE, &subject("IAS")),
        finding_id(1, 3, RULE, &subject("IAS")),
        finding_id(1, 2, "bad-update/kb948609", &subject("IAS")),
        finding_id(1, 2, RULE, &subject("DNS")),
    ] {
        assert_ne!(id, other);
    }
    assert_eq!(subject_key(&subject("IAS")), r#"{"port":"udp/1812","service":"IAS"}"#);
}
