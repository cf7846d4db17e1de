//! What a port rule must not mistake: each exception by name, on a host that holds little else, with the host on which the
//! same facts are a fault beside it.

#![expect(clippy::unwrap_used, reason = "a test that cannot make its input must fail")]

use rules::catalog::Catalog;
use rules::check;
use rules::facts::Facts;
use rules::finding::{Confidence, Finding, Judgement};
use rules::history::{History, Hold, LearnedClaim, Seen};
use serde_json::{Value, json};

const SERVER_2003: (u32, u32, u32) = (5, 2, 3790);
const SERVER_2008: (u32, u32, u32) = (6, 0, 6003);
const SERVER_2008_R2: (u32, u32, u32) = (6, 1, 7601);
const SERVER_2019: (u32, u32, u32) = (10, 0, 17763);

struct Host {
    os: (u32, u32, u32),
    services: Vec<Value>,
    sockets: Vec<Value>,
    policy: Value,
}

impl Host {
    /// `IAS running auto 900`, `IAS stopped auto 1066/10048`; `udp/1812 900 svchost.exe IAS @0.0.0.0`.
    fn new(os: (u32, u32, u32), services: &[&str], sockets: &[&str]) -> Self {
        let range =
            |protocol: &str, family: &str| json!({ "protocol": protocol, "family": family, "range": "49152-65535" });
        let later = if os.0 < 6 { json!({ "unknown": "Server 2003 has none" }) } else { json!({ "known": [] }) };
        let ranges: Vec<Value> =
            ["tcp", "udp"].iter().flat_map(|protocol| ["ipv4", "ipv6"].map(|family| range(protocol, family))).collect();
        let policy = json!({
            "dynamic_ranges": { "known": ranges }, "exclusions": later, "persistent_exclusions": later,
            "reserved_ports": { "known": [] }, "max_user_port": { "known": null },
            "dns_socket_pool": { "known": { "excluded": [] } },
            "ntds_port": { "known": null }, "netlogon_port": { "known": null },
        });
        Self {
            os,
            services: services.iter().map(|line| service(line)).collect(),
            sockets: sockets.iter().map(|line| socket(line)).collect(),
            policy,
        }
    }

    fn with(mut self, name: &str, value: Value) -> Self {
        self.policy[name] = Value::Object([("known".to_owned(), value)].into_iter().collect());
        self
    }

    fn facts(&self) -> Facts {
        let (major, minor, build) = self.os;
        let document = json!({
            "schema": "portreeve.facts/1", "collected_at": "2026-03-02T08:00:00Z",
            "host": { "known": {
                "name": "SRV1", "domain_controller": false, "booted_at": "2026-03-02T03:00:00Z",
                "os": { "name": "Windows Server", "major": major, "minor": minor, "build": build },
                "products": { "known": [] }, "roles": { "known": [] },
            } },
            "services": { "known": self.services }, "sockets": { "known": self.sockets },
            "updates": { "known": [{ "source": "capture", "id": "KB951746", "kb": "KB951746", "state": "installed" }] },
            "port_policy": { "known": self.policy }, "events": { "known": [] }, "connections": { "known": {} },
        });
        check::parse_facts(document.to_string().as_bytes()).unwrap()
    }

    fn judged(&self, history: &History) -> Judgement {
        rules::judge(&self.facts(), &Catalog::builtin(), history)
    }

    /// `blocked IAS udp/1812`, of the port rules alone.
    fn found(&self) -> Vec<String> {
        let judgement = self.judged(&History::default());
        judgement.findings.iter().filter_map(shown).collect()
    }

    fn confidence(&self) -> Option<Confidence> {
        self.judged(&History::default())
            .findings
            .iter()
            .find(|finding| shown(finding).is_some())
            .map(|finding| finding.confidence)
    }
}

fn shown(finding: &Finding) -> Option<String> {
    let rule = finding.rule.strip_prefix("port-conflict/")?;
    let of = |name: &str| finding.subject.get(name).cloned().unwrap_or_default();
    Some(format!("{rule} {} {}", of("service"), of("port")))
}

fn service(line: &str) -> Value {
    let words: Vec<&str> = line.split(' ').collect();
    let [name, state, start, last] = words[..] else { panic!("`{line}` has four words") };
    let mut service = json!({ "name": name.replace('_', " "), "state": state, "start": start });
    if state == "running" {
        service["pid"] = json!(last.parse::<u32>().unwrap());
        return service;
    }
    let (code, of_service) = last.split_once('/').map_or((last, None), |(code, own)| (code, Some(own)));
    service["state_since"] = json!("2026-03-02T03:02:00Z");
    service["exit_code"] = json!(code.parse::<u32>().unwrap());
    service["service_exit_code"] = json!(of_service.map(|own| own.parse::<u32>().unwrap()));
    service
}

