//! What holds for every plan: the order of rows and findings does not matter, what is done is not planned again, and text
//! of a host never becomes a word that a program acts on.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its input must fail")]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use proptest::prelude::*;
use rules::catalog::Catalog;
use rules::facts::{DynamicRange, Exclusion, Facts, PortPolicy, Section, ServiceState};
use rules::finding::Judgement;
use rules::history::History;
use rules::plan::script::{self, Format};
use rules::plan::{self, Deed, Plan};
use rules::ports::PortRange;
use rules::remedy::{Data, RangeList};
use rules::{check, judge};
use serde_json::json;

static CATALOG: LazyLock<Catalog> = LazyLock::new(Catalog::builtin);
static RECORDED: LazyLock<Vec<Facts>> = LazyLock::new(recorded);

/// The facts of all cases.
fn recorded() -> Vec<Facts> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut files = Vec::new();
    for rule in fs::read_dir(root).unwrap() {
        for case in fs::read_dir(rule.unwrap().path()).unwrap() {
            files.push(case.unwrap().path().join("facts.json"));
        }
    }
    files.sort();
    files.iter().map(|file| check::parse_facts(&fs::read(file).unwrap()).unwrap()).collect()
}

fn judged(facts: &Facts) -> Judgement {
    judge(facts, &CATALOG, &History::default())
}

