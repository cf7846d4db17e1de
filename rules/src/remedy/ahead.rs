//! What keeps a port for its service before anything takes it. The service runs and holds the port, so that an exclusion
//! can be made only while it is stopped.

use super::command::{restart_server, restart_service, set_ranges, start, step, stop};
use super::exclusion;
use crate::facts::{OsGeneration, Service};
use crate::finding::{Remedy, Restart, Step};
use crate::ports::{Port, PortRange, Protocol};
use crate::view::View;
use crate::words::{self, list};

const TCPIP: &str = r"HKLM\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters";
const DNS: &str = r"HKLM\SYSTEM\CurrentControlSet\Services\DNS\Parameters";

/// Keeps `ports` of a service that runs out of the DNS server's pool.
pub(crate) fn of_pool(service: &Service, ports: &[Port], view: &View<'_>) -> Remedy {
    let wanted = words::ranges(ports.iter().map(|port| port.number));
    let shown = list(&wanted);
    match view.generation() {
        None | Some(OsGeneration::Other) => in_words(service, &shown, view),
        Some(OsGeneration::Windows2000 | OsGeneration::Server2003) => reserved(service, &wanted, view),
        Some(OsGeneration::Server2008) => range_moved(service, Protocol::Udp, ports, view),
        Some(_) => {
            let former = view.policy_value(|policy| &policy.dns_socket_pool).ok();
            let former = words::merged(former.map(|pool| pool.excluded.clone()).unwrap_or_default());
            let all = words::merged(former.iter().chain(&wanted).copied().collect());
            let value = "SocketPoolExcludedPortRanges";
            let text = format!(
                "Keep {shown} out of the DNS server's pool; ranges that it leaves out already stay in the list."
            );
            Remedy {
                summary: format!("Keep {shown} out of the DNS server's pool, restart DNS"),
                steps: vec![set_ranges(text, DNS, value, &all), restart_service("DNS")],
                risk: "DNS is away for some seconds, and the pool is that much smaller.".to_owned(),
                restart: Restart::Service,
                undo: vec![
                    set_ranges("Put the former list back.".to_owned(), DNS, value, &former),
                    restart_service("DNS"),
                ],
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
            let missing = exclusion::missing(port.protocol, &[port.number], view);
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
    let former = view.policy_value(|policy| &policy.reserved_ports).cloned().unwrap_or_default();
    let former = words::merged(former);
    let all = words::merged(former.iter().chain(wanted).copied().collect());
    let text = format!("Reserve {shown} in ReservedPorts; ranges that it holds already stay in the list.");
    Remedy {
        summary: format!("Reserve {shown} in ReservedPorts, then restart"),
        steps: vec![set_ranges(text, TCPIP, "ReservedPorts", &all), restart_server()],
        risk: "The server is away during the restart. Programs that ask for any free port get none of the reserved ones; who asks by number still does.".to_owned(),
        restart: Restart::Server,
        undo: vec![
            set_ranges("Put the former list back.".to_owned(), TCPIP, "ReservedPorts", &former),
            restart_server(),
        ],
        ..remedy(service, &shown, view)
    }
}

/// Server 2008 knows no reservation: the range moves above the ports. netsh takes none of less than 255 ports.
fn range_moved(service: &Service, protocol: Protocol, ports: &[Port], view: &View<'_>) -> Remedy {
    let shown = list(ports);
    let top = ports.iter().map(|port| u32::from(port.number) + 1).max().unwrap_or_default();
    let start = top.max(49152);
    let number = 65_536_u32.saturating_sub(start);
    let protocol_shown = protocol.as_str().to_uppercase();
    let step = if number < 255 {
        step(format!("The dynamic range cannot be moved above {shown}: give {} another port.", service.name), None)
    } else {
        let command =
            |family: &str| format!("netsh int {family} set dynamicport {protocol} start={start} num={number}");
        step(
            format!("Move the {protocol_shown} dynamic range, from which ports are drawn, to {start}-65535."),
            Some(["ipv4", "ipv6"].map(command).join(" & ")),
        )
    };
    Remedy {
        summary: format!("Move the {protocol_shown} dynamic range away from {shown}, then restart"),
        steps: vec![step, restart_server()],
        risk: format!(
            "The server is away during the restart. Programs that ask for any free {protocol_shown} port get one of the new range."
        ),
        restart: Restart::Server,
        undo: vec![Step {
            text: format!("Set the {protocol_shown} dynamic range back to what it was."),
            command: None,
        }],
        ..remedy(service, &shown, view)
    }
}

fn in_words(service: &Service, shown: &str, view: &View<'_>) -> Remedy {
    let text = "Reserve the port in the way of this system: ReservedPorts on Windows 2000 and 2003, an excluded port range on Server 2008 R2 and later.";
    Remedy {
        summary: format!("Reserve {shown} for {}", service.name),
        steps: vec![step(text, None)],
        risk: "The service may have to stop for it.".to_owned(),
        restart: Restart::Service,
        ..remedy(service, shown, view)
    }
}