fn socket(line: &str) -> Value {
    let mut words = line.split(' ');
    let (protocol, port) = words.next().unwrap().split_once('/').unwrap();
    let mut socket = json!({
        "protocol": protocol, "port": port.parse::<u16>().unwrap(), "address": "0.0.0.0",
        "pid": words.next().unwrap().parse::<u32>().unwrap(), "image": words.next().unwrap(),
        "state": if protocol == "tcp" { "listen" } else { "bound" },
    });
    for word in words {
        match word.strip_prefix('@') {
            Some(address) => socket["address"] = json!(address),
            None => socket["services"] = json!([word.replace('_', " ")]),
        }
    }
    socket
}

/// A DNS server, and a service that holds udp/61184 beside it.
fn password_server(os: (u32, u32, u32)) -> Host {
    Host::new(
        os,
        &["DNS running auto 1420", "AdmPwd.PDS running auto 1700"],
        &["udp/61184 1700 AdmPwd.PDS.exe AdmPwd.PDS"],
    )
}

fn radius_server(os: (u32, u32, u32)) -> Host {
    let sockets = ["udp/1645", "udp/1646", "udp/1812", "udp/1813"].map(|port| format!("{port} 900 svchost.exe IAS"));
    let sockets: Vec<&str> = sockets.iter().map(String::as_str).collect();
    Host::new(os, &["DNS running auto 1420", "IAS running auto 900"], &sockets)
}

#[test]
fn max_user_port_is_an_upper_bound_on_2003() {
    assert_eq!(radius_server(SERVER_2003).found(), [""; 0]);
    assert_eq!(radius_server(SERVER_2003).with("max_user_port", json!(60000)).found().len(), 4);
    assert_eq!(
        radius_server(SERVER_2003).with("max_user_port", json!(1700)).found(),
        ["at-risk IAS udp/1645", "at-risk IAS udp/1646"]
    );
}

#[test]
fn max_user_port_is_a_count_on_2008() {
    assert_eq!(radius_server(SERVER_2008).with("max_user_port", json!(60000)).found(), [""; 0]);
    assert_eq!(password_server(SERVER_2008).found(), ["at-risk AdmPwd.PDS udp/61184"]);
    assert_eq!(
        password_server(SERVER_2008).with("max_user_port", json!(12_032)).found(),
        ["at-risk AdmPwd.PDS udp/61184"]
    );
    assert_eq!(password_server(SERVER_2008).with("max_user_port", json!(12_031)).found(), [""; 0]);
}

#[test]
fn max_user_port_is_ignored_later() {
    for value in [json!(5000), json!(60000)] {
        assert_eq!(
            password_server(SERVER_2008_R2).with("max_user_port", value.clone()).found(),
            ["at-risk AdmPwd.PDS udp/61184"]
        );
        assert_eq!(radius_server(SERVER_2019).with("max_user_port", value).found(), [""; 0]);
    }
}

#[test]
fn reserved_ports_count_on_2003_alone() {
    let reserved = json!(["1645-1646", "1812"]);
    let old = radius_server(SERVER_2003).with("max_user_port", json!(60000)).with("reserved_ports", reserved);
    assert_eq!(old.found(), ["at-risk IAS udp/1813"]);
    let new = password_server(SERVER_2019).with("reserved_ports", json!(["61184"]));
    assert_eq!(new.found(), ["at-risk AdmPwd.PDS udp/61184"]);
}

#[test]
fn the_pool_has_the_size_that_is_set() {
    let probability = |host: Host| {
        let judgement = host.judged(&History::default());
        judgement.findings.iter().find_map(|finding| finding.probability)
    };
    let of_size = |size: u32| {
        probability(password_server(SERVER_2019).with("dns_socket_pool", json!({ "size": size, "excluded": [] })))
    };
    let close = |a: Option<f64>, b: f64| assert!((a.unwrap() - b).abs() < 1e-9, "{a:?} {b}");
    assert_eq!(of_size(0), None);
    close(of_size(1000), 1000.0 / 16_384.0);
    close(probability(password_server(SERVER_2019)), 2500.0 / 16_384.0);
    close(of_size(10_000), 10_000.0 / 16_384.0);
}

#[test]
fn the_pool_leaves_out_what_it_is_told_to() {
    let left_out =
        |range: &str| password_server(SERVER_2019).with("dns_socket_pool", json!({ "excluded": [range] })).found();
    assert_eq!(left_out("61000-61999"), [""; 0]);
    assert_eq!(left_out("61185-61999"), ["at-risk AdmPwd.PDS udp/61184"]);
}

