//! What is told of a service that ran, and what is not.

use serde_json::{Value, json};

use super::{Ran, RanIn, Setting, running};
use crate::facts::Facts;
use crate::history::{Difference, DifferenceKind};

fn facts(change: impl Fn(&mut Value)) -> Facts {
    let mut document = json!({
        "schema": "portreeve.facts/1",
        "collected_at": "2026-10-01T08:00:00Z",
        "host": { "known": {
            "name": "ERP1", "os": { "name": "Windows Server 2022", "major": 10, "minor": 0, "build": 20348, "revision": 1970 },
            "booted_at": "2026-10-01T01:00:00Z",
        } },
        "services": { "known": [
            { "name": "ErpServer", "state": "running", "start": "auto", "pid": 40, "account": "LocalSystem", "state_since": "2026-10-01T01:02:00Z" },
            { "name": "Young", "state": "running", "start": "auto", "pid": 41, "state_since": "2026-10-01T07:59:00Z" },
            { "name": "Manual", "state": "running", "start": "manual", "pid": 42, "state_since": "2026-10-01T01:02:00Z" },
        ] },
        "sockets": { "known": [
            { "protocol": "tcp", "address": "0.0.0.0", "port": 8123, "state": "listen", "pid": 40, "image": "erp.exe", "services": ["ErpServer"] },
            { "protocol": "tcp", "address": "0.0.0.0", "port": 50100, "state": "listen", "pid": 40, "image": "erp.exe", "services": ["ErpServer"] },
        ] },
        "updates": { "known": [
            { "source": "component_package", "id": "Package_for_KB5030000", "kb": "KB5030000", "state": "installed" },
        ] },
        "port_policy": { "known": { "max_user_port": { "known": null }, "ntds_port": { "unknown": "access denied" } } },
    });
    change(&mut document);
    serde_json::from_value(document).unwrap()
}

fn ran(facts: &Facts, boot: RanIn) -> Ran {
    let running = running(facts).into_iter().find(|running| &*running.service == "ErpServer").unwrap();
    Ran { running, setting: Setting::of(facts).into(), boot, at: None }
}

fn failed(document: &mut Value) {
    let service = &mut document["services"]["known"][0];
    service["state"] = json!("stopped");
    service["exit_code"] = json!(1067);
}

fn said(differences: &[Difference]) -> Vec<(DifferenceKind, String)> {
    differences.iter().map(|difference| (difference.kind, difference.about.to_string())).collect()
}

#[test]
fn only_services_past_their_start_run_well() {
    let facts = facts(|_| {});
    let names: Vec<String> = running(&facts).iter().map(|running| running.service.to_string()).collect();
    assert_eq!(names, ["ErpServer"]);
    let ports: Vec<String> = ran(&facts, RanIn::Present).running.ports.iter().map(ToString::to_string).collect();
    assert_eq!(ports, ["tcp/8123"], "a drawn port is not its own");
}

#[test]
fn tells_what_became_different() {
    let good = facts(|_| {});
    let now = facts(|document| {
        failed(document);
        document["services"]["known"][0]["account"] = json!("EXAMPLE\\erp");
        document["sockets"]["known"][0]["services"] = json!(["Other"]);
        document["updates"]["known"] =
            json!([{ "source": "uninstall_entry", "id": "x", "kb": "KB5031364", "state": "installed" }]);
        document["host"]["known"]["os"]["revision"] = json!(2031);
        document["port_policy"]["known"] =
            json!({ "max_user_port": { "known": 65534 }, "ntds_port": { "known": 50000 } });
    });
    let last = ran(&good, RanIn::Present).last_good(&now).unwrap();
    assert_eq!(
        said(&last.differences),
        [
            (DifferenceKind::Update, "KB5031364".to_owned()),
            (DifferenceKind::Update, "KB5030000".to_owned()),
            (DifferenceKind::Port, "tcp/8123".to_owned()),
            (DifferenceKind::PortPolicy, "MaxUserPort".to_owned()),
            (DifferenceKind::Version, "Windows".to_owned()),
            (DifferenceKind::Service, "the account of the service".to_owned()),
        ],
        "the port of NTDS could not be read then, so it is no difference"
    );
}

#[test]
fn an_update_of_the_boot_before_took_effect_with_this_one() {
    let good = facts(|document| {
        document["updates"]["known"][0]["installed_at"] = json!("2026-10-01T06:00:00Z");
    });
    let now = facts(|document| {
        failed(document);
        document["updates"]["known"][0]["installed_at"] = json!("2026-10-01T06:00:00Z");
    });
    let booted_at = good.host.known().unwrap().booted_at;
    let told = |boot| said(&ran(&good, boot).last_good(&now).unwrap().differences);
    assert_eq!(told(RanIn::Earlier(booted_at)), [(DifferenceKind::Update, "KB5030000".to_owned())]);
    assert!(told(RanIn::Present).is_empty());
}

#[test]
fn what_is_unknown_is_no_difference() {
    let good = facts(|_| {});
    let now = facts(|document| {
        failed(document);
        for section in ["sockets", "updates", "port_policy", "host"] {
            document[section] = json!({ "unknown": "gone" });
        }
    });
    assert!(ran(&good, RanIn::Present).last_good(&now).unwrap().differences.is_empty());
    assert!(ran(&good, RanIn::Present).last_good(&good).is_none(), "it runs");
}
