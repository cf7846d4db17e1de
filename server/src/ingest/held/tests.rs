//! What is dropped, what is shared, and what a host takes.

use std::collections::BTreeMap;

use rules::catalog::Catalog;
use rules::delta::{Change, Delta};
use rules::facts::{Facts, Section, Service};

use super::{Held, Known, Place, size};
use crate::db::history::Past;
use crate::ingest::ledger;
use crate::ingest::memory::Memory;
use crate::ingest::skew::HostClock;
use crate::ingest::state::HostState;

fn known(services: usize) -> Known {
    let service = |number: usize| -> Service {
        serde_json::from_value(serde_json::json!({ "name": format!("s{number}"), "state": "running" })).unwrap()
    };
    let services = Change::Full(Section::Known((0..services).map(service).collect()));
    let mut state = HostState::default();
    state.apply(Delta { services: Some(services), ..Delta::default() }, None, &HostClock::stored(0)).unwrap();
    Known { state: Some(state.into()), ..Known::default() }
}

#[test]
fn the_host_that_reported_longest_ago_is_dropped_first() {
    let one = size(&known(100)).unwrap();
    let held = Held::new(2 * one);
    let places = [held.place(), held.place(), held.place()];
    places[0].put(known(100));
    places[1].put(known(100));
    let first = places[0].take();
    assert!(first.state.is_some());
    places[0].put(first);
    places[2].put(known(100));
    assert_eq!(held.size(), (2 * one, 2));
    assert!(places[1].take().state.is_none(), "it was used before the first");
    assert!(places[0].take().state.is_some());
}

#[test]
fn what_is_being_written_is_not_dropped_and_what_is_too_large_is_not_held() {
    let one = size(&known(100)).unwrap();
    let held = Held::new(one);
    let (busy, other) = (held.place(), held.place());
    busy.put(known(100));
    let taken = busy.take();
    other.put(known(100));
    busy.put(taken);
    assert!(busy.take().state.is_some());
    other.put(known(1_000));
    assert_eq!(held.size(), (0, 0));
}

#[test]
fn a_stream_that_ends_leaves_nothing() {
    let held = Held::new(usize::MAX);
    let place = held.place();
    place.put(known(10));
    drop(place);
    assert_eq!(held.size(), (0, 0));
}

/// 620 sockets, 200 services and 150 updates, as the mean host of a fleet has, with texts that its neighbours have too.
fn mean_host(number: usize) -> Delta {
    let at = "2026-11-01T03:01:12Z";
    let socket = |index: usize| {
        serde_json::json!({
            "protocol": "udp", "address": "0.0.0.0", "port": 2_000 + index + number, "pid": 1_000 + index % 60, "bound_at": at,
            "image": format!(r"C:\Windows\System32\program-{}.exe", index % 60), "services": [format!("Service{}", index % 60)],
            "process_started_at": at, "specific_port": true,
        })
    };
    let service = |index: usize| {
        serde_json::json!({
            "name": format!("Service{index}"), "display_name": format!("A service of the system, number {index}"),
            "state": if index.is_multiple_of(2) { "running" } else { "stopped" }, "start": "auto", "pid": 1_000 + index, "exit_code": 0,
            "image_path": format!(r"C:\Windows\System32\svchost.exe -k Service{index}"), "account": "LocalSystem",
            "depends_on": ["RpcSs"], "state_since": at,
            "recovery": { "actions": [{ "kind": "restart", "delay_ms": 60_000 }] },
        })
    };
    let update = |index: usize| {
        serde_json::json!({
            "source": "component_package", "id": format!("Package_for_KB{}~31bf3856ad364e35~amd64~~10.0", 5_000_000 + index),
            "kb": format!("KB{}", 5_000_000 + index), "title": format!("Security Update for Microsoft Windows {index}"),
            "state": "installed", "installed_at": at, "installed_by": "NT AUTHORITY\\SYSTEM", "version": "10.0",
        })
    };
    let facts: Facts = serde_json::from_value(serde_json::json!({
        "schema": "portreeve.facts/1", "collected_at": at,
        "host": { "known": {
            "name": format!("SRV{number}"), "boot_id": format!("boot-{number}"), "booted_at": at,
            "os": { "name": "Windows Server 2019 Standard", "major": 10, "minor": 0, "build": 17763 },
        } },
        "sockets": { "known": (0..620).map(socket).collect::<Vec<_>>() },
        "services": { "known": (0..200).map(service).collect::<Vec<_>>() },
        "updates": { "known": (0..150).map(update).collect::<Vec<_>>() },
    }))
    .unwrap();
    proto::wire::full_delta(&facts)
}

/// As a report is taken in.
fn take_in(place: &Place, number: usize, catalog: &Catalog) {
    let mut delta = mean_host(number);
    place.share(&mut delta);
    let mut state = HostState::default();
    let now = "2026-11-01T04:01:12Z".parse().unwrap();
    state.apply(delta, Some(now), &HostClock::stored(0)).unwrap();
    let boot = ledger::boot_of(state.facts()).cloned();
    let mut memory = Memory::new(boot, &Past::default(), BTreeMap::new(), state.facts(), catalog);
    let judgement = rules::judge(state.facts(), catalog, memory.history(state.facts()));
    let noted = memory.note(state.facts(), now).unwrap();
    memory.keep(noted);
    place.put(Known { state: Some(state.into()), memory: Some(memory.into()), judgement: Some(judgement.into()) });
}

/// Ten thousand of them leave room for Postgres in 4 GB.
#[test]
fn the_mean_host_takes_less_than_220_kilobytes() {
    let catalog = Catalog::builtin();
    let held = Held::new(usize::MAX);
    let (first, second) = (held.place(), held.place());
    take_in(&first, 1, &catalog);
    let (counted_first, _) = held.size();
    let spent = allocation_counter::measure(|| take_in(&second, 2, &catalog));
    let counted = held.size().0 - counted_first;
    println!("A connected host takes {} bytes, counted as {counted}", spent.bytes_current);
    assert!(spent.bytes_current <= 220_000, "{} bytes", spent.bytes_current);
    let taken = usize::try_from(spent.bytes_current).unwrap();
    assert!(counted >= taken / 2 && counted <= taken * 2, "{taken} bytes are counted as {counted}");
}
