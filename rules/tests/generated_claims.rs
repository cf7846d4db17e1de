//! Every port of every service in the catalog, judged on hosts that are made from its entry: one on which a stranger holds
//! the port that the service failed to bind, and hosts on which the same socket is no fault.

#![expect(clippy::unwrap_used, reason = "a test that cannot make its input must fail")]

use std::sync::LazyLock;

use rules::catalog::{Binding, Catalog, Claim, Grounding, Need};
use rules::facts::OsGeneration;
use rules::finding::{Confidence, Finding};
use rules::history::History;
use rules::ports::Port;
use rules::{check, judge};
use serde_json::{Value, json};

static CATALOG: LazyLock<Catalog> = LazyLock::new(Catalog::builtin);

const BLOCKED: &str = "port-conflict/blocked";
/// Of everything that a made host's service runs in.
const OWN_PID: u32 = 900;

const SYSTEMS: [(OsGeneration, u32, u32, u32); 10] = [
    (OsGeneration::Server2019, 10, 0, 17_763),
    (OsGeneration::Server2022, 10, 0, 20_348),
    (OsGeneration::Server2025, 10, 0, 26_100),
    (OsGeneration::Server2016, 10, 0, 14_393),
    (OsGeneration::Server2012R2, 6, 3, 9600),
    (OsGeneration::Server2012, 6, 2, 9200),
    (OsGeneration::Server2008R2, 6, 1, 7601),
    (OsGeneration::Server2008, 6, 0, 6003),
    (OsGeneration::Server2003, 5, 2, 3790),
    (OsGeneration::Windows2000, 5, 0, 2195),
];

/// A service of the claim's name; a pattern stands for one of its services.
fn name(claim: &Claim) -> String {
    claim.service.replace('*', "7")
}

fn stopped(claim: &Claim) -> Value {
    json!({ "name": name(claim), "display_name": "", "state": "stopped", "start": "auto", "exit_code": 10048 })
}

fn running(claim: &Claim) -> Value {
    json!({ "name": name(claim), "display_name": "", "state": "running", "start": "auto", "pid": OWN_PID })
}

fn socket(claim: &Claim, pid: u32, image: &str, service: &str) -> Value {
    let Port { protocol, number } = claim.port;
    let address = if claim.binding == Binding::Loopback { "127.0.0.1" } else { "0.0.0.0" };
    let state = if protocol.as_str() == "tcp" { "listen" } else { "bound" };
    json!({
        "protocol": protocol.as_str(), "address": address, "port": number, "state": state, "pid": pid,
        "image": image, "services": [service], "specific_port": true, "bound_at": "2026-03-02T03:00:20Z",
    })
}

/// The finding about the claim's port on a host that holds nothing else.
fn found(claim: &Claim, service: &Value, socket: &Value, rule: &str) -> Option<Finding> {
    let (_, major, minor, build) = SYSTEMS.into_iter().find(|(system, ..)| claim.os.holds(*system)).unwrap();
    let document = json!({
        "schema": "portreeve.facts/1", "collected_at": "2026-03-02T08:00:00Z",
        "host": { "known": {
            "name": "SRV1", "domain_controller": false, "booted_at": "2026-03-02T03:00:00Z",
            "os": { "name": "Windows Server", "major": major, "minor": minor, "build": build },
            "products": { "known": [] }, "roles": { "known": [] },
        } },
        "services": { "known": [service] }, "sockets": { "known": [socket] }, "updates": { "known": [] },
        "port_policy": { "known": { "ntds_port": { "known": null }, "netlogon_port": { "known": null } } },
        "events": { "known": [] },
    });
    let facts = check::parse_facts(document.to_string().as_bytes()).unwrap();
    let (name, port) = (name(claim), claim.port.to_string());
    judge(&facts, &CATALOG, &History::default())
        .findings
        .into_iter()
        .find(|finding| finding.rule == rule && finding.subject["service"] == name && finding.subject["port"] == port)
}

fn told(claim: &Claim) -> String {
    format!("{} of {} ({})", claim.port, claim.service, claim.id)
}

#[test]
fn a_stranger_on_a_port_that_failed_to_be_bound_is_found() {
    let mut wrong = Vec::new();
    for claim in CATALOG.claims() {
        let stranger = socket(claim, 5000, "stranger.exe", "Stranger");
        let Some(finding) = found(claim, &stopped(claim), &stranger, BLOCKED) else {
            wrong.push(format!("{}: not found", told(claim)));
            continue;
        };
        let at_most = match (&claim.need, claim.grounding) {
            (_, Grounding::Recalled) => Confidence::Possible,
            (Need::Optional(_), Grounding::Verified) => Confidence::Likely,
            (Need::Required, Grounding::Verified) => Confidence::Certain,
        };
        if finding.confidence != at_most {
            wrong.push(format!("{}: {:?}, not {at_most:?}", told(claim), finding.confidence));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(CATALOG.claims().len() > 500, "only {} ports were judged", CATALOG.claims().len());
}

#[test]
fn its_own_socket_is_no_fault() {
    for claim in CATALOG.claims() {
        let own = socket(claim, OWN_PID, "own.exe", &name(claim));
        assert_eq!(found(claim, &stopped(claim), &own, BLOCKED), None, "{}", told(claim));
        for rule in [BLOCKED, "port-conflict/degraded"] {
            assert_eq!(found(claim, &running(claim), &own, rule), None, "{}", told(claim));
        }
    }
}

#[test]
fn a_service_that_shares_the_port_is_no_fault() {
    let shared = CATALOG.claims().iter().flat_map(|claim| claim.shared_with.iter().map(move |other| (claim, other)));
    let mut judged = 0;
    for (claim, other) in shared {
        let socket = socket(claim, 5000, "svchost.exe", &other.replace('*', "7"));
        assert_eq!(found(claim, &stopped(claim), &socket, BLOCKED), None, "{} with {other}", told(claim));
        judged += 1;
    }
    assert!(judged > 50, "only {judged} were judged");
}
