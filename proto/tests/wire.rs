//! The bridge between facts and messages, for any facts and for any bytes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use prost::Message as _;
use proto::fleet::v1;
use proto::wire::{self, Assembly, MAX_MESSAGE, Report, WireFault};
use rules::delta;
use rules::facts::{
    CollectedBy, Collector, CollectorState, ConnectionOwner, Connections, DnsSocketPool, DynamicPortUse, DynamicRange,
    Event, EventDatum, Exclusion, Facts, Host, Os, PortPolicy, Product, Recovery, RecoveryAction, RecoveryKind,
    RpcPorts, Section, Service, ServiceState, Socket, SocketState, SqlPort, StartMode, StateCount, TcpState, Update,
    UpdateSource, UpdateState, UrlReservation,
};
use rules::ports::{Family, PortRange, Protocol};
use rules::text::Text;

fn text() -> impl Strategy<Value = Text> {
    prop_oneof!["[a-zA-Z0-9 _.-]{0,12}", ".{0,6}", Just("x".repeat(2000))].prop_map(|raw| Text::new(&raw))
}

fn time() -> impl Strategy<Value = DateTime<Utc>> {
    (-1_000_000_i64..5_000_000_000_000, 0_u32..1_000_000).prop_map(|(milliseconds, nanoseconds)| {
        DateTime::from_timestamp_millis(milliseconds).unwrap() + chrono::TimeDelta::nanoseconds(nanoseconds.into())
    })
}

fn section<T: std::fmt::Debug>(known: impl Strategy<Value = T>) -> impl Strategy<Value = Section<T>> {
    prop_oneof![4 => known.prop_map(Section::Known), 1 => text().prop_map(Section::Unknown)]
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)]
}

fn family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)]
}

fn range() -> impl Strategy<Value = PortRange> {
    (any::<u16>(), any::<u16>()).prop_map(|(a, b)| PortRange::new(a.min(b), a.max(b)).unwrap())
}

fn socket() -> impl Strategy<Value = Socket> {
    let place = (
        protocol(),
        prop_oneof![Just(IpAddr::from([0, 0, 0, 0])), any::<IpAddr>()],
        0_u32..2,
        prop_oneof![1_u16..50, any::<u16>()],
        prop_oneof![Just(SocketState::Listen), Just(SocketState::Bound), Just(SocketState::Connected)],
    );
    let owner = (of(0_u32..3), of(text()), of(time()), vec(text(), 0..3), of(any::<bool>()), of(time()));
    (place, owner).prop_map(|((protocol, address, scope, port, state), owner)| {
        let (pid, image, process_started_at, services, specific_port, bound_at) = owner;
        Socket {
            protocol,
            address,
            scope,
            port,
            state,
            pid,
            image,
            process_started_at,
            services,
            specific_port,
            bound_at,
        }
    })
}

fn recovery() -> impl Strategy<Value = Recovery> {
    let kind = prop_oneof![Just(RecoveryKind::None), Just(RecoveryKind::Restart), Just(RecoveryKind::RestartComputer)];
    let action = (kind, any::<u32>()).prop_map(|(kind, delay_ms)| RecoveryAction { kind, delay_ms });
    (of(any::<u32>()), vec(action, 0..3), of(any::<bool>())).prop_map(
        |(reset_after_seconds, actions, on_error_stop)| Recovery { reset_after_seconds, actions, on_error_stop },
    )
}

fn service() -> impl Strategy<Value = Service> {
    let what = (
        text(),
        text(),
        prop_oneof![Just(ServiceState::Stopped), Just(ServiceState::Running), Just(ServiceState::StartPending)],
        of(prop_oneof![Just(StartMode::Auto), Just(StartMode::Manual), Just(StartMode::Boot)]),
        of(any::<bool>()),
        of(any::<bool>()),
    );
    let codes = (of(0_u32..9), of(any::<u32>()), of(any::<u32>()));
    let how = (codes, of(text()), of(text()), vec(text(), 0..3), of(time()), of(recovery()));
    (what, how).prop_map(|((name, display_name, state, start, delayed, trigger_start), how)| {
        let ((pid, exit_code, service_exit_code), image_path, account, depends_on, state_since, recovery) = how;
        Service {
            name,
            display_name,
            state,
            start,
            delayed,
            trigger_start,
            pid,
            exit_code,
            service_exit_code,
            image_path,
            account,
            depends_on,
            state_since,
            recovery,
        }
    })
}

