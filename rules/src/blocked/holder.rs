//! Who holds a port that a service needs, and whether that is in its way.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chrono::{DateTime, Utc};

use crate::catalog::{self, Binding, Claim, Mechanism};
use crate::facts::{Service, Socket, SocketState};
use crate::ports::Protocol;
use crate::view::View;

/// The kernel: HTTP.sys, SMB, NetBT.
const KERNEL_PID: u32 = 4;

/// Programs that many services share: their image does not tell whose process it is.
const SHARED_IMAGES: &[&str] = &[
    "svchost.exe",
    "lsass.exe",
    "services.exe",
    "inetinfo.exe",
    "tcpsvcs.exe",
    "java.exe",
    "javaw.exe",
    "node.exe",
    "python.exe",
    "dotnet.exe",
];

/// Services that LSASS runs, and that listen for RPC.
const LSASS_SERVICES: &[&str] = &["NTDS", "Netlogon", "SamSs", "Kdc"];

/// Without `.exe`.
const VITAL_IMAGES: &[&str] = &["system", "smss", "csrss", "wininit", "winlogon", "services", "lsass", "lsm"];

const VITAL_SERVICES: &[&str] = &[
    "RpcSs",
    "RpcEptMapper",
    "DcomLaunch",
    "SamSs",
    "NTDS",
    "Kdc",
    "Netlogon",
    "EventLog",
    "LSM",
    "gpsvc",
    "Power",
    "PlugPlay",
    "ProfSvc",
];

/// One process that holds one port, with all its sockets there.
pub(crate) struct Holder<'a> {
    /// The one that was bound first, as far as that is known.
    pub(crate) socket: &'a Socket,
    /// That may be behind it; several share the process.
    pub(crate) services: Vec<&'a str>,
    /// The catalog knows that it asks for this port by number.
    pub(crate) is_claimed: bool,
    pub(crate) bound_at: Option<DateTime<Utc>>,
    /// `None`: nothing in the catalog.
    pub(crate) mechanism: Option<Mechanism>,
    /// Ports that the same process has of the same protocol and family as the held one, without well-known ones.
    pub(crate) pool: usize,
}

impl<'a> Holder<'a> {
    /// The foreign process in the way of `claim`: the one that bound first, where several are.
    pub(crate) fn foreign(service: &Service, claim: &Claim, view: &View<'a>) -> Option<Self> {
        let sockets =
            || view.sockets_on(claim.port).iter().copied().filter(|socket| overlaps(claim.binding, socket.address));
        if own_socket(service, claim, view).is_some() {
            return None;
        }
        let foreign = || sockets().filter(|socket| !is_own(service, claim, socket, view));
        let bound = foreign().filter(|socket| socket.state != SocketState::Connected);
        // A connection of a client holds its local port too; TIME_WAIT (PID 0) ends by itself.
        let connected = || {
            foreign().filter(|socket| socket.state == SocketState::Connected && socket.pid.is_some_and(|pid| pid != 0))
        };
        let first = |a: &&Socket, b: &&Socket| order(a).cmp(&order(b));
        let socket = bound.min_by(first).or_else(|| connected().min_by(first))?;
        let services: Vec<&str> = view.services_of(socket).collect();
        let is_claimed = is_claimed(socket, &services, view);
        let of_any = |names: &[&str]| services.iter().any(|name| is_among(name, names));
        let taker = socket.process().and_then(|process| view.catalog.taker_of(process, socket.protocol));
        let mechanism = taker.map(|taker| taker.mechanism).or_else(|| match socket.protocol {
            Protocol::Udp if of_any(&["DNS"]) => Some(Mechanism::SocketPool),
            Protocol::Tcp if of_any(LSASS_SERVICES) => Some(Mechanism::DynamicRpc),
            _ => None,
        });
        // What it asks for by number, or lies below 1024, was never drawn.
        let mechanism = mechanism.filter(|_| !is_claimed && socket.port >= 1024);
        let pool = match mechanism {
            Some(Mechanism::SocketPool) => pool_size(socket, view),
            _ => 0,
        };
        Some(Self { socket, services, is_claimed, bound_at: socket.bound_at, mechanism, pool })
    }

    pub(crate) fn bound_before(&self, failed_at: Option<DateTime<Utc>>) -> bool {
        self.bound_at.zip(failed_at).is_some_and(|(bound, failed)| bound <= failed)
    }

    pub(crate) fn bound_after(&self, failed_at: Option<DateTime<Utc>>) -> bool {
        self.bound_at.zip(failed_at).is_some_and(|(bound, failed)| bound > failed)
    }

    /// It is a client that got the port for a connection.
    pub(crate) fn is_connection(&self) -> bool {
        self.socket.state == SocketState::Connected
    }

    pub(crate) fn is_kernel(&self) -> bool {
        self.socket.pid == Some(KERNEL_PID)
    }

