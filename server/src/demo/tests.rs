//! The files say what each host shows; the rules must find exactly that, on every day.

use chrono::{DateTime, TimeDelta, Utc};
use rules::catalog::Catalog;
use rules::facts::Facts;
use rules::history::History;

use super::Actor;
use super::expand::{self, Moment};

fn now() -> DateTime<Utc> {
    "2026-11-20T09:30:00Z".parse().unwrap()
}

fn actor(name: &str) -> Actor {
    super::actors().unwrap().into_iter().find(|actor| actor.host.name == *name).unwrap()
}

/// Every state that a host is shown in: its facts, and what its file says that they show.
fn states(actor: &Actor) -> Vec<(Facts, Vec<String>)> {
    let host = &actor.host;
    let mut booted_at = now() - TimeDelta::seconds(host.booted_ago);
    let phases = if host.phases.is_empty() { vec![None] } else { host.phases.iter().map(Some).collect() };
    phases
        .into_iter()
        .map(|phase| {
            booted_at =
                phase.and_then(|phase| phase.booted_ago).map_or(booted_at, |ago| now() - TimeDelta::seconds(ago));
            let moment = Moment { past: None, phase, phase_began_at: now(), booted_at, now: now() };
            let shows = phase.map_or(&host.always.shows, |phase| &phase.scene.shows);
            (expand::facts(actor, &moment), shows.clone())
        })
        .collect()
}

#[test]
fn every_host_shows_what_its_file_says() {
    let catalog = Catalog::builtin();
    let mut wrong = Vec::new();
    for actor in super::actors().unwrap() {
        for (facts, shows) in states(&actor) {
            let judgement = rules::judge(&facts, &catalog, &History::default());
            let found: Vec<String> = judgement
                .findings
                .iter()
                .map(|finding| {
                    let mut words = vec![finding.rule.clone()];
                    words.extend(["service", "kb", "port"].iter().filter_map(|key| finding.subject.get(*key).cloned()));
                    words.join(" ")
                })
                .collect();
            if found != shows {
                wrong.push(format!("{} shows {found:#?}, not {shows:#?}", actor.host.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_service_is_described() {
    for actor in super::actors().unwrap() {
        let phases = actor.host.phases.iter().map(|phase| &phase.scene);
        for scene in [&actor.system_scene, &actor.host.always].into_iter().chain(phases) {
            let running = scene.processes.iter().flat_map(|process| &process.services);
            for name in running.chain(scene.stopped.iter().map(|stopped| &stopped.service)) {
                assert!(actor.services.contains_key(name), "{}: {name}", actor.host.name);
            }
        }
    }
}

#[test]
fn a_domain_controller_shows_five_thousand_sockets_of_its_pool() {
    let (facts, _) = states(&actor("DC1")).remove(0);
    let sockets = facts.sockets.known().unwrap();
    let pool =
        sockets.iter().filter(|socket| socket.process() == Some("dns.exe") && socket.specific_port == Some(false));
    assert_eq!(pool.count(), 5000);
}

#[test]
fn the_pool_is_drawn_anew_at_each_start_and_only_then() {
    let states = |now: DateTime<Utc>, booted_at| {
        let actor = actor("DC2");
        expand::facts(&actor, &Moment { past: None, phase: None, phase_began_at: now, booted_at, now }).sockets
    };
    let boot = now() - TimeDelta::hours(1);
    assert_eq!(states(now(), boot), states(now() + TimeDelta::minutes(5), boot));
    assert_ne!(states(now(), boot), states(now(), boot - TimeDelta::hours(1)));
}

#[test]
fn a_capture_knows_no_bind_times() {
    let (facts, _) = states(&actor("RADIUS1")).remove(0);
    let sockets = facts.sockets.known().unwrap();
    assert!(sockets.iter().all(|socket| socket.bound_at.is_none() && socket.process_started_at.is_none()));
}

#[test]
fn the_fleet_is_as_large_as_promised() {
    let actors = super::actors().unwrap();
    let clients: std::collections::BTreeSet<_> = actors.iter().map(|actor| &actor.host.client).collect();
    assert!(actors.len() >= 12 && clients.len() >= 3, "{} hosts of {} clients", actors.len(), clients.len());
}