#[test]
fn exclusions_count_for_their_protocol_and_family() {
    let excluded = |protocol: &str, family: Option<&str>| {
        let exclusion = json!({ "protocol": protocol, "family": family, "range": "61184", "administered": true });
        password_server(SERVER_2019).with("exclusions", json!([exclusion])).found()
    };
    assert_eq!(excluded("udp", None), [""; 0]);
    assert_eq!(excluded("udp", Some("ipv4")), [""; 0]);
    assert_eq!(excluded("udp", Some("ipv6")), ["at-risk AdmPwd.PDS udp/61184"]);
    assert_eq!(excluded("tcp", None), ["at-risk AdmPwd.PDS udp/61184"]);
}

#[test]
fn an_administered_exclusion_is_bindable() {
    let in_block = |administered: bool| {
        let block = json!({ "protocol": "tcp", "range": "8000-8099", "administered": administered });
        Host::new(SERVER_2019, &["Tomcat9 stopped auto 10013"], &[]).with("exclusions", json!([block])).found()
    };
    assert_eq!(in_block(true), [""; 0]);
    assert!(in_block(false).contains(&"blocked Tomcat9 tcp/8080".to_owned()), "{:?}", in_block(false));
}

#[test]
fn a_fixed_port_of_the_directory_service_ends_the_risk() {
    let host = || {
        Host::new(
            SERVER_2003,
            &["BlackBerry_Router running auto 1800", "NTDS running auto 620"],
            &["tcp/3101 1800 router.exe BlackBerry_Router"],
        )
    };
    let on_controller = |host: Host| {
        let mut facts = host.facts();
        if let rules::facts::Section::Known(known) = &mut facts.host {
            known.domain_controller = Some(true);
        }
        rules::judge(&facts, &Catalog::builtin(), &History::default())
    };
    let open = on_controller(host());
    assert_eq!(open.findings.iter().filter_map(shown).collect::<Vec<_>>(), ["at-risk BlackBerry Router tcp/3101"]);
    assert_eq!(open.findings[0].probability, None);
    let fixed = on_controller(host().with("ntds_port", json!(50000)).with("netlogon_port", json!(50001)));
    assert_eq!(fixed.findings.iter().filter_map(shown).count(), 0);
    let reserved = on_controller(host().with("reserved_ports", json!(["3101"])));
    assert_eq!(reserved.findings.iter().filter_map(shown).count(), 0);
}

#[test]
fn sites_of_http_sys_share_a_port() {
    let services = &["W3SVC running auto 1200", "PeerDistSvc stopped auto 1067", "WinRM running auto 1300"];
    assert_eq!(Host::new(SERVER_2019, services, &["tcp/80 4 System", "tcp/5985 4 System"]).found(), [""; 0]);
    assert_eq!(
        Host::new(SERVER_2019, &["W3SVC stopped auto 32"], &["tcp/80 3300 httpd.exe Apache2.4"]).found(),
        ["blocked W3SVC tcp/80"]
    );
}

#[test]
fn the_ipsec_services_share_their_ports() {
    let services = &["IKEEXT running auto 700", "PolicyAgent stopped auto 1067"];
    let held = |image: &str, service: &str| {
        let sockets = [500, 4500].map(|port| format!("udp/{port} 700 {image} {service}"));
        Host::new(SERVER_2019, services, &[&sockets[0], &sockets[1]]).found()
    };
    assert_eq!(held("svchost.exe", "IKEEXT"), [""; 0]);
}

#[test]
fn file_sharing_is_the_kernel() {
    assert_eq!(Host::new(SERVER_2019, &["LanmanServer stopped auto 1067"], &["tcp/445 4 System"]).found(), [""; 0]);
    assert_eq!(
        Host::new(SERVER_2019, &["LanmanServer stopped auto 1067"], &["tcp/445 3300 smbd.exe"]).found(),
        ["blocked LanmanServer tcp/445"]
    );
}

#[test]
fn addresses_overlap_or_do_not() {
    let held_at = |address: &str, code: &str| {
        Host::new(
            SERVER_2019,
            &[&format!("IAS stopped auto {code}")],
            &[&format!("udp/1812 1420 dns.exe DNS @{address}")],
        )
        .confidence()
    };
    assert_eq!(held_at("0.0.0.0", "1067"), Some(Confidence::Likely));
    assert_eq!(held_at("::", "1067"), Some(Confidence::Likely));
    assert_eq!(held_at("127.0.0.1", "1067"), Some(Confidence::Possible));
    assert_eq!(held_at("0.0.0.0", "10048"), Some(Confidence::Certain));
}

