//! When an update counts as there, and when its fault counts as mended: every source and state, aliases, superseded
//! updates, builds and later rollups.

#![expect(clippy::unwrap_used, reason = "a test that cannot make its input must fail")]

use rules::catalog::Catalog;
use rules::check;
use rules::finding::Confidence;
use rules::history::History;
use serde_json::{Value, json};

/// A domain controller with this build and these rows.
fn judged(os: (u32, u32, u32, Option<u32>), rows: &[Value], rule: &str) -> &'static str {
    let (major, minor, build, revision) = os;
    let document = json!({
        "schema": "portreeve.facts/1", "collected_at": "2026-10-15T08:00:00Z",
        "host": { "known": {
            "name": "DC1", "domain": "example.test", "domain_controller": true,
            "os": { "name": "Windows Server", "major": major, "minor": minor, "build": build, "revision": revision },
            "booted_at": "2026-10-01T06:00:00Z", "products": { "known": [] }, "roles": { "known": ["domain-controller"] },
        } },
        "sockets": { "known": [] },
        "services": { "known": [{ "name": "NTDS", "state": "running", "start": "auto" }] },
        "updates": { "known": rows },
        "port_policy": { "known": {} },
        "events": { "known": [] },
    });
    let facts = check::parse_facts(document.to_string().as_bytes()).unwrap();
    let judgement = rules::judge(&facts, &Catalog::builtin(), &History::default());
    if judgement.cannot_tell.iter().any(|cannot_tell| cannot_tell.rule == rule) {
        return "cannot tell";
    }
    match judgement.findings.iter().find(|finding| finding.rule == rule).map(|finding| finding.confidence) {
        Some(Confidence::Certain) => "certain",
        Some(Confidence::Likely) => "likely",
        Some(Confidence::Possible) => "possible",
        None => "none",
    }
}

fn row(source: &str, kb: &str, state: &str) -> Value {
    json!({ "source": source, "id": format!("{source}-{kb}-{state}"), "kb": kb, "state": state })
}

fn titled(source: &str, kb: &str, title: &str) -> Value {
    json!({ "source": source, "id": format!("{source}-{kb}"), "kb": kb, "title": title, "state": "installed" })
}

const LEAK: &str = "bad-update/mar2024-dc-lsass-leak";
const SERVER_2019: (u32, u32, u32, Option<u32>) = (10, 0, 17763, Some(5576));
const SERVER_2012_R2: (u32, u32, u32, Option<u32>) = (6, 3, 9600, None);

#[test]
fn a_state_counts_as_what_it_says() {
    for (state, source, expected) in [
        ("installed", "component_package", "certain"),
        ("installed", "uninstall_entry", "certain"),
        ("installed", "installer_patch", "certain"),
        ("installed", "capture", "certain"),
        ("installed", "update_history", "possible"),
        ("uninstall_pending", "component_package", "certain"),
        ("install_pending", "component_package", "none"),
        ("superseded", "component_package", "none"),
        ("staged", "component_package", "none"),
        ("staged", "offer", "none"),
        ("failed", "update_history", "none"),
        ("failed", "component_package", "none"),
        ("absent", "component_package", "none"),
    ] {
        assert_eq!(judged(SERVER_2019, &[row(source, "KB5035849", state)], LEAK), expected, "{source} {state}");
    }
}

#[test]
fn lists_that_contradict_each_other_are_weighed() {
    let history = row("update_history", "KB5035849", "installed");
    for (other, expected) in [
        (row("component_package", "KB5035849", "installed"), "certain"),
        (row("component_package", "KB5035849", "absent"), "none"),
        (row("component_package", "KB5035849", "superseded"), "none"),
        (row("offer", "KB5035849", "staged"), "none"),
        (row("update_history", "KB5035849", "failed"), "possible"),
    ] {
        assert_eq!(judged(SERVER_2019, &[history.clone(), other.clone()], LEAK), expected, "{other}");
    }
}

#[test]
fn any_number_of_the_same_thing_counts() {
    let named = |id: &str, kb: Option<&str>, aliases: &[&str], title: &str| json!({ "source": "component_package", "id": id, "kb": kb, "aliases": aliases, "title": title, "state": "installed" });
    for (row, expected) in [
        (named("x", Some("KB5035849"), &[], ""), "certain"),
        (named("x", Some("kb5035849"), &[], ""), "certain"),
        (named("x", None, &["5035849"], ""), "certain"),
        (named("x", Some("KB1111111"), &["KB5035849"], ""), "certain"),
        (named("Package_for_KB5035849~31bf3856ad364e35~amd64~~17763.5576.1.8", None, &[], ""), "certain"),
        (named("x", None, &[], "2024-03 Cumulative Update for Windows Server 2019 (KB5035849)"), "certain"),
        // The package of a cumulative update names its build only.
        (named("Package_for_RollupFix~31bf3856ad364e35~amd64~~17763.5576.1.8", None, &[], ""), "certain"),
        (named("Package_for_RollupFix~31bf3856ad364e35~amd64~~17763.5575.1.8", None, &[], ""), "none"),
        (named("x", Some("KB50358490"), &[], ""), "none"),
        (named("x", None, &[], "5035849"), "none"),
    ] {
        assert_eq!(judged(SERVER_2019, std::slice::from_ref(&row), LEAK), expected, "{row}");
    }
}

#[test]
fn a_build_at_or_above_the_fixed_one_is_mended() {
    let bad = row("component_package", "KB5035849", "installed");
    for (revision, expected) in [
        (Some(5576), "certain"),
        (Some(5578), "certain"),
        (Some(5579), "none"),
        (Some(6000), "none"),
        (None, "possible"),
    ] {
        let os = (10, 0, 17763, revision);
        assert_eq!(judged(os, std::slice::from_ref(&bad), LEAK), expected, "{revision:?}");
    }
}

