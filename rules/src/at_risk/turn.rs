//! Takers that draw in turn, and blocks that Windows reserves: no formula tells what they take next, so that only what was
//! seen counts, and no number is given.

use super::{Pools, Risks, Stake, Story, finding};
use crate::catalog::{self, Mechanism, Taker};
use crate::drawn;
use crate::evidence;
use crate::facts::{Exclusion, Service};
use crate::finding::Confidence;
use crate::forecast::Forecast;
use crate::ports::{Port, PortRange, Protocol};
use crate::remedy::ahead;
use crate::view::View;
use crate::words::list;

const BLOCKS: &str = "winnat-reserved-blocks";

/// Single ports in the list of exclusions are those that HTTP.sys serves.
const BLOCK_FROM: u32 = 10;

/// A taker held the port in an earlier boot.
pub(super) fn of_history(service: &Service, stakes: &[Stake<'_>], _: &Pools, view: &View<'_>) -> Risks {
    let mut risks = Risks::default();
    for hold in &view.history.holds {
        let Some(stake) = stakes.iter().find(|stake| stake.claim.port == hold.port) else { continue };
        let Some(taker) = view.catalog.taker_of(&hold.image, hold.port.protocol) else { continue };
        let is_own =
            stake.socket.and_then(|socket| socket.process()).is_some_and(|own| hold.image.eq_ignore_ascii_case(own));
        if taker.mechanism == Mechanism::SocketPool || is_own || hold.boots == 0 {
            continue;
        }
        match can_draw(taker, hold.port, view) {
            Some(true) => {}
            Some(false) => continue,
            None => {
                risks.open.insert(format!("whether {} can still get {} is not known", taker.name, hold.port));
                continue;
            }
        }
        let (boots, of) = (hold.boots, hold.of);
        let seen = format!("{} held {} in {boots} of {of} earlier boots", hold.image, hold.port);
        risks.forecasts.push(forecast(service, taker, hold.port, Some((boots, of))));
        if !stake.is_lost {
            let cause = format!(
                "{seen}. {} lies in the range of {}, which Windows hands out in turn, and nothing keeps it out. How likely it is to happen again, no formula tells.",
                hold.port, taker.name
            );
            let mut evidence = stake.evidence(service);
            evidence.push(evidence::now(seen, "earlier boots"));
            risks.findings.push(finding(
                service,
                hold.port,
                Story {
                    taker: taker.id.clone(),
                    severity: stake.severity(),
                    confidence: stake.confidence(service),
                    title: format!(
                        "{} may lose {} at the next boot: {} held it in {boots} of {of} boots",
                        service.name, hold.port, hold.image
                    ),
                    cause,
                    evidence,
                    remedy: ahead::of_drawn(service, hold.port, view),
                    probability: None,
                },
            ));
        }
    }
    risks
}

/// The catalog knows that such a service has lost ports to a taker that draws in turn, and the taker is on this host.
pub(super) fn of_known_victims(service: &Service, stakes: &[Stake<'_>], _: &Pools, view: &View<'_>) -> Risks {
    let mut risks = Risks::default();
    let name = service.name.to_lowercase();
    let takers = view.catalog.takers().iter().filter(|taker| {
        matches!(taker.mechanism, Mechanism::DynamicRpc | Mechanism::DynamicPort)
            && taker.collides_with.iter().any(|victim| catalog::matches(&victim.to_lowercase(), &name))
    });
    for taker in takers {
        for stake in stakes.iter().filter(|stake| taker.protocols.contains(&stake.claim.port.protocol)) {
            let port = stake.claim.port;
            if !is_present(taker, view) || view.history.holds.iter().any(|hold| hold.port == port) {
                continue;
            }
            match can_draw(taker, port, view) {
                Some(true) => {}
                Some(false) => continue,
                None => {
                    risks.open.insert(format!("from which ports {} come is not known", taker.name));
                    continue;
                }
            }
            risks.forecasts.push(forecast(service, taker, port, None));
            if stake.is_lost {
                continue;
            }
            let ranges = ranges_of(taker, port.protocol, view).unwrap_or_default();
            let cause = format!(
                "{port} lies in {}, the range of {}, which Windows hands out in turn early in the boot, and nothing keeps it out. {} is known to have lost its port in this way. It has not been seen on this server yet, and no formula tells how likely it is.",
                list(&ranges),
                taker.name,
                service.name
            );
            let mut evidence = stake.evidence(service);
            evidence.push(evidence::now(taker.summary.clone(), "catalog"));
            risks.findings.push(finding(
                service,
                port,
                Story {
                    taker: taker.id.clone(),
                    severity: stake.severity(),
                    confidence: Confidence::Possible,
                    title: format!("{} may lose {port} at the next boot to {}", service.name, taker.name),
                    cause,
                    evidence,
                    remedy: ahead::of_drawn(service, port, view),
                    probability: None,
                },
            ));
        }
    }
    risks
}

/// Blocks that Windows reserves at run time lie elsewhere after each boot.
pub(super) fn of_blocks(service: &Service, stakes: &[Stake<'_>], _: &Pools, view: &View<'_>) -> Risks {
    let mut risks = Risks::default();
    let reserves = ["winnat", "hns", "vmcompute"].iter().any(|name| view.service(name).is_some());
    let is_unread = view.facts.sockets.known().is_none();
    let held: Vec<&Stake<'_>> =
        stakes.iter().filter(|stake| (stake.socket.is_some() || is_unread) && !stake.claim.kernel).collect();
    if !reserves || held.is_empty() {
        return risks;
    }
    let Ok(exclusions) = view.policy_value(|policy| &policy.exclusions) else {
        risks.open.insert("whether Windows reserves blocks of ports here is not known".to_owned());
        return risks;
    };
    let is_block = |exclusion: &&Exclusion, protocol| {
        !exclusion.administered && exclusion.protocol == protocol && exclusion.range.count() >= BLOCK_FROM
    };
    for stake in held {
        let port = stake.claim.port;
        let mut blocks: Vec<PortRange> =
            exclusions.iter().filter(|exclusion| is_block(exclusion, port.protocol)).map(|block| block.range).collect();
        blocks.sort_unstable();
        blocks.dedup();
        if blocks.is_empty() {
            continue;
        }
        match (drawn::ranges(port.protocol, view), drawn::is_kept_out(port, view)) {
            (Some(ranges), Some(false)) if holds(&ranges, port) => {}
            (Some(_), Some(_)) => continue,
            _ => {
                risks.open.insert(format!("whether {port} lies where Windows reserves blocks is not known"));
                continue;
            }
        }
        risks.forecasts.push(Forecast {
            service: service.name.to_string(),
            taker: BLOCKS.to_owned(),
            ports: vec![port],
            probability: None,
            condition: "if Windows reserves its blocks first".to_owned(),
            draws: Vec::new(),
            boots: None,
        });
        let shown: Vec<String> = blocks.iter().take(4).map(|block| format!("{}/{block}", port.protocol)).collect();
        let more = if blocks.len() > shown.len() { " among others" } else { "" };
        let cause = format!(
            "{port} lies in the dynamic range, in which Windows reserves blocks of ports for WinNAT, Hyper-V or containers at every boot, each time elsewhere. In a block {} could not bind its port. Where they will lie, no formula tells.",
            service.name
        );
        let mut evidence = stake.evidence(service);
        evidence.push(evidence::now(format!("Reserved now: {}{more}", list(&shown)), "excluded port ranges"));
        risks.findings.push(finding(
            service,
            port,
            Story {
                taker: BLOCKS.to_owned(),
                severity: stake.severity(),
                confidence: stake.confidence(service),
                title: format!("{} may lose {port} at the next boot to a block that Windows reserves", service.name),
                cause,
                evidence,
                remedy: ahead::of_drawn(service, port, view),
                probability: None,
            },
        ));
    }
    risks
}

fn forecast(service: &Service, taker: &Taker, port: Port, boots: Option<(u32, u32)>) -> Forecast {
    Forecast {
        service: service.name.to_string(),
        taker: taker.id.clone(),
        ports: vec![port],
        probability: None,
        condition: "if it draws the port before the service binds it".to_owned(),
        draws: Vec::new(),
        boots,
    }
}

/// Whether the taker can be given `port` at the next boot. `None`: not known.
fn can_draw(taker: &Taker, port: Port, view: &View<'_>) -> Option<bool> {
    if taker.mechanism == Mechanism::DynamicRpc && has_fixed_port(view)? {
        return Some(false);
    }
    Some(holds(&ranges_of(taker, port.protocol, view)?, port) && !drawn::is_kept_out(port, view)?)
}

/// The directory service and Netlogon ask for ports of their own, which is the remedy (KB224196).
fn has_fixed_port(view: &View<'_>) -> Option<bool> {
    let policy = view.policy()?;
    Some(
        policy.ntds_port.known().copied().flatten().is_some()
            && policy.netlogon_port.known().is_none_or(Option::is_some),
    )
}

fn ranges_of(taker: &Taker, protocol: Protocol, view: &View<'_>) -> Option<Vec<PortRange>> {
    if taker.mechanism == Mechanism::DynamicRpc { drawn::rpc_ranges(view) } else { drawn::ranges(protocol, view) }
}

fn holds(ranges: &[PortRange], port: Port) -> bool {
    ranges.iter().any(|range| range.contains(port.number))
}

/// LSASS is on every host; it draws such ports on a domain controller.
fn is_present(taker: &Taker, view: &View<'_>) -> bool {
    if taker.mechanism == Mechanism::DynamicRpc {
        let is_controller = view.host().and_then(|host| host.domain_controller);
        return is_controller.unwrap_or(view.service("NTDS").is_some());
    }
    taker.services.iter().any(|name| view.service(name).is_some())
}
