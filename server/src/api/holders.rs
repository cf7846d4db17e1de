//! Joins services, claims of the catalog and sockets: what a service needs, who has it, and what it holds. Pure.

use rules::catalog::{self, Catalog, Claim};
use rules::facts::{Service, Socket, SocketState};
use rules::text::Text;

use crate::api::host_ports::groups;
use crate::api::host_services::{Holder, HolderKind, HostService, Need};
use crate::db::read_findings::FindingRow;
use crate::db::read_host_rows::ServiceRows;

/// One row per service, by name.
pub fn join(rows: &ServiceRows, findings: &[FindingRow], catalog: &Catalog) -> Vec<HostService> {
    let sockets_known =
        rows.sections.iter().any(|section| section.section == "sockets" && section.unknown_reason.is_none());
    rows.services
        .iter()
        .map(|service| {
            let needs = catalog
                .claims_of(&service.name, rows.os)
                .map(|claim| Need {
                    port: claim.port.to_string(),
                    when: match &claim.need {
                        catalog::Need::Required => None,
                        catalog::Need::Optional(when) => Some(when.clone()),
                    },
                    holder: if sockets_known {
                        holder(service, claim, &rows.sockets)
                    } else {
                        no_one(HolderKind::Unknown)
                    },
                })
                .collect();
            HostService {
                needs,
                holds: groups(rows.sockets.iter().filter(|socket| holds(service, socket))),
                finding_id: findings
                    .iter()
                    .find(|finding| is_about(finding, service))
                    .map(|finding| finding.finding_id),
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
                state_since: service.state_since,
            }
        })
        .collect()
}

fn holder(service: &Service, claim: &Claim, sockets: &[Socket]) -> Holder {
    let on_port =
        || sockets.iter().filter(|socket| socket.local_port() == claim.port && socket.state != SocketState::Connected);
    let Some(socket) = on_port().find(|socket| is_own(service, claim, socket)).or_else(|| on_port().next()) else {
        return no_one(HolderKind::Free);
    };
    let kind = if is_own(service, claim, socket) {
        HolderKind::Own
    } else if socket.pid.is_none() && socket.image.is_none() {
        HolderKind::Unknown
    } else {
        HolderKind::Other
    };
    Holder {
        kind,
        process: socket.process().map(ToOwned::to_owned),
        pid: socket.pid,
        services: socket.services.iter().map(ToString::to_string).collect(),
        bound_at: socket.bound_at,
    }
}

fn no_one(kind: HolderKind) -> Holder {
    Holder { kind, process: None, pid: None, services: Vec::new(), bound_at: None }
}

/// Whether the claim is met: by the service, by one that shares the port with it, or by the kernel for it.
fn is_own(service: &Service, claim: &Claim, socket: &Socket) -> bool {
    let shares = |name: &Text| claim.shared_with.iter().any(|other| other.eq_ignore_ascii_case(name));
    holds(service, socket)
        || socket.services.iter().any(shares)
        || (claim.kernel && socket.pid == Some(4))
        || claim
            .process
            .as_deref()
            .is_some_and(|process| socket.process().is_some_and(|holder| holder.eq_ignore_ascii_case(process)))
}

/// Whether the socket is the service's, or of a process that it shares.
fn holds(service: &Service, socket: &Socket) -> bool {
    if !socket.services.is_empty() {
        return socket.services.iter().any(|name| name.eq_ignore_ascii_case(&service.name));
    }
    service.pid.is_some() && service.pid == socket.pid
}

/// Findings come worst first.
fn is_about(finding: &FindingRow, service: &Service) -> bool {
    finding
        .subject
        .get("service")
        .and_then(|name| name.as_str())
        .is_some_and(|name| name.eq_ignore_ascii_case(&service.name))
}
