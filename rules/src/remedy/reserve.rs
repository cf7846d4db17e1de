//! Lists of ranges in the registry: ReservedPorts (KB812873), and what the DNS server's pool leaves out.
//!
//! Invariant: what a list holds already stays in it.

use super::change::{Change, RangeList};
use super::command::{by_hand, doing, restart_server, restart_service, set_ranges, start, step, stop};
use super::port::{Conflict, Plan};
use crate::finding::{Restart, Step};
use crate::ports::{PortRange, Protocol};
use crate::view::View;
use crate::words::{self, count, list};

impl Conflict<'_> {
    /// ReservedPorts of Windows 2000 and 2003, which keeps the ranges that are there.
    pub(super) fn reserved(&self, holder_service: Option<&str>, view: &View<'_>) -> Plan {
        let name = &self.service.name;
        let wanted = words::ranges(self.wanted(None));
        let mut steps = Vec::new();
        if let Some(holder) = holder_service {
            let [stop, start_victim, start_holder] = [stop(holder), start(name), start(holder)];
            let changes = [stop, start_victim, start_holder].into_iter().flat_map(|step| step.changes).collect();
            let text = format!("To help at once, until the next boot: stop {holder}, start {name}, start {holder}.");
            steps.push(doing(text, changes));
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

    /// Server 2008 R2 and later: ports that the pool leaves out.
    pub(super) fn out_of_pool(&self, view: &View<'_>) -> Plan {
        let name = &self.service.name;
        let numbers = self.wanted(Some(Protocol::Udp));
        let wanted = words::ranges(numbers.iter().copied());
        let shown = list(&wanted);
        let (set, undo) = pool_exclusion(&wanted, view);
        Plan {
            summary: format!("Keep {shown} out of the DNS server's pool, restart DNS, start {name}"),
            steps: vec![set, restart_service("DNS"), start(name)],
            risk: format!("DNS is away for some seconds. {}", pool_loss(&numbers, view)),
            restart: Restart::Service,
            undo: vec![undo, restart_service("DNS")],
        }
    }
}

/// The step that adds `wanted` to ReservedPorts, and the one that takes it back.
pub(super) fn reserved_ports(wanted: &[PortRange], view: &View<'_>) -> (Step, Step) {
    let former = view.policy_value(|policy| &policy.reserved_ports).ok();
    let text = format!("Reserve {} in ReservedPorts; ranges that it holds already stay in the list.", list(wanted));
    added(RangeList::ReservedPorts, text, wanted, former.map(Vec::as_slice))
}

/// The step that adds `wanted` to what the DNS server's pool leaves out, and the one that takes it back.
pub(super) fn pool_exclusion(wanted: &[PortRange], view: &View<'_>) -> (Step, Step) {
    let former = view.policy_value(|policy| &policy.dns_socket_pool).ok();
    let text = format!(
        "Keep {} out of the DNS server's pool; ranges that it leaves out already stay in the list.",
        list(wanted)
    );
    added(RangeList::DnsPool, text, wanted, former.map(|pool| pool.excluded.as_slice()))
}

/// `former` is what the list holds. `None`: that was not read, and a command would lose it.
fn added(to: RangeList, text: String, wanted: &[PortRange], former: Option<&[PortRange]>) -> (Step, Step) {
    let changes = vec![Change::Reserve { list: to, ranges: wanted.to_vec() }];
    let Some(former) = former else {
        let (key, value) = (to.key(), to.value());
        let text = format!(
            "Add {} to the value {value} (REG_MULTI_SZ, a range a line, a single port as 4500-4500) under {key}. What it holds already was not read: keep it.",
            list(wanted)
        );
        let back = by_hand(format!("Take the added lines out of {value} again."));
        return (Step { changes, ..by_hand(text) }, back);
    };
    let former = words::merged(former.to_vec());
    let all = words::merged(former.iter().chain(wanted).copied().collect());
    let set = Step { changes, ..step(text, Some(set_ranges(to, &all))) };
    (set, step("Put the former list back.", Some(set_ranges(to, &former))))
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