    /// The one service behind it. `None`: none, or several candidates.
    pub(crate) fn service(&self) -> Option<&'a str> {
        match self.services.as_slice() {
            &[only] => Some(only),
            [] if self.mechanism == Some(Mechanism::SocketPool) => Some("DNS"),
            _ => None,
        }
    }

    /// Windows does not run on without it, or what else shares its process cannot be told.
    pub(crate) fn cannot_stop(&self) -> bool {
        Self::is_vital(self.socket, &self.services)
    }

    /// The same of any socket whose process runs `services`.
    pub(crate) fn is_vital(socket: &Socket, services: &[&str]) -> bool {
        let process = socket.process().unwrap_or_default().to_lowercase();
        let process = process.strip_suffix(".exe").unwrap_or(&process);
        is_among(process, VITAL_IMAGES)
            || services.iter().any(|name| is_among(name, VITAL_SERVICES))
            || (process == "svchost" && services.len() != 1)
    }

    /// What all findings about this cause have in common, on any host.
    pub(crate) fn problem(&self) -> String {
        match (self.mechanism, self.service()) {
            (Some(Mechanism::SocketPool), _) => "taker/dns-socket-pool".to_owned(),
            (Some(Mechanism::DynamicRpc), _) => "taker/lsass-dynamic-rpc".to_owned(),
            (_, Some(service)) => format!("holder/{}", service.to_lowercase()),
            _ => format!("holder/{}", self.socket.process().unwrap_or("unknown").to_lowercase()),
        }
    }

    /// As a title names it: `dns.exe`.
    pub(crate) fn name(&self) -> String {
        match (self.socket.process(), self.socket.pid) {
            _ if self.is_kernel() && self.socket.protocol == Protocol::Udp => "the kernel (a driver)".to_owned(),
            _ if self.is_kernel() => "the kernel (HTTP.sys or another driver)".to_owned(),
            (Some(process), _) if !process.is_empty() => process.to_owned(),
            (_, Some(pid)) if pid != 0 => format!("process {pid}"),
            _ => "a process that could not be read".to_owned(),
        }
    }

    /// `dns.exe (PID 1420, service DNS)`.
    pub(crate) fn full_name(&self) -> String {
        // Without an image the name is the PID already, and that of the kernel says nothing more.
        let has_name = !self.is_kernel() && self.socket.process().is_some_and(|process| !process.is_empty());
        let pid = self.socket.pid.filter(|&pid| pid != 0 && has_name).map(|pid| format!("PID {pid}"));
        let services = match self.services.as_slice() {
            [] => None,
            [only] => Some(format!("service {only}")),
            several if several.len() > 4 => Some(format!("one of {} services", several.len())),
            several => Some(format!("one of the services {}", crate::words::list(several).replace(" and ", " or "))),
        };
        let details: Vec<String> = pid.into_iter().chain(services).collect();
        if details.is_empty() { self.name() } else { format!("{} ({})", self.name(), details.join(", ")) }
    }
}

/// Bound sockets before such without a time, then in an order that only breaks ties.
fn order(socket: &Socket) -> (bool, Option<DateTime<Utc>>, Option<u32>, &Socket) {
    (socket.bound_at.is_none(), socket.bound_at, socket.pid, socket)
}

/// Nobody is in the way of `claim`, and nobody holds it by itself.
pub(crate) fn claim_is_free(claim: &Claim, view: &View<'_>) -> bool {
    !view.sockets_on(claim.port).iter().any(|socket| overlaps(claim.binding, socket.address))
}

/// The socket by which the service, its driver or one that shares the port has what it claims.
pub(crate) fn own_socket<'a>(service: &Service, claim: &Claim, view: &View<'a>) -> Option<&'a Socket> {
    let on_port = view.sockets_on(claim.port).iter().copied();
    let bound = on_port.filter(|socket| socket.state != SocketState::Connected);
    bound.filter(|socket| overlaps(claim.binding, socket.address)).find(|socket| is_own(service, claim, socket, view))
}

/// Whether `socket` is the service's, or of a process or program that is.
pub(crate) fn is_of<'a>(service: &Service, socket: &'a Socket, view: &View<'a>) -> bool {
    view.services_of(socket).any(|name| is_same(name, &service.name))
        || (socket.services.is_empty() && has_process(service, socket))
        || is_lone_program(service, socket, view)
}

fn has_process(service: &Service, socket: &Socket) -> bool {
    service.pid.is_some_and(|pid| pid != 0 && socket.pid == Some(pid))
}

/// The socket is of the service's program, in a process that is no other service's.
fn is_lone_program<'a>(service: &Service, socket: &'a Socket, view: &View<'a>) -> bool {
    view.services_of(socket).next().is_none() && same_program(service, socket)
}

/// Whether the catalog knows that the owner of `socket` asks for its port by number.
fn is_claimed(socket: &Socket, services: &[&str], view: &View<'_>) -> bool {
    view.catalog.claims_on(socket.local_port()).any(|claim| {
        let pattern = claim.service.to_lowercase();
        let names = |name: &str| catalog::matches(&pattern, &name.to_lowercase());
        let is_process = |own: &str| socket.process().is_some_and(|process| process.eq_ignore_ascii_case(own));
        services.iter().any(|name| names(name))
            || claim.process.as_deref().is_some_and(is_process)
            || (services.is_empty()
                && view.services().any(|service| names(&service.name) && same_program(service, socket)))
    })
}