fn update() -> impl Strategy<Value = Update> {
    let source =
        prop_oneof![Just(UpdateSource::ComponentPackage), Just(UpdateSource::Capture), Just(UpdateSource::Offer)];
    let origin = (source, vec(text(), 0..3), of(text()));
    let state = prop_oneof![Just(UpdateState::Installed), Just(UpdateState::Absent), Just(UpdateState::Staged)];
    (origin, text(), of(text()), text(), state, of(time()), of(any::<bool>()), of(text())).prop_map(
        |((source, aliases, installed_by), id, kb, title, state, installed_at, removable, version)| Update {
            source,
            id,
            kb,
            title,
            state,
            installed_at,
            removable,
            version,
            aliases,
            installed_by,
        },
    )
}

fn host() -> impl Strategy<Value = Host> {
    let os = (text(), any::<u32>(), any::<u32>(), any::<u32>(), of(any::<u32>()), of(text())).prop_map(
        |(name, major, minor, build, revision, service_pack)| Os { name, major, minor, build, revision, service_pack },
    );
    let product = (text(), text(), of(text())).prop_map(|(id, name, version)| Product { id, name, version });
    let collected_by = prop_oneof![Just(CollectedBy::Agent), Just(CollectedBy::Capture)];
    let times = (of(time()), of(text()), of(any::<i32>()));
    (
        text(),
        of(text()),
        os,
        times,
        collected_by,
        of(any::<bool>()),
        section(vec(product, 0..3)),
        section(vec(text(), 0..3)),
        (section(vec(text(), 0..3)), vec(collector(), 0..3)),
    )
        .prop_map(|(name, domain, os, times, collected_by, domain_controller, products, roles, more)| {
            let (pending_restart, collectors) = more;
            let (booted_at, boot_id, utc_offset_minutes) = times;
            Host {
                name,
                domain,
                os,
                booted_at,
                boot_id,
                utc_offset_minutes,
                collected_by,
                domain_controller,
                products,
                roles,
                pending_restart,
                collectors,
            }
        })
}

fn collector() -> impl Strategy<Value = Collector> {
    let state =
        prop_oneof![Just(CollectorState::Ok), Just(CollectorState::Degraded), Just(CollectorState::Unavailable)];
    (text(), state, of(text())).prop_map(|(name, state, reason)| Collector { name, state, reason })
}

/// Members of the policy that were added later.
fn further_policy() -> impl Strategy<Value = PortPolicy> {
    let rpc = (vec(range(), 0..3), of(any::<bool>()), of(any::<bool>()))
        .prop_map(|(ranges, internet_available, use_internet)| RpcPorts { ranges, internet_available, use_internet });
    let sql = (text(), vec(any::<u16>(), 0..3), of(any::<u16>())).prop_map(|(instance, fixed, dynamic)| SqlPort {
        instance,
        fixed,
        dynamic,
    });
    (
        section(of(any::<u16>())),
        section(of(any::<u16>())),
        section(of(any::<u16>())),
        section(of(rpc)),
        section(vec(text().prop_map(|url| UrlReservation { url }), 0..3)),
        section(vec(text(), 0..3)),
        section(vec(sql, 0..3)),
        section(vec(text(), 0..3)),
    )
        .prop_map(
            |(netlogon_port, frs_port, dfsr_port, rpc_ports, url_reservations, listen, sql_ports, waiting)| {
                PortPolicy {
                    netlogon_port,
                    frs_port,
                    dfsr_port,
                    rpc_ports,
                    url_reservations,
                    http_listen_only: listen,
                    sql_ports,
                    waiting_for_restart: waiting,
                    ..PortPolicy::default()
                }
            },
        )
}

fn event() -> impl Strategy<Value = Event> {
    let datum = (of(text()), text()).prop_map(|(name, value)| EventDatum { name, value });
    let record_id = prop_oneof![0_u64..20, any::<u64>()];
    (text(), record_id, of(time()), text(), any::<u32>(), of(text()), vec(datum, 0..3)).prop_map(
        |(log, record_id, at, provider, id, service, data)| Event { log, record_id, at, provider, id, service, data },
    )
}

fn connections() -> impl Strategy<Value = Connections> {
    let state = prop_oneof![Just(TcpState::Established), Just(TcpState::TimeWait), Just(TcpState::FinWait2)];
    let count = (family(), state, any::<u32>()).prop_map(|(family, state, count)| StateCount { family, state, count });
    let used = (protocol(), family(), any::<u32>(), any::<u32>())
        .prop_map(|(protocol, family, in_use, size)| DynamicPortUse { protocol, family, in_use, size });
    let owner =
        (any::<u32>(), of(text()), any::<u32>()).prop_map(|(pid, image, count)| ConnectionOwner { pid, image, count });
    (vec(count, 0..4), vec(used, 0..4), vec(owner, 0..4)).prop_map(|(states, dynamic_ports, owners)| Connections {
        states,
        dynamic_ports,
        owners,
    })
}

