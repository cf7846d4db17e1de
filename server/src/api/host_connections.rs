//! TCP connections of a host: as counts, which its agent reports, and one by one, which it is asked for.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use proto::fleet::v1;
use rules::facts;
use rules::text::Text;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::access::Caller;
use crate::api::boot_story::process;
use crate::api::extract::Path;
use crate::api::host_facts::{Family, Protocol};
use crate::api::problem::{Code, Problem};
use crate::app::App;
use crate::db::read_host_rows;
use crate::people::Role;
use crate::questions::{self, Unanswered};

/// Rows that are asked for.
const ROWS: u32 = 2_000;
/// How long somebody waits for the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections and the use of dynamic ports, as counts.
#[derive(Debug, Serialize, ToSchema)]
pub struct Connections {
    /// A state without any is not named.
    pub states: Vec<StateCount>,
    /// Empty: the dynamic ranges are not known.
    pub dynamic_ports: Vec<DynamicPortUse>,
    /// The processes with most connections, at most ten.
    pub owners: Vec<ConnectionOwner>,
}

/// Connections in one state.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct StateCount {
    pub family: Family,
    pub state: TcpState,
    pub count: u32,
}

#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TcpState {
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
}

/// Distinct local ports in use within a dynamic range.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct DynamicPortUse {
    pub protocol: Protocol,
    pub family: Family,
    pub in_use: u32,
    /// Ports in the range.
    pub size: u32,
}

/// A process and how many connections it has.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ConnectionOwner {
    pub pid: u32,
    /// Image name. `null`: not known.
    pub process: Option<String>,
    pub count: u32,
}

/// The connections of a host at the moment that its agent was asked.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConnectionRows {
    /// Those of the processes with most connections first.
    pub items: Vec<Connection>,
    /// How many there were beside these.
    pub omitted: u32,
    /// Why they could not be read. `null`: they could.
    pub unknown: Option<String>,
}

/// A TCP connection.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Connection {
    pub local_address: String,
    pub local_port: u16,
    pub remote_address: String,
    pub remote_port: u16,
    /// `null`: a state that this server does not know.
    pub state: Option<TcpState>,
    /// `null`: not known, like the next.
    pub pid: Option<u32>,
    /// Image name.
    pub process: Option<String>,
}

/// Ask for the connections of a host
///
/// For operators. The agent is asked over its open stream and answers within 10 s; nothing is stored.
#[utoipa::path(
    post,
    path = "/hosts/{id}/connections",
    tag = "hosts",
    params(("id" = i64, Path, description = "Id of the host")),
    responses((status = 200, description = "Its connections", body = ConnectionRows), (status = "default", response = Problem))
)]
pub async fn ask(
    caller: Caller,
    State(app): State<Arc<App>>,
    Path(id): Path<i64>,
) -> Result<Json<ConnectionRows>, Problem> {
    caller.require(Role::Operator)?;
    let Some(client_id) = read_host_rows::client_of(&caller.scope, &app.db, id).await? else {
        return Err(Problem::not_found("host"));
    };
    let list = questions::ask(&app, (client_id, id), ROWS, PATIENCE).await??;
    Ok(Json(list.into()))
}

impl From<Unanswered> for Problem {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::NotConnected => {
                Self::new(Code::HostNotConnected, "There is no stream of its agent. Its counts are of the last report.")
            }
            Unanswered::Silent => Self::new(
                Code::HostNoAnswer,
                "It said nothing for 10 seconds. An agent of an older version does not know this question.",
            )
            .retry_after(10),
        }
    }
}

impl From<v1::ConnectionList> for ConnectionRows {
    fn from(list: v1::ConnectionList) -> Self {
        let sent = list.connections.len();
        let items: Vec<_> = list.connections.iter().take(ROWS as usize).filter_map(Connection::read).collect();
        let left_out = u32::try_from(sent - items.len()).unwrap_or(u32::MAX);
        Self {
            omitted: list.omitted.saturating_add(left_out),
            items,
            unknown: (!list.unknown.is_empty()).then(|| Text::new(&list.unknown).into_string()),
        }
    }
}

impl Connection {
    /// `None`: an address or port that cannot be one.
    fn read(connection: &v1::Connection) -> Option<Self> {
        Some(Self {
            local_address: address(&connection.local_address)?,
            local_port: u16::try_from(connection.local_port).ok()?,
            remote_address: address(&connection.remote_address)?,
            remote_port: u16::try_from(connection.remote_port).ok()?,
            state: state(connection.state()),
            pid: (connection.pid != 0).then_some(connection.pid),
            process: (!connection.image.is_empty()).then(|| process(&Text::new(&connection.image))),
        })
    }
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok().map(|address| address.to_string())
}

fn state(state: v1::TcpState) -> Option<TcpState> {
    Some(match state {
        v1::TcpState::Unspecified => return None,
        v1::TcpState::SynSent => TcpState::SynSent,
        v1::TcpState::SynReceived => TcpState::SynReceived,
        v1::TcpState::Established => TcpState::Established,
        v1::TcpState::FinWait1 => TcpState::FinWait1,
        v1::TcpState::FinWait2 => TcpState::FinWait2,
        v1::TcpState::CloseWait => TcpState::CloseWait,
        v1::TcpState::Closing => TcpState::Closing,
        v1::TcpState::LastAck => TcpState::LastAck,
        v1::TcpState::TimeWait => TcpState::TimeWait,
    })
}

impl From<facts::Connections> for Connections {
    fn from(connections: facts::Connections) -> Self {
        Self {
            states: connections
                .states
                .into_iter()
                .map(|count| StateCount { family: count.family.into(), state: count.state.into(), count: count.count })
                .collect(),
            dynamic_ports: connections
                .dynamic_ports
                .into_iter()
                .map(|used| DynamicPortUse {
                    protocol: used.protocol.into(),
                    family: used.family.into(),
                    in_use: used.in_use,
                    size: used.size,
                })
                .collect(),
            owners: connections
                .owners
                .into_iter()
                .map(|owner| ConnectionOwner {
                    pid: owner.pid,
                    process: owner.image.map(|image| process(&image)),
                    count: owner.count,
                })
                .collect(),
        }
    }
}

impl From<facts::TcpState> for TcpState {
    fn from(state: facts::TcpState) -> Self {
        match state {
            facts::TcpState::SynSent => Self::SynSent,
            facts::TcpState::SynReceived => Self::SynReceived,
            facts::TcpState::Established => Self::Established,
            facts::TcpState::FinWait1 => Self::FinWait1,
            facts::TcpState::FinWait2 => Self::FinWait2,
            facts::TcpState::CloseWait => Self::CloseWait,
            facts::TcpState::Closing => Self::Closing,
            facts::TcpState::LastAck => Self::LastAck,
            facts::TcpState::TimeWait => Self::TimeWait,
        }
    }
}
