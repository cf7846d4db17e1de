//! The two sections that are one document each: the host, and its port policy.

use rules::facts::{
    CollectedBy, Collector, CollectorState, DnsSocketPool, DynamicRange, Exclusion, Host, Os, PortPolicy, Product,
    RpcPorts, Section, SqlPort, UrlReservation,
};
use rules::ports::{Family, PortRange};
use rules::text::Text;

use crate::fleet::v1;
use crate::wire::sockets::{protocol_from_wire, protocol_to_wire};
use crate::wire::values::{Dropped, milliseconds, section_from_wire, section_to_wire, some_text, text_to_wire, time};

/// Entries of any one list here; a longer one becomes unknown, because part of it would pass for all of it.
const LIST: usize = 1024;
/// Sources of facts on one host.
const COLLECTORS: usize = 64;

pub(super) fn host_to_wire(host: &Host) -> v1::HostFacts {
    let (products, products_unknown) = section_to_wire(&host.products, |products| {
        products
            .iter()
            .map(|product| v1::Product {
                id: product.id.as_str().to_owned(),
                name: product.name.as_str().to_owned(),
                version: text_to_wire(product.version.as_ref()),
            })
            .collect()
    });
    let (roles, roles_unknown) =
        section_to_wire(&host.roles, |roles| roles.iter().map(|role| role.as_str().to_owned()).collect());
    let (pending_restart, pending_restart_unknown) = section_to_wire(&host.pending_restart, |reasons| texts(reasons));
    v1::HostFacts {
        name: host.name.as_str().to_owned(),
        domain: text_to_wire(host.domain.as_ref()),
        os_name: host.os.name.as_str().to_owned(),
        os_major: host.os.major,
        os_minor: host.os.minor,
        os_build: host.os.build,
        os_revision: host.os.revision,
        service_pack: text_to_wire(host.os.service_pack.as_ref()),
        booted_at_ms: milliseconds(host.booted_at),
        boot_id: text_to_wire(host.boot_id.as_ref()),
        utc_offset_minutes: host.utc_offset_minutes,
        collected_by: match host.collected_by {
            CollectedBy::Agent => v1::CollectedBy::Agent,
            CollectedBy::Capture => v1::CollectedBy::Capture,
        } as i32,
        domain_controller: host.domain_controller,
        products,
        products_unknown,
        roles,
        roles_unknown,
        pending_restart,
        pending_restart_unknown,
        collectors: host.collectors.iter().map(collector_to_wire).collect(),
    }
}

pub(super) fn host_from_wire(host: &v1::HostFacts) -> Host {
    let collected_by = match host.collected_by() {
        v1::CollectedBy::Capture => CollectedBy::Capture,
        v1::CollectedBy::Agent | v1::CollectedBy::Unspecified => CollectedBy::Agent,
    };
    Host {
        name: Text::new(&host.name),
        domain: some_text(&host.domain),
        os: Os {
            name: Text::new(&host.os_name),
            major: host.os_major,
            minor: host.os_minor,
            build: host.os_build,
            revision: host.os_revision,
            service_pack: some_text(&host.service_pack),
        },
        booted_at: time(host.booted_at_ms),
        boot_id: some_text(&host.boot_id),
        utc_offset_minutes: host.utc_offset_minutes,
        collected_by,
        domain_controller: host.domain_controller,
        products: list_from_wire(&host.products_unknown, &host.products, |product| {
            Some(Product {
                id: Text::new(&product.id),
                name: Text::new(&product.name),
                version: some_text(&product.version),
            })
        }),
        roles: list_from_wire(&host.roles_unknown, &host.roles, |role| Some(Text::new(role))),
        pending_restart: list_from_wire(&host.pending_restart_unknown, &host.pending_restart, |reason| {
            Some(Text::new(reason))
        }),
        collectors: host.collectors.iter().take(COLLECTORS).filter_map(collector_from_wire).collect(),
    }
}

fn collector_to_wire(collector: &Collector) -> v1::Collector {
    v1::Collector {
        name: collector.name.as_str().to_owned(),
        state: match collector.state {
            CollectorState::Ok => v1::CollectorState::Ok,
            CollectorState::Degraded => v1::CollectorState::Degraded,
            CollectorState::Unavailable => v1::CollectorState::Unavailable,
        } as i32,
        reason: text_to_wire(collector.reason.as_ref()),
    }
}

