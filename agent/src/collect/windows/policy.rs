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

use chrono::{DateTime, Utc};
use rules::facts::{DnsSocketPool, DynamicRange, Exclusion, PortPolicy, RpcPorts, Section, SqlPort, UrlReservation};
use rules::ports::{Family, PortRange, Protocol};
use rules::text::Text;
use windows::Win32::System::SystemInformation::GetSystemDirectoryW;
use windows::Win32::System::Threading::CREATE_NO_WINDOW;

use super::registry;
use crate::collect::port_values::{BootSetting, RpcValues, Set};
use crate::collect::reading::{Unreadable, filetime, section};
use crate::collect::{netsh, port_values};

pub(super) const TCPIP_PARAMETERS: &str = r"SYSTEM\CurrentControlSet\Services\Tcpip\Parameters";
pub(super) const DNS_PARAMETERS: &str = r"SYSTEM\CurrentControlSet\Services\DNS\Parameters";
pub(super) const NTDS_PARAMETERS: &str = r"SYSTEM\CurrentControlSet\Services\NTDS\Parameters";
pub(super) const NETLOGON_PARAMETERS: &str = r"SYSTEM\CurrentControlSet\Services\Netlogon\Parameters";
pub(super) const FRS_PARAMETERS: &str = r"SYSTEM\CurrentControlSet\Services\NtFrs\Parameters";
const DFSR_SERVICE: &str = r"SYSTEM\CurrentControlSet\Services\DFSR";
pub(super) const RPC: &str = r"SOFTWARE\Microsoft\Rpc\Internet";
pub(super) const HTTP_PARAMETERS: &str = r"SYSTEM\CurrentControlSet\Services\HTTP\Parameters";
const URL_RESERVATIONS: &str = r"SYSTEM\CurrentControlSet\Services\HTTP\Parameters\UrlAclInfo";
pub(super) const SQL_SERVER: &str = r"SOFTWARE\Microsoft\Microsoft SQL Server";
pub(super) const SQL_SERVER_32: &str = r"SOFTWARE\WOW6432Node\Microsoft\Microsoft SQL Server";
/// The network store, which keeps persistent exclusions. One entry serves both address families.
pub(super) const NETWORK_STORE: &str = r"SYSTEM\CurrentControlSet\Control\Nsi";
const TCP_EXCLUSIONS: &str = r"SYSTEM\CurrentControlSet\Control\Nsi\{eb004a03-9b1a-11d4-9123-0050047759bc}\29";
const UDP_EXCLUSIONS: &str = r"SYSTEM\CurrentControlSet\Control\Nsi\{eb004a02-9b1a-11d4-9123-0050047759bc}\5";

const PROTOCOLS: [Protocol; 2] = [Protocol::Tcp, Protocol::Udp];
const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

