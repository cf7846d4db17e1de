//! What agents of the demonstration tell beside the story: events of their logs, counts of connections, what they can
//! read. Derived from the story, so that it need not say them. Pure.

use chrono::{DateTime, TimeDelta, Utc};
use rules::facts::{
    Collector, CollectorState, ConnectionOwner, Connections, DynamicPortUse, Event, EventDatum, Recovery,
    RecoveryAction, RecoveryKind, StartMode, StateCount, TcpState, UrlReservation,
};
use rules::ports::{Family, Protocol};
use rules::text::Text;

use super::description::{Host, Stopped};
use super::expand::Stage;

/// Restarted twice, a minute after each failure; after the third nothing is done.
pub(crate) fn recovery(start: StartMode) -> Recovery {
    let action = |kind| RecoveryAction { kind, delay_ms: if kind == RecoveryKind::None { 0 } else { 60_000 } };
    let kinds = [RecoveryKind::Restart, RecoveryKind::Restart, RecoveryKind::None];
    Recovery {
        reset_after_seconds: Some(86_400),
        actions: if start == StartMode::Auto { kinds.map(action).to_vec() } else { Vec::new() },
        on_error_stop: Some(false),
    }
}

pub(super) fn url_reservations() -> Vec<UrlReservation> {
    ["http://+:47001/wsman/", "https://+:5986/wsman/"].map(|url| UrlReservation { url: url.into() }).to_vec()
}

/// All that an agent reads; what the host's file says that it cannot is told with its reason.
pub(super) fn collectors(host: &Host) -> Vec<Collector> {
    let reason = |name: &str| match name {
        "update-packages" => host.unknown.updates.clone(),
        "port-exclusions" => host.unknown.exclusions.clone(),
        _ => None,
    };
    ["sockets", "socket-owners", "services", "service-push", "event-log", "update-packages", "port-exclusions"]
        .map(|name| {
            let reason = reason(name);
            let state = if reason.is_some() { CollectorState::Unavailable } else { CollectorState::Ok };
            Collector { name: name.into(), state, reason }
        })
        .to_vec()
}

/// The start of the system, and the services that failed since.
pub(super) fn events(stage: &Stage<'_>) -> Vec<Event> {
    let booted_at = stage.moment.booted_at;
    let mut events = vec![event(booted_at + TimeDelta::seconds(2), "Microsoft-Windows-Kernel-General", 12, None, &[])];
    for (scene, zero) in stage.scenes() {
        for stopped in &scene.stopped {
            events.extend(failure(stage, stopped, zero));
        }
    }
    events.sort_by_key(|event| event.at);
    // Numbers go on from boot to boot.
    let first = u64::try_from(booted_at.timestamp()).unwrap_or_default();
    for (event, record_id) in events.iter_mut().zip(first..) {
        event.record_id = record_id;
    }
    events
}

/// `None`: it was told to stop, was never started, or when it failed is not said.
fn failure(stage: &Stage<'_>, stopped: &Stopped, zero: DateTime<Utc>) -> Option<Event> {
    let (id, code) = match (stopped.exit_code, stopped.service_exit_code) {
        (0 | 1077, _) => return None,
        (1066, Some(code)) => (7024, code),
        (code, _) => (7023, code),
    };
    let at = zero + TimeDelta::seconds(stopped.at?);
    let display = stage.service(&stopped.service).display_name;
    let data = [display, Text::from(format!("%%{code}"))];
    Some(event(at, "Service Control Manager", id, Some(stopped.service.as_str()), &data))
}

fn event(at: DateTime<Utc>, provider: &str, id: u32, service: Option<&str>, data: &[Text]) -> Event {
    let datum = |(number, value): (usize, &Text)| EventDatum {
        name: Some(Text::from(format!("param{}", number + 1))),
        value: value.clone(),
    };
    Event {
        log: "System".into(),
        record_id: 0,
        at: Some(at),
        provider: provider.into(),
        id,
        service: service.map(Text::from),
        data: data.iter().enumerate().map(datum).collect(),
    }
}

/// A few connections for each process that listens.
pub(super) fn connections(stage: &Stage<'_>) -> Connections {
    let family = Family::Ipv4;
    let listens = |ports: &[rules::ports::Port]| ports.iter().filter(|port| port.protocol == Protocol::Tcp).count();
    let mut owners: Vec<ConnectionOwner> = stage
        .scenes()
        .flat_map(|(scene, _)| &scene.processes)
        .map(|process| ConnectionOwner {
            pid: process.pid,
            image: Some(process.image.clone()),
            count: u32::try_from(3 * listens(&process.holds)).unwrap_or_default(),
        })
        .filter(|owner| owner.count > 0)
        .collect();
    let established: u32 = owners.iter().map(|owner| owner.count).sum();
    owners.sort_by_key(|owner| std::cmp::Reverse(owner.count));
    owners.truncate(10);
    let drawn = |range: rules::ports::PortRange| {
        let sockets = stage.scenes().flat_map(|(scene, zero)| stage.sockets(scene, zero));
        sockets
            .filter(|socket| {
                socket.protocol == Protocol::Udp && socket.family() == family && range.contains(socket.port)
            })
            .count()
    };
    let used = stage.udp_range().map(|range| DynamicPortUse {
        protocol: Protocol::Udp,
        family,
        in_use: u32::try_from(drawn(range)).unwrap_or_default(),
        size: range.count(),
    });
    Connections {
        states: [(TcpState::Established, established), (TcpState::TimeWait, established / 3)]
            .map(|(state, count)| StateCount { family, state, count })
            .into_iter()
            .filter(|count| count.count > 0)
            .collect(),
        dynamic_ports: used.into_iter().collect(),
        owners,
    }
}