fn collector_from_wire(collector: &v1::Collector) -> Option<Collector> {
    Some(Collector {
        name: Text::new(&collector.name),
        state: match collector.state() {
            v1::CollectorState::Unspecified => return None,
            v1::CollectorState::Ok => CollectorState::Ok,
            v1::CollectorState::Degraded => CollectorState::Degraded,
            v1::CollectorState::Unavailable => CollectorState::Unavailable,
        },
        reason: some_text(&collector.reason),
    })
}

pub(super) fn policy_to_wire(policy: &PortPolicy) -> v1::PortPolicy {
    let (dynamic_ranges, dynamic_ranges_unknown) =
        section_to_wire(&policy.dynamic_ranges, |ranges| ranges.iter().copied().map(dynamic_range_to_wire).collect());
    let (exclusions, exclusions_unknown) =
        section_to_wire(&policy.exclusions, |list| list.iter().copied().map(exclusion_to_wire).collect());
    let (persistent_exclusions, persistent_exclusions_unknown) =
        section_to_wire(&policy.persistent_exclusions, |list| list.iter().copied().map(exclusion_to_wire).collect());
    let (reserved_ports, reserved_ports_unknown) =
        section_to_wire(&policy.reserved_ports, |ranges| ranges_to_wire(ranges));
    let (max_user_port, max_user_port_unknown) = section_to_wire(&policy.max_user_port, |port| port.unwrap_or(0));
    let ((dns_socket_pool_size, dns_socket_pool_excluded), dns_socket_pool_unknown) =
        section_to_wire(&policy.dns_socket_pool, |pool| (pool.size, ranges_to_wire(&pool.excluded)));
    let (ntds_port, ntds_port_unknown) = port_to_wire(&policy.ntds_port);
    let (netlogon_port, netlogon_port_unknown) = port_to_wire(&policy.netlogon_port);
    let (frs_port, frs_port_unknown) = port_to_wire(&policy.frs_port);
    let (dfsr_port, dfsr_port_unknown) = port_to_wire(&policy.dfsr_port);
    let (rpc_ports, rpc_ports_unknown) =
        section_to_wire(&policy.rpc_ports, |ports| ports.as_ref().map(rpc_ports_to_wire));
    let (url_reservations, url_reservations_unknown) = section_to_wire(&policy.url_reservations, |reservations| {
        reservations.iter().map(|reservation| reservation.url.as_str().to_owned()).collect()
    });
    let (http_listen_only, http_listen_only_unknown) =
        section_to_wire(&policy.http_listen_only, |addresses| texts(addresses));
    let (sql_ports, sql_ports_unknown) =
        section_to_wire(&policy.sql_ports, |ports| ports.iter().map(sql_port_to_wire).collect());
    let (waiting_for_restart, waiting_for_restart_unknown) =
        section_to_wire(&policy.waiting_for_restart, |names| texts(names));
    v1::PortPolicy {
        dynamic_ranges,
        dynamic_ranges_unknown,
        exclusions,
        exclusions_unknown,
        persistent_exclusions,
        persistent_exclusions_unknown,
        reserved_ports,
        reserved_ports_unknown,
        max_user_port,
        max_user_port_unknown,
        dns_socket_pool_size,
        dns_socket_pool_excluded,
        dns_socket_pool_unknown,
        ntds_port,
        ntds_port_unknown,
        netlogon_port,
        netlogon_port_unknown,
        frs_port,
        frs_port_unknown,
        dfsr_port,
        dfsr_port_unknown,
        rpc_ports,
        rpc_ports_unknown,
        url_reservations,
        url_reservations_unknown,
        http_listen_only,
        http_listen_only_unknown,
        sql_ports,
        sql_ports_unknown,
        waiting_for_restart,
        waiting_for_restart_unknown,
    }
}

fn texts(list: &[Text]) -> Vec<String> {
    list.iter().map(|text| text.as_str().to_owned()).collect()
}