/// How long netsh may take; it answers in 50 ms.
const NETSH_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn read(booted_at: Option<DateTime<Utc>>) -> PortPolicy {
    let mut policy = PortPolicy {
        dynamic_ranges: section(dynamic_ranges()),
        exclusions: section(exclusions(Store::Active)),
        persistent_exclusions: section(persistent_exclusions()),
        reserved_ports: section(port_ranges(TCPIP_PARAMETERS, "ReservedPorts")),
        max_user_port: section(registry::value_at(TCPIP_PARAMETERS, "MaxUserPort")),
        dns_socket_pool: section(dns_socket_pool()),
        ntds_port: section(fixed_port(NTDS_PARAMETERS, "TCP/IP Port")),
        netlogon_port: section(fixed_port(NETLOGON_PARAMETERS, "DCTcpipPort")),
        frs_port: section(fixed_port(FRS_PARAMETERS, "RPC TCP/IP Port Assignment")),
        dfsr_port: section(dfsr_port()),
        rpc_ports: section(rpc_ports()),
        url_reservations: section(url_reservations()),
        http_listen_only: section(http_listen_only()),
        sql_ports: section(sql_ports()),
        waiting_for_restart: Section::default(),
    };
    policy.waiting_for_restart = section(waiting_for_restart(&policy, booted_at));
    policy
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

fn fixed_port(path: &str, name: &str) -> Result<Option<u16>, Unreadable> {
    let number: Option<u32> = registry::value_at(path, name)?;
    number.map(|number| port_values::port(name, number)).transpose()
}

/// DFS Replication keeps the port that `dfsrdiag StaticRPC` sets in a file of its own, whose form is not documented.
fn dfsr_port() -> Result<Option<u16>, Unreadable> {
    match registry::open(DFSR_SERVICE)? {
        None => Ok(None),
        Some(_) => Err(Unreadable::new("DFS Replication keeps its fixed port in a file that is not documented")),
    }
}

fn rpc_ports() -> Result<Option<RpcPorts>, Unreadable> {
    let Some(key) = registry::open(RPC)? else { return Ok(None) };
    port_values::rpc_ports(&RpcValues {
        ports: registry::lines(&key, "Ports")?,
        internet_available: registry::text(&key, "PortsInternetAvailable")?,
        use_internet: registry::text(&key, "UseInternetPorts")?,
    })
}

/// The name of a value is the URL; its data says who may serve it.
fn url_reservations() -> Result<Vec<UrlReservation>, Unreadable> {
    let names = registry::value_names(URL_RESERVATIONS)?;
    Ok(names.into_iter().map(|url| UrlReservation { url: Text::from(url) }).collect())
}

fn http_listen_only() -> Result<Vec<Text>, Unreadable> {
    let Some(key) = registry::open(HTTP_PARAMETERS)? else { return Ok(Vec::new()) };
    Ok(registry::lines(&key, "ListenOnlyList")?.into_iter().map(Text::from).collect())
}

fn sql_ports() -> Result<Vec<SqlPort>, Unreadable> {
    let mut ports = Vec::new();
    for root in [SQL_SERVER, SQL_SERVER_32] {
        for (instance, id) in sql_instances(root)? {
            let tcp = format!(r"{root}\{id}\MSSQLServer\SuperSocketNetLib\Tcp");
            let is_enabled = registry::value_at::<u32>(&tcp, "Enabled")? != Some(0);
            let values = registry::open(&format!(r"{tcp}\IPAll"))?.filter(|_| is_enabled);
            let text = |name| values.as_ref().map_or(Ok(String::new()), |key| registry::text(key, name));
            ports.push(port_values::sql_port(&instance, &text("TcpPort")?, &text("TcpDynamicPorts")?)?);
        }
    }
    Ok(ports)
}

/// Instances of SQL Server below `root`: the name, and the name of its registry key.
pub(super) fn sql_instances(root: &str) -> Result<Vec<(String, String)>, Unreadable> {
    let path = format!(r"{root}\Instance Names\SQL");
    let Some(key) = registry::open(&path)? else { return Ok(Vec::new()) };
    let names = registry::value_names(&path)?;
    names.into_iter().map(|name| Ok((name.clone(), registry::text(&key, &name)?))).collect()
}

/// A new port of Netlogon or FRS counts from the restart of that service, one of HTTP.sys and SQL Server likewise: they are
/// not in this list.
fn waiting_for_restart(policy: &PortPolicy, booted_at: Option<DateTime<Utc>>) -> Result<Vec<Text>, Unreadable> {
    let setting = |member, path, is_set| BootSetting {
        member,
        set: if is_set { Set::Yes } else { Set::No },
        key_written: registry::last_written(path).and_then(filetime),
    };
    let settings = [
        setting(
            "reserved_ports",
            TCPIP_PARAMETERS,
            policy.reserved_ports.known().is_some_and(|ports| !ports.is_empty()),
        ),
        setting("max_user_port", TCPIP_PARAMETERS, policy.max_user_port.known().is_some_and(Option::is_some)),
        setting("ntds_port", NTDS_PARAMETERS, policy.ntds_port.known().is_some_and(Option::is_some)),
        setting("rpc_ports", RPC, policy.rpc_ports.known().is_some_and(Option::is_some)),
    ];
    port_values::waiting_for_restart(&settings, booted_at)
}

fn persistent_exclusions() -> Result<Vec<Exclusion>, Unreadable> {
    registry::open_expected(NETWORK_STORE)?;
    let mut exclusions = Vec::new();
    for (protocol, path) in [(Protocol::Tcp, TCP_EXCLUSIONS), (Protocol::Udp, UDP_EXCLUSIONS)] {
        for name in registry::value_names(path)? {
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

/// Of the two that netsh knows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Store {
    /// What is in force.
    Active,
    /// What will be in force after the next boot.
    Persistent,
}

pub(super) fn exclusions(store: Store) -> Result<Vec<Exclusion>, Unreadable> {
    let mut exclusions = Vec::new();
    for family in FAMILIES {
        for protocol in PROTOCOLS {
            let (family_name, protocol_name) = (family_name(family), protocol.as_str());
            let answer = match store {
                // The default; a system without the other one does not know the word.
                Store::Active => ask_netsh(["interface", family_name, "show", "excludedportrange", protocol_name])?,
                Store::Persistent => ask_netsh([
                    "interface",
                    family_name,
                    "show",
                    "excludedportrange",
                    protocol_name,
                    "store=persistent",
                ])?,
            };
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
pub(super) fn ask_netsh<const COUNT: usize>(arguments: [&'static str; COUNT]) -> Result<String, Unreadable> {
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

pub(super) fn system_folder() -> Result<String, Unreadable> {
    let mut buffer = [0_u16; 512];
    // SAFETY: takes the buffer as a slice, and writes no more than its length.
    let length = unsafe { GetSystemDirectoryW(Some(&mut buffer)) };
    let path = usize::try_from(length).ok().and_then(|length| buffer.get(..length)).filter(|path| !path.is_empty());
    path.map(String::from_utf16_lossy).ok_or_else(|| Unreadable::new("the system folder is not known"))
}
