//! Which rows a report changes, and that full sections and changed rows lead to one state.

use chrono::{DateTime, Utc};
use proto::fleet::v1::Section as Name;
use rules::delta::{Change, Delta, Misfit, Row as _, diff};
use rules::facts::{
    Event, Facts, Section, Service, ServiceState, Socket, SocketState, Update, UpdateSource, UpdateState,
};
use rules::ports::Protocol;
use rules::socket_key::SocketKey;

use super::{ApplyFault, HostState, RowChanges};
use crate::ingest::skew::HostClock;

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
}

fn socket(port: u16) -> Socket {
    Socket {
        protocol: Protocol::Udp,
        address: "0.0.0.0".parse().unwrap(),
        scope: 0,
        port,
        state: SocketState::Bound,
        pid: Some(1420),
        image: Some("dns.exe".into()),
        process_started_at: None,
        services: vec![],
        specific_port: None,
        bound_at: Some(at(0)),
    }
}

fn service(name: &str, state: ServiceState) -> Service {
    Service {
        name: name.into(),
        display_name: name.into(),
        state,
        start: None,
        delayed: None,
        trigger_start: None,
        pid: None,
        exit_code: None,
        service_exit_code: None,
        image_path: None,
        account: None,
        depends_on: vec![],
        state_since: Some(at(5)),
        recovery: None,
    }
}

fn update(kb: &str) -> Update {
    Update {
        source: UpdateSource::UninstallEntry,
        id: kb.into(),
        kb: Some(kb.into()),
        title: kb.into(),
        state: UpdateState::Installed,
        installed_at: None,
        removable: None,
        version: None,
        aliases: vec![],
        installed_by: None,
    }
}

fn first() -> Facts {
    Facts {
        sockets: Section::Known(vec![socket(1812), socket(1813)]),
        services: Section::Known(vec![service("IAS", ServiceState::Stopped), service("DNS", ServiceState::Running)]),
        updates: Section::Known(vec![update("KB948609")]),
        ..Facts::default()
    }
}

fn second() -> Facts {
    Facts {
        sockets: Section::Known(vec![socket(1813), socket(1814)]),
        services: Section::Known(vec![service("ias", ServiceState::Running)]),
        updates: Section::Known(vec![update("KB948609"), update("KB974417")]),
        ..Facts::default()
    }
}

fn in_full(facts: &Facts) -> Delta {
    proto::wire::full_delta(facts)
}

fn clock(skew_seconds: i64) -> HostClock {
    HostClock::stored(skew_seconds * 1000)
}

fn apply(state: &mut HostState, delta: Delta) -> RowChanges {
    state.apply(delta, None, &clock(0)).unwrap()
}

fn ports(facts: &Facts) -> Vec<u16> {
    let mut ports: Vec<u16> = facts.sockets.known().unwrap().iter().map(|socket| socket.port).collect();
    ports.sort_unstable();
    ports
}

fn keys(sockets: &[(SocketKey, Socket)]) -> Vec<SocketKey> {
    sockets.iter().map(|(key, _)| *key).collect()
}

#[test]
fn a_full_report_and_changed_rows_change_the_same_rows() {
    for delta in [in_full(&second()), diff(&first(), &second())] {
        let mut state = HostState::default();
        apply(&mut state, in_full(&first()));
        let rows = apply(&mut state, delta);
        assert_eq!(rows.sockets_gone, [(SocketKey::of(&socket(1812)), socket(1812))]);
        assert_eq!(rows.sockets_new, [(SocketKey::of(&socket(1814)), socket(1814))]);
        assert_eq!(rows.services_gone, ["dns"]);
        assert_eq!(rows.services_set, [service("ias", ServiceState::Running)]);
        assert_eq!(rows.updates_gone, []);
        assert_eq!(rows.updates_set, [update("KB974417")]);
        assert_eq!(ports(state.facts()), [1813, 1814]);
        assert_eq!(state.facts().services, second().services);
    }
}

#[test]
fn what_is_sent_again_changes_nothing() {
    let mut state = HostState::default();
    apply(&mut state, in_full(&first()));
    assert_eq!(apply(&mut state, in_full(&first())), RowChanges::default());
}

#[test]
fn times_are_corrected_once_and_a_clock_that_moves_rewrites_no_socket() {
    let mut state = HostState::default();
    state.apply(in_full(&first()), Some(at(60)), &clock(30)).unwrap();
    assert_eq!(state.facts().collected_at, Some(at(30)));
    let bound = |state: &HostState| state.facts().sockets.known().unwrap()[0].bound_at;
    assert_eq!(bound(&state), Some(at(-30)));
    let rows = state.apply(in_full(&first()), None, &clock(90)).unwrap();
    assert_eq!((rows.sockets_new, rows.sockets_gone), (vec![], vec![]));
    assert_eq!(bound(&state), Some(at(-30)));
    let gone = Change::Rows { set: vec![], removed: vec![socket(1812).key()] };
    let rows = state.apply(Delta { sockets: Some(gone), ..Delta::default() }, None, &clock(90)).unwrap();
    assert_eq!(keys(&rows.sockets_gone), [SocketKey::of(&socket(1812))]);
}

