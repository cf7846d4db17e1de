//! What a report adds to the ledger, from tables of what was so.

use chrono::{DateTime, TimeDelta, Utc};
use rules::catalog::Catalog;
use rules::facts::{DynamicRange, Event, EventDatum, Facts, Host, PortPolicy, Section, Service, Socket};

use super::{Basis, Entry, Extent, Gone, Kind, LedgerChange, ShutdownKind, change};
use crate::ingest::skew::HostClock;
use crate::ingest::state::HostState;

fn booted() -> DateTime<Utc> {
    "2026-03-02T03:01:12Z".parse().unwrap()
}

fn at(second: i64) -> DateTime<Utc> {
    booted() + TimeDelta::seconds(second)
}

fn host(boot: &str) -> Section<Host> {
    let os = r#"{"name": "Windows Server 2008 R2", "major": 6, "minor": 1, "build": 7601}"#;
    let text =
        format!(r#"{{"name": "DC2", "os": {os}, "booted_at": "{}", "boot_id": "{boot}"}}"#, booted().to_rfc3339());
    Section::Known(serde_json::from_str(&text).unwrap())
}

fn socket(port: &str, process: &str, pid: u32, bound: Option<i64>) -> Socket {
    let (protocol, number) = port.split_once('/').unwrap();
    serde_json::from_value(serde_json::json!({
        "protocol": protocol, "address": "0.0.0.0", "port": number.parse::<u16>().unwrap(), "pid": pid, "image": process,
        "state": if protocol == "tcp" { "listen" } else { "bound" }, "bound_at": bound.map(at),
    }))
    .unwrap()
}

fn service(name: &str, state: &str, code: Option<u32>, since: Option<i64>) -> Service {
    let service = serde_json::json!({ "name": name, "state": state, "exit_code": code, "state_since": since.map(at) });
    serde_json::from_value(service).unwrap()
}

fn event(record_id: u64, second: i64, provider: &str, id: u32, service: Option<&str>, data: &[&str]) -> Event {
    Event {
        log: "System".into(),
        record_id,
        at: Some(at(second)),
        provider: provider.into(),
        id,
        service: service.map(Into::into),
        data: data.iter().map(|value| EventDatum { name: None, value: (*value).into() }).collect(),
    }
}

/// The race: DNS drew udp/1812 before IAS wanted it.
fn race() -> Facts {
    let mut sockets = vec![
        socket("udp/53", "dns.exe", 1420, Some(28)),
        socket("udp/1812", "dns.exe", 1420, Some(28)),
        socket("tcp/135", "svchost.exe", 700, None),
        socket("tcp/49664", "lsass.exe", 524, Some(8)),
    ];
    sockets.extend((55_000..57_500).map(|port| socket(&format!("udp/{port}"), "dns.exe", 1420, Some(29))));
    Facts {
        collected_at: Some(at(90)),
        host: host("one"),
        sockets: Section::Known(sockets),
        services: Section::Known(vec![
            service("IAS", "stopped", Some(10048), Some(59)),
            service("DNS", "running", Some(0), Some(27)),
            service("Dhcp", "running", Some(0), None),
            service("Fax", "stopped", Some(1077), None),
            service("sppsvc", "stopped", Some(0), None),
        ]),
        events: Section::Known(vec![
            event(1, 1, "Microsoft-Windows-Kernel-General", 12, None, &[]),
            event(2, 3, "EventLog", 6008, None, &[]),
            event(3, 59, "Service Control Manager", 7023, Some("IAS"), &["IAS", "%%10048"]),
            event(4, 60, "Service Control Manager", 7040, None, &["BITS"]),
            event(5, -90, "User32", 1074, None, &[]),
        ]),
        ..Facts::default()
    }
}

/// What a stream that has told `before` adds by telling `after`.
fn told(before: Option<&Facts>, after: &Facts) -> Option<LedgerChange> {
    told_by(&HostClock::stored(0), before, after)
}

fn told_by(clock: &HostClock, before: Option<&Facts>, after: &Facts) -> Option<LedgerChange> {
    let mut state = HostState::default();
    if let Some(before) = before {
        state.apply(rules::delta::diff(&Facts::default(), before), before.collected_at, clock).unwrap();
    }
    let known = before.and_then(super::boot_of).cloned();
    let delta = rules::delta::diff(before.unwrap_or(&Facts::default()), after);
    let rows = state.apply(delta, after.collected_at, clock).unwrap();
    let extent = if super::boot_of(state.facts()) == known.as_ref() { Extent::Changed } else { Extent::Whole };
    change((extent, None), &state, &rows, &Catalog::builtin(), at(1_000))
}

fn line(entry: &Entry) -> String {
    let second = (entry.at - booted()).num_seconds();
    let what = match &entry.ports {
        Some(ports) if entry.kind == Kind::Pool => {
            format!("{} {}-{} {}", ports.count, ports.first, ports.last, ports.protocol)
        }
        Some(ports) => format!("{}/{}", ports.protocol, ports.first),
        None => entry.services.first().map(ToString::to_string).unwrap_or_default(),
    };
    let code = entry.exit_code.map(|code| format!(" {code}")).unwrap_or_default();
    format!("{second} {:?} {:?} {what}{code}", entry.kind, entry.basis).trim_end().to_owned()
}

fn lines(change: &LedgerChange) -> Vec<String> {
    let mut lines: Vec<(DateTime<Utc>, String)> = change.entries.iter().map(|entry| (entry.at, line(entry))).collect();
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect()
}

#[test]
fn a_boot_is_told_in_order_with_what_each_time_is() {
    let change = told(None, &race()).unwrap();
    let expected = [
        "1 Noted Event",
        "3 Noted Event",
        "27 Runs Watched DNS",
        "28 Bound BindTime udp/1812",
        "28 Bound BindTime udp/53",
        "29 Pool BindTime 2500 55000-57499 udp",
        "59 Failed Event IAS 10048",
        "59 Failed Watched IAS 10048",
        "90 Bound Seen tcp/135",
        "90 Runs Seen Dhcp",
    ];
    assert_eq!(lines(&change), expected);
    assert!(change.ended_unexpectedly_before && change.shutdown.is_none() && change.sockets_seen);
    assert_eq!((&*change.boot_id, change.extent), ("one", Extent::Whole));
}

#[test]
fn only_what_changed_is_added_and_told_again_it_is_the_same() {
    let (before, mut after) = (race(), race());
    after.collected_at = Some(at(300));
    let Section::Known(sockets) = &mut after.sockets else { unreachable!() };
    sockets.retain(|socket| socket.port != 1812);
    sockets.push(socket("udp/1812", "svchost.exe", 900, Some(200)));
    let Section::Known(services) = &mut after.services else { unreachable!() };
    services[0] = service("IAS", "running", Some(0), Some(199));
    let Section::Known(events) = &mut after.events else { unreachable!() };
    events.push(event(6, 250, "User32", 1074, None, &[]));
    let added = told(Some(&before), &after).unwrap();
    assert_eq!(lines(&added), ["199 Runs Watched IAS", "200 Bound BindTime udp/1812", "250 Noted Event"]);
    assert_eq!(added.gone.len(), 1);
    assert_eq!(added.shutdown.map(|shutdown| shutdown.kind), Some(ShutdownKind::Asked));

    let whole = told(None, &after).unwrap();
    let keys: Vec<i64> = whole.entries.iter().map(|entry| entry.key).collect();
    assert!(added.entries.iter().all(|entry| keys.contains(&entry.key)));
    let again = told(Some(&after), &after).unwrap();
    assert!(!again.adds() && again.gone.is_empty());
}

/// By the key of what the host said, which a corrected time is not.
#[test]
fn a_bind_of_a_host_whose_clock_is_off_ends_where_it_was_told() {
    let clock = HostClock::stored(90_000);
    let (before, mut after) = (race(), race());
    let Section::Known(sockets) = &mut after.sockets else { unreachable!() };
    sockets.retain(|socket| socket.port != 1812);
    let whole = told_by(&clock, None, &before).unwrap();
    let gone = told_by(&clock, Some(&before), &after).unwrap().gone;
    let bind = |entry: &Entry| Some(Gone { entry: entry.key, socket: entry.ports.as_ref()?.socket? });
    let ended = whole.entries.iter().filter_map(bind).filter(|bind| gone.contains(bind)).count();
    assert_eq!((gone.len(), ended), (1, 1));
}

#[test]
fn another_boot_is_told_whole_even_where_nothing_else_changed() {
    let (before, mut after) = (race(), race());
    after.host = host("two");
    let change = told(Some(&before), &after).unwrap();
    assert_eq!((&*change.boot_id, change.extent, change.entries.len()), ("two", Extent::Whole, 10));
}

#[test]
fn a_time_before_the_boot_is_not_believed() {
    let mut facts = race();
    facts.sockets = Section::Known(vec![socket("udp/53", "dns.exe", 1420, Some(-86_400))]);
    facts.services = Section::Known(vec![service("IAS", "stopped", Some(10048), Some(-86_400))]);
    facts.events = Section::Known(vec![event(1, -86_400, "Service Control Manager", 7023, Some("IAS"), &[])]);
    assert_eq!(lines(&told(None, &facts).unwrap()), ["90 Bound Seen udp/53", "90 Failed Seen IAS 10048"]);
}

#[test]
fn a_port_is_fixed_by_range_by_choice_or_by_claim() {
    let cases = [
        ("udp/1812", None, None, true),
        ("udp/40000", None, None, true),
        ("udp/55000", None, None, false),
        ("udp/55000", Some(true), None, true),
        ("udp/40000", Some(false), None, false),
        ("tcp/55000", None, None, false),
        ("tcp/3101", None, Some("1025-65535"), true),
        ("tcp/3102", None, Some("1025-65535"), false),
    ];
    for (port, specific_port, range, expected) in cases {
        let policy = range.map(|range| {
            let both =
                |protocol| DynamicRange { protocol, family: rules::ports::Family::Ipv4, range: range.parse().unwrap() };
            let ranges = [rules::ports::Protocol::Tcp, rules::ports::Protocol::Udp].map(both).to_vec();
            Section::Known(PortPolicy { dynamic_ranges: Section::Known(ranges), ..PortPolicy::default() })
        });
        let facts = Facts {
            host: host("one"),
            collected_at: Some(at(90)),
            sockets: Section::Known(vec![Socket { specific_port, ..socket(port, "x.exe", 9, None) }]),
            port_policy: policy.unwrap_or_default(),
            ..Facts::default()
        };
        let is_there = !told(None, &facts).unwrap().entries.is_empty();
        assert_eq!(is_there, expected, "{port} {specific_port:?} {range:?}");
    }
}

#[test]
fn captures_and_hosts_that_name_no_boot_have_none() {
    let mut capture = race();
    let Section::Known(told_host) = &mut capture.host else { unreachable!() };
    told_host.collected_by = rules::facts::CollectedBy::Capture;
    assert_eq!(told(None, &capture), None);
    let unknown = Facts { host: Section::Unknown("access denied".into()), ..race() };
    assert_eq!(told(None, &unknown), None);
}

#[test]
fn learning_whose_a_socket_is_makes_no_second_bind() {
    let (mut before, mut after) = (race(), race());
    before.sockets = Section::Known(vec![socket("udp/1812", "svchost.exe", 900, Some(60))]);
    let named = Socket { services: vec!["IAS".into()], ..socket("udp/1812", "svchost.exe", 900, Some(60)) };
    after.sockets = Section::Known(vec![named]);
    let (first, second) = (told(None, &before).unwrap(), told(Some(&before), &after).unwrap());
    let bound = first.entries.iter().find(|entry| entry.kind == Kind::Bound).unwrap();
    assert_eq!((second.entries[0].key, second.gone.len()), (bound.key, 1));
    assert_eq!(second.entries[0].basis, Basis::BindTime);
}
