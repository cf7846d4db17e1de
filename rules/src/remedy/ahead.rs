//! What mends a service that runs: it gets a port that it lacks, or keeps one before anything takes it. While it holds the
//! port, an exclusion can be made only after it has stopped.

use super::command::{by_hand, restart_server, restart_service, start, stop};
use super::dynamic_range::{Move, range_move};
use super::reserve::{pool_exclusion, reserved_ports};
use super::{Conflict, exclusion, of_port};
use crate::facts::{OsGeneration, Service};
use crate::finding::{Remedy, Restart};
use crate::ports::{Port, PortRange, Protocol};
use crate::view::View;
use crate::words::{self, list};

/// For a service that runs without its port: as for one that does not run, but that it has to bind anew.
pub(crate) fn of_running(conflict: &Conflict<'_>, view: &View<'_>) -> Remedy {
    let name = &conflict.service.name;
    let mut remedy = of_port(conflict, view);
    let first = start(name);
    for step in &mut remedy.steps {
        if *step == first {
            *step = restart_service(name);
        }
    }
    remedy.summary = remedy.summary.replace(&format!("start {name}"), &format!("restart {name}"));
    remedy
}

/// Keeps `ports` of a service that runs out of the DNS server's pool.
pub(crate) fn of_pool(service: &Service, ports: &[Port], view: &View<'_>) -> Remedy {
    let wanted = words::ranges(ports.iter().map(|port| port.number));
    let shown = list(&wanted);
    match view.generation() {
        None | Some(OsGeneration::Other) => in_words(service, &shown, view),
        Some(OsGeneration::Windows2000 | OsGeneration::Server2003) => reserved(service, &wanted, view),
        Some(OsGeneration::Server2008) => range_moved(service, Protocol::Udp, ports, view),
        Some(_) => {
            let (set, back) = pool_exclusion(&wanted, view);
            Remedy {
                summary: format!("Keep {shown} out of the DNS server's pool, restart DNS"),
                steps: vec![set, restart_service("DNS")],
                risk: "DNS is away for some seconds, and the pool is that much smaller.".to_owned(),
                restart: Restart::Service,
                undo: vec![back, restart_service("DNS")],
                ..remedy(service, &shown, view)
            }
        }
    }
}

/// Keeps `port` of a service that runs from being handed out to whoever asks for any port.
pub(crate) fn of_drawn(service: &Service, port: Port, view: &View<'_>) -> Remedy {
    let name = &service.name;
    let shown = port.to_string();
    match view.generation() {
        None | Some(OsGeneration::Other) => in_words(service, &shown, view),
        Some(OsGeneration::Windows2000 | OsGeneration::Server2003) => {
            reserved(service, &[PortRange::single(port.number)], view)
        }
        Some(OsGeneration::Server2008) => range_moved(service, port.protocol, &[port], view),
        Some(generation) => {
            let missing = exclusion::missing_in_any(port.protocol, &[port.number], view);
            let mut steps = vec![stop(name)];
            steps.extend(exclusion::add(port.protocol, &missing, generation));
            steps.push(start(name));
            Remedy {
                summary: format!("Stop {name}, reserve {port}, start {name}"),
                steps,
                risk: format!("{name} is away for some seconds.{}", exclusion::risk(generation)),
                restart: Restart::Service,
                undo: exclusion::remove(port.protocol, &missing),
                ..remedy(service, &shown, view)
            }
        }
    }
}

fn remedy(service: &Service, shown: &str, view: &View<'_>) -> Remedy {
    Remedy {
        summary: String::new(),
        applies_to: view.generation().unwrap_or(OsGeneration::Other).label().to_owned(),
        steps: Vec::new(),
        risk: String::new(),
        restart: Restart::None,
        undo: Vec::new(),
        proven_when: format!(
            "The next report shows {shown} reserved, and {} still runs after the next boot.",
            service.name
        ),
    }
}

fn reserved(service: &Service, wanted: &[PortRange], view: &View<'_>) -> Remedy {
    let shown = list(wanted);
    let (set, back) = reserved_ports(wanted, view);
    Remedy {
        summary: format!("Reserve {shown} in ReservedPorts, then restart"),
        steps: vec![set, restart_server()],
        risk: "The server is away during the restart. Programs that ask for any free port get none of the reserved ones; who asks by number still does.".to_owned(),
        restart: Restart::Server,
        undo: vec![back, restart_server()],
        ..remedy(service, &shown, view)
    }
}

/// Server 2008 knows no reservation: the range moves above the ports. netsh takes none of less than 255 ports.
fn range_moved(service: &Service, protocol: Protocol, ports: &[Port], view: &View<'_>) -> Remedy {
    let shown = list(ports);
    let numbers: Vec<u16> = ports.iter().map(|port| port.number).collect();
    let (steps, undo) = match range_move(protocol, &numbers, view) {
        Move::By(set, back) => (vec![set, restart_server()], vec![back, restart_server()]),
        Move::Done => (vec![restart_server()], Vec::new()),
        Move::TooFew => (
            vec![by_hand(format!(
                "The dynamic range cannot be moved above {shown}: give {} another port.",
                service.name
            ))],
            Vec::new(),
        ),
    };
    let protocol_shown = protocol.as_str().to_uppercase();
    Remedy {
        summary: format!("Move the {protocol_shown} dynamic range away from {shown}, then restart"),
        steps,
        risk: format!(
            "The server is away during the restart. Programs that ask for any free {protocol_shown} port get one of the new range."
        ),
        restart: Restart::Server,
        undo,
        ..remedy(service, &shown, view)
    }
}

fn in_words(service: &Service, shown: &str, view: &View<'_>) -> Remedy {
    let text = "Reserve the port in the way of this system: ReservedPorts on Windows 2000 and 2003, an excluded port range on Server 2008 R2 and later.";
    Remedy {
        summary: format!("Reserve {shown} for {}", service.name),
        steps: vec![by_hand(text)],
        risk: "The service may have to stop for it.".to_owned(),
        restart: Restart::Service,
        ..remedy(service, shown, view)
    }
}
