//! Hosts too large for a case file, the reading of facts files, and the answers of `--explain`.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its input must fail")]

use rules::catalog::Catalog;
use rules::check;
use rules::facts::Facts;
use rules::history::History;
use serde_json::{Value, json};

fn facts(value: &Value) -> Facts {
    check::parse_facts(value.to_string().as_bytes()).unwrap()
}

/// A domain controller of Server 2019 whose DNS server has its 5,000 sockets, with NPS beside it, all well.
fn healthy_controller() -> Value {
    let mut sockets = Vec::new();
    for (family, address) in ["0.0.0.0", "::"].into_iter().enumerate() {
        for index in 0..2500_u32 {
            let port = 49_152 + (index * 6 + u32::try_from(family).unwrap()) % 16_384;
            sockets.push(json!({ "protocol": "udp", "address": address, "port": port, "pid": 1420, "image": "dns.exe", "services": ["DNS"] }));
        }
    }
    for port in [1645, 1646, 1812, 1813] {
        sockets.push(json!({ "protocol": "udp", "address": "0.0.0.0", "port": port, "pid": 900, "image": "svchost.exe", "services": ["IAS"] }));
    }
    let service =
        |name: &str, pid: u32| json!({ "name": name, "state": "running", "start": "auto", "pid": pid, "exit_code": 0 });
    json!({
        "schema": "portreeve.facts/1",
        "collected_at": "2026-03-02T08:00:00Z",
        "host": { "known": {
            "name": "DC1", "domain": "example.test", "domain_controller": true,
            "os": { "name": "Windows Server 2019 Standard", "major": 10, "minor": 0, "build": 17763, "revision": 9247 },
            "products": { "known": [] }, "roles": { "known": [] },
        } },
        "sockets": { "known": sockets },
        "services": { "known": [service("DNS", 1420), service("IAS", 900), service("NTDS", 700), service("Kdc", 700)] },
        "updates": { "known": [] },
        "port_policy": { "known": {
            "dynamic_ranges": { "known": [
                { "protocol": "udp", "family": "ipv4", "range": "49152-65535" },
                { "protocol": "udp", "family": "ipv6", "range": "49152-65535" },
            ] },
        } },
    })
}

#[test]
fn five_thousand_dns_sockets_are_healthy() {
    let judgement = rules::judge(&facts(&healthy_controller()), &Catalog::builtin(), &History::default());
    assert_eq!(judgement, rules::finding::Judgement::default());
}

#[test]
fn the_pool_is_counted_in_one_family() {
    let mut host = healthy_controller();
    host["services"]["known"][1] = json!({ "name": "IAS", "state": "stopped", "start": "auto", "exit_code": 10048 });
    let sockets = host["sockets"]["known"].as_array_mut().unwrap();
    sockets.retain(|socket| socket["pid"] == 1420);
    sockets.push(json!({ "protocol": "udp", "address": "0.0.0.0", "port": 1812, "pid": 1420, "image": "dns.exe", "services": ["DNS"] }));
    let judgement = rules::judge(&facts(&host), &Catalog::builtin(), &History::default());
    assert_eq!(judgement.findings.len(), 1);
    assert!(judgement.findings[0].cause.contains("pool of 2,501 random ports"), "{}", judgement.findings[0].cause);
}

#[test]
fn a_fault_in_a_file_names_its_place() {
    let fault = |text: &str| check::parse_facts(text.as_bytes()).unwrap_err();
    let wrong_port = "{\"schema\": \"portreeve.facts/1\",\n \"sockets\": {\"known\": [{\"protocol\": \"udp\", \"address\": \"::\", \"port\": 70000}]}}";
    let found = fault(wrong_port);
    assert_eq!((found.line, found.path.as_str()), (2, "sockets.known[0].port"));
    assert_eq!(fault("{\"schema\": \"portreeve.facts/2\"}").path, "schema");
    assert!(fault("{}").message.contains("schema"));
    assert_eq!(fault("").line, 1);
    assert_eq!(fault("{\"schema\": \"portreeve.facts/1\"} x").path, ".");
    assert!(check::parse_facts(b"\xef\xbb\xbf{\"schema\": \"portreeve.facts/1\", \"future\": {\"a\": 1}}").is_ok());
}

#[test]
fn negative_verdicts_are_explained() {
    let catalog = Catalog::builtin();
    let host = facts(&healthy_controller());
    let check = |subject: &str, expected: &str| {
        let text = check::explain(&host, &catalog, subject).unwrap();
        assert!(text.contains(expected), "{subject}: {text}");
    };
    check("ias", "udp/1812 is held by svchost.exe (PID 900)");
    check("IAS", "not stopped");
    check("IAS", "IAS: udp/1812 lies outside the DNS pool 49152-65535");
    check("udp/1812", "IAS needs it");
    check("tcp/9389", "tcp/9389 is free");
    check("KB948609", "KB948609 is not installed here");
    check("kb123456", "knows no harm");
    check("BlackBerry Router", "no such service");
    assert!(check::explain(&host, &catalog, "no such thing").is_err());
}

#[test]
fn an_empty_document_is_all_unknown() {
    let judgement = rules::judge(&Facts::default(), &Catalog::builtin(), &History::default());
    assert!(judgement.findings.is_empty());
    let rules: Vec<&str> = judgement.cannot_tell.iter().map(|cannot_tell| cannot_tell.rule.as_str()).collect();
    assert_eq!(
        rules,
        [
            "bad-update",
            "port-conflict/at-risk",
            "port-conflict/block-mode",
            "port-conflict/blocked",
            "port-conflict/by-design",
            "port-conflict/degraded",
            "service/failed"
        ]
    );
    assert!(check::render(&judgement).contains("0 findings, 7 unknown."));
}