fn policy() -> impl Strategy<Value = PortPolicy> {
    let dynamic =
        (protocol(), family(), range()).prop_map(|(protocol, family, range)| DynamicRange { protocol, family, range });
    let exclusion = || {
        (protocol(), of(family()), range(), any::<bool>())
            .prop_map(|(protocol, family, range, administered)| Exclusion { protocol, family, range, administered })
    };
    let pool = (of(any::<u32>()), vec(range(), 0..3)).prop_map(|(size, excluded)| DnsSocketPool { size, excluded });
    (
        section(vec(dynamic, 0..4)),
        section(vec(exclusion(), 0..3)),
        section(vec(exclusion(), 0..3)),
        section(vec(range(), 0..3)),
        section(of(any::<u32>())),
        section(pool),
        section(of(any::<u16>())),
        further_policy(),
    )
        .prop_map(
            |(
                dynamic_ranges,
                exclusions,
                persistent_exclusions,
                reserved_ports,
                max_user_port,
                pool,
                ntds,
                further,
            )| {
                PortPolicy {
                    dynamic_ranges,
                    exclusions,
                    persistent_exclusions,
                    reserved_ports,
                    max_user_port,
                    dns_socket_pool: pool,
                    ntds_port: ntds,
                    ..further
                }
            },
        )
}

/// The strategies are boxed: together they are too large for the stack of a test.
fn facts() -> impl Strategy<Value = Facts> {
    let rows = (
        section(vec(socket(), 0..40)).boxed(),
        section(vec(service(), 0..8)).boxed(),
        section(vec(update(), 0..8)).boxed(),
        section(vec(event(), 0..8)).boxed(),
    );
    let documents = (section(host()).boxed(), section(policy()).boxed(), section(connections()).boxed());
    (rows, documents, of(time())).prop_map(|(rows, documents, collected_at)| {
        let (sockets, services, updates, events) = rows;
        let (host, port_policy, connections) = documents;
        Facts { host, sockets, services, updates, port_policy, events, connections, collected_at, ..Facts::default() }
    })
}

/// Through the bytes of each message, as the other side sees it.
fn carry(report: &Report) -> wire::Received {
    let parts = wire::to_report_parts(report).unwrap();
    let arrived = parts
        .iter()
        .map(|part| {
            let bytes = part.encode_to_vec();
            assert!(bytes.len() <= MAX_MESSAGE, "a part of {} bytes", bytes.len());
            v1::Report::decode(bytes.as_slice()).unwrap()
        })
        .collect();
    wire::from_report_parts(arrived).unwrap()
}

fn report(seq: u64, facts: &Facts, delta: delta::Delta) -> Report {
    Report { seq, wall_clock: facts.collected_at, delta, digests: proto::digests(facts), gap: None }
}

/// Rows in one order: applying a change may move them.
fn sorted(mut facts: Facts) -> Facts {
    if let Section::Known(rows) = &mut facts.sockets {
        rows.sort();
    }
    if let Section::Known(rows) = &mut facts.services {
        rows.sort_by_key(delta::Row::key);
    }
    if let Section::Known(rows) = &mut facts.updates {
        rows.sort_by_key(delta::Row::key);
    }
    if let Section::Known(rows) = &mut facts.events {
        rows.sort_by_key(delta::Row::key);
    }
    facts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_canonical_stays_so(raw in facts()) {
        let once = wire::canonical(&raw);
        prop_assert_eq!(&wire::canonical(&once), &once);
    }

    #[test]
    fn a_full_report_arrives_as_it_was_meant(raw in facts()) {
        let facts = wire::canonical(&raw);
        let sent = report(7, &facts, wire::full_delta(&facts));
        let received = carry(&sent);
        prop_assert_eq!(received.dropped_rows, 0);
        prop_assert_eq!(received.report, sent);
    }

    #[test]
    fn changed_rows_lead_to_the_same_facts_on_both_sides(old in facts(), new in facts()) {
        let (old, new) = (wire::canonical(&old), wire::canonical(&new));
        let received = carry(&report(8, &new, delta::diff(&old, &new)));
        let mut there = old;
        delta::apply(&mut there, received.report.delta).unwrap();
        there.collected_at = new.collected_at;
        let there = sorted(there);
        prop_assert_eq!(proto::digests(&wire::canonical(&there)), proto::digests(&wire::canonical(&new)));
        prop_assert_eq!(there, sorted(new));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..600)) {
        if let Ok(part) = v1::Report::decode(bytes.as_slice()) {
            let _ = wire::from_report_parts(vec![part]);
        }
    }

    #[test]
    fn a_damaged_report_is_read_or_refused(raw in facts(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let facts = wire::canonical(&raw);
        for part in wire::to_report_parts(&report(1, &facts, wire::full_delta(&facts))).unwrap() {
            let mut bytes = part.encode_to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(part) = v1::Report::decode(bytes.as_slice()) {
                let _ = wire::from_report_parts(vec![part]);
            }
        }
    }
}

