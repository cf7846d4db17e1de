//! What mends a fault of the whole server: dynamic ports that are used up, and IPsec that blocks all traffic.

use super::command::{by_hand, step};
use crate::exhaustion::NEARLY_ALL;
use crate::facts::OsGeneration;
use crate::finding::{Remedy, Restart};
use crate::ports::Protocol;
use crate::view::View;

/// `owner`, as `agent.exe (PID 12) with 9,000`: who holds most connections.
pub(crate) fn of_exhaustion(protocol: Protocol, owner: Option<&str>, view: &View<'_>) -> Remedy {
    let generation = view.generation();
    let mut steps = vec![by_hand(owner.map_or_else(
        || "Find the program with most ports (netstat -ano), and restart or update it.".to_owned(),
        |owner| format!("See why {owner} connections keeps so many open, and restart or update it."),
    ))];
    let mut undo = Vec::new();
    let mut restart = Restart::None;
    match generation {
        Some(OsGeneration::Windows2000 | OsGeneration::Server2003) => {
            steps.push(by_hand("If it needs them, set the DWORD value MaxUserPort under HKLM\\SYSTEM\\CurrentControlSet\\Services\\Tcpip\\Parameters to 65534, and restart the server. A DNS server with a socket pool then draws from all of it: reserve the ports of other services first."));
            undo.push(by_hand("Put MaxUserPort back to what it was, and restart the server."));
            restart = Restart::Server;
        }
        Some(OsGeneration::Server2012R2) => {
            steps.push(by_hand("Install KB3149157 or a later rollup, which mends leaks of ports."));
        }
        _ => {}
    }
    if generation.is_some_and(|generation| generation > OsGeneration::Server2003) {
        steps.push(step(
            "See which range it is; if it was narrowed, set it back to 49152-65535.",
            Some(format!("netsh int ipv4 show dynamicport {protocol}")),
        ));
    }
    Remedy {
        summary: "Find the program that holds the ports, and restart or update it".to_owned(),
        applies_to: generation.unwrap_or(OsGeneration::Other).label().to_owned(),
        steps,
        risk: "What the program does is away while it restarts.".to_owned(),
        restart,
        undo,
        proven_when: format!("Fewer than {NEARLY_ALL} % of the dynamic ports are in use in the next reports."),
    }
}

/// For damaged policies of IPsec (KB912023).
pub(crate) fn of_block_mode() -> Remedy {
    Remedy {
        summary: "At the console disable IPSEC Services, restart, rebuild its policies".to_owned(),
        applies_to: OsGeneration::Server2003.label().to_owned(),
        steps: vec![
            by_hand(
                "Do this at the console of the server: it cannot be reached by network. Set IPSEC Services to disabled and restart.",
            ),
            by_hand(
                "Export the key HKLM\\SOFTWARE\\Policies\\Microsoft\\Windows\\IPSec\\Policy\\Local, and delete it.",
            ),
            step("Build an empty store of policies.", Some("regsvr32 /s polstore.dll".to_owned())),
            by_hand("Set IPSEC Services to automatic again and restart (KB912023)."),
        ],
        risk: "IPsec policies that were made on this server are lost; those of Group Policy come back.".to_owned(),
        restart: Restart::Server,
        undo: vec![by_hand("Import the exported key.")],
        proven_when: "IPSEC Services runs, and the server answers on the network again.".to_owned(),
    }
}