fn pool_size(held: &Socket, view: &View<'_>) -> usize {
    let same = |socket: &&Socket| {
        socket.protocol == held.protocol
            && socket.pid == held.pid
            && socket.family() == held.family()
            && socket.port >= 1024
    };
    view.sockets().filter(same).count()
}

/// Whether `socket` belongs to the service itself, to its kernel driver, or to a service that shares the port with it.
fn is_own<'a>(service: &Service, claim: &Claim, socket: &'a Socket, view: &View<'a>) -> bool {
    let shared = |name: &str| {
        let name = name.to_lowercase();
        claim.shared_with.iter().any(|pattern| catalog::matches(&pattern.to_lowercase(), &name))
    };
    view.services_of(socket).any(|name| is_same(name, &service.name) || shared(name))
        || has_process(service, socket)
        || (claim.kernel && socket.pid == Some(KERNEL_PID))
        || claim
            .process
            .as_deref()
            .is_some_and(|own| socket.process().is_some_and(|process| process.eq_ignore_ascii_case(own)))
        || is_lone_program(service, socket, view)
}

fn is_same(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || a.to_lowercase() == b.to_lowercase()
}

fn is_among(name: &str, names: &[&str]) -> bool {
    names.iter().any(|other| name.eq_ignore_ascii_case(other))
}

/// The socket belongs to a process of the program that the service runs, such as one that was started by hand.
fn same_program(service: &Service, socket: &Socket) -> bool {
    let Some(path) = service.image_path.as_deref().and_then(program) else { return false };
    let Some(image) = socket.image.as_deref() else { return false };
    let base = |path: &str| path.rsplit(['\\', '/']).next().unwrap_or(path).to_lowercase();
    if SHARED_IMAGES.contains(&base(path).as_str()) {
        return false;
    }
    let is_path = |path: &str| path.contains(['\\', '/']);
    // Short names and paths of the kernel name the same file in another way.
    let is_plain = |path: &str| is_path(path) && !path.contains(['%', '~']) && !path.starts_with('\\');
    if is_plain(path) && is_plain(image) {
        path.to_lowercase() == image.to_lowercase()
    } else {
        base(path) == base(image)
    }
}

/// The program of a service's command line: `C:\x\y.exe` of `"C:\x\y.exe" -service`.
fn program(command: &str) -> Option<&str> {
    let command = command.trim();
    if let Some(quoted) = command.strip_prefix('"') {
        return quoted.split('"').next();
    }
    match command.to_ascii_lowercase().find(".exe") {
        Some(at) => command.get(..at + 4),
        None => command.split_whitespace().next(),
    }
}

/// Whether a service that binds as `binding` says and a socket at `held` are in each other's way.
fn overlaps(binding: Binding, held: IpAddr) -> bool {
    let wanted: [IpAddr; 2] = match binding {
        Binding::All => [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
        Binding::Loopback => [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
    };
    wanted.into_iter().any(|wanted| addresses_overlap(wanted, held))
}

/// `[::]` takes both families, `0.0.0.0` every address of IPv4; two specific addresses overlap only where they are equal.
fn addresses_overlap(a: IpAddr, b: IpAddr) -> bool {
    let dual = |address: IpAddr| address == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    if dual(a) || dual(b) {
        return true;
    }
    match (a.to_canonical(), b.to_canonical()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => a.is_unspecified() || b.is_unspecified() || a == b,
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{addresses_overlap, program};

    #[test]
    fn wildcards_overlap_and_specific_addresses_do_not() {
        let check = |a: &str, b: &str, expected: bool| {
            let (left, right): (IpAddr, IpAddr) = (a.parse().unwrap(), b.parse().unwrap());
            assert_eq!(addresses_overlap(left, right), expected, "{a} {b}");
            assert_eq!(addresses_overlap(right, left), expected, "{b} {a}");
        };
        check("0.0.0.0", "10.0.0.5", true);
        check("0.0.0.0", "127.0.0.1", true);
        check("127.0.0.1", "10.0.0.5", false);
        check("10.0.0.5", "10.0.0.5", true);
        check("::", "10.0.0.5", true);
        check("::", "fe80::1", true);
        check("::1", "0.0.0.0", false);
        check("::1", "fe80::1", false);
        check("::ffff:10.0.0.5", "10.0.0.5", true);
    }

    #[test]
    fn finds_the_program_of_a_command_line() {
        assert_eq!(program(r#""C:\Program Files\X\x.exe" -s"#), Some(r"C:\Program Files\X\x.exe"));
        assert_eq!(program(r"C:\Program Files\X\x.EXE -s"), Some(r"C:\Program Files\X\x.EXE"));
        assert_eq!(program("netsvc -k"), Some("netsvc"));
    }
}