/// `count` sockets that cannot share a group.
fn lone_sockets(count: u32) -> Vec<Socket> {
    let socket = |pid: u32| Socket {
        protocol: Protocol::Udp,
        address: IpAddr::from([10, 0, 0, 1]),
        scope: 0,
        port: u16::try_from(pid % 60_000).unwrap(),
        state: SocketState::Bound,
        pid: Some(pid),
        image: Some(Text::new("C:\\Windows\\System32\\svchost.exe")),
        process_started_at: None,
        services: Vec::new(),
        specific_port: None,
        bound_at: None,
    };
    (1..=count).map(socket).collect()
}

#[test]
fn a_large_report_is_cut_and_put_together() {
    let facts = wire::canonical(&Facts { sockets: Section::Known(lone_sockets(20_000)), ..Facts::default() });
    let sent = report(3, &facts, wire::full_delta(&facts));
    assert!(wire::to_report_parts(&sent).unwrap().len() > 4);
    let received = carry(&sent);
    assert_eq!(received.report, sent);
}

#[test]
fn a_section_beyond_the_limits_is_unknown_and_never_a_part_of_itself() {
    let facts = wire::canonical(&Facts { sockets: Section::Known(lone_sockets(262_145)), ..Facts::default() });
    assert_eq!(facts.sockets.unknown().unwrap(), &"more than 262144 rows");
    let facts = wire::canonical(&Facts { sockets: Section::Known(lone_sockets(200_000)), ..Facts::default() });
    assert_eq!(facts.sockets.unknown().unwrap(), &"more than a report can carry");
}

fn part(part: u32, parts: u32) -> v1::Report {
    v1::Report { seq: 1, part, parts, ..v1::Report::default() }
}

#[test]
fn parts_come_in_order_and_of_one_report() {
    for (parts, code) in [
        (vec![part(0, 0)], "report.malformed"),
        (vec![part(0, 65)], "report.malformed"),
        (vec![part(1, 2)], "report.part-out-of-order"),
        (vec![part(0, 2), part(0, 2)], "report.part-out-of-order"),
        (vec![part(0, 3), part(2, 3)], "report.part-out-of-order"),
        (vec![part(0, 2), part(1, 3)], "report.malformed"),
        (vec![part(0, 2), v1::Report { seq: 2, ..part(1, 2) }], "report.malformed"),
        (vec![part(0, 2)], "report.malformed"),
    ] {
        assert_eq!(wire::from_report_parts(parts.clone()).unwrap_err().code(), code, "{parts:?}");
    }
}

#[test]
fn after_a_fault_the_next_report_is_read() {
    let mut assembly = Assembly::default();
    assert_eq!(assembly.add(part(0, 2)), Ok(None));
    assert!(assembly.add(part(0, 2)).is_err());
    assert_eq!(assembly.add(part(0, 1)).unwrap().unwrap().len(), 1);
}

fn with_body(section: v1::Section, body: v1::section_report::Body) -> v1::Report {
    let section = v1::SectionReport { section: section as i32, digest: vec![1], body: Some(body) };
    v1::Report { sections: vec![section], ..part(0, 1) }
}

#[test]
fn a_report_that_would_unfold_without_end_is_refused() {
    let group = v1::SocketGroup { port_steps: vec![0; 100_000], ..v1::SocketGroup::default() };
    let many = v1::Rows { sockets: vec![group.clone(); 3], ..v1::Rows::default() };
    let many = with_body(v1::Section::Sockets, v1::section_report::Body::Full(many));
    assert!(matches!(wire::from_report_parts(vec![many]), Err(WireFault::TooManyRows { section: "sockets", .. })));

    let long = v1::SocketGroup { image: "x".repeat(1024), ..group };
    let long = v1::Rows { sockets: vec![long], ..v1::Rows::default() };
    let long = with_body(v1::Section::Sockets, v1::section_report::Body::Full(long));
    assert_eq!(wire::from_report_parts(vec![long]), Err(WireFault::TooLarge));

    let services = v1::Rows { services: vec![v1::Service::default(); 5_001], ..v1::Rows::default() };
    let services = with_body(v1::Section::Services, v1::section_report::Body::Full(services));
    assert!(matches!(wire::from_report_parts(vec![services]), Err(WireFault::TooManyRows { section: "services", .. })));
}

