//! A fixed port for what would otherwise take a dynamic one: the directory service, or Netlogon beside it.
//!
//! Source: KB224196 (`TCP/IP Port` of NTDS, `DCTcpipPort` of Netlogon).

use super::change::{Change, Data, Former};
use super::command::{by_hand, doing, step};
use crate::facts::{Exclusion, OsGeneration};
use crate::finding::Step;
use crate::ports::{Port, PortRange, Protocol};
use crate::view::View;

const NTDS: &str = r"HKLM\SYSTEM\CurrentControlSet\Services\NTDS\Parameters";
const NETLOGON: &str = r"HKLM\SYSTEM\CurrentControlSet\Services\Netlogon\Parameters";

/// A fixed port for the directory service, or for Netlogon where the directory service has one already.
pub(super) fn fixed_port(contested: u16, view: &View<'_>) -> (Step, Step) {
    let fixed = view.policy_value(|policy| &policy.ntds_port).ok().copied();
    let (what, key, value) = match fixed {
        Some(Some(port)) if port != contested => ("Netlogon", NETLOGON, "DCTcpipPort"),
        _ => ("the directory service (KB224196)", NTDS, "TCP/IP Port"),
    };
    // Only a value that is known to be absent may be deleted afterwards.
    let back = match fixed {
        Some(None) => {
            step(format!("Let {what} draw its port again."), Some(format!("reg delete \"{key}\" /v \"{value}\" /f")))
        }
        _ => by_hand(format!(
            "Put the DWORD value \"{value}\" under {key} back to what it was; delete it only if it was not there."
        )),
    };
    let is_sure = fixed == Some(None) || fixed == Some(Some(contested));
    let give = if is_sure { "Give" } else { "If it is not set already, give" };
    match (fixed, free_port(view)) {
        (Some(_), Some(port)) => (
            doing(
                format!(
                    "{give} {what} the fixed port tcp/{port}, which nobody holds and which lies outside the dynamic range."
                ),
                vec![Change::SetValue {
                    key: key.to_owned(),
                    name: value.to_owned(),
                    data: Data::Dword(u32::from(port)),
                }],
            ),
            back,
        ),
        _ => (
            by_hand(format!(
                "{give} {what} a fixed port outside the dynamic range: DWORD value \"{value}\" under {key}."
            )),
            back,
        ),
    }
}

/// What a registry value is, of those that the facts tell of.
pub(crate) fn current(key: &str, name: &str, view: &View<'_>) -> Former {
    let is = |of: (&str, &str)| key.eq_ignore_ascii_case(of.0) && name.eq_ignore_ascii_case(of.1);
    let port = if is((NTDS, "TCP/IP Port")) {
        view.policy_value(|policy| &policy.ntds_port)
    } else if is((NETLOGON, "DCTcpipPort")) {
        view.policy_value(|policy| &policy.netlogon_port)
    } else {
        return Former::Unread;
    };
    match port {
        Ok(Some(port)) => Former::Was(Data::Dword(u32::from(*port))),
        Ok(None) => Former::Absent,
        Err(_) => Former::Unread,
    }
}

/// A TCP port that nobody holds or claims, outside every range from which ports are drawn. `None`: the ranges or the
/// sockets are not known.
fn free_port(view: &View<'_>) -> Option<u16> {
    let policy = view.policy()?;
    view.facts.sockets.known()?;
    let mut drawn: Vec<PortRange> = Vec::new();
    if view.generation()? <= OsGeneration::Server2003 {
        let top = policy.max_user_port.known()?.unwrap_or(5000);
        drawn.extend(PortRange::new(1024, u16::try_from(top).unwrap_or(u16::MAX)));
    } else {
        drawn.extend(policy.dynamic_ranges.known()?.iter().map(|range| range.range));
    }
    let holds = |exclusion: &Exclusion, number| exclusion.protocol == Protocol::Tcp && exclusion.range.contains(number);
    let old = view.generation()? <= OsGeneration::Server2008;
    let active = if old { policy.exclusions.known() } else { Some(policy.exclusions.known()?) };
    let excluded: Vec<_> = active.into_iter().chain(policy.persistent_exclusions.known()).flatten().copied().collect();
    // First below the usual dynamic range, then above what Exchange and SBS set.
    (47_100..=49_151).chain(60_001..=65_534).find(|&number| {
        let port = Port { protocol: Protocol::Tcp, number };
        !drawn.iter().any(|range| range.contains(number))
            && !excluded.iter().any(|exclusion| holds(exclusion, number))
            && view.sockets_on(port).is_empty()
            && view.catalog.claims_on(port).next().is_none()
    })
}