/// The builds of one release say nothing of another one.
#[test]
fn a_build_of_another_release_mends_nothing() {
    const LOOP: &str = "bad-update/apr2026-dc-lsass-restart-loop";
    const RESTARTS: &str = "bad-update/jan2022-dc-reboot-loop";
    // Version 23H2 (25398) is newer than Server 2022 (20348), and has builds of its own.
    let on_23h2 = |revision| (10, 0, 25398, Some(revision));
    let bad = [row("component_package", "KB5082060", "installed")];
    assert_eq!(judged(on_23h2(2274), &bad, LOOP), "possible");
    assert_eq!(judged(on_23h2(2276), &bad, LOOP), "none");
    let bad = [row("component_package", "KB5009543", "installed")];
    assert_eq!(judged((10, 0, 19042, Some(1466)), &bad, RESTARTS), "certain");
    assert_eq!(judged((10, 0, 19044, Some(1466)), &bad, RESTARTS), "certain");
    assert_eq!(judged((10, 0, 19042, Some(1469)), &bad, RESTARTS), "none");
}

#[test]
fn a_fix_or_a_later_rollup_mends_where_builds_say_nothing() {
    let bad = row("capture", "KB5035885", "installed");
    let rollup = |source, month| {
        titled(
            source,
            "KB5036960",
            &format!("{month} Security Monthly Quality Rollup for Windows Server 2012 R2 (KB5036960)"),
        )
    };
    for (other, expected) in [
        (row("capture", "KB1111111", "installed"), "certain"),
        (row("capture", "KB5037426", "installed"), "none"),
        (row("capture", "KB5037426", "superseded"), "none"),
        (row("capture", "KB5037426", "failed"), "certain"),
        (row("capture", "KB5037426", "install_pending"), "certain"),
        (row("update_history", "KB5037426", "installed"), "possible"),
        (rollup("capture", "2024-04"), "none"),
        (rollup("capture", "2024-03"), "certain"),
        (rollup("capture", "2023-12"), "certain"),
        (rollup("update_history", "2024-04"), "possible"),
        (titled("capture", "KB5036932", "2024-04 Security Only Quality Update for Windows Server 2012 R2"), "certain"),
        (titled("capture", "KB5036621", "2024-04 Cumulative Update for .NET Framework for Windows Server"), "certain"),
    ] {
        assert_eq!(judged(SERVER_2012_R2, &[bad.clone(), other.clone()], LEAK), expected, "{other}");
    }
    // The title may stand in one list and the state in another.
    let listed = row("component_package", "KB5036960", "installed");
    assert_eq!(judged(SERVER_2012_R2, &[bad, rollup("update_history", "2024-04"), listed], LEAK), "none");
}

/// Where the harm is that it does not install, it is over once it is installed.
#[test]
fn a_failed_installation_is_the_harm_of_some() {
    const RULE: &str = "bad-update/oct2023-2019-install-fail";
    let failed = row("update_history", "KB5031361", "failed");
    let below = (10, 0, 17763, Some(4851));
    assert_eq!(judged(below, std::slice::from_ref(&failed), RULE), "possible");
    assert_eq!(judged(below, &[row("component_package", "KB5031361", "installed")], RULE), "none");
    assert_eq!(judged(below, &[failed.clone(), row("component_package", "KB5031361", "installed")], RULE), "none");
    assert_eq!(judged(below, &[failed.clone(), row("update_history", "KB5031361", "installed")], RULE), "none");
    // A later update came through.
    assert_eq!(judged((10, 0, 17763, Some(4974)), std::slice::from_ref(&failed), RULE), "none");
    assert_eq!(judged((10, 0, 17763, Some(9247)), &[failed], RULE), "none");
}

/// Faults that no update brings are seen by their conditions, on the releases that have them.
#[test]
fn a_fault_of_a_release_needs_no_number() {
    const RULE: &str = "bad-update/server2025-dc-firewall-profile";
    for (revision, expected) in
        [(Some(2033), "certain"), (Some(4348), "certain"), (Some(4349), "none"), (None, "cannot tell")]
    {
        assert_eq!(judged((10, 0, 26100, revision), &[], RULE), expected, "{revision:?}");
    }
    assert_eq!(judged(SERVER_2019, &[], RULE), "none");
    assert_eq!(judged((10, 0, 26100, Some(2033)), &[row("component_package", "KB5060842", "installed")], RULE), "none");
}

/// Each update with the fault is named by its own number, and what is recalled of it is said so.
#[test]
fn a_sibling_is_named_by_its_own_number() {
    let document = json!({
        "schema": "portreeve.facts/1",
        "host": { "known": {
            "name": "MAIL", "os": { "name": "Windows Server 2016", "major": 10, "minor": 0, "build": 14393, "revision": 9514 },
            "products": { "known": [{ "id": "exchange-server", "name": "Exchange", "version": "15.1.2507.17" }] },
        } },
        "updates": { "known": [row("installer_patch", "KB5008631", "installed")] },
    });
    let facts = check::parse_facts(document.to_string().as_bytes()).unwrap();
    let judgement = rules::judge(&facts, &Catalog::builtin(), &History::default());
    let found = judgement.findings.iter().find(|finding| finding.rule == "bad-update/exch-mar2021-su-not-elevated");
    let finding = found.unwrap();
    assert_eq!(finding.subject["kb"], "KB5008631");
    assert!(finding.title.starts_with("KB5008631 may leave"), "{}", finding.title);
    assert!(finding.cause.contains("That KB5008631 does this is recalled, not verified."), "{}", finding.cause);
}
