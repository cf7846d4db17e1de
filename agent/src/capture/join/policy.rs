//! Port policy, of registry values and of netsh. Each value is known on its own; one that is not set is known to be so only
//! where all values of its key were printed, or where the list of keys shows that there is no such key. No I/O.

use rules::facts::{DnsSocketPool, Exclusion, OsGeneration, PortPolicy, RpcPorts, Section, SqlPort};
use rules::ports::{Family, PortRange, Protocol};
use rules::text::Text;

use super::missing;
use crate::capture::gathered::Gathered;
use crate::capture::registry::{Found, Registry};
use crate::collect::port_values::{self, RpcValues};
use crate::collect::reading::{Unreadable, section};

const SERVICES: &str = r"SYSTEM\CurrentControlSet\Services";
const NETWORK_STORE: &str = r"SYSTEM\CurrentControlSet\Control\Nsi";
const TCP_EXCLUSIONS: &str = r"SYSTEM\CurrentControlSet\Control\Nsi\{eb004a03-9b1a-11d4-9123-0050047759bc}\29";
const UDP_EXCLUSIONS: &str = r"SYSTEM\CurrentControlSet\Control\Nsi\{eb004a02-9b1a-11d4-9123-0050047759bc}\5";
const RPC: &str = r"SOFTWARE\Microsoft\Rpc";
const SQL_INSTANCES: &str = r"SOFTWARE\Microsoft\Microsoft SQL Server\Instance Names\SQL";
const SQL_SERVER: &str = r"SOFTWARE\Microsoft\Microsoft SQL Server";

pub(super) fn policy(gathered: &Gathered, generation: Option<OsGeneration>) -> Section<PortPolicy> {
    let (registry, ranges) = (&gathered.registry, &gathered.ranges);
    if registry.is_empty() && ranges.dynamic.is_empty() && ranges.excluded.is_empty() {
        return missing("port settings (reg query, netsh)");
    }
    let values = Values(registry);
    let is_old = generation.is_some_and(|generation| generation <= OsGeneration::Server2003);
    let of_later = |section| if is_old { Section::Unknown(Text::new("Server 2003 has none")) } else { section };
    Section::Known(PortPolicy {
        dynamic_ranges: match ranges.dynamic.as_slice() {
            [] if is_old => Section::Unknown(Text::new("Server 2003 has none")),
            [] => missing("dynamic port ranges (netsh interface ipv4 show dynamicport)"),
            ranges => Section::Known(ranges.to_vec()),
        },
        exclusions: of_later(exclusions(gathered)),
        persistent_exclusions: of_later(section(persistent_exclusions(registry))),
        reserved_ports: section(
            values.lines("Tcpip", "ReservedPorts").and_then(|lines| ranges_of("ReservedPorts", &lines)),
        ),
        max_user_port: section(values.number("Tcpip", "MaxUserPort")),
        dns_socket_pool: section(dns_socket_pool(&values)),
        ntds_port: section(values.port("NTDS", "TCP/IP Port")),
        netlogon_port: section(values.port("Netlogon", "DCTcpipPort")),
        frs_port: section(values.port("NtFrs", "RPC TCP/IP Port Assignment")),
        dfsr_port: missing("settings of DFS Replication"),
        rpc_ports: section(rpc_ports(registry)),
        url_reservations: missing("URL reservations"),
        http_listen_only: missing("listen list of HTTP.sys"),
        sql_ports: section(sql_ports(registry)),
        waiting_for_restart: missing("times at which settings were written"),
    })
}

/// Values of `Services\…\Parameters`.
struct Values<'a>(&'a Registry);

impl Values<'_> {
    fn find<T>(
        &self,
        service: &str,
        name: &str,
        find: impl FnOnce(&crate::capture::registry::Key) -> Found<T>,
    ) -> Result<Option<T>, Unreadable> {
        let found = match self.0.key(&format!(r"{SERVICES}\{service}\Parameters")) {
            Some(key) => find(key),
            None if self.0.lacks(SERVICES, service) => Found::NotSet,
            None => Found::NotCaptured,
        };
        match found {
            Found::Set(value) => Ok(Some(value)),
            Found::NotSet => Ok(None),
            Found::NotCaptured => Err(Unreadable::new(format!(
                r"the capture does not show {name} (reg query HKLM\{SERVICES}\{service}\Parameters)"
            ))),
            Found::Odd(what) => Err(Unreadable::new(what)),
        }
    }

    fn number(&self, service: &str, name: &str) -> Result<Option<u32>, Unreadable> {
        self.find(service, name, |key| key.find_number(name))
    }

    fn port(&self, service: &str, name: &str) -> Result<Option<u16>, Unreadable> {
        self.number(service, name)?.map(|number| port_values::port(name, number)).transpose()
    }

    fn lines(&self, service: &str, name: &str) -> Result<Vec<String>, Unreadable> {
        Ok(self.find(service, name, |key| key.find_lines(name))?.unwrap_or_default())
    }
}

