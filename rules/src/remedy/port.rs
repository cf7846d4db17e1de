//! What to do about a port that is taken, by who took it and by the generation of the system.
//!
//! On Windows 2000 and 2003 ports are kept by ReservedPorts (KB812873); from Server 2008 R2 on by exclusions, and for the
//! DNS server's pool by SocketPoolExcludedPortRanges. Server 2008 has neither: there the dynamic range is moved (KB929851).

use super::command::{by_hand, restart_server, restart_service, set_ranges, start, step, stop};
use super::exclusion;
use super::fixed_port::fixed_port;
use crate::blocked::{Holder, Obstacle};
use crate::catalog::{Claim, Mechanism, Need};
use crate::facts::{OsGeneration, Service};
use crate::finding::{Remedy, Restart, Step};
use crate::ports::{Family, PortRange, Protocol};
use crate::view::View;
use crate::words::{self, count, list};

const TCPIP: &str = r"HKLM\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters";
const DNS: &str = r"HKLM\SYSTEM\CurrentControlSet\Services\DNS\Parameters";

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

/// What moving the dynamic range of Server 2008 can do.
enum Move {
    /// The step, and the one that takes it back.
    By(Step, Step),
    /// No port of the service lies in the range as it is.
    Done,
    /// Too few ports are left above those of the service.
    TooFew,
}

