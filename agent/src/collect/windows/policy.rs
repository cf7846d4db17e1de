//! What decides which ports may be taken: registry values, and the two things that only netsh tells (dynamic ranges, and
//! exclusions in force).
//!
//! Invariant: each value is Known or Unknown on its own. netsh is started by its absolute path with constant arguments,
//! and is the only program that the agent starts.
#![expect(unsafe_code, reason = "the system folder is asked from Win32")]

use std::io::Read as _;
use std::os::windows::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rules::facts::{DnsSocketPool, DynamicRange, Exclusion, PortPolicy};
use rules::ports::{Family, PortRange, Protocol};
use windows::Win32::System::SystemInformation::GetSystemDirectoryW;
use windows::Win32::System::Threading::CREATE_NO_WINDOW;

use super::registry;
use crate::collect::reading::{Unreadable, section};
use crate::collect::{netsh, port_values};

pub(super) const TCPIP_PARAMETERS: &str = r"SYSTEM\CurrentControlSet\Services\Tcpip\Parameters";
pub(super) const DNS_PARAMETERS: &str = r"SYSTEM\CurrentControlSet\Services\DNS\Parameters";
pub(super) const NTDS_PARAMETERS: &str = r"SYSTEM\CurrentControlSet\Services\NTDS\Parameters";
/// The network store, which keeps persistent exclusions. One entry serves both address families.
pub(super) const NETWORK_STORE: &str = r"SYSTEM\CurrentControlSet\Control\Nsi";
const TCP_EXCLUSIONS: &str = r"SYSTEM\CurrentControlSet\Control\Nsi\{eb004a03-9b1a-11d4-9123-0050047759bc}\29";
const UDP_EXCLUSIONS: &str = r"SYSTEM\CurrentControlSet\Control\Nsi\{eb004a02-9b1a-11d4-9123-0050047759bc}\5";

const PROTOCOLS: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];
const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

/// How long netsh may take; it answers in 50 ms.
const NETSH_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn read() -> PortPolicy {
    PortPolicy {
        dynamic_ranges: section(dynamic_ranges()),
        exclusions: section(exclusions()),
        persistent_exclusions: section(persistent_exclusions()),
        reserved_ports: section(port_ranges(TCPIP_PARAMETERS, "ReservedPorts")),
        max_user_port: section(registry::value_at(TCPIP_PARAMETERS, "MaxUserPort")),
        dns_socket_pool: section(dns_socket_pool()),
        ntds_port: section(ntds_port()),
        ..PortPolicy::default()
    }
}

fn port_ranges(path: &str, name: &str) -> Result<Vec<PortRange>, Unreadable> {
    let lines: Vec<String> = registry::value_at(path, name)?.unwrap_or_default();
    port_values::port_ranges(name, &lines)
}

fn dns_socket_pool() -> Result<DnsSocketPool, Unreadable> {
    Ok(DnsSocketPool {
        size: registry::value_at(DNS_PARAMETERS, "SocketPoolSize")?,
        excluded: port_ranges(DNS_PARAMETERS, "SocketPoolExcludedPortRanges")?,
    })
}

fn ntds_port() -> Result<Option<u16>, Unreadable> {
    const NAME: &str = "TCP/IP Port";
    let number: Option<u32> = registry::value_at(NTDS_PARAMETERS, NAME)?;
    number.map(|number| port_values::port(NAME, number)).transpose()
}

fn persistent_exclusions() -> Result<Vec<Exclusion>, Unreadable> {
    registry::open_expected(NETWORK_STORE)?;
    let mut exclusions = Vec::new();
    for (protocol, path) in [(Protocol::Tcp, TCP_EXCLUSIONS), (Protocol::Udp, UDP_EXCLUSIONS)] {
        let Some(key) = registry::open(path)? else { continue };
        for value in key.enum_values() {
            let (name, _) = value.map_err(|error| registry::unreadable(path, &error))?;
            let range = port_values::persistent_exclusion(&name)?;
            exclusions.push(Exclusion { protocol, family: None, range, administered: true });
        }
    }
    Ok(exclusions)
}

fn dynamic_ranges() -> Result<Vec<DynamicRange>, Unreadable> {
    let mut ranges = Vec::new();
    for family in FAMILIES {
        for protocol in PROTOCOLS {
            let answer = ask_netsh(["interface", family_name(family), "show", "dynamicport", protocol.as_str()])?;
            ranges.push(DynamicRange { protocol, family, range: netsh::dynamic_range(&answer)? });
        }
    }
    Ok(ranges)
}

fn exclusions() -> Result<Vec<Exclusion>, Unreadable> {
    let mut exclusions = Vec::new();
    for family in FAMILIES {
        for protocol in PROTOCOLS {
            let answer = ask_netsh(["interface", family_name(family), "show", "excludedportrange", protocol.as_str()])?;
            exclusions.extend(netsh::excluded_ranges(&answer)?.into_iter().map(|(range, administered)| Exclusion {
                protocol,
                family: Some(family),
                range,
                administered,
            }));
        }
    }
    Ok(exclusions)
}

fn family_name(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "ipv4",
        Family::Ipv6 => "ipv6",
    }
}

/// What netsh prints. Only numbers and marks of it are read, so the code page does not matter.
fn ask_netsh(arguments: [&'static str; 5]) -> Result<String, Unreadable> {
    let failed = |error: std::io::Error| Unreadable::new(format!("netsh could not be run: {error}"));
    #[expect(clippy::disallowed_methods, reason = "netsh is the one program that the agent starts")]
    let mut command = Command::new(format!(r"{}\netsh.exe", system_folder()?));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.creation_flags(CREATE_NO_WINDOW.0).spawn().map_err(failed)?;
    let (answer, answered) = mpsc::channel();
    if let Some(mut output) = child.stdout.take() {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = output.read_to_end(&mut bytes).map(|_| bytes);
            // Nobody waits any longer for an answer that came too late.
            let _ = answer.send(read);
        });
    }
    let Ok(bytes) = answered.recv_timeout(NETSH_TIMEOUT) else {
        // It may have ended just now: then there is nothing to end.
        let _ = child.kill();
        let _ = child.wait();
        return Err(Unreadable::new(format!("netsh did not answer within {} s", NETSH_TIMEOUT.as_secs())));
    };
    child.wait().map_err(failed)?;
    Ok(String::from_utf8_lossy(&bytes.map_err(failed)?).into_owned())
}

fn system_folder() -> Result<String, Unreadable> {
    let mut buffer = [0_u16; 512];
    // SAFETY: takes the buffer as a slice, and writes no more than its length.
    let length = unsafe { GetSystemDirectoryW(Some(&mut buffer)) };
    let path = usize::try_from(length).ok().and_then(|length| buffer.get(..length)).filter(|path| !path.is_empty());
    path.map(String::from_utf16_lossy).ok_or_else(|| Unreadable::new("the system folder is not known"))
}
