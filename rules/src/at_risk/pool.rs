//! What the DNS server's pool may take at its next start, with its probability.

use std::cell::OnceCell;

use super::{Risks, Stake, Story, finding, gaps};
use crate::catalog::Claim;
use crate::conditions::Answer;
use crate::dns_pool::{self, Pool};
use crate::evidence::{self, distinct};
use crate::facts::{OsGeneration, Section, Service, Socket};
use crate::finding::Evidence;
use crate::forecast::{Draw, Forecast};
use crate::ports::{Family, Port, PortRange, Protocol};
use crate::remedy::ahead;
use crate::view::View;
use crate::words::{count, list, percent};

const TAKER: &str = "dns-socket-pool";
const CONDITION: &str = "if DNS binds first";

/// The pools of this host, counted once for all its services, and only where a port lies within their reach.
#[derive(Default)]
pub(crate) struct Pools(OnceCell<State>);

enum State {
    There(Vec<Pool>),
    No,
    Open(Answer),
}

impl Pools {
    fn state(&self, view: &View<'_>) -> &State {
        self.0.get_or_init(|| State::of(view))
    }
}

impl State {
    fn of(view: &View<'_>) -> Self {
        match dns_pool::is_there(view) {
            Answer::NotMet => return Self::No,
            open @ Answer::Open(_) => return Self::Open(open),
            Answer::Met => {}
        }
        if let Section::Unknown(reason) = &view.facts.sockets {
            return Self::Open(Answer::unread("the socket table", reason));
        }
        match dns_pool::pools(view) {
            Ok(pools) => Self::There(pools),
            Err(open) => Self::Open(open),
        }
    }
}

pub(super) fn judge(service: &Service, stakes: &[Stake<'_>], pools: &Pools, view: &View<'_>) -> Risks {
    let mut risks = Risks::default();
    let is_dns = service.name.eq_ignore_ascii_case(dns_pool::SERVICE);
    let is_reached = |stake: &&Stake<'_>| dns_pool::reaches(stake.claim.port, view) != Answer::NotMet;
    let stakes: Vec<&Stake<'_>> = stakes.iter().filter(is_reached).collect();
    if is_dns || stakes.is_empty() {
        return risks;
    }
    let pools = match pools.state(view) {
        State::No => return risks,
        State::Open(open) => {
            risks.open = gaps(open);
            return risks;
        }
        State::There(pools) => pools,
    };
    let mut draws: Vec<(Draw, Vec<Port>)> = Vec::new();
    for pool in pools {
        let mut within: Vec<Port> = Vec::new();
        for stake in stakes.iter().filter(|stake| pool.contains(stake.claim.port.number)) {
            if !families(service, stake.claim, view).contains(&pool.family()) {
                continue;
            }
            match dns_pool::kept_out(stake.claim.port, pool.family(), view) {
                Answer::Met => {}
                Answer::NotMet => within.push(stake.claim.port),
                open @ Answer::Open(_) => risks.open.extend(gaps(&open)),
            }
        }
        if !within.is_empty() {
            draws.push((pool.draw(&numbers(&within)), within));
        }
    }
    let ports = distinct(draws.iter().flat_map(|(_, ports)| ports.iter().copied()));
    if ports.is_empty() {
        return risks;
    }
    let forecast = Forecast {
        service: service.name.to_string(),
        taker: TAKER.to_owned(),
        ports: ports.clone(),
        probability: Some(any(draws.iter().map(|(draw, _)| draw.probability))),
        condition: CONDITION.to_owned(),
        draws: draws.iter().map(|(draw, _)| draw.clone()).collect(),
        boots: boots(&ports, view),
    };
    for stake in stakes.iter().filter(|stake| ports.contains(&stake.claim.port) && !stake.is_lost) {
        let port = stake.claim.port;
        let single: Vec<Draw> = pools
            .iter()
            .filter(|pool| draws.iter().any(|(draw, of)| draw.family == pool.family() && of.contains(&port)))
            .map(|pool| pool.draw(&[port.number]))
            .collect();
        risks.findings.push(finding(service, port, story(service, stake, &single, &forecast, view)));
    }
    risks.forecasts.push(forecast);
    risks
}

/// At least one of several that do not depend on each other.
fn any(probabilities: impl Iterator<Item = f64>) -> f64 {
    1.0 - probabilities.map(|probability| 1.0 - probability).product::<f64>()
}

fn numbers(ports: &[Port]) -> Vec<u16> {
    ports.iter().map(|port| port.number).collect()
}

/// The families in which the service binds the port: as it does now, where it does. `[::]` may stand for both.
fn families(service: &Service, claim: &Claim, view: &View<'_>) -> Vec<Family> {
    let own = view.sockets_on(claim.port).iter().copied().filter(|socket| crate::blocked::is_of(service, socket, view));
    let own: Vec<&Socket> = own.collect();
    let has = |family: Family| own.iter().any(|socket| socket.family() == family);
    match (has(Family::Ipv4), has(Family::Ipv6)) {
        (_, true) => vec![Family::Ipv4, Family::Ipv6],
        (_, false) => vec![Family::Ipv4],
    }
}

/// In how many of the boots that were seen it held one of the ports.
fn boots(ports: &[Port], view: &View<'_>) -> Option<(u32, u32)> {
    let seen = view
        .history
        .holds
        .iter()
        .filter(|hold| ports.contains(&hold.port) && hold.image.eq_ignore_ascii_case("dns.exe"));
    seen.map(|hold| (hold.boots, hold.of)).max()
}

fn story(service: &Service, stake: &Stake<'_>, draws: &[Draw], forecast: &Forecast, view: &View<'_>) -> Story {
    let name = &service.name;
    let port = stake.claim.port;
    // Of each family by itself: which of them a service cannot do without is not known.
    let probability = draws.iter().map(|draw| draw.probability).fold(0.0, f64::max);
    let shown = percent(probability);
    let mut sentences: Vec<String> = draws
        .iter()
        .take(1)
        .map(|draw| {
            format!(
                "{port} lies in {}, from which the DNS server draws {} of {} free UDP ports at every start, and nothing keeps it out.",
                draw.range,
                count(draw.drawn as usize),
                count(draw.free as usize),
            )
        })
        .collect();
    sentences.extend(draws.iter().take(1).filter_map(|draw| why_it_reaches(draw.range, view)));
    let families = if draws.len() > 1 { ", for IPv4 and for IPv6 each" } else { "" };
    sentences.push(format!("If DNS binds first, it takes {port} with a probability of {shown}{families}."));
    if let Some(joint) = forecast.probability.filter(|_| forecast.ports.len() > 1 || draws.len() > 1) {
        sentences.push(format!("That {name} loses at least one of {}: {}.", list(&forecast.ports), percent(joint)));
    }
    if let Some((boots, of)) = forecast.boots {
        sentences.push(format!("The DNS server held one of them in {boots} of {of} earlier boots."));
    }
    if stake.socket.is_none() {
        sentences.push(format!("{name} does not hold {port} now; it may be set to another port."));
    }
    Story {
        taker: TAKER.to_owned(),
        severity: stake.severity(),
        confidence: stake.confidence(service),
        title: format!("{name} may lose {port} at the next boot: {shown} if DNS binds first"),
        cause: sentences.join(" "),
        evidence: stake.evidence(service).into_iter().chain(draws.iter().map(inputs)).collect(),
        remedy: ahead::of_pool(service, &forecast.ports, view),
        probability: Some(probability),
    }
}

/// The numbers of a draw.
fn inputs(draw: &Draw) -> Evidence {
    let family = match draw.family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    };
    evidence::now(
        format!(
            "{family}: {} ports in {}, {} excluded, {} bound by others, {} free; the pool draws {}",
            count(draw.range.count() as usize),
            draw.range,
            count(draw.excluded as usize),
            count(draw.bound as usize),
            count(draw.free as usize),
            count(draw.drawn as usize),
        ),
        "port policy and socket table",
    )
}

