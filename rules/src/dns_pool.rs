//! The DNS server's socket pool (MS08-037): from which ports it draws, and which are kept out of it.
//!
//! Sources: KB956188; MSRC/SRD blog of 2008-07-08 on its port ranges; KB929851 on the dynamic range.

use crate::conditions::Answer;
use crate::facts::{OsGeneration, Section};
use crate::ports::{Port, PortRange, Protocol};
use crate::view::View;

/// Whether the pool may take `port` at the next start of the DNS server, were there one.
pub(crate) fn reaches(port: Port, view: &View<'_>) -> Answer {
    if port.protocol != Protocol::Udp {
        return Answer::NotMet;
    }
    match drawn_from(view) {
        Ok(ranges) if !ranges.iter().any(|range| range.contains(port.number)) => Answer::NotMet,
        Ok(_) => kept_out(port, view).not(),
        Err(open) => open,
    }
}

/// Where the pool draws its ports from, each range once; or why that is not known.
pub(crate) fn drawn_from(view: &View<'_>) -> Result<Vec<PortRange>, Answer> {
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
        return match policy.max_user_port.known().ok_or_else(question)? {
            None => Ok(vec![PortRange::new(49152, 65535)].into_iter().flatten().collect()),
            Some(top) => {
                let top = u16::try_from(*top).unwrap_or(u16::MAX);
                Ok(PortRange::new(1024, top).into_iter().collect())
            }
        };
    }
    let ranges = policy.dynamic_ranges.known().ok_or_else(question)?;
    let mut ranges: Vec<PortRange> =
        ranges.iter().filter(|range| range.protocol == Protocol::Udp).map(|range| range.range).collect();
    ranges.sort_unstable();
    ranges.dedup();
    if ranges.is_empty() { Err(question()) } else { Ok(ranges) }
}

/// Whether a reservation of some kind keeps `port` out of the pool.
fn kept_out(port: Port, view: &View<'_>) -> Answer {
    let question = || Answer::unsaid(format!("whether {port} is reserved"));
    let Some(policy) = view.policy() else { return question() };
    if view.generation().is_some_and(|generation| generation <= OsGeneration::Server2003) {
        return match &policy.reserved_ports {
            Section::Known(reserved) => Answer::from_bool(reserved.iter().any(|range| range.contains(port.number))),
            Section::Unknown(_) => question(),
        };
    }
    let pool = match &policy.dns_socket_pool {
        Section::Known(pool) => Answer::from_bool(pool.excluded.iter().any(|range| range.contains(port.number))),
        Section::Unknown(_) => question(),
    };
    let excluded = [&policy.exclusions, &policy.persistent_exclusions].map(|section| match section {
        Section::Known(exclusions) => Answer::from_bool(
            exclusions
                .iter()
                .any(|exclusion| exclusion.protocol == port.protocol && exclusion.range.contains(port.number)),
        ),
        Section::Unknown(_) => question(),
    });
    excluded.into_iter().fold(pool, Answer::or)
}
