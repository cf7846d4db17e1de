//! What to do about a port that is taken, by who took it and by the generation of the system.
//!
//! On Windows 2000 and 2003 ports are kept by ReservedPorts (KB812873); from Server 2008 R2 on by exclusions, and for the
//! DNS server's pool by SocketPoolExcludedPortRanges. Server 2008 has neither: there the dynamic range is moved (KB929851).

use super::command::{by_hand, restart_server, start, step, stop, undecided};
use crate::blocked::{Holder, Obstacle};
use crate::catalog::{Claim, Mechanism, Need};
use crate::facts::{OsGeneration, Service};
use crate::finding::{Remedy, Restart, Step};
use crate::ports::Protocol;
use crate::view::View;

/// A service and what keeps it from one of its ports.
pub(crate) struct Conflict<'a> {
    pub(crate) service: &'a Service,
    pub(crate) claim: &'a Claim,
    /// All that the service needs.
    pub(crate) claims: &'a [&'a Claim],
    pub(crate) obstacle: &'a Obstacle<'a>,
}

/// Whether a holder got its port by chance.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Drawn {
    Yes,
    No,
    /// It lies where ports are drawn from, but the program may as well be set to it.
    Undecided,
}

/// Where the steps lead, before the parts that every remedy has.
pub(super) struct Plan {
    pub(super) summary: String,
    pub(super) steps: Vec<Step>,
    pub(super) risk: String,
    pub(super) restart: Restart,
    pub(super) undo: Vec<Step>,
}

pub(crate) fn of_port(conflict: &Conflict<'_>, view: &View<'_>) -> Remedy {
    let plan = match (view.generation(), conflict.obstacle) {
        (None | Some(OsGeneration::Other), obstacle) => conflict.in_words(obstacle),
        (Some(generation), Obstacle::Block(_)) => conflict.around_block(generation, view),
        (Some(generation), Obstacle::Holder(holder)) => conflict.around_holder(holder, generation, view),
    };
    let name = &conflict.service.name;
    Remedy {
        summary: plan.summary,
        applies_to: view.generation().unwrap_or(OsGeneration::Other).label().to_owned(),
        steps: plan.steps,
        risk: plan.risk,
        restart: plan.restart,
        undo: plan.undo,
        proven_when: format!("{name} runs and holds {} in the next report.", conflict.claim.port),
    }
}

