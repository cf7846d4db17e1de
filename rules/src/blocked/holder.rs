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

/// One process that holds one port, with all its sockets there.
pub(crate) struct Holder<'a> {
    /// The one that was bound first, as far as that is known.
    pub(crate) socket: &'a Socket,
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
        let foreign = || sockets().filter(|socket| !is_own(service, claim, socket));
        let bound = foreign().filter(|socket| socket.state != SocketState::Connected);
        // A connection of a client holds its local port too; TIME_WAIT (PID 0) ends by itself.
        let connected = || {
            foreign().filter(|socket| socket.state == SocketState::Connected && socket.pid.is_some_and(|pid| pid != 0))
        };
        let first = |a: &&Socket, b: &&Socket| order(a).cmp(&order(b));
        let socket = bound.min_by(first).or_else(|| connected().min_by(first))?;
        let taker = socket.process().and_then(|process| view.catalog.taker_of(process, socket.protocol));
        let mechanism = taker.map(|taker| taker.mechanism).or_else(|| {
            let dns = socket.protocol == Protocol::Udp && has_service(socket, "DNS");
            dns.then_some(Mechanism::SocketPool)
        });
        let pool = match mechanism {
            Some(Mechanism::SocketPool) => pool_size(socket, view),
            _ => 0,
        };
        Some(Self { socket, bound_at: socket.bound_at, mechanism, pool })
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
        match self.socket.services.as_slice() {
            [only] => Some(only),
            [] if self.mechanism == Some(Mechanism::SocketPool) => Some("DNS"),
            _ => None,
        }
    }

    /// As a title names it: `dns.exe`.
    pub(crate) fn name(&self) -> String {
        match (self.socket.process(), self.socket.pid) {
            _ if self.is_kernel() => "the kernel (HTTP.sys or another driver)".to_owned(),
            (Some(process), _) if !process.is_empty() => process.to_owned(),
            (_, Some(pid)) if pid != 0 => format!("process {pid}"),
            _ => "a process that could not be read".to_owned(),
        }
    }

    /// `dns.exe (PID 1420, service DNS)`.
    pub(crate) fn full_name(&self) -> String {
        let pid = self.socket.pid.filter(|&pid| pid != 0).map(|pid| format!("PID {pid}"));
        let services = match self.socket.services.as_slice() {
            [] => None,
            [only] => Some(format!("service {only}")),
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
    bound.filter(|socket| overlaps(claim.binding, socket.address)).find(|socket| is_own(service, claim, socket))
}

/// Whether `socket` is the service's, or of a process or program that is.
pub(crate) fn is_of(service: &Service, socket: &Socket) -> bool {
    has_service(socket, &service.name)
        || (socket.services.is_empty()
            && ((service.pid.is_some() && service.pid == socket.pid) || same_program(service, socket)))
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
fn is_own(service: &Service, claim: &Claim, socket: &Socket) -> bool {
    let shared = |name: &str| {
        let name = name.to_lowercase();
        claim.shared_with.iter().any(|pattern| catalog::matches(&pattern.to_lowercase(), &name))
    };
    has_service(socket, &service.name)
        || socket.services.iter().any(|name| shared(name))
        || (service.pid.is_some() && service.pid == socket.pid)
        || (claim.kernel && socket.pid == Some(KERNEL_PID))
        || claim
            .process
            .as_deref()
            .is_some_and(|own| socket.process().is_some_and(|process| process.eq_ignore_ascii_case(own)))
        || (socket.services.is_empty() && same_program(service, socket))
}

fn has_service(socket: &Socket, service: &str) -> bool {
    socket
        .services
        .iter()
        .any(|name| name.eq_ignore_ascii_case(service) || name.to_lowercase() == service.to_lowercase())
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
    if is_path(path) && is_path(image) && !path.contains('%') {
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
