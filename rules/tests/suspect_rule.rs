//! What a suspect update says of one host: by the host's own list of updates, and never more than it knows.

#![expect(clippy::panic, reason = "a test that cannot go on must fail")]

use rules::catalog::Catalog;
use rules::facts::{Facts, Section, Service, ServiceState, StartMode, Update, UpdateSource, UpdateState};
use rules::finding::{Confidence, Finding, Judgement, Severity};
use rules::history::History;
use rules::judge;
use rules::suspect::{Outcome, Suspect};

fn suspect() -> Suspect {
    Suspect {
        kbs: vec!["KB5034439".into()],
        service: "W3SVC".into(),
        exposed: Outcome { failed: 14, hosts: 120 },
        compared: Outcome { failed: 1, hosts: 400 },
        clients: 3,
        same_weeks: true,
        rise: 0.114,
        odds_ratio_at_least: 8.9,
        p: 4e-9,
        q: 0.0004,
        hosts_here: vec!["WEB1".into(), "WEB2".into()],
    }
}

fn update(kb: &str, state: UpdateState) -> Update {
    Update {
        source: UpdateSource::UninstallEntry,
        id: kb.into(),
        kb: Some(kb.into()),
        aliases: Vec::new(),
        title: format!("Update ({kb})").as_str().into(),
        state,
        installed_at: None,
        installed_by: None,
        removable: None,
        version: None,
    }
}

fn service(state: ServiceState, exit_code: u32) -> Service {
    Service {
        name: "W3SVC".into(),
        display_name: "World Wide Web Publishing Service".into(),
        state,
        start: Some(StartMode::Auto),
        delayed: None,
        trigger_start: None,
        pid: None,
        exit_code: Some(exit_code),
        service_exit_code: None,
        image_path: None,
        account: None,
        depends_on: Vec::new(),
        state_since: None,
        recovery: None,
    }
}

fn facts(updates: Vec<Update>, services: Vec<Service>) -> Facts {
    Facts { updates: Section::Known(updates), services: Section::Known(services), ..Facts::default() }
}

fn judged(facts: &Facts, suspect: Suspect) -> Judgement {
    let history = History { suspects: [suspect].into(), ..History::default() };
    let mut judgement = judge(facts, &Catalog::default(), &history);
    judgement.findings.retain(|finding| finding.rule.starts_with("suspect-update/"));
    judgement.cannot_tell.retain(|doubt| doubt.rule == "suspect-update");
    judgement
}

fn only(judgement: &Judgement) -> &Finding {
    let [finding] = judgement.findings.as_slice() else { panic!("{judgement:?}") };
    finding
}

#[test]
fn where_the_service_fails_it_warns_with_counts_and_hosts() {
    let facts = facts(vec![update("KB5034439", UpdateState::Installed)], vec![service(ServiceState::Stopped, 1067)]);
    let judgement = judged(&facts, suspect());
    let finding = only(&judgement);
    assert_eq!((finding.severity, finding.confidence), (Severity::Warning, Confidence::Likely));
    assert_eq!(finding.rule, "suspect-update/KB5034439");
    assert_eq!(finding.problem, "suspect-update/KB5034439");
    assert_eq!((finding.subject["kb"].as_str(), finding.subject["service"].as_str()), ("KB5034439", "W3SVC"));
    assert_eq!(
        finding.title,
        "W3SVC fails, perhaps because of KB5034439: it failed on 14 of 120 hosts with it, 1 of 400 hosts without"
    );
    let evidence: Vec<&str> = finding.evidence.iter().map(|evidence| evidence.text.as_str()).collect();
    assert!(evidence.contains(&"Of this client it failed on WEB1 and WEB2"), "{evidence:?}");
    assert!(
        evidence.iter().any(|text| text.contains("11.4 points higher") && text.contains("q = 4e-4")),
        "{evidence:?}"
    );
}

#[test]
fn where_it_runs_or_is_to_be_installed_it_only_tells() {
    let running = vec![service(ServiceState::Running, 0)];
    let judgement = judged(&facts(vec![update("KB5034439", UpdateState::Installed)], running.clone()), suspect());
    assert_eq!(only(&judgement).severity, Severity::Info);
    let judgement = judged(&facts(vec![update("KB5034439", UpdateState::InstallPending)], running), suspect());
    assert!(only(&judgement).title.starts_with("KB5034439 is about to be installed"), "{judgement:?}");
}

#[test]
fn of_several_that_cannot_be_told_apart_the_host_has_one_finding() {
    let both = Suspect { kbs: vec!["KB1111111".into(), "KB5034439".into()], ..suspect() };
    let running = vec![service(ServiceState::Running, 0)];
    let judgement = judged(&facts(vec![update("KB5034439", UpdateState::Installed)], running), both);
    let finding = only(&judgement);
    assert_eq!((finding.rule.as_str(), finding.confidence), ("suspect-update/KB5034439", Confidence::Possible));
    assert_eq!(finding.problem, "suspect-update/KB1111111");
    assert!(finding.title.contains("KB1111111 or KB5034439"), "{}", finding.title);
}

#[test]
fn a_weaker_suspicion_is_possible_only() {
    let weaker = [
        Suspect { clients: 1, ..suspect() },
        Suspect { same_weeks: false, ..suspect() },
        Suspect { q: 0.01, ..suspect() },
    ];
    let facts = facts(vec![update("KB5034439", UpdateState::Installed)], vec![service(ServiceState::Running, 0)]);
    for suspect in weaker {
        assert_eq!(only(&judged(&facts, suspect)).confidence, Confidence::Possible);
    }
}

#[test]
fn hosts_without_it_stay_silent() {
    let running = || vec![service(ServiceState::Running, 0)];
    let mut disabled = service(ServiceState::Stopped, 1077);
    disabled.start = Some(StartMode::Disabled);
    let silent = [
        facts(vec![update("KB1111111", UpdateState::Installed)], running()),
        facts(vec![update("KB5034439", UpdateState::Superseded)], running()),
        facts(vec![update("KB5034439", UpdateState::Failed)], running()),
        facts(vec![update("KB5034439", UpdateState::Installed)], Vec::new()),
        facts(vec![update("KB5034439", UpdateState::Installed)], vec![disabled]),
    ];
    for facts in silent {
        assert_eq!(judged(&facts, suspect()), Judgement::default(), "{facts:?}");
    }
}

#[test]
fn what_is_unread_neither_opens_nor_resolves() {
    let known = facts(vec![update("KB5034439", UpdateState::Installed)], vec![service(ServiceState::Running, 0)]);
    let finding = only(&judged(&known, suspect())).clone();
    let without_updates = Facts { updates: Section::Unknown("gone".into()), ..known.clone() };
    let without_services = Facts { services: Section::Unknown("gone".into()), ..known };
    for facts in [without_updates, without_services] {
        let judgement = judged(&facts, suspect());
        assert_eq!(judgement.findings, []);
        let [doubt] = judgement.cannot_tell.as_slice() else { panic!("{judgement:?}") };
        assert!(doubt.covers(&finding.rule, &finding.subject), "{doubt:?}");
    }
}
