//! The DNS server's socket pool (MS08-037): whether this host has one, from which ports it draws, which are kept out of
//! it, and what one draw of it does to the ports of a service.
//!
//! Sources: KB956188; MSRC/SRD blog of 2008-07-08 on its port ranges; KB929851 on the dynamic range.

use std::collections::BTreeSet;

use crate::conditions::Answer;
use crate::facts::{DynamicRange, Exclusion, OsGeneration, PortPolicy, Section, ServiceState, Socket, StartMode};
use crate::forecast::Draw;
use crate::ports::{Family, Port, PortRange, Protocol};
use crate::view::{Presence, View};
use crate::words;

/// SCM key name of the DNS server.
pub(crate) const SERVICE: &str = "DNS";

/// Ports that it draws for each address family where `SocketPoolSize` is not set.
const DEFAULT_SIZE: u32 = 2500;

/// A DNS server without a pool asks from one or two random ports; one with it holds hundreds.
const POOL_FROM: usize = 10;

/// Updates that brought the pool to systems before Server 2008 R2.
const UPDATES: &[&str] = &["KB951746", "KB953230"];

/// Whether a pool is drawn at the next start of the DNS server on this host. `NotMet` without a DNS server.
pub(crate) fn is_there(view: &View<'_>) -> Answer {
    if let Section::Unknown(reason) = &view.facts.services {
        return Answer::unread("the services", reason);
    }
    let Some(service) = view.service(SERVICE) else { return Answer::NotMet };
    if service.start == Some(StartMode::Disabled)
        || (service.start == Some(StartMode::Manual) && service.state == ServiceState::Stopped)
        || configured_size(view) == Some(0)
    {
        return Answer::NotMet;
    }
    let Some(generation) = view.generation() else {
        let reason = view.facts.host.unknown().map_or("not collected", |reason| reason.as_str());
        return Answer::unread("the host facts", reason);
    };
    if generation >= OsGeneration::Server2008R2 || configured_size(view).is_some() {
        return Answer::Met;
    }
    if UPDATES.iter().any(|kb| !matches!(view.presence(kb), Presence::No)) {
        return Answer::Met;
    }
    if sockets(view).filter(|socket| socket.port >= 1024).nth(POOL_FROM - 1).is_some() {
        return Answer::Met;
    }
    match &view.facts.updates {
        Section::Unknown(reason) => Answer::unread("the list of updates", reason),
        Section::Known(_) => Answer::NotMet,
    }
}

/// Whether the pool may take `port`, in one address family at least, at the next start of the DNS server, were there one.
pub(crate) fn reaches(port: Port, view: &View<'_>) -> Answer {
    if port.protocol != Protocol::Udp {
        return Answer::NotMet;
    }
    let families = match by_family(view) {
        Ok(families) => families,
        Err(open) => return open,
    };
    let reaching = families.into_iter().filter(|(_, range)| range.contains(port.number));
    reaching.map(|(family, _)| kept_out(port, family, view).not()).fold(Answer::NotMet, Answer::or)
}

/// Where the pool draws its ports from, each range once; or why that is not known.
pub(crate) fn drawn_from(view: &View<'_>) -> Result<Vec<PortRange>, Answer> {
    let mut ranges: Vec<PortRange> = by_family(view)?.into_iter().map(|(_, range)| range).collect();
    ranges.sort_unstable();
    ranges.dedup();
    Ok(ranges)
}

/// The same for each address family. Windows 2000 and 2003 draw for IPv4 alone.
fn by_family(view: &View<'_>) -> Result<Vec<(Family, PortRange)>, Answer> {
    let Some(generation) = view.generation() else {
        let reason = view.facts.host.unknown().map_or("not collected", |reason| reason.as_str());
        return Err(Answer::unread("the host facts", reason));
    };
    let policy = match &view.facts.port_policy {
        Section::Known(policy) => policy,
        Section::Unknown(reason) => return Err(Answer::unread("the port policy", reason)),
    };
    let question = || Answer::unsaid("from which ports the DNS server draws its pool");
    if generation <= OsGeneration::Server2003 {
        let range = match policy.max_user_port.known().ok_or_else(question)? {
            None => PortRange::new(49152, 65535),
            Some(top) => PortRange::new(1024, u16::try_from(*top).unwrap_or(u16::MAX)),
        };
        return Ok(range.map(|range| (Family::Ipv4, range)).into_iter().collect());
    }
    let ranges = policy.dynamic_ranges.known().ok_or_else(question)?;
    let mut ranges: Vec<(Family, PortRange)> = ranges
        .iter()
        .filter(|range| range.protocol == Protocol::Udp)
        .map(|range| (range.family, counted(*range, generation, policy)))
        .collect();
    ranges.sort_unstable();
    ranges.dedup();
    if ranges.is_empty() { Err(question()) } else { Ok(ranges) }
}