impl Conflict<'_> {
    fn around_holder(&self, holder: &Holder<'_>, generation: OsGeneration, view: &View<'_>) -> Plan {
        let old = generation <= OsGeneration::Server2003;
        match holder.mechanism {
            Some(Mechanism::DynamicRpc) => self.beside_lsass(generation, view),
            Some(Mechanism::SocketPool) if old => self.reserved(holder.service(), view),
            Some(Mechanism::SocketPool) if generation == OsGeneration::Server2008 => self.range_moved(holder, view),
            Some(Mechanism::SocketPool) => self.out_of_pool(view),
            _ => {
                let drawn = self.drawn(holder, view);
                let mut plan = match drawn {
                    Drawn::No => return self.decided(holder, generation),
                    _ if old && holder.cannot_stop() => self.reserved(None, view),
                    _ if old => self.reserved(holder.service(), view),
                    _ if generation == OsGeneration::Server2008 => self.range_moved(holder, view),
                    _ if holder.cannot_stop() => self.restarted(generation, view),
                    _ => self.excluded(holder, generation),
                };
                if drawn == Drawn::Undecided {
                    let text = format!(
                        "If {} is set to this port, change it there: a reservation does not stop it. Otherwise reserve the port as follows.",
                        holder.name()
                    );
                    plan.steps.insert(0, by_hand(text));
                }
                plan
            }
        }
    }

    /// Whether the port was handed out, or asked for by number.
    fn drawn(&self, holder: &Holder<'_>, view: &View<'_>) -> Drawn {
        if holder.is_connection() || holder.socket.specific_port == Some(false) {
            return Drawn::Yes;
        }
        let by_number = holder.socket.specific_port == Some(true) || holder.is_claimed;
        if holder.is_kernel() || by_number || self.claim.port.number < 1024 || !self.is_in_drawn_range(view) {
            return Drawn::No;
        }
        // The processes of Windows listen for RPC there; of others a configured port may lie in the range as well.
        let known = holder.cannot_stop() || self.claim.port.protocol == Protocol::Udp;
        if known { Drawn::Yes } else { Drawn::Undecided }
    }

    fn is_in_drawn_range(&self, view: &View<'_>) -> bool {
        let port = self.claim.port;
        let old = view.generation().is_some_and(|generation| generation <= OsGeneration::Server2003);
        if old {
            let top = view.policy_value(|policy| &policy.max_user_port).ok().copied().flatten().unwrap_or(5000);
            return (1025..=top).contains(&u32::from(port.number));
        }
        match view.policy_value(|policy| &policy.dynamic_ranges) {
            Ok(ranges) => {
                ranges.iter().any(|range| range.protocol == port.protocol && range.range.contains(port.number))
            }
            Err(_) => port.number >= 49152,
        }
    }

    /// Numbers of all ports that the service always needs, and of the contested one. `None`: of both protocols. Ports
    /// below 1024 are never handed out, so that nothing need keep them.
    pub(super) fn wanted(&self, protocol: Option<Protocol>) -> Vec<u16> {
        let claims = self.claims.iter().filter(|claim| claim.need == Need::Required);
        let ports = claims.map(|claim| claim.port).chain([self.claim.port]);
        let mut numbers: Vec<u16> = ports
            .filter(|port| protocol.is_none_or(|protocol| protocol == port.protocol))
            .filter(|port| port.number >= 1024 || *port == self.claim.port)
            .map(|port| port.number)
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// Two programs are set to one port, or no reservation exists here: somebody must decide.
    fn decided(&self, holder: &Holder<'_>, generation: OsGeneration) -> Plan {
        let name = &self.service.name;
        let port = self.claim.port;
        let mut steps =
            vec![by_hand(format!("Decide which of the two is to have {port}: {name} or {}.", holder.full_name()))];
        let mut undo = Vec::new();
        match holder.service() {
            _ if holder.is_kernel() && port.protocol == Protocol::Udp => {
                steps.push(by_hand("See which driver uses the port, and set it or what it belongs to to another one."));
            }
            _ if holder.is_kernel() => steps.push(step(
                "See which program uses the port through HTTP.sys, and stop it or give it another port.",
                (generation > OsGeneration::Server2003).then(|| "netsh http show servicestate".to_owned()),
            )),
            _ if holder.cannot_stop() => {
                steps.push(by_hand(format!(
                    "Leave {} running, which Windows needs or which several services share. Change the setting by which it uses the port, or give {name} another port.",
                    holder.name()
                )));
                steps.push(undecided(restart_server()));
            }
            Some(service) => {
                steps.push(undecided(stop(service)));
                undo.push(undecided(start(service)));
            }
            None => steps.push(close(holder)),
        }
        steps.push(undecided(start(name)));
        steps.push(by_hand("Give the other one another port or disable it, or the next boot will be the same race."));
        let stays = holder.is_kernel() || holder.cannot_stop();
        let restarts = !holder.is_kernel() && holder.cannot_stop();
        Plan {
            summary: if stays {
                format!("Decide who is to have {port}, change the other, start {name}")
            } else {
                format!("Decide who is to have {port}; stop the other, start {name}")
            },
            steps,
            risk: if restarts {
                "The server is away during the restart.".to_owned()
            } else {
                format!("What {} does is away while it is stopped.", holder.name())
            },
            restart: if restarts { Restart::Server } else { Restart::Service },
            undo,
        }
    }

    /// The generation is not known, and with it the way to reserve a port.
    fn in_words(&self, obstacle: &Obstacle<'_>) -> Plan {
        let name = &self.service.name;
        let port = self.claim.port;
        let first = match obstacle {
            Obstacle::Block(_) => {
                return Plan {
                    summary: format!("Make Windows give back the block, reserve {port}, start {name}"),
                    steps: vec![
                        by_hand(
                            "Stop what the block was reserved for, such as WinNAT, or restart the server and go on before containers and virtual machines start.",
                        ),
                        by_hand(format!("Reserve {port} as an excluded port range of its own, and start {name}.")),
                        by_hand("Start again what was stopped; it now leaves the port out."),
                    ],
                    risk: "Containers and NAT networks lose their connections meanwhile.".to_owned(),
                    restart: Restart::Service,
                    undo: Vec::new(),
                };
            }
            Obstacle::Holder(holder) if holder.cannot_stop() || holder.is_kernel() => format!(
                "Leave {} running, which is a part of Windows or which several services share. Restart the server, and start {name} before the port is taken again.",
                holder.name()
            ),
            Obstacle::Holder(_) => format!("Stop what holds {port}, start {name}, then start the other again."),
        };
        Plan {
            summary: format!("Free {port}, start {name}, and reserve the port"),
            steps: vec![
                by_hand(first),
                by_hand(
                    "Reserve the port in the way of this system: ReservedPorts on Windows 2000 and 2003, an excluded port range on Server 2008 R2 and later.",
                ),
            ],
            risk: "What holds the port is away while it is stopped.".to_owned(),
            restart: Restart::Service,
            undo: Vec::new(),
        }
    }
}

/// Ends a program that is no service, or none that is known.
pub(super) fn close(holder: &Holder<'_>) -> Step {
    by_hand(if holder.socket.process().is_some_and(|process| !process.is_empty()) {
        format!("Close {}.", holder.full_name())
    } else {
        format!("Find out what {} is; close it only if it is no part of Windows.", holder.full_name())
    })
}