#[test]
fn a_section_holds_only_its_own_rows() {
    let rows = v1::Rows { services: vec![v1::Service::default()], ..v1::Rows::default() };
    for section in [v1::Section::Host, v1::Section::Sockets, v1::Section::Updates, v1::Section::PortPolicy] {
        let report = with_body(section, v1::section_report::Body::Full(rows.clone()));
        assert_eq!(wire::from_report_parts(vec![report]).unwrap_err().code(), "report.malformed", "{section:?}");
    }
}

#[test]
fn a_bad_row_is_dropped_and_counted_and_the_others_arrive() {
    let good =
        v1::Service { name: "IAS".to_owned(), state: v1::ServiceState::Stopped as i32, ..v1::Service::default() };
    let services = vec![
        v1::Service { name: String::new(), ..good.clone() },
        v1::Service { state: 99, ..good.clone() },
        v1::Service { name: "ias".to_owned(), display_name: "<b>\u{0}\u{202e}".to_owned(), ..good },
    ];
    let rows = v1::Rows { services, ..v1::Rows::default() };
    let received =
        wire::from_report_parts(vec![with_body(v1::Section::Services, v1::section_report::Body::Full(rows))]).unwrap();
    assert_eq!(received.dropped_rows, 2);
    let Some(delta::Change::Full(Section::Known(services))) = received.report.delta.services else { panic!() };
    assert_eq!(services.len(), 1);
    assert_eq!(services[0].display_name.as_str(), "<b>\u{fffd}\u{fffd}");
}

#[test]
fn a_section_of_a_newer_agent_is_left_out() {
    let mut report = with_body(v1::Section::Host, v1::section_report::Body::Unknown(v1::Unknown::default()));
    report.sections[0].section = 77;
    let received = wire::from_report_parts(vec![report]).unwrap();
    assert!(received.report.delta.is_empty());
}

/// The DNS pool of a domain controller: what a first sync and a later change cost. Printed with `--nocapture`.
#[test]
fn a_socket_pool_takes_a_few_bytes_a_socket() {
    let booted = DateTime::from_timestamp_millis(1_800_000_000_000).unwrap();
    let pool = |address: IpAddr, index: u32| Socket {
        protocol: Protocol::Udp,
        address,
        port: u16::try_from(49_152 + (index * 6_007) % 16_384).unwrap(),
        image: Some(Text::new("C:\\Windows\\System32\\dns.exe")),
        services: vec![Text::new("DNS")],
        process_started_at: Some(booted),
        specific_port: Some(true),
        bound_at: Some(booted + chrono::TimeDelta::milliseconds(2_000 + i64::from(index / 4))),
        pid: Some(1420),
        scope: 0,
        state: SocketState::Bound,
    };
    let both = [IpAddr::from([0, 0, 0, 0]), IpAddr::from([0_u16; 8])];
    let sockets = both.iter().flat_map(|address| (0..2_500).map(move |index| pool(*address, index))).collect();
    let facts = wire::canonical(&Facts { sockets: Section::Known(sockets), ..Facts::default() });
    let delta = delta::Delta { sockets: wire::full_delta(&facts).sockets, ..delta::Delta::default() };
    let size = |report: &Report| -> usize {
        wire::to_report_parts(report).unwrap().iter().map(prost::Message::encoded_len).sum()
    };
    let sent = |delta: delta::Delta| {
        let digests = [(v1::Section::Sockets, proto::digest(v1::Section::Sockets, &facts))].into();
        Report { seq: 90, wall_clock: Some(booted), delta, digests, gap: None }
    };
    let full = size(&sent(delta));
    let changed =
        delta::Change::Rows { set: vec![pool(both[0], 1)], removed: vec![delta::Row::key(&pool(both[0], 2))] };
    let changed = size(&sent(delta::Delta { sockets: Some(changed), ..delta::Delta::default() }));
    println!("5,000 sockets of the DNS pool in full: {full} B; two changed rows: {changed} B");
    assert!(full < 30_000, "{full} B for 5,000 sockets");
    assert!(changed <= 150, "{changed} B for two changed rows");
}
