//! Where Windows draws a port from when a program asks for any, and what keeps a port out of that.
//!
//! Sources: KB929851 (dynamic range), KB196271 (MaxUserPort before Server 2008), KB154596 (RPC in a range of its own),
//! KB812873 (ReservedPorts).

use crate::facts::{Exclusion, OsGeneration, RpcPorts};
use crate::ports::{Port, PortRange, Protocol};
use crate::view::View;

/// The ranges of both address families. `None`: not known.
pub(crate) fn ranges(protocol: Protocol, view: &View<'_>) -> Option<Vec<PortRange>> {
    if view.generation()? <= OsGeneration::Server2003 {
        let top = view.policy()?.max_user_port.known()?.unwrap_or(5000);
        return Some(PortRange::new(1025, u16::try_from(top).unwrap_or(u16::MAX)).into_iter().collect());
    }
    let ranges = view.policy()?.dynamic_ranges.known()?;
    Some(ranges.iter().filter(|range| range.protocol == protocol).map(|range| range.range).collect())
}

/// The ranges from which RPC endpoints get their TCP ports. `None`: not known.
pub(crate) fn rpc_ranges(view: &View<'_>) -> Option<Vec<PortRange>> {
    match view.policy()?.rpc_ports.known() {
        Some(Some(RpcPorts { ranges, internet_available: Some(true), use_internet: Some(true) })) => {
            Some(ranges.clone())
        }
        _ => ranges(Protocol::Tcp, view),
    }
}

/// Whether a reservation keeps `port` from being handed out. `None`: not known.
pub(crate) fn is_kept_out(port: Port, view: &View<'_>) -> Option<bool> {
    let policy = view.policy()?;
    match view.generation()? {
        OsGeneration::Windows2000 | OsGeneration::Server2003 => {
            Some(policy.reserved_ports.known()?.iter().any(|range| range.contains(port.number)))
        }
        // It knows no reservation.
        OsGeneration::Server2008 => Some(false),
        _ => {
            let holds = |exclusion: &Exclusion| {
                exclusion.protocol == port.protocol && exclusion.administered && exclusion.range.contains(port.number)
            };
            let persistent = policy.persistent_exclusions.known();
            let is_persistent = |exclusion: &Exclusion| holds(&Exclusion { administered: true, ..*exclusion });
            if persistent.is_some_and(|exclusions| exclusions.iter().any(is_persistent)) {
                return Some(true);
            }
            Some(policy.exclusions.known()?.iter().any(holds))
        }
    }
}
