//! The sockets of a host. What differs only in port and bind time is one row: the pool of a DNS server is a line, not
//! five thousand.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use rules::facts;
use rules::text::Text;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::access::Caller;
use crate::api::extract::{Path, Query};
use crate::api::host_facts::Protocol;
use crate::api::hosts::section_status;
use crate::api::model::{SectionName, SectionStatus};
use crate::api::past::{AsOf, AtQuery};
use crate::api::problem::Problem;
use crate::app::App;
use crate::clock;
use crate::db::read_host_rows::{self, Rows};
use crate::db::read_past::HostAt;

/// The sockets of a host, grouped.
#[derive(Debug, Serialize, ToSchema)]
pub struct HostPorts {
    /// `null`: the answer is about now.
    pub as_of: Option<AsOf>,
    /// While it is unknown, `items` are what was known last.
    pub sockets: SectionStatus,
    /// By protocol and first port.
    pub items: Vec<PortGroup>,
}

/// Sockets of one owner on one address in one state.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PortGroup {
    pub protocol: Protocol,
    /// `0.0.0.0` and `::` stand for all of the host's addresses.
    pub address: String,
    pub state: SocketState,
    /// Image name, such as `dns.exe`. `null`: not known.
    pub process: Option<String>,
    /// Image as far as it could be read, at best its full path. `null`: not known.
    pub image: Option<String>,
    /// `null`: not known. 4 is the kernel (HTTP.sys, SMB).
    pub pid: Option<u32>,
    /// Services that the owner runs. Several: candidates that share the process.
    pub services: Vec<String>,
    /// `53`, `49152-49160` or `53, 88, 49152-49160`: at most the first twenty runs, then `…`.
    pub ports: String,
    /// How many ports.
    pub count: usize,
    pub first: u16,
    pub last: u16,
    /// When the first of them was bound, by the host's clock corrected by its skew. `null`: not known.
    pub bound_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SocketState {
    /// TCP, accepting connections.
    Listen,
    /// Every UDP socket, and a TCP socket that neither listens nor is connected.
    Bound,
    /// TCP with a peer.
    Connected,
}

impl From<facts::SocketState> for SocketState {
    fn from(state: facts::SocketState) -> Self {
        match state {
            facts::SocketState::Listen => Self::Listen,
            facts::SocketState::Bound => Self::Bound,
            facts::SocketState::Connected => Self::Connected,
        }
    }
}

/// Sockets of a host
#[utoipa::path(
    get,
    path = "/hosts/{id}/ports",
    tag = "hosts",
    params(("id" = i64, Path, description = "Id of the host"), AtQuery),
    responses((status = 200, description = "Its sockets", body = HostPorts), (status = "default", response = Problem))
)]
pub async fn list(
    caller: Caller,
    State(app): State<Arc<App>>,
    Path(id): Path<i64>,
    Query(query): Query<AtQuery>,
) -> Result<Json<HostPorts>, Problem> {
    let (as_of, rows) = if let Some(at) = query.moment(clock::now())? {
        let Some(mut host) = HostAt::of(&caller.scope, &app.db, id, at).await? else {
            return Err(Problem::not_found("host"));
        };
        let rows = Rows { sections: host.sections().await?, items: host.sockets().await? };
        (Some(AsOf::of(&mut host, at).await?), rows)
    } else {
        let Some(rows) = read_host_rows::sockets(&caller.scope, &app.db, id).await? else {
            return Err(Problem::not_found("host"));
        };
        (None, rows)
    };
    let sockets = section_status(&rows.sections, SectionName::Sockets);
    Ok(Json(HostPorts { as_of, sockets, items: groups(&rows.items) }))
}

/// Most runs of ports that a row spells out.
const MAX_RUNS: usize = 20;

/// One row for all sockets that differ only in port and bind time.
pub fn groups<'a>(sockets: impl IntoIterator<Item = &'a facts::Socket>) -> Vec<PortGroup> {
    let mut by_owner: BTreeMap<_, Vec<&facts::Socket>> = BTreeMap::new();
    for socket in sockets {
        let owner = (
            socket.protocol,
            socket.address,
            socket.scope,
            socket.state,
            socket.pid,
            socket.process_started_at,
            &socket.image,
            &socket.services,
        );
        by_owner.entry(owner).or_default().push(socket);
    }
    let mut groups: Vec<_> = by_owner.into_values().filter_map(|mut sockets| group(&mut sockets)).collect();
    groups.sort_by(|a, b| (a.protocol, a.first, a.last, &a.address).cmp(&(b.protocol, b.first, b.last, &b.address)));
    groups
}

fn group(sockets: &mut [&facts::Socket]) -> Option<PortGroup> {
    sockets.sort_by_key(|socket| socket.port);
    let (first, last) = (*sockets.first()?, *sockets.last()?);
    let mut ports: Vec<u16> = sockets.iter().map(|socket| socket.port).collect();
    ports.dedup();
    let address =
        if first.scope == 0 { first.address.to_string() } else { format!("{}%{}", first.address, first.scope) };
    Some(PortGroup {
        protocol: first.protocol.into(),
        address,
        state: first.state.into(),
        process: first.process().map(ToOwned::to_owned),
        image: first.image.clone().map(Text::into_string),
        pid: first.pid,
        services: first.services.iter().map(ToString::to_string).collect(),
        ports: runs(&ports),
        count: ports.len(),
        first: first.port,
        last: last.port,
        bound_at: sockets.iter().filter_map(|socket| socket.bound_at).min(),
    })
}

/// `53, 88, 49152-49160` for ascending ports.
fn runs(ports: &[u16]) -> String {
    let mut text = String::new();
    for (index, run) in ports.chunk_by(|a, b| a.checked_add(1) == Some(*b)).enumerate() {
        if index == MAX_RUNS {
            text.push_str(", …");
            break;
        }
        let separator = if index == 0 { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = match run {
            [only] => write!(text, "{separator}{only}"),
            [first, .., last] => write!(text, "{separator}{first}-{last}"),
            [] => Ok(()),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{groups, runs};
    use rules::facts::{Socket, SocketState};
    use rules::ports::Protocol;

    fn socket(port: u16, pid: u32) -> Socket {
        Socket {
            protocol: Protocol::Udp,
            address: "0.0.0.0".parse().unwrap(),
            scope: 0,
            port,
            state: SocketState::Bound,
            pid: Some(pid),
            image: Some("C:\\Windows\\System32\\dns.exe".into()),
            process_started_at: None,
            services: vec!["DNS".into()],
            specific_port: None,
            bound_at: None,
        }
    }

    #[test]
    fn a_pool_is_one_row() {
        let pool: Vec<_> =
            (50_000..55_000).map(|port| socket(port, 7)).chain([socket(53, 7), socket(123, 9)]).collect();
        let groups = groups(&pool);
        assert_eq!(groups.len(), 2);
        assert_eq!((groups[0].count, groups[0].first, groups[0].last), (5001, 53, 54_999));
        assert_eq!(groups[0].ports, "53, 50000-54999");
        assert_eq!(groups[0].process.as_deref(), Some("dns.exe"));
        assert_eq!(groups[1].ports, "123");
    }

    #[test]
    fn runs_end_at_the_last_port() {
        assert_eq!(runs(&[65_534, 65_535]), "65534-65535");
        assert!(runs(&(0..100).map(|n| n * 2).collect::<Vec<_>>()).ends_with(", …"));
    }
}