#[test]
fn disabled_and_manual_services_need_no_port() {
    for start in ["manual", "disabled"] {
        let stopped = format!("IAS stopped {start} 1067");
        assert_eq!(Host::new(SERVER_2019, &[&stopped], &["udp/1812 1420 dns.exe DNS"]).found(), [""; 0]);
        let mut host = password_server(SERVER_2019);
        host.services[1] = service(&format!("AdmPwd.PDS running {start} 1700"));
        assert_eq!(host.found(), [""; 0], "{start}");
    }
}

#[test]
fn the_process_before_a_restart_is_its_own() {
    let mut host =
        Host::new(SERVER_2019, &["Apache2.4 stopped auto 10048"], &[r"tcp/80 3300 C:\Apache24\bin\httpd.exe"]);
    host.services[0]["image_path"] = json!(r#""C:\Apache24\bin\httpd.exe" -k runservice"#);
    assert_eq!(host.found(), [""; 0]);
    host.sockets[0]["image"] = json!(r"C:\other\nginx.exe");
    assert_eq!(host.found(), ["blocked Apache2.4 tcp/80"]);
}

#[test]
fn each_code_says_what_it_says() {
    let with = |code: &str| {
        Host::new(SERVER_2019, &[&format!("IAS stopped auto {code}")], &["udp/1812 1420 dns.exe DNS"]).confidence()
    };
    for (code, expected) in [
        ("10048", Some(Confidence::Certain)),
        ("10013", Some(Confidence::Certain)),
        ("1066/10048", Some(Confidence::Certain)),
        ("1066/10013", Some(Confidence::Certain)),
        ("1066/2147952448", Some(Confidence::Certain)),
        ("1067", Some(Confidence::Likely)),
        ("1066/77", Some(Confidence::Likely)),
        // Of a port that HTTP.sys does not bind it says nothing.
        ("32", Some(Confidence::Likely)),
        ("1068", Some(Confidence::Possible)),
        ("1077", Some(Confidence::Possible)),
        ("0", None),
    ] {
        assert_eq!(with(code), expected, "{code}");
    }
}

/// Nothing in the catalog knows this service.
#[test]
fn a_port_of_earlier_boots_is_a_claim() {
    let history = |seen: Seen| History {
        claims: vec![LearnedClaim { service: "Contoso".into(), port: "tcp/7070".parse().unwrap(), image: None, seen }],
        ..History::default()
    };
    let host = Host::new(SERVER_2019, &["Contoso stopped auto 10048"], &["tcp/7070 3300 other.exe"]);
    let confidence = |seen: Seen| {
        let judgement = host.judged(&history(seen));
        judgement
            .findings
            .iter()
            .find(|finding| shown(finding).as_deref() == Some("blocked Contoso tcp/7070"))
            .map(|finding| finding.confidence)
    };
    assert!(!host.found().iter().any(|found| found.starts_with("blocked")));
    assert_eq!(confidence(Seen::Boots { held: 5, of: 5 }), Some(Confidence::Likely));
    assert_eq!(confidence(Seen::Boots { held: 2, of: 2 }), Some(Confidence::Possible));
    assert_eq!(confidence(Seen::Boots { held: 4, of: 5 }), Some(Confidence::Possible));
    assert_eq!(confidence(Seen::Hosts { held: 9, of: 9 }), Some(Confidence::Possible));
}

/// What draws in turn is told of with the boots that showed it, and without a probability.
#[test]
fn a_port_that_lsass_had_before_is_at_risk() {
    let history = |boots: u32| History {
        holds: vec![Hold { port: "tcp/50389".parse().unwrap(), image: "lsass.exe".into(), boots, of: 12 }],
        ..History::default()
    };
    let claims = vec![LearnedClaim {
        service: "Contoso".into(),
        port: "tcp/50389".parse().unwrap(),
        image: None,
        seen: Seen::Boots { held: 10, of: 10 },
    }];
    let host = Host::new(SERVER_2019, &["Contoso running auto 3300"], &["tcp/50389 3300 contoso.exe Contoso"]);
    let judgement = host.judged(&History { claims: claims.clone(), ..history(2) });
    assert_eq!(judgement.findings.iter().filter_map(shown).collect::<Vec<_>>(), ["at-risk Contoso tcp/50389"]);
    assert_eq!(judgement.findings[0].probability, None);
    assert_eq!(judgement.forecasts[0].boots, Some((2, 12)));
    let never = host.judged(&History { claims, ..history(0) });
    assert_eq!(never, Judgement::default(), "{}", check::render(&never));
}
