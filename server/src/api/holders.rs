//! Rows of the page of services, from facts, catalog and findings. Pure; who holds what is decided in [`rules::needs`].

use rules::catalog::{self, Catalog};
use rules::facts::{Facts, Section, Socket};
use rules::history::Seen;
use rules::needs::{HeldBy, ServicePorts, service_ports};
use rules::text::Text;

use crate::api::host_ports::groups;
use crate::api::host_services::{Holder, HolderKind, HostService, Learned, LearnedFrom, Need};
use crate::api::hosts::document;
use crate::api::model::SectionName;
use crate::db::read_findings::FindingRow;
use crate::db::read_host_rows::ServiceRows;
use crate::ingest::memory::learned;

/// One row per service, by name. `findings` are the open ones of the host, the worst first.
pub fn join(rows: ServiceRows, findings: &[FindingRow], catalog: &Catalog) -> anyhow::Result<Vec<HostService>> {
    let reason = |section: SectionName| {
        let row = rows.sections.iter().find(|row| row.section == section.as_str());
        row.map_or(Some("not reported yet"), |row| row.unknown_reason.as_deref()).map(Text::new)
    };
    let sockets_unknown = reason(SectionName::Sockets);
    let host = document(&rows.sections, SectionName::Host)?;
    let policy = document(&rows.sections, SectionName::PortPolicy)?;
    let facts = Facts {
        port_policy: policy.map_or_else(Section::default, Section::Known),
        host: host.map_or_else(Section::default, Section::Known),
        // Shown even when they are what was known last; sockets of the past say nothing about who holds a port.
        services: Section::Known(rows.services),
        sockets: sockets_unknown.map_or(Section::Known(rows.sockets), Section::Unknown),
        ..Facts::default()
    };
    let history = learned(&rows.past, &facts, catalog);
    Ok(service_ports(&facts, catalog, &history).iter().map(|ports| row(ports, findings)).collect())
}

fn row(ports: &ServicePorts<'_>, findings: &[FindingRow]) -> HostService {
    let service = ports.service;
    let is_about = |finding: &&FindingRow| {
        let name = finding.subject.get("service").and_then(|name| name.as_str());
        name.is_some_and(|name| name.eq_ignore_ascii_case(&service.name))
    };
    HostService {
        name: service.name.to_string(),
        display_name: service.display_name.to_string(),
        state: service.state.into(),
        start: service.start.map(Into::into),
        delayed: service.delayed,
        trigger_start: service.trigger_start,
        pid: service.pid,
        exit_code: service.exit_code,
        service_exit_code: service.service_exit_code,
        image_path: service.image_path.clone().map(Text::into_string),
        account: service.account.clone().map(Text::into_string),
        depends_on: service.depends_on.iter().map(ToString::to_string).collect(),
        recovery: service.recovery.clone().map(Into::into),
        state_since: service.state_since,
        needs: ports
            .needs
            .iter()
            .map(|(claim, held_by)| Need {
                port: claim.port.to_string(),
                when: match &claim.need {
                    catalog::Need::Required => None,
                    catalog::Need::Optional(when) => Some(when.clone()),
                },
                learned: claim.learned.map(Into::into),
                holder: holder(*held_by),
            })
            .collect(),
        holds: groups(ports.holds.iter().copied()),
        finding_id: findings.iter().find(is_about).map(|finding| finding.finding_id),
    }
}

impl From<Seen> for Learned {
    fn from(seen: Seen) -> Self {
        match seen {
            Seen::Boots { held, of } => Self { from: LearnedFrom::Boots, held, of },
            Seen::Hosts { held, of } => Self { from: LearnedFrom::Hosts, held, of },
        }
    }
}

fn holder(held_by: HeldBy<'_>) -> Holder {
    match held_by {
        HeldBy::Own(socket) => of_socket(HolderKind::Own, socket),
        HeldBy::Other(socket) => of_socket(HolderKind::Other, socket),
        HeldBy::Free => nobody(HolderKind::Free),
        HeldBy::Unknown => nobody(HolderKind::Unknown),
    }
}

fn of_socket(kind: HolderKind, socket: &Socket) -> Holder {
    Holder {
        kind,
        process: socket.process().map(ToOwned::to_owned),
        pid: socket.pid,
        services: socket.services.iter().map(ToString::to_string).collect(),
        bound_at: socket.bound_at,
    }
}

fn nobody(kind: HolderKind) -> Holder {
    Holder { kind, process: None, pid: None, services: Vec::new(), bound_at: None }
}
