//! The kinds of rules in words: what each detects, when it is certain, when it stays silent, what it shows and what mends
//! it. `docs/rules.md` is made from these and from the catalog.

/// One kind of rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleKind {
    /// The rule, or what the rules of the kind begin with: `port-conflict/blocked`, `bad-update/`.
    pub id: &'static str,
    pub detects: &'static str,
    pub certain: &'static str,
    pub likely: &'static str,
    pub possible: &'static str,
    pub silent: &'static str,
    pub evidence: &'static str,
    pub remedy: &'static str,
}

/// The kind that `rule` is of. `None`: none is known.
pub fn kind_of(rule: &str) -> Option<&'static RuleKind> {
    KINDS.iter().find(|kind| kind.id == rule || (kind.id.ends_with('/') && rule.starts_with(kind.id)))
}

pub const KINDS: &[RuleKind] = &[
    RuleKind {
        id: "port-conflict/blocked",
        detects: "A service that should run does not, and a port that it needs is held by another process, or lies in a block that Windows reserved at run time.",
        certain: "It ended with a bind error (10048, 10013, 32, 1066 with such a code of its own), or the holder bound the port before it failed.",
        likely: "It stopped with another or an unknown code, and a foreign process holds its port.",
        possible: "It never started (1077), or what is known of its ports is recalled.",
        silent: "It ended without an error; without a bind error also where it is disabled, manual or started by a trigger. Administered exclusions stay bindable and are no fault. Services that share a port, URLs of HTTP.sys and addresses that do not overlap are no conflict.",
        evidence: "The socket of the holder with its process, service and bind time; the exit code; events of the Service Control Manager.",
        remedy: "Keep the port out of the holder's reach, in the way of the system's generation, and start the service.",
    },
    RuleKind {
        id: "port-conflict/degraded",
        detects: "A service runs, but another process holds one of the ports that it needs.",
        certain: "An event of HTTP.sys or of the DNS server names the failed bind, or the holder drew the port by chance and the service holds others of its ports.",
        likely: "The holder drew a required port by chance: the DNS pool, LSASS, a connection.",
        possible: "The holder is set to the port, so that the service may be set to another one; or the port is needed in some configurations only, or recalled.",
        silent: "It holds the port itself at one address, or a service that shares it, a second instance or a process that may be its worker does; it visibly listens elsewhere; the holder is at loopback; the boot was less than 10 minutes ago.",
        evidence: "The socket of the holder, the service's own sockets, events.",
        remedy: "As for a blocked service; it is restarted instead of started.",
    },
    RuleKind {
        id: "port-conflict/at-risk",
        detects: "A service runs today, but its port lies where a taker on this host draws from, and nothing keeps it out.",
        certain: "Never: it is a forecast.",
        likely: "The DNS server's socket pool draws at random: 1 − C(N−k, n) / C(N, n) for each address family, if DNS binds first. Or a taker that draws in turn (LSASS, RPC) held the port in an earlier boot, or Windows reserves blocks at run time: without a number.",
        possible: "A taker that draws in turn has not been seen on the port, but took it from such services elsewhere; or the service does not hold the port now, or the port is recalled.",
        silent: "The port is reserved, excluded for its protocol and family, or outside the range; LSASS has fixed ports; the pool is switched off; the service is disabled or manual.",
        evidence: "The range, what of it is excluded and bound, the size of the pool; the boots in which the taker held the port.",
        remedy: "Reserve the port before the next restart.",
    },
    RuleKind {
        id: "port-conflict/by-design",
        detects: "Two services that start by themselves need one port of one host: one of them loses, boot after boot.",
        certain: "One holds the port, and the other failed to bind it.",
        likely: "One holds the port, and the other stopped with another or an unknown code.",
        possible: "The other was not started, or what is known of one is recalled.",
        silent: "They share the port, both listen through HTTP.sys, are instances of one product, or one of them runs on another port or ended without an error.",
        evidence: "Both services, how they start, and what the catalog says that they need.",
        remedy: "Give one of them another port, or switch it off.",
    },
    RuleKind {
        id: "port-conflict/exhaustion",
        detects: "The dynamic ports are nearly used up: connections and binds begin to fail.",
        certain: "80 % of the range or more is in use.",
        likely: "Event 4231 (TCP) or 4266 (UDP) of Tcpip within a day and since the boot.",
        possible: "Event 4227 alone: a local port was used again too early.",
        silent: "A pool of the DNS server alone: it is meant to hold its ports.",
        evidence: "Ports in use and the size of the range by protocol and family, and the processes with the most connections.",
        remedy: "Find the process that does not close its connections; until then widen the range.",
    },
    RuleKind {
        id: "port-conflict/block-mode",
        detects: "IPsec could not bind its ports and fails closed: the server drops all traffic.",
        certain: "Event 4292 of IPSEC says so.",
        likely: "PolicyAgent of Windows 2000 or 2003 stopped, and another process holds udp/500 or udp/4500.",
        possible: "Never.",
        silent: "It runs again or is disabled; systems from Server 2008 on have no such mode.",
        evidence: "The holder of the port, the state of the service, events of IPSEC.",
        remedy: "Free the port and start the service; keep the port reserved.",
    },
    RuleKind {
        id: "bad-update/",
        detects: "An update that is known to do harm is installed, its conditions hold, and nothing mends it. Some entries tell of a release or of an update that fails to install.",
        certain: "The update is installed, all conditions are met, and the entry is verified.",
        likely: "Never by itself; a failing service of the entry raises what is possible.",
        possible: "A condition is open, the entry is recalled, or only the history names the update.",
        silent: "It failed, was removed or superseded; its fix, a later cumulative update or a fixed build is there.",
        evidence: "The rows of the lists of updates, product versions, roles and builds.",
        remedy: "Install the fix, uninstall the update, set a value, or what the vendor says.",
    },
    RuleKind {
        id: "suspect-update/",
        detects: "A service fails significantly more often within 72 hours after this update than on comparable hosts without it.",
        certain: "Never: it is learned from a fleet, not known of the update.",
        likely: "The share of false discoveries is at most one in a thousand, at two clients or more, compared with boots of the same weeks, and no other update came with it.",
        possible: "All others: at most two of a hundred such suspects are false.",
        silent: "Too few hosts have it, or none that could be compared is without it; the host does not have the service, or it is disabled.",
        evidence: "The counts of both groups, the size of the effect, and the hosts behind it.",
        remedy: "Hold the update back elsewhere, and look at one of the hosts.",
    },
    RuleKind {
        id: "service/failed",
        detects: "A service that starts by itself failed, and no port and no known-bad update explains it.",
        certain: "It ended with an error code.",
        likely: "Never.",
        possible: "Never.",
        silent: "It is disabled, manual, started by a trigger, ended without an error, was not started since the boot, is about to be started again, or fails because a service that it depends on did: that one is told. Services that servers which are well show as stopped, such as MapsBroker, are left out.",
        evidence: "The code in words, events, when it was last seen to run, and what became different since, the most telling first.",
        remedy: "By hand: what became different is where to look.",
    },
];

#[cfg(test)]
mod tests {
    use super::kind_of;

    #[test]
    fn a_rule_is_of_one_kind() {
        assert_eq!(kind_of("port-conflict/blocked").map(|kind| kind.id), Some("port-conflict/blocked"));
        assert_eq!(kind_of("bad-update/kb4034681-nps").map(|kind| kind.id), Some("bad-update/"));
        assert_eq!(kind_of("port-conflict/blocked-not"), None);
        assert_eq!(kind_of("weather"), None);
    }
}
