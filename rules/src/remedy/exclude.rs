//! Exclusions around a holder that must let go of the port first, since adding one fails while anybody holds it.

use super::change::Change;
use super::command::{by_hand, doing, restart_server, start, stop};
use super::exclusion;
use super::port::{Conflict, Plan, close};
use crate::blocked::Holder;
use crate::facts::OsGeneration;
use crate::finding::Restart;
use crate::ports::PortRange;
use crate::view::View;

const WINNAT: &str = "winnat";

impl Conflict<'_> {
    /// What holds the port is a part of Windows: only a restart makes it give the port back.
    pub(super) fn restarted(&self, generation: OsGeneration, view: &View<'_>) -> Plan {
        let name = &self.service.name;
        let port = self.claim.port;
        let missing = exclusion::missing_in_any(port.protocol, &self.wanted(Some(port.protocol)), view);
        let mut steps = vec![restart_server()];
        steps.extend(exclusion::add(port.protocol, &missing, generation));
        steps.push(start(name));
        steps.push(by_hand(format!(
            "If netsh answers that the port is in use, a part of Windows drew it again: restart the server and try {port} once more.",
        )));
        Plan {
            summary: format!("Restart the server, reserve {port}, start {name}"),
            steps,
            risk: format!("The server is away during the restart.{}", exclusion::risk(generation)),
            restart: Restart::Server,
            undo: exclusion::remove(port.protocol, &missing),
        }
    }

    /// A block of WinNAT: it must go for a moment, so that the exclusion can be made.
    pub(super) fn around_block(&self, generation: OsGeneration, view: &View<'_>) -> Plan {
        let name = &self.service.name;
        let protocol = self.claim.port.protocol;
        let missing = exclusion::missing_in_any(protocol, &self.wanted(Some(protocol)), view);
        let mut steps = vec![doing(
            "Stop WinNAT, so that its blocks are given back. If it is not running, the block belongs to another driver: restart the server, and go on before containers and virtual machines start.",
            vec![Change::Stop { service: WINNAT.to_owned() }],
        )];
        steps.extend(exclusion::add(protocol, &missing, generation));
        steps.push(start(name));
        steps.push(doing(
            "Start WinNAT again; it now leaves the port out.",
            vec![Change::Start { service: WINNAT.to_owned() }],
        ));
        Plan {
            summary: format!("Stop WinNAT, reserve {}, start {name}, start WinNAT", self.claim.port),
            steps,
            risk: format!(
                "Containers and NAT networks lose their connections while WinNAT is stopped.{}",
                exclusion::risk(generation)
            ),
            restart: Restart::Service,
            undo: exclusion::remove(protocol, &missing),
        }
    }

    /// A program that drew the port by chance: exclude it while the program is away.
    pub(super) fn excluded(&self, holder: &Holder<'_>, generation: OsGeneration) -> Plan {
        let name = &self.service.name;
        let port = self.claim.port;
        let range = [PortRange::single(port.number)];
        let (stop_holder, start_holder) = match holder.service() {
            Some(service) => (stop(service), start(service)),
            None => (close(holder), by_hand(format!("Start {} again.", holder.name()))),
        };
        let mut steps = vec![stop_holder];
        steps.extend(exclusion::add(port.protocol, &range, generation));
        steps.extend([start(name), start_holder]);
        Plan {
            summary: format!("Stop {}, reserve {port}, start {name}, start {} again", holder.name(), holder.name()),
            steps,
            risk: format!("{} is away for some seconds.{}", holder.name(), exclusion::risk(generation)),
            restart: Restart::Service,
            undo: exclusion::remove(port.protocol, &range),
        }
    }
}