/// On Server 2008 a `MaxUserPort` that is set is a number of ports from the start of the range, not an upper bound as on
/// 2003. Later systems ignore it.
fn counted(range: DynamicRange, generation: OsGeneration, policy: &PortPolicy) -> PortRange {
    let range = range.range;
    let count = (generation == OsGeneration::Server2008).then(|| policy.max_user_port.known().copied().flatten());
    let Some(count) = count.flatten() else { return range };
    let end = u32::from(range.start()).saturating_add(count);
    PortRange::new(range.start(), u16::try_from(end).unwrap_or(u16::MAX)).unwrap_or(range)
}

/// Whether a reservation of some kind keeps `port` out of the pool of one address family.
pub(crate) fn kept_out(port: Port, family: Family, view: &View<'_>) -> Answer {
    let question = || Answer::unsaid(format!("whether {port} is reserved"));
    let Some((policy, generation)) = view.policy().zip(view.generation()) else { return question() };
    if generation <= OsGeneration::Server2003 {
        return match &policy.reserved_ports {
            Section::Known(reserved) => Answer::from_bool(reserved.iter().any(|range| range.contains(port.number))),
            Section::Unknown(_) => question(),
        };
    }
    let pool = match &policy.dns_socket_pool {
        Section::Known(pool) => Answer::from_bool(pool.excluded.iter().any(|range| range.contains(port.number))),
        Section::Unknown(_) => question(),
    };
    let holds = |exclusion: &Exclusion| {
        is_of(*exclusion, family) && exclusion.protocol == port.protocol && exclusion.range.contains(port.number)
    };
    let excluded = [&policy.exclusions, &policy.persistent_exclusions].map(|section| match section {
        Section::Known(exclusions) => Answer::from_bool(exclusions.iter().any(holds)),
        // It knows no such exclusion.
        Section::Unknown(_) if generation == OsGeneration::Server2008 => Answer::NotMet,
        Section::Unknown(_) => question(),
    });
    excluded.into_iter().fold(pool, Answer::or)
}

fn is_of(exclusion: Exclusion, family: Family) -> bool {
    exclusion.family.is_none_or(|of| of == family)
}

/// What the next start of the DNS server draws for one address family.
pub(crate) struct Pool {
    family: Family,
    range: PortRange,
    size: u32,
    /// In order, joined, within the range.
    excluded: Vec<PortRange>,
    /// Ports of the range that something else than the DNS server holds now.
    bound: BTreeSet<u16>,
}

/// One for each address family in which ports are drawn; or why that is not known. The sockets must be known.
pub(crate) fn pools(view: &View<'_>) -> Result<Vec<Pool>, Answer> {
    Ok(by_family(view)?.into_iter().map(|(family, range)| Pool::of(family, range, view)).collect())
}

impl Pool {
    fn of(family: Family, range: PortRange, view: &View<'_>) -> Self {
        let others = view.sockets_of(Protocol::Udp).filter(|socket| socket.family() == family);
        let bound = others
            .filter(|socket| range.contains(socket.port) && !is_of_dns(socket, view))
            .map(|socket| socket.port)
            .collect();
        Self { family, range, size: size(view), excluded: excluded(family, range, view), bound }
    }

    pub(crate) fn family(&self) -> Family {
        self.family
    }

    pub(crate) fn contains(&self, port: u16) -> bool {
        self.range.contains(port)
    }

