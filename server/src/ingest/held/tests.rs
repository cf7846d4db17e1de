use rules::delta::{Change, Delta};
use rules::facts::{Section, Service};

use super::{Held, Known, size};
use crate::ingest::skew::HostClock;
use crate::ingest::state::HostState;

fn known(services: usize) -> Known {
    let service = |number: usize| -> Service {
        serde_json::from_value(serde_json::json!({ "name": format!("s{number}"), "state": "running" })).unwrap()
    };
    let services = Change::Full(Section::Known((0..services).map(service).collect()));
    let mut state = HostState::default();
    state.apply(Delta { services: Some(services), ..Delta::default() }, None, &HostClock::stored(0)).unwrap();
    Known { state: Some(state), ..Known::default() }
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
