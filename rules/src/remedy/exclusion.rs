//! Administered port exclusions: `netsh … add excludedportrange`. They keep ports from being handed out at random, while
//! the service that asks for one by number still gets it. Adding fails while anybody holds a port of the range.
//!
//! Sources: KB929851, KB3039044; Server 2008 R2 needs hotfix KB2665809 for it.

use super::command::step;
use crate::facts::{Exclusion, OsGeneration};
use crate::finding::Step;
use crate::ports::{PortRange, Protocol};
use crate::view::View;
use crate::words;

const FAMILIES: [&str; 2] = ["ipv4", "ipv6"];

/// `ports` that no administered exclusion holds yet, as ranges.
pub(super) fn missing(protocol: Protocol, ports: &[u16], view: &View<'_>) -> Vec<PortRange> {
    let active = view.policy_value(|policy| &policy.exclusions).ok().into_iter().flatten();
    let persistent = view.policy_value(|policy| &policy.persistent_exclusions).ok().into_iter().flatten();
    let administered: Vec<&Exclusion> = active
        .filter(|exclusion| exclusion.administered)
        .chain(persistent)
        .filter(|exclusion| exclusion.protocol == protocol)
        .collect();
    let is_missing = |port: &u16| !administered.iter().any(|exclusion| exclusion.range.contains(*port));
    words::ranges(ports.iter().copied().filter(is_missing))
}

pub(super) fn add(protocol: Protocol, ranges: &[PortRange], generation: OsGeneration) -> Vec<Step> {
    let hotfix = match generation {
        OsGeneration::Server2008R2 => " This needs hotfix KB2665809.",
        _ => "",
    };
    let steps = ranges.iter().map(|range| {
        let text = format!("Reserve {protocol}/{range} for those who ask for it by number.{hotfix} If netsh answers that the range is excluded already, go on.");
        step(text, Some(commands("add", protocol, *range)))
    });
    steps.collect()
}

pub(super) fn remove(protocol: Protocol, ranges: &[PortRange]) -> Vec<Step> {
    let steps = ranges
        .iter()
        .map(|range| step(format!("Give {protocol}/{range} free again."), Some(commands("delete", protocol, *range))));
    steps.collect()
}

fn commands(verb: &str, protocol: Protocol, range: PortRange) -> String {
    let command = |family: &str| {
        format!(
            "netsh int {family} {verb} excludedportrange protocol={protocol} startport={} numberofports={} store=persistent",
            range.start(),
            range.count()
        )
    };
    FAMILIES.map(command).join(" & ")
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
