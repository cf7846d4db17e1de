//! LSASS draws its ports early in the boot, and cannot be stopped.

use super::command::{by_hand, restart_server, start};
use super::dynamic_range::Move;
use super::exclusion;
use super::fixed_port::fixed_port;
use super::port::{Conflict, Plan};
use super::reserve::reserved_ports;
use crate::facts::OsGeneration;
use crate::finding::Restart;
use crate::view::View;
use crate::words;

impl Conflict<'_> {
    /// LSASS cannot be stopped: its port is fixed, and the one of the service reserved.
    pub(super) fn beside_lsass(&self, generation: OsGeneration, view: &View<'_>) -> Plan {
        let name = &self.service.name;
        let port = self.claim.port;
        let is_controller =
            view.host().and_then(|host| host.domain_controller).unwrap_or(view.service("NTDS").is_some());
        let mut steps = Vec::new();
        let mut undo = Vec::new();
        let mut kept = "reserve";
        if is_controller {
            let (set, back) = fixed_port(port.number, view);
            steps.push(set);
            undo.push(back);
        }
        let numbers = self.wanted(Some(port.protocol));
        if generation <= OsGeneration::Server2003 {
            let (set, back) = reserved_ports(&words::ranges(self.wanted(None)), view);
            steps.extend([set, restart_server()]);
            undo.push(back);
        } else if generation == OsGeneration::Server2008 {
            match self.range_move(view) {
                Move::By(set, back) => {
                    steps.push(set);
                    undo.push(back);
                    kept = "move the TCP dynamic range away from";
                }
                Move::Done => kept = "free",
                Move::TooFew => {
                    kept = "free";
                    steps.push(by_hand(format!(
                        "The dynamic range cannot be moved above {port}: fewer than 255 ports would be left. Should LSASS draw the port again, give {name} another one."
                    )));
                }
            }
            steps.extend([restart_server(), start(name)]);
        } else {
            let missing = exclusion::missing_in_any(port.protocol, &numbers, view);
            steps.push(restart_server());
            steps.extend(exclusion::add(port.protocol, &missing, generation));
            steps.push(start(name));
            undo.extend(exclusion::remove(port.protocol, &missing));
        }
        undo.push(restart_server());
        let first = if is_controller { "Give LSASS a fixed port" } else { "Restart the server" };
        Plan {
            summary: format!("{first}, and {kept} {port} for {name}"),
            steps,
            risk: format!(
                "The server is away during the restart.{}{}",
                if is_controller { " Firewalls between domain controllers must let the fixed port pass." } else { "" },
                exclusion::risk(generation)
            ),
            restart: Restart::Server,
            undo,
        }
    }
}