fn port_to_wire(port: &Section<Option<u16>>) -> (u32, String) {
    section_to_wire(port, |port| u32::from(port.unwrap_or(0)))
}

fn port_from_wire(reason: &str, port: u32) -> Section<Option<u16>> {
    match u16::try_from(port) {
        Ok(port) => section_from_wire(reason, || (port != 0).then_some(port)),
        Err(_) => Section::Unknown(Text::new("the value is not a port")),
    }
}

fn rpc_ports_to_wire(ports: &RpcPorts) -> v1::RpcPorts {
    v1::RpcPorts {
        ranges: ranges_to_wire(&ports.ranges),
        internet_available: ports.internet_available,
        use_internet: ports.use_internet,
    }
}

fn rpc_ports_from_wire(reason: &str, ports: Option<&v1::RpcPorts>) -> Section<Option<RpcPorts>> {
    let Some(ports) = ports else { return section_from_wire(reason, || None) };
    match list_from_wire(reason, &ports.ranges, |range| range_from_wire(*range)) {
        Section::Known(ranges) => Section::Known(Some(RpcPorts {
            ranges,
            internet_available: ports.internet_available,
            use_internet: ports.use_internet,
        })),
        Section::Unknown(reason) => Section::Unknown(reason),
    }
}

fn sql_port_to_wire(port: &SqlPort) -> v1::SqlPort {
    v1::SqlPort {
        instance: port.instance.as_str().to_owned(),
        fixed: port.fixed.iter().copied().map(u32::from).collect(),
        dynamic: u32::from(port.dynamic.unwrap_or(0)),
    }
}

fn sql_port_from_wire(port: &v1::SqlPort) -> Option<SqlPort> {
    let fixed = port.fixed.iter().map(|port| u16::try_from(*port).ok()).collect::<Option<_>>()?;
    let dynamic = u16::try_from(port.dynamic).ok()?;
    Some(SqlPort { instance: Text::new(&port.instance), fixed, dynamic: (dynamic != 0).then_some(dynamic) })
}

/// An entry that is not a range of ports makes its list unknown: a list with a hole would pass for the whole one. Such an
/// entry is counted.
pub(super) fn policy_from_wire(policy: &v1::PortPolicy, dropped: &mut Dropped) -> PortPolicy {
    let dns_socket_pool =
        match list_from_wire(&policy.dns_socket_pool_unknown, &policy.dns_socket_pool_excluded, |range| {
            range_from_wire(*range)
        }) {
            Section::Known(excluded) => Section::Known(DnsSocketPool { size: policy.dns_socket_pool_size, excluded }),
            Section::Unknown(reason) => Section::Unknown(reason),
        };
    let read = PortPolicy {
        dynamic_ranges: list_from_wire(&policy.dynamic_ranges_unknown, &policy.dynamic_ranges, dynamic_range_from_wire),
        exclusions: list_from_wire(&policy.exclusions_unknown, &policy.exclusions, exclusion_from_wire),
        persistent_exclusions: list_from_wire(
            &policy.persistent_exclusions_unknown,
            &policy.persistent_exclusions,
            exclusion_from_wire,
        ),
        reserved_ports: list_from_wire(&policy.reserved_ports_unknown, &policy.reserved_ports, |range| {
            range_from_wire(*range)
        }),
        max_user_port: section_from_wire(&policy.max_user_port_unknown, || {
            (policy.max_user_port != 0).then_some(policy.max_user_port)
        }),
        dns_socket_pool,
        ntds_port: port_from_wire(&policy.ntds_port_unknown, policy.ntds_port),
        netlogon_port: port_from_wire(&policy.netlogon_port_unknown, policy.netlogon_port),
        frs_port: port_from_wire(&policy.frs_port_unknown, policy.frs_port),
        dfsr_port: port_from_wire(&policy.dfsr_port_unknown, policy.dfsr_port),
        rpc_ports: rpc_ports_from_wire(&policy.rpc_ports_unknown, policy.rpc_ports.as_ref()),
        url_reservations: list_from_wire(&policy.url_reservations_unknown, &policy.url_reservations, |url| {
            Some(UrlReservation { url: Text::new(url) })
        }),
        http_listen_only: list_from_wire(&policy.http_listen_only_unknown, &policy.http_listen_only, |address| {
            Some(Text::new(address))
        }),
        sql_ports: list_from_wire(&policy.sql_ports_unknown, &policy.sql_ports, sql_port_from_wire),
        waiting_for_restart: list_from_wire(&policy.waiting_for_restart_unknown, &policy.waiting_for_restart, |name| {
            Some(Text::new(name))
        }),
    };
    let lost = [
        policy.dynamic_ranges_unknown.is_empty() && read.dynamic_ranges.unknown().is_some(),
        policy.exclusions_unknown.is_empty() && read.exclusions.unknown().is_some(),
        policy.persistent_exclusions_unknown.is_empty() && read.persistent_exclusions.unknown().is_some(),
        policy.reserved_ports_unknown.is_empty() && read.reserved_ports.unknown().is_some(),
        policy.dns_socket_pool_unknown.is_empty() && read.dns_socket_pool.unknown().is_some(),
        policy.ntds_port_unknown.is_empty() && read.ntds_port.unknown().is_some(),
        policy.netlogon_port_unknown.is_empty() && read.netlogon_port.unknown().is_some(),
        policy.frs_port_unknown.is_empty() && read.frs_port.unknown().is_some(),
        policy.dfsr_port_unknown.is_empty() && read.dfsr_port.unknown().is_some(),
        policy.rpc_ports_unknown.is_empty() && read.rpc_ports.unknown().is_some(),
        policy.sql_ports_unknown.is_empty() && read.sql_ports.unknown().is_some(),
    ];
    dropped.0 += lost.iter().filter(|lost| **lost).count() as u64;
    read
}

