//! Administered port exclusions: `netsh … add excludedportrange`. They keep ports from being handed out at random, while
//! the service that asks for one by number still gets it. Adding fails while anybody holds a port of the range.
//!
//! Sources: KB929851, KB3039044; Server 2008 R2 needs hotfix KB2665809 for it.

use super::change::{Change, excluded_port_range};
use super::command::{doing, step};
use crate::facts::{Exclusion, OsGeneration};
use crate::finding::Step;
use crate::ports::{Family, PortRange, Protocol};
use crate::view::View;
use crate::words;

/// `ports` that no administered exclusion of `family` holds yet, as ranges.
pub(crate) fn missing(
    protocol: Protocol,
    family: Family,
    ports: impl IntoIterator<Item = u16>,
    view: &View<'_>,
) -> Vec<PortRange> {
    let active = view.policy_value(|policy| &policy.exclusions).ok().into_iter().flatten();
    let persistent = view.policy_value(|policy| &policy.persistent_exclusions).ok().into_iter().flatten();
    let administered: Vec<&Exclusion> = active
        .filter(|exclusion| exclusion.administered)
        .chain(persistent)
        .filter(|exclusion| exclusion.protocol == protocol && exclusion.family.is_none_or(|of| of == family))
        .collect();
    words::ranges(
        ports.into_iter().filter(|port| !administered.iter().any(|exclusion| exclusion.range.contains(*port))),
    )
}

/// The same of either family: where one has an exclusion already, netsh says so and goes on.
pub(super) fn missing_in_any(protocol: Protocol, ports: &[u16], view: &View<'_>) -> Vec<PortRange> {
    words::merged(
        Family::BOTH.into_iter().flat_map(|family| missing(protocol, family, ports.iter().copied(), view)).collect(),
    )
}

pub(super) fn add(protocol: Protocol, ranges: &[PortRange], generation: OsGeneration) -> Vec<Step> {
    let hotfix = match generation {
        OsGeneration::Server2008R2 => " This needs hotfix KB2665809.",
        _ => "",
    };
    let steps = ranges.iter().map(|&range| {
        let text = format!("Reserve {protocol}/{range} for those who ask for it by number.{hotfix} If netsh answers that the range is excluded already, go on.");
        doing(text, Family::BOTH.map(|family| Change::Exclude { protocol, family, range }).to_vec())
    });
    steps.collect()
}

pub(super) fn remove(protocol: Protocol, ranges: &[PortRange]) -> Vec<Step> {
    let steps = ranges.iter().map(|&range| {
        let commands = Family::BOTH.map(|family| excluded_port_range("delete", protocol, family, range));
        step(format!("Give {protocol}/{range} free again."), Some(commands.join(" & ")))
    });
    steps.collect()
}

/// What can go wrong with an exclusion on this generation.
pub(super) fn risk(generation: OsGeneration) -> &'static str {
    match generation {
        OsGeneration::Server2008R2 | OsGeneration::Server2012 | OsGeneration::Server2012R2 => {
            " A program that binds an excluded port twice with SO_REUSEADDR fails with 10013 on this system (KB3039044)."
        }
        _ => "",
    }
}