fn ranges_of(name: &str, lines: &[String]) -> Result<Vec<PortRange>, Unreadable> {
    port_values::port_ranges(name, lines)
}

fn dns_socket_pool(values: &Values<'_>) -> Result<DnsSocketPool, Unreadable> {
    const EXCLUDED: &str = "SocketPoolExcludedPortRanges";
    Ok(DnsSocketPool {
        size: values.number("DNS", "SocketPoolSize")?,
        excluded: ranges_of(EXCLUDED, &values.lines("DNS", EXCLUDED)?)?,
    })
}

/// Known where all four lists were printed: an exclusion that was not listed would be missed.
fn exclusions(gathered: &Gathered) -> Section<Vec<Exclusion>> {
    let listed = &gathered.ranges.excluded;
    for family in [Family::Ipv4, Family::Ipv6] {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            if !listed.iter().any(|(p, f, _)| (*p, *f) == (protocol, family)) {
                let family = if family == Family::Ipv4 { "ipv4" } else { "ipv6" };
                return missing(&format!(
                    "excluded ports of {protocol} (netsh interface {family} show excludedportrange)"
                ));
            }
        }
    }
    Section::Known(listed.iter().flat_map(|(_, _, exclusions)| exclusions).copied().collect())
}

fn persistent_exclusions(registry: &Registry) -> Result<Vec<Exclusion>, Unreadable> {
    let mut exclusions = Vec::new();
    if registry.key(NETWORK_STORE).is_none() && registry.below(NETWORK_STORE).next().is_none() {
        return Err(Unreadable::new(format!(
            r"the capture does not show the network store (reg query HKLM\{NETWORK_STORE} /s)"
        )));
    }
    for (protocol, path) in [(Protocol::Tcp, TCP_EXCLUSIONS), (Protocol::Udp, UDP_EXCLUSIONS)] {
        let Some(key) = registry.key(path) else { continue };
        for name in key.value_names() {
            let range = port_values::persistent_exclusion(name)?;
            exclusions.push(Exclusion { protocol, family: None, range, administered: true });
        }
    }
    Ok(exclusions)
}

fn rpc_ports(registry: &Registry) -> Result<Option<RpcPorts>, Unreadable> {
    let Some(key) = registry.key(&format!(r"{RPC}\Internet")) else {
        // The key of RPC has few subkeys, all of which are printed with it.
        return match registry.below(RPC).next() {
            Some(_) => Ok(None),
            None => {
                Err(Unreadable::new(format!(r"the capture does not show the ports of RPC (reg query HKLM\{RPC} /s)")))
            }
        };
    };
    let text = |name| key.text(name).unwrap_or_default().to_owned();
    let ports = match key.find_lines("Ports") {
        Found::Set(lines) => lines,
        Found::Odd(what) => return Err(Unreadable::new(what)),
        Found::NotSet | Found::NotCaptured => Vec::new(),
    };
    port_values::rpc_ports(&RpcValues {
        ports,
        internet_available: text("PortsInternetAvailable"),
        use_internet: text("UseInternetPorts"),
    })
}

fn sql_ports(registry: &Registry) -> Result<Vec<SqlPort>, Unreadable> {
    let Some(instances) = registry.key(SQL_INSTANCES) else {
        if registry.lacks(r"SOFTWARE\Microsoft", "Microsoft SQL Server") {
            return Ok(Vec::new());
        }
        return Err(Unreadable::new(format!(r"the capture does not show SQL Server (reg query HKLM\{SQL_SERVER})")));
    };
    let mut ports = Vec::new();
    for instance in instances.value_names() {
        let id = instances.text(instance).unwrap_or_default();
        let path = format!(r"{SQL_SERVER}\{id}\MSSQLServer\SuperSocketNetLib\Tcp\IPAll");
        let Some(all) = registry.key(&path) else { continue };
        let text = |name| all.text(name).unwrap_or_default();
        let instance = instance.to_uppercase();
        ports.push(port_values::sql_port(&instance, text("TcpPort"), text("TcpDynamicPorts"))?);
    }
    Ok(ports)
}
