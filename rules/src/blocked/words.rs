//! The words of a blocked service: title, cause and evidence.
//!
//! "First" is said only where both times are known; a capture has no bind times.

use chrono::{DateTime, Utc};

use super::{Exit, Obstacle};
use crate::catalog::{Claim, Mechanism, Need};
use crate::dns_pool;
use crate::evidence;
use crate::facts::{CollectedBy, Event, OsGeneration, Service};
use crate::failures;
use crate::finding::Evidence;
use crate::ports::{Family, Port, PortRange};
use crate::view::View;
use crate::words::{count, duration, list};

/// What is told, from all that is known of one service and one port.
pub(super) struct Story<'a> {
    pub(super) service: &'a Service,
    pub(super) claim: &'a Claim,
    pub(super) claims: &'a [&'a Claim],
    pub(super) exit: Exit,
    /// The entry of the log that told `exit`.
    pub(super) event: Option<&'a Event>,
    /// `None`: not known.
    pub(super) failed_at: Option<DateTime<Utc>>,
    pub(super) obstacle: &'a Obstacle<'a>,
    pub(super) view: &'a View<'a>,
}

impl Story<'_> {
    pub(super) fn title(&self) -> String {
        let name = &self.service.name;
        let port = self.claim.port;
        let state = match self.exit {
            Exit::InUse(_) | Exit::Forbidden(_) | Exit::Sharing(_) => "did not start",
            Exit::NeverStarted | Exit::Elsewhere(_) => "has not started",
            Exit::Clean | Exit::Other(_) | Exit::Specific(_) | Exit::Unknown => "is stopped",
        };
        match self.obstacle {
            Obstacle::Holder(holder) => format!("{name} {state}: {port} is held by {}", holder.name()),
            Obstacle::Block(block) => {
                format!(
                    "{name} {state}: {port} lies in a block that Windows has reserved, {}/{}",
                    port.protocol, block.range
                )
            }
        }
    }

    pub(super) fn cause(&self) -> String {
        let mut sentences = vec![self.how()];
        sentences.extend(self.why_it_can());
        sentences.push(format!("{} {}.", self.service.name, self.exit.words()));
        if self.exit == Exit::NeverStarted {
            sentences.push("Whether it would fail is therefore not seen, only that its port is taken.".to_owned());
        }
        if let Need::Optional(when) = &self.claim.need {
            sentences.push(format!("It needs {} {when}.", self.claim.port));
        }
        if self.is_ipsec_of_2003() {
            sentences.push(
                "While IPSEC Services cannot start, the IPsec driver stays in block mode and drops all traffic of this server."
                    .to_owned(),
            );
        }
        let mut text = sentences.join(" ");
        if text.starts_with("the kernel") || text.starts_with("a process") {
            text.replace_range(..1, &text[..1].to_uppercase());
        }
        text
    }

    /// Who took the port, how, and how long before.
    fn how(&self) -> String {
        let name = &self.service.name;
        let port = self.claim.port;
        let holder = match self.obstacle {
            Obstacle::Holder(holder) => holder,
            Obstacle::Block(block) => {
                return format!(
                    "Nobody holds {port}, but it lies in {}/{}, which Windows reserved{} at run time, as it does for WinNAT, Hyper-V and containers; binding it fails with 10013.",
                    port.protocol,
                    block.range,
                    match block.family {
                        Some(Family::Ipv6) => " for IPv6 only",
                        Some(Family::Ipv4) | None => "",
                    }
                );
            }
        };
        let time = self.time();
        match holder.mechanism {
            Some(Mechanism::SocketPool) if holder.pool > 1 => {
                let pool = format!("for its pool of {} random ports", count(holder.pool));
                match time {
                    Some(time) => format!("DNS Server drew {port} {pool} {time}."),
                    None => format!("DNS Server drew {port} {pool}. {}", self.no_time()),
                }
            }
            Some(Mechanism::DynamicRpc) => match time {
                Some(time) => format!("LSASS took {port} for one of its RPC endpoints {time}."),
                None => format!(
                    "LSASS listens on {port} with one of its RPC endpoints, which it draws early in the boot. {}",
                    self.no_time()
                ),
            },
            _ if holder.is_connection() => {
                format!(
                    "{} got {port} as the local port of a connection, so {name} cannot bind it until that ends.",
                    holder.full_name()
                )
            }
            _ => match time {
                Some(time) => format!("{} bound {port} {time}.", holder.full_name()),
                None => format!("{} holds {port}. {}", holder.full_name(), self.no_time()),
            },
        }
    }

    /// `31 s before IAS tried to bind it`. `None`: one of the times is not known.
    fn time(&self) -> Option<String> {
        let Obstacle::Holder(holder) = self.obstacle else { return None };
        let name = &self.service.name;
        let (bound, failed) = holder.bound_at.zip(self.failed_at)?;
        let span = duration(failed - bound);
        if self.exit == Exit::NeverStarted {
            let booted = self.view.host()?.booted_at.filter(|booted| *booted <= bound)?;
            return Some(format!("{} after the boot", duration(bound - booted)));
        }
        Some(match (bound <= failed, self.exit.is_bind_error(self.claim)) {
            (true, true) => format!("{span} before {name} tried to bind it"),
            (true, false) => format!("{span} before {name} stopped"),
            (false, true) => format!("{span} after {name} failed, so something else held it then"),
            (false, false) => {
                format!("{span} after {name} stopped, so it is in the way of the next start but did not cause the stop")
            }
        })
    }

    fn no_time(&self) -> &'static str {
        let captured = self.view.host().is_some_and(|host| host.collected_by == CollectedBy::Capture);
        match self.obstacle {
            _ if captured => "A capture tells no bind times, so who was first cannot be said.",
            Obstacle::Holder(holder) if self.exit == Exit::NeverStarted && holder.bound_at.is_some() => {
                "The service did not try, so nothing says who would have been first."
            }
            _ => "When it bound the port is not known, so who was first cannot be said.",
        }
    }

    /// Why a range from which ports are drawn holds this one, where that is not the system's default.
    fn why_it_can(&self) -> Option<String> {
        let Obstacle::Holder(holder) = self.obstacle else { return None };
        let view = self.view;
        let port = self.claim.port;
        if view.generation()? <= OsGeneration::Server2003 {
            return match (holder.mechanism?, *view.policy()?.max_user_port.known()?) {
                (_, Some(top)) => {
                    Some(format!("It can: MaxUserPort is set to {top} on this server, and ports are drawn up to it."))
                }
                (Mechanism::DynamicRpc, None) => {
                    Some("It can: MaxUserPort is not set on this server, so ports are drawn from 1025-5000.".to_owned())
                }
                (_, None) => None,
            };
        }
        let range = match holder.mechanism? {
            Mechanism::SocketPool => {
                dns_pool::drawn_from(view).ok()?.into_iter().find(|range| range.contains(port.number))?
            }
            _ => dynamic_range(port, view)?,
        };
        let default = PortRange::new(49152, 65535)?;
        (range != default).then(|| {
            let protocol = port.protocol.as_str().to_uppercase();
            format!("It can: the {protocol} dynamic range of this server was changed to {range}.")
        })
    }

    fn is_ipsec_of_2003(&self) -> bool {
        self.service.name.eq_ignore_ascii_case("PolicyAgent")
            && self.view.generation().is_some_and(|generation| generation <= OsGeneration::Server2003)
    }

    pub(super) fn evidence(&self) -> Vec<Evidence> {
        let say = |at, text: String, source: &str| Evidence { at, text, source: source.to_owned() };
        let port = self.claim.port;
        let mut evidence = vec![match self.obstacle {
            Obstacle::Holder(holder) => {
                let verb = if holder.bound_at.is_some() { "bound" } else { "holds" };
                say(
                    holder.bound_at,
                    format!("{} {verb} {port} at {}", holder.full_name(), holder.socket.address),
                    "socket table",
                )
            }
            Obstacle::Block(block) => say(
                None,
                format!(
                    "{}/{} is excluded, and not by an administrator; nobody holds {port}",
                    port.protocol, block.range
                ),
                "excluded port ranges",
            ),
        }];
        evidence.push(match self.event {
            None => say(
                self.service.state_since,
                format!("{} {}", self.service.name, self.exit.words()),
                "Service Control Manager",
            ),
            Some(event) => say(
                event.at.or(self.failed_at),
                format!("Event {}: {} {}", event.id, self.service.name, self.exit.words()),
                "event log",
            ),
        });
        if let Some(event) = failures::of_port(self.service, port, self.view) {
            evidence.push(say(
                event.at,
                format!("Event {} of {}: {port} could not be bound", event.id, event.provider),
                "event log",
            ));
        }
        let free: Vec<Port> = self
            .claims
            .iter()
            .filter(|claim| claim.need == Need::Required && self.view.sockets_on(claim.port).is_empty())
            .map(|claim| claim.port)
            .collect();
        if !free.is_empty() && matches!(self.obstacle, Obstacle::Holder(_)) {
            evidence.push(say(None, format!("Now free: {}", list(&free)), "socket table"));
        }
        evidence.push(evidence::need(self.claim));
        evidence.sort_by_key(|evidence| (evidence.at.is_none(), evidence.at));
        evidence
    }
}

/// The dynamic range that holds `port`.
fn dynamic_range(port: Port, view: &View<'_>) -> Option<PortRange> {
    let ranges = view.policy()?.dynamic_ranges.known()?;
    let holds =
        |range: &&crate::facts::DynamicRange| range.protocol == port.protocol && range.range.contains(port.number);
    ranges.iter().filter(holds).map(|range| range.range).min()
}
