//! Server 2008 knows no reservation: the range from which ports are drawn is moved instead (KB929851).

use super::change::Change;
use super::command::{by_hand, doing, restart_server, restart_service, start, step, stop};
use super::port::{Conflict, Plan, close};
use crate::blocked::Holder;
use crate::catalog::Mechanism;
use crate::finding::{Restart, Step};
use crate::ports::{Family, PortRange, Protocol};
use crate::view::View;
use crate::words::{self, list};

/// What moving the dynamic range of Server 2008 can do.
pub(super) enum Move {
    /// The step, and the one that takes it back.
    By(Step, Step),
    /// No port of the service lies in the range as it is.
    Done,
    /// Too few ports are left above those of the service.
    TooFew,
}

impl Conflict<'_> {
    pub(super) fn range_move(&self, view: &View<'_>) -> Move {
        let protocol = self.claim.port.protocol;
        range_move(protocol, &self.wanted(Some(protocol)), view)
    }

    pub(super) fn range_moved(&self, holder: &Holder<'_>, view: &View<'_>) -> Plan {
        let name = &self.service.name;
        let port = self.claim.port;
        let protocol = port.protocol.as_str().to_uppercase();
        let shown = list(&words::ranges(self.wanted(Some(port.protocol))));
        let (mut steps, mut undo, first) = match self.range_move(view) {
            Move::By(set, back) => {
                (vec![set], vec![back], format!("Move the {protocol} dynamic range above {shown}, "))
            }
            Move::Done => (
                vec![by_hand(format!(
                    "The {protocol} dynamic range leaves out {shown} already: the socket at {port} is older than that change, or its program is set to the port."
                ))],
                Vec::new(),
                String::new(),
            ),
            Move::TooFew => (
                vec![by_hand(format!(
                    "The dynamic range cannot be moved above {shown}: fewer than 255 ports would be left. Give {name} another port, or start it before {}.",
                    holder.name()
                ))],
                Vec::new(),
                String::new(),
            ),
        };
        let away = match holder.service() {
            _ if holder.cannot_stop() => {
                steps.push(restart_server());
                if !undo.is_empty() {
                    undo.push(restart_server());
                }
                "The server is away during the restart."
            }
            Some(service) if holder.mechanism == Some(Mechanism::SocketPool) => {
                steps.push(restart_service(service));
                if !undo.is_empty() {
                    undo.push(restart_service(service));
                }
                "DNS is away for some seconds."
            }
            Some(service) => {
                steps.push(stop(service));
                "The holder is away for some seconds."
            }
            None => {
                steps.push(close(holder));
                "The holder is away for some seconds."
            }
        };
        let restarted = if holder.cannot_stop() { "the server" } else { holder.service().unwrap_or("its holder") };
        steps.push(start(name));
        if !holder.cannot_stop() && holder.mechanism.is_none() {
            steps.push(match holder.service() {
                Some(service) => start(service),
                None => by_hand(format!("Start {} again.", holder.name())),
            });
        }
        let moved = if first.is_empty() {
            String::new()
        } else {
            format!(" Programs that ask for any free {protocol} port get one of the new range.")
        };
        let summary = format!("{first}restart {restarted}, start {name}");
        Plan {
            summary: if first.is_empty() { format!("Restart {restarted}, start {name}") } else { summary },
            steps,
            risk: format!("{away}{moved}"),
            restart: if holder.cannot_stop() { Restart::Server } else { Restart::Service },
            undo,
        }
    }
}

/// The range from which ports of `protocol` are drawn moves above `wanted`.
pub(super) fn range_move(protocol: Protocol, wanted: &[u16], view: &View<'_>) -> Move {
    let ranges = view.policy_value(|policy| &policy.dynamic_ranges).ok();
    let former: Vec<_> = ranges.into_iter().flatten().filter(|range| range.protocol == protocol).collect();
    if !former.is_empty() && !former.iter().any(|former| wanted.iter().any(|number| former.range.contains(*number))) {
        return Move::Done;
    }
    let above = wanted.iter().copied().filter(|port| *port >= 49152).max().map_or(49152, |port| u32::from(port) + 1);
    let number = 65536_u32.saturating_sub(above);
    // netsh takes no range of less than 255 ports.
    if number < 255 {
        return Move::TooFew;
    }
    let move_to = |family, range| Change::MoveRange { protocol, family, range };
    let Some(range) = u16::try_from(above).ok().and_then(|start| PortRange::new(start, u16::MAX)) else {
        return Move::TooFew;
    };
    let shown = protocol.as_str().to_uppercase();
    let set = doing(
        format!("Move the {shown} dynamic range, from which ports are drawn, to {range}."),
        Family::BOTH.map(|family| move_to(family, range)).to_vec(),
    );
    // A family that was not read most likely had the range of the other one.
    let of_family = |family: Family| {
        former.iter().find(|former| former.family == family).or(former.first()).map(|former| former.range)
    };
    let back: Vec<String> =
        Family::BOTH.into_iter().filter_map(|family| move_to(family, of_family(family)?).command()).collect();
    let mut shown_former: Vec<PortRange> = former.iter().map(|former| former.range).collect();
    shown_former.sort_unstable();
    shown_former.dedup();
    let back = if back.is_empty() {
        by_hand(format!("Set the {shown} dynamic range back to what it was."))
    } else {
        step(format!("Set the {shown} dynamic range back to {}.", list(&shown_former)), Some(back.join(" & ")))
    };
    Move::By(set, back)
}