    /// What one draw does to `wanted`, ports of the range that nothing keeps out of it.
    pub(crate) fn draw(&self, wanted: &[u16]) -> Draw {
        let is_excluded = |port: u16| self.excluded.iter().any(|range| range.contains(port));
        let excluded: u32 = self.excluded.iter().map(|range| range.count()).sum();
        let bound = self.bound.iter().filter(|port| !is_excluded(**port) && !wanted.contains(port)).count();
        let bound = u32::try_from(bound).unwrap_or(u32::MAX);
        let free = self.range.count().saturating_sub(excluded).saturating_sub(bound);
        let drawn = self.size.min(free);
        let wanted = u32::try_from(wanted.len()).unwrap_or(u32::MAX).min(free);
        let probability = loss(free, drawn, wanted);
        Draw { family: self.family, range: self.range, free, excluded, bound, drawn, wanted, probability }
    }
}

/// `1 − C(free−wanted, drawn) / C(free, drawn)`: at least one of `wanted` ports is among `drawn` out of `free`. The
/// quotient is a product of as many factors as ports are wanted, so that nothing overflows.
fn loss(free: u32, drawn: u32, wanted: u32) -> f64 {
    let kept = (0..wanted).map(|index| {
        let left = free.saturating_sub(drawn).saturating_sub(index);
        f64::from(left) / f64::from((free - index).max(1))
    });
    1.0 - kept.product::<f64>()
}

fn configured_size(view: &View<'_>) -> Option<u32> {
    view.policy_value(|policy| &policy.dns_socket_pool).ok().and_then(|pool| pool.size)
}

/// How many ports it draws for a family: as configured, or else as delivered.
fn size(view: &View<'_>) -> u32 {
    configured_size(view).unwrap_or(DEFAULT_SIZE)
}

fn excluded(family: Family, range: PortRange, view: &View<'_>) -> Vec<PortRange> {
    let Some(policy) = view.policy() else { return Vec::new() };
    let mut found: Vec<PortRange> = Vec::new();
    if view.generation().is_some_and(|generation| generation <= OsGeneration::Server2003) {
        found.extend(policy.reserved_ports.known().into_iter().flatten());
    } else {
        let exclusions = [&policy.exclusions, &policy.persistent_exclusions].into_iter().filter_map(Section::known);
        let of_pool = |exclusion: &&Exclusion| exclusion.protocol == Protocol::Udp && is_of(**exclusion, family);
        found.extend(exclusions.flatten().filter(of_pool).map(|exclusion| exclusion.range));
        found.extend(policy.dns_socket_pool.known().into_iter().flat_map(|pool| pool.excluded.iter().copied()));
    }
    let within = |found: PortRange| PortRange::new(found.start().max(range.start()), found.end().min(range.end()));
    words::merged(found.into_iter().filter_map(within).collect())
}

/// UDP sockets of the DNS server.
fn sockets<'a>(view: &View<'a>) -> impl Iterator<Item = &'a Socket> {
    view.sockets_of(Protocol::Udp).filter(|socket| is_of_dns(socket, view))
}

fn is_of_dns<'a>(socket: &'a Socket, view: &View<'a>) -> bool {
    socket.process().is_some_and(|process| process.eq_ignore_ascii_case("dns.exe"))
        || view.services_of(socket).any(|name| name.eq_ignore_ascii_case(SERVICE))
}

#[cfg(test)]
mod tests {
    use super::loss;

    #[test]
    fn a_single_port_is_lost_as_often_as_its_share() {
        assert!((loss(16_384, 2500, 1) - 2500.0 / 16_384.0).abs() < 1e-12);
        assert!((loss(16_384, 2500, 1) - 0.152_6).abs() < 1e-4);
    }

    /// Against the quotient of binomials, counted out.
    #[test]
    fn several_ports_follow_the_formula() {
        // C(10,3) = 120, C(8,3) = 56.
        assert!((loss(10, 3, 2) - (1.0 - 56.0 / 120.0)).abs() < 1e-12);
        // C(58973, 2500) / C(58977, 2500), by logarithms.
        let by_logs: f64 =
            (0..4).map(|index| (f64::from(58_977 - 2500 - index) / f64::from(58_977 - index)).ln()).sum();
        assert!((loss(58_977, 2500, 4) - (1.0 - by_logs.exp())).abs() < 1e-12);
    }

    #[test]
    fn a_pool_that_takes_all_takes_it_for_sure() {
        assert!((loss(100, 100, 1) - 1.0).abs() < 1e-12);
        assert!((loss(100, 99, 2) - 1.0).abs() < 1e-12);
        assert!(loss(100, 0, 3).abs() < 1e-12);
        assert!(loss(0, 0, 0).abs() < 1e-12);
    }
}