proptest! {
    #[test]
    fn order_does_not_matter(
        facts in proptest::sample::select(RECORDED.as_slice()),
        others in proptest::collection::vec(proptest::sample::select(RECORDED.as_slice()), 0..3),
        turn in 0_usize..50,
    ) {
        // Findings of several hosts on one, so that there is something to join.
        let mut judgement = judged(&facts);
        judgement.findings.extend(others.iter().flat_map(|facts| judged(facts).findings));
        judgement.findings.dedup_by(|a, b| (&a.rule, &a.subject) == (&b.rule, &b.subject));
        let plan = plan::of_host(&facts, &CATALOG, &judgement);
        let mut turned = facts.clone();
        for section in [&mut turned.sockets] {
            if let Section::Known(rows) = section {
                rows.reverse();
            }
        }
        if let Section::Known(rows) = &mut turned.services {
            rows.reverse();
        }
        let count = judgement.findings.len().max(1);
        let mut shuffled = judgement.clone();
        shuffled.findings.sort_by_key(|finding| (finding.rule.len() + finding.title.len() * 7 + turn) % count);
        prop_assume!(judgement.findings.iter().all(|a| {
            judgement.findings.iter().filter(|b| (&a.rule, &a.subject) == (&b.rule, &b.subject)).count() == 1
        }));
        prop_assert_eq!(plan::of_host(&turned, &CATALOG, &shuffled), plan);
    }

    #[test]
    fn what_is_done_is_not_planned_again(
        facts in proptest::sample::select(RECORDED.as_slice()),
        others in proptest::collection::vec(proptest::sample::select(RECORDED.as_slice()), 0..3),
    ) {
        let mut judgement = judged(&facts);
        judgement.findings.extend(others.iter().flat_map(|facts| judged(facts).findings));
        let plan = plan::of_host(&facts, &CATALOG, &judgement);
        let mut done = facts.clone();
        for step in plan.steps.iter().chain(&plan.after_restart) {
            apply(&step.deed, &mut done);
        }
        let again = plan::of_host(&done, &CATALOG, &judgement);
        let left: Vec<&Deed> =
            again.steps.iter().chain(&again.after_restart).map(|step| &step.deed).filter(|deed| shows(deed, &done)).collect();
        prop_assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn a_plan_takes_back_whatever_it_changes(facts in proptest::sample::select(RECORDED.as_slice())) {
        let plan = plan::of_host(&facts, &CATALOG, &judged(&facts));
        let lasting = plan.steps.iter().chain(&plan.after_restart).filter(|step| step.undo.is_some()).count();
        let back = |deed: &Option<Deed>| !matches!(deed, Some(Deed::Stop { .. } | Deed::Start { .. } | Deed::RestartServer));
        prop_assert_eq!(plan.undo.iter().filter(|step| back(&step.deed)).count(), lasting);
    }
}

/// Whether facts can show that the deed was done.
fn shows(deed: &Deed, facts: &Facts) -> bool {
    let is_policy_known = facts.port_policy.known().is_some();
    match deed {
        Deed::Stop { .. } | Deed::RestartServer => false,
        Deed::Start { service } => {
            let services = facts.services.known().into_iter().flatten();
            services.into_iter().any(|row| row.name.eq_ignore_ascii_case(service) && row.state != ServiceState::Running)
        }
        Deed::SetValue { name, .. } => is_policy_known && (name == "TCP/IP Port" || name == "DCTcpipPort"),
        Deed::Uninstall { .. } => facts.updates.known().is_some(),
        _ => is_policy_known,
    }
}

/// The host after a deed, as its next report shows it.
fn apply(deed: &Deed, facts: &mut Facts) {
    if let (Deed::Start { service }, Section::Known(services)) = (deed, &mut facts.services) {
        for row in services.iter_mut().filter(|row| row.name.eq_ignore_ascii_case(service)) {
            row.state = ServiceState::Running;
        }
    }
    if let (Deed::Uninstall { kb, .. }, Section::Known(updates)) = (deed, &mut facts.updates) {
        let number = kb.trim_start_matches("KB");
        updates.retain(|row| {
            ![row.kb.as_deref().unwrap_or_default(), &row.id, &row.title].iter().any(|text| text.contains(number))
        });
    }
    let Section::Known(policy) = &mut facts.port_policy else { return };
    apply_to_policy(deed, policy);
}

fn apply_to_policy(deed: &Deed, policy: &mut PortPolicy) {
    match deed {
        Deed::AddRanges { list, added, .. } => {
            let into: &mut Vec<PortRange> = match (list, &mut policy.reserved_ports, &mut policy.dns_socket_pool) {
                (RangeList::ReservedPorts, Section::Known(ranges), _) => ranges,
                (RangeList::ReservedPorts, unread, _) => {
                    *unread = Section::Known(Vec::new());
                    let Section::Known(ranges) = unread else { unreachable!("it was just set") };
                    ranges
                }
                (RangeList::DnsPool, _, Section::Known(pool)) => &mut pool.excluded,
                (RangeList::DnsPool, _, unread) => {
                    *unread = Section::Known(rules::facts::DnsSocketPool::default());
                    let Section::Known(pool) = unread else { unreachable!("it was just set") };
                    &mut pool.excluded
                }
            };
            into.extend(added);
        }
        Deed::Exclude { protocol, family, range } => {
            let row = Exclusion { protocol: *protocol, family: Some(*family), range: *range, administered: true };
            match &mut policy.persistent_exclusions {
                Section::Known(rows) => rows.push(row),
                unread @ Section::Unknown(_) => *unread = Section::Known(vec![row]),
            }
        }
        Deed::MoveRange { protocol, family, range, .. } => {
            let row = DynamicRange { protocol: *protocol, family: *family, range: *range };
            match &mut policy.dynamic_ranges {
                Section::Known(rows) => {
                    rows.retain(|row| (row.protocol, row.family) != (*protocol, *family));
                    rows.push(row);
                }
                unread @ Section::Unknown(_) => *unread = Section::Known(vec![row]),
            }
        }
        Deed::SetValue { name, data: Data::Dword(port), .. } => {
            let port = Section::Known(u16::try_from(*port).ok());
            match name.as_str() {
                "TCP/IP Port" => policy.ntds_port = port,
                "DCTcpipPort" => policy.netlogon_port = port,
                _ => {}
            }
        }
        _ => {}
    }
}

const HOSTILE: [&str; 12] = [
    "x & del *",
    "x' ; calc '",
    "x\u{2019}; calc \u{2018}",
    "x\" & calc & \"",
    "x%PATH%",
    "x$(calc)",
    "x`calc`",
    "x\r\ncalc",
    "x\n@echo on",
    "x^ ! | calc",
    "x) & (calc",
    "; [HKEY_LOCAL_MACHINE\\x]",
];

/// A host on which `holder` drew the ports of `victim`, and `holder` is the name of a service.
fn host(holder: &str, victim: &str, (major, minor, build): (u32, u32, u32)) -> Facts {
    let facts = json!({
        "schema": "portreeve.facts/1",
        "collected_at": "2026-03-02T08:00:00Z",
        "host": { "known": { "name": holder, "os": { "name": "Windows", "major": major, "minor": minor, "build": build } } },
        "services": { "known": [
            { "name": victim, "state": "stopped", "start": "auto", "exit_code": 10048 },
            { "name": holder, "state": "running", "start": "auto", "pid": 900 }
        ] },
        "sockets": { "known": [{
            "protocol": "tcp", "address": "0.0.0.0", "port": 3101, "state": "listen", "pid": 900, "image": format!("{holder}.exe"),
            "services": [holder], "specific_port": false
        }] },
        "updates": { "known": [] },
        "port_policy": { "known": {
            "exclusions": { "known": [] }, "persistent_exclusions": { "known": [] }, "reserved_ports": { "known": [] },
            "max_user_port": { "known": 60000 },
            "dynamic_ranges": { "known": [
                { "protocol": "tcp", "family": "ipv4", "range": "1025-60000" },
                { "protocol": "tcp", "family": "ipv6", "range": "1025-60000" }
            ] }
        } }
    });
    serde_json::from_value(facts).unwrap()
}

fn hostile_plans() -> Vec<(&'static str, Plan)> {
    let mut plans = Vec::new();
    for name in HOSTILE {
        for os in [(5, 2, 3790), (6, 0, 6002), (6, 1, 7601), (10, 0, 17763)] {
            let facts = host(name, "BlackBerry Router", os);
            let plan = plan::of_host(&facts, &CATALOG, &judged(&facts));
            assert!(plan.has_changes(), "{name} on {os:?}: {:?}", judged(&facts));
            plans.push((name, plan));
        }
    }
    plans
}

/// The script without its quoted literals and its remarks: what PowerShell acts on.
fn acted_on(script: &str) -> String {
    let mut rest = String::new();
    for line in script.trim_start_matches('\u{feff}').lines().filter(|line| !line.trim_start().starts_with('#')) {
        let mut is_quoted = false;
        for c in line.chars() {
            match c {
                '\'' | '\u{2018}'..='\u{201b}' => is_quoted = !is_quoted,
                _ if !is_quoted => rest.push(c),
                _ => {}
            }
        }
        assert!(!is_quoted, "a literal is open at the end of: {line}");
        rest.push('\n');
    }
    rest
}

#[test]
fn powershell_acts_on_no_text_of_a_host() {
    for (name, plan) in hostile_plans() {
        let text = String::from_utf8(script::write(&plan, Format::PowerShell)).unwrap();
        let own = &text[text.find("Assert-Place '").unwrap()..];
        let rest = acted_on(own);
        for word in ["calc", "del *", "PATH", "echo on", "`", "HKEY"] {
            assert!(!rest.contains(word), "{name}: {rest}");
        }
        assert_eq!(acted_on(&text[..text.find("function Assert-Place").unwrap()]).matches("calc").count(), 0, "{name}");
    }
}

#[test]
fn the_command_prompt_acts_on_no_text_of_a_host() {
    for (name, plan) in hostile_plans() {
        let text = String::from_utf8(script::write(&plan, Format::Command)).unwrap();
        assert!(text.is_ascii(), "{name}");
        let mut own = text.lines().take_while(|line| *line != ":place");
        let bad = own.find(|line| {
            let is_said = line.starts_with("rem ") || line.starts_with("echo ");
            let mentions = ["calc", "del *", "PATH"].iter().any(|word| line.contains(word));
            (is_said && line.contains(['&', '|', '<', '>', '^', '!', '"', '%'])) || (!is_said && mentions)
        });
        assert_eq!(bad, None, "{name}");
    }
}

#[test]
fn the_registry_takes_in_no_text_of_a_host() {
    for (name, plan) in hostile_plans() {
        let bytes = script::write(&plan, Format::Registry);
        let words: Vec<u16> = bytes.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        let text = String::from_utf16(&words).unwrap();
        assert!(text.starts_with("\u{feff}Windows Registry Editor Version 5.00\r\n"), "{name}");
        let values = text.lines().skip(1).filter(|line| !line.starts_with(';') && !line.is_empty());
        for line in values {
            let is_ours = line.starts_with("[HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet\\Services\\Tcpip")
                || line.starts_with("\"ReservedPorts\"=hex(7):")
                || line.starts_with("  ");
            assert!(is_ours, "{name}: {line}");
        }
    }
}

#[test]
fn a_host_without_findings_has_an_empty_plan() {
    let facts = host("dns", "SomeService", (6, 1, 7601));
    let plan = plan::of_host(&facts, &CATALOG, &Judgement::default());
    assert!(plan.is_empty());
    for format in [Format::PowerShell, Format::Command] {
        let text = String::from_utf8(script::write(&plan, format)).unwrap();
        assert!(text.contains("Nothing is to be done."), "{text}");
    }
}