fn list_from_wire<W, T>(reason: &str, list: &[W], read: impl Fn(&W) -> Option<T>) -> Section<Vec<T>> {
    if !reason.is_empty() {
        return Section::Unknown(Text::new(reason));
    }
    if list.len() > LIST {
        return Section::Unknown(Text::new("the list is too long"));
    }
    match list.iter().map(read).collect() {
        Some(known) => Section::Known(known),
        None => Section::Unknown(Text::new("an entry of the list could not be read")),
    }
}

fn ranges_to_wire(ranges: &[PortRange]) -> Vec<v1::PortRange> {
    ranges.iter().copied().map(range_to_wire).collect()
}

fn range_to_wire(range: PortRange) -> v1::PortRange {
    v1::PortRange { start: range.start().into(), end: range.end().into() }
}

fn range_from_wire(range: v1::PortRange) -> Option<PortRange> {
    PortRange::new(u16::try_from(range.start).ok()?, u16::try_from(range.end).ok()?)
}

fn dynamic_range_to_wire(range: DynamicRange) -> v1::DynamicRange {
    v1::DynamicRange {
        protocol: protocol_to_wire(range.protocol) as i32,
        ipv6: range.family == Family::Ipv6,
        range: Some(range_to_wire(range.range)),
    }
}

fn dynamic_range_from_wire(range: &v1::DynamicRange) -> Option<DynamicRange> {
    Some(DynamicRange {
        protocol: protocol_from_wire(range.protocol())?,
        family: family_from_wire(range.ipv6),
        range: range_from_wire(range.range?)?,
    })
}

fn exclusion_to_wire(exclusion: Exclusion) -> v1::Exclusion {
    v1::Exclusion {
        protocol: protocol_to_wire(exclusion.protocol) as i32,
        ipv6: exclusion.family.map(|family| family == Family::Ipv6),
        range: Some(range_to_wire(exclusion.range)),
        administered: exclusion.administered,
    }
}

fn exclusion_from_wire(exclusion: &v1::Exclusion) -> Option<Exclusion> {
    Some(Exclusion {
        protocol: protocol_from_wire(exclusion.protocol())?,
        family: exclusion.ipv6.map(family_from_wire),
        range: range_from_wire(exclusion.range?)?,
        administered: exclusion.administered,
    })
}

fn family_from_wire(ipv6: bool) -> Family {
    if ipv6 { Family::Ipv6 } else { Family::Ipv4 }
}