/// Why the range holds the port, where that is not the system's default.
fn why_it_reaches(range: PortRange, view: &View<'_>) -> Option<String> {
    if view.generation()? <= OsGeneration::Server2003 {
        let top = (*view.policy()?.max_user_port.known()?)?;
        return Some(format!("It reaches so low because MaxUserPort is set to {top} on this server."));
    }
    (Some(range) != PortRange::new(49152, 65535))
        .then(|| "The UDP dynamic range of this server is not the one of a fresh system.".to_owned())
}

/// Why the pool cannot take `port`, as a sentence; `None` where it can, or where that is not known.
pub(crate) fn why_not(port: Port, view: &View<'_>) -> Option<String> {
    if port.protocol != Protocol::Udp {
        return None;
    }
    if dns_pool::is_there(view) == Answer::NotMet {
        return Some(format!("{port}: this server has no DNS server whose socket pool could take it."));
    }
    if dns_pool::reaches(port, view) != Answer::NotMet {
        return None;
    }
    let ranges = dns_pool::drawn_from(view).ok()?;
    if ranges.iter().any(|range| range.contains(port.number)) {
        return Some(format!("{port} lies in the DNS pool {}, but a reservation keeps it out.", list(&ranges)));
    }
    let because = if view.generation()? <= OsGeneration::Server2003 {
        match view.policy()?.max_user_port.known()? {
            None => ", because MaxUserPort is absent".to_owned(),
            Some(top) => format!(", because MaxUserPort is {top}"),
        }
    } else {
        ", which is the UDP dynamic range of this server".to_owned()
    };
    Some(format!("{port} lies outside the DNS pool {}{because}.", list(&ranges)))
}