/// Where the steps lead, before the parts that every remedy has.
struct Plan {
    summary: String,
    steps: Vec<Step>,
    risk: String,
    restart: Restart,
    undo: Vec<Step>,
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
    fn wanted(&self, protocol: Option<Protocol>) -> Vec<u16> {
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

    /// ReservedPorts of Windows 2000 and 2003, which keeps the ranges that are there.
    fn reserved(&self, holder_service: Option<&str>, view: &View<'_>) -> Plan {
        let name = &self.service.name;
        let wanted = words::ranges(self.wanted(None));
        let mut steps = Vec::new();
        if let Some(holder) = holder_service {
            let [stop, start_victim, start_holder] = [stop(holder), start(name), start(holder)];
            let command = stop.command.zip(start_victim.command).zip(start_holder.command);
            steps.push(step(
                format!("To help at once, until the next boot: stop {holder}, start {name}, start {holder}."),
                command.map(|((stop, victim), holder)| format!("{stop} & {victim} & {holder}")),
            ));
        }
        let (set, undo) = reserved_ports(&wanted, view);
        steps.push(set);
        if name.eq_ignore_ascii_case("PolicyAgent") {
            steps.push(by_hand(
                "If the server cannot be reached by network, do this at its console: set IPSEC Services to disabled and restart; then reserve the port, set it back to automatic and restart again (KB912023).",
            ));
        }
        steps.push(restart_server());
        Plan {
            summary: format!("Reserve {} in ReservedPorts, then restart", list(&wanted)),
            steps,
            risk: "The server is away during the restart. Programs that ask for any free port get none of the reserved ones; who asks by number still does.".to_owned(),
            restart: Restart::Server,
            undo: vec![undo, restart_server()],
        }
    }

    /// Server 2008: the range from which ports are drawn moves above those of the service.
    fn range_move(&self, view: &View<'_>) -> Move {
        let protocol = self.claim.port.protocol;
        let wanted = self.wanted(Some(protocol));
        let ranges = view.policy_value(|policy| &policy.dynamic_ranges).ok();
        let former: Vec<_> = ranges.into_iter().flatten().filter(|range| range.protocol == protocol).collect();
        if !former.is_empty() && !former.iter().any(|former| wanted.iter().any(|number| former.range.contains(*number)))
        {
            return Move::Done;
        }
        let above =
            wanted.iter().copied().filter(|port| *port >= 49152).max().map_or(49152, |port| u32::from(port) + 1);
        let number = 65536_u32.saturating_sub(above);
        // netsh takes no range of less than 255 ports.
        if number < 255 {
            return Move::TooFew;
        }
        let command = |family: &str, start: u32, number: u32| {
            format!("netsh int {family} set dynamicport {protocol} start={start} num={number}")
        };
        let set = ["ipv4", "ipv6"].map(|family| command(family, above, number)).join(" & ");
        let shown = protocol.as_str().to_uppercase();
        let set =
            step(format!("Move the {shown} dynamic range, from which ports are drawn, to {above}-65535."), Some(set));
        // A family that was not read most likely had the range of the other one.
        let of_family = |family: Family| {
            former.iter().find(|former| former.family == family).or(former.first()).map(|former| former.range)
        };
        let back: Vec<String> = [("ipv4", Family::Ipv4), ("ipv6", Family::Ipv6)]
            .into_iter()
            .filter_map(|(name, family)| {
                of_family(family).map(|range| command(name, u32::from(range.start()), range.count()))
            })
            .collect();
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

    fn range_moved(&self, holder: &Holder<'_>, view: &View<'_>) -> Plan {
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

    /// Server 2008 R2 and later: ports that the pool leaves out.
    fn out_of_pool(&self, view: &View<'_>) -> Plan {
        let name = &self.service.name;
        let numbers = self.wanted(Some(Protocol::Udp));
        let wanted = words::ranges(numbers.iter().copied());
        let shown = list(&wanted);
        let (set, undo) = match view.policy_value(|policy| &policy.dns_socket_pool) {
            Ok(pool) => {
                let former = words::merged(pool.excluded.clone());
                let all = words::merged(former.iter().chain(&wanted).copied().collect());
                (
                    set_ranges(
                        format!(
                            "Keep {shown} out of the DNS server's pool; ranges that it leaves out already stay in the list."
                        ),
                        DNS,
                        "SocketPoolExcludedPortRanges",
                        &all,
                    ),
                    set_ranges("Put the former list back.".to_owned(), DNS, "SocketPoolExcludedPortRanges", &former),
                )
            }
            Err(_) => (
                by_hand(format!(
                    "Add {shown} to the value SocketPoolExcludedPortRanges (REG_MULTI_SZ, a range a line) under {DNS}. What it holds already was not read: keep it."
                )),
                by_hand("Take the added lines out of SocketPoolExcludedPortRanges again."),
            ),
        };
        Plan {
            summary: format!("Keep {shown} out of the DNS server's pool, restart DNS, start {name}"),
            steps: vec![set, restart_service("DNS"), start(name)],
            risk: format!("DNS is away for some seconds. {}", pool_loss(&numbers, view)),
            restart: Restart::Service,
            undo: vec![undo, restart_service("DNS")],
        }
    }

    /// LSASS cannot be stopped: its port is fixed, and the one of the service reserved.
    fn beside_lsass(&self, generation: OsGeneration, view: &View<'_>) -> Plan {
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
            let missing = exclusion::missing(port.protocol, &numbers, view);
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

    /// What holds the port is a part of Windows: only a restart makes it give the port back.
    fn restarted(&self, generation: OsGeneration, view: &View<'_>) -> Plan {
        let name = &self.service.name;
        let port = self.claim.port;
        let missing = exclusion::missing(port.protocol, &self.wanted(Some(port.protocol)), view);
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
    fn around_block(&self, generation: OsGeneration, view: &View<'_>) -> Plan {
        let name = &self.service.name;
        let protocol = self.claim.port.protocol;
        let missing = exclusion::missing(protocol, &self.wanted(Some(protocol)), view);
        let mut steps = vec![step(
            "Stop WinNAT, so that its blocks are given back. If it is not running, the block belongs to another driver: restart the server, and go on before containers and virtual machines start.",
            Some("net stop winnat".to_owned()),
        )];
        steps.extend(exclusion::add(protocol, &missing, generation));
        steps.push(start(name));
        steps.push(step("Start WinNAT again; it now leaves the port out.", Some("net start winnat".to_owned())));
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
    fn excluded(&self, holder: &Holder<'_>, generation: OsGeneration) -> Plan {
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
                steps.push(restart_server());
            }
            Some(service) => {
                steps.push(stop(service));
                undo.push(start(service));
            }
            None => steps.push(close(holder)),
        }
        steps.push(start(name));
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
fn close(holder: &Holder<'_>) -> Step {
    by_hand(if holder.socket.process().is_some_and(|process| !process.is_empty()) {
        format!("Close {}.", holder.full_name())
    } else {
        format!("Find out what {} is; close it only if it is no part of Windows.", holder.full_name())
    })
}

/// The step that adds `wanted` to ReservedPorts, and the one that takes it back.
fn reserved_ports(wanted: &[PortRange], view: &View<'_>) -> (Step, Step) {
    let shown = list(wanted);
    match view.policy_value(|policy| &policy.reserved_ports) {
        Ok(former) => {
            let former = words::merged(former.clone());
            let all = words::merged(former.iter().chain(wanted).copied().collect());
            let text = format!("Reserve {shown} in ReservedPorts; ranges that it holds already stay in the list.");
            (
                set_ranges(text, TCPIP, "ReservedPorts", &all),
                set_ranges("Put the former list back.".to_owned(), TCPIP, "ReservedPorts", &former),
            )
        }
        Err(_) => (
            by_hand(format!(
                "Add {shown} to the value ReservedPorts (REG_MULTI_SZ, a range a line, a single port as 4500-4500) under {TCPIP}. What it holds already was not read: keep it."
            )),
            by_hand("Take the added lines out of ReservedPorts again."),
        ),
    }
}

/// `4 of 64,511 ports leave its pool.`
fn pool_loss(numbers: &[u16], view: &View<'_>) -> String {
    let ranges = crate::dns_pool::drawn_from(view).unwrap_or_default();
    let lost = numbers.iter().filter(|number| ranges.iter().any(|range| range.contains(**number))).count();
    let Some(all) = ranges.iter().map(|range| range.count() as usize).max().filter(|_| lost > 0) else {
        return "The excluded ports leave its pool.".to_owned();
    };
    format!("{} of {} ports leave its pool.", count(lost), count(all))
}