#[test]
fn a_section_that_becomes_unknown_keeps_its_rows_until_it_is_known_again() {
    let mut state = HostState::default();
    apply(&mut state, in_full(&first()));
    let unknown = Facts {
        sockets: Section::Unknown("access denied".into()),
        services: Section::Unknown("access denied".into()),
        updates: Section::Unknown("access denied".into()),
        ..Facts::default()
    };
    assert_eq!(apply(&mut state, in_full(&unknown)), RowChanges::default());
    assert_eq!(state.facts().sockets, unknown.sockets);
    let rows = apply(&mut state, in_full(&second()));
    assert_eq!(keys(&rows.sockets_gone), [SocketKey::of(&socket(1812))]);
    assert_eq!(rows.services_gone, ["dns"]);
    assert_eq!(ports(state.facts()), [1813, 1814]);
}

#[test]
fn a_rejected_section_takes_no_changed_rows_and_the_next_full_one_mends_it() {
    let mut state = HostState::default();
    apply(&mut state, in_full(&first()));
    state.reject(&[Name::Sockets, Name::Services, Name::Updates], &"rejected".into());
    let fault = state.apply(diff(&first(), &second()), None, &clock(0)).unwrap_err();
    assert!(matches!(fault, ApplyFault::Misfit(Misfit::NotKnown(_))));
    let rows = apply(&mut state, in_full(&first()));
    assert_eq!(rows, RowChanges::default(), "the rows were there all along");
}

#[test]
fn a_report_that_does_not_fit_changes_nothing() {
    let strangers: [Delta; 2] = [
        Delta {
            sockets: Some(Change::Rows { set: vec![socket(9)], removed: vec![socket(7).key()] }),
            services: Some(Change::Rows { set: vec![service("W32Time", ServiceState::Running)], removed: vec![] }),
            ..Delta::default()
        },
        Delta {
            sockets: Some(Change::Rows { set: vec![socket(9)], removed: vec![] }),
            services: Some(Change::Rows { set: vec![], removed: vec!["nobody".to_owned()] }),
            ..Delta::default()
        },
    ];
    let mut state = HostState::default();
    apply(&mut state, in_full(&first()));
    for delta in strangers {
        let fault = state.apply(delta, None, &clock(0)).unwrap_err();
        assert!(matches!(fault, ApplyFault::Misfit(Misfit::NoSuchRow(_))));
        assert_eq!(ports(state.facts()), [1812, 1813]);
        assert_eq!(state.facts().services, first().services);
    }
}

#[test]
fn a_host_that_adds_rows_for_ever_is_stopped() {
    let mut state = HostState::default();
    let full = |ports: std::ops::RangeInclusive<u16>, scope: u32| -> Vec<Socket> {
        ports.map(|port| Socket { scope, ..socket(port) }).collect()
    };
    apply(&mut state, in_full(&Facts { sockets: Section::Known(vec![]), ..Facts::default() }));
    let more = |scope| Delta {
        sockets: Some(Change::Rows { set: full(0..=u16::MAX, scope), removed: vec![] }),
        ..Delta::default()
    };
    for scope in 0..4 {
        apply(&mut state, more(scope));
    }
    let fault = state.apply(more(5), None, &clock(0)).unwrap_err();
    assert_eq!(fault.code(), "report.too-many-rows");
}

#[test]
fn events_leave_the_window_and_come_into_it() {
    let event = |record_id| Event {
        log: "System".into(),
        record_id,
        at: Some(at(60)),
        provider: "Service Control Manager".into(),
        id: 7023,
        service: Some("IAS".into()),
        data: vec![],
    };
    let window = |ids: [u64; 2]| Facts { events: Section::Known(ids.map(event).into()), ..Facts::default() };
    let mut state = HostState::default();
    let rows = state.apply(in_full(&window([1, 2])), None, &clock(30)).unwrap();
    assert_eq!(
        rows.events_set.iter().map(|event| (event.record_id, event.at)).collect::<Vec<_>>(),
        [(1, Some(at(30))), (2, Some(at(30)))]
    );
    let rows = state.apply(diff(&window([1, 2]), &window([2, 3])), None, &clock(0)).unwrap();
    assert_eq!(rows.events_gone, [("System".into(), 1)]);
    assert_eq!(rows.events_set.iter().map(|event| event.record_id).collect::<Vec<_>>(), [3]);
    let full = Change::Full(Section::Known((0..300).map(event).collect()));
    let fault = state.apply(Delta { events: Some(full), ..Delta::default() }, None, &clock(0)).unwrap_err();
    assert_eq!(fault.code(), "report.too-many-rows");
}
