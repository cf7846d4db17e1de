//! The three doors: HTTP for people and programs, mutual TLS for agents, TLS for enrollment.

use std::net::SocketAddr;

use crate::identity::revocations::Serial;

/// Who is at the other end of an agent's connection. Found in the extensions of every request of the Fleet service.
#[derive(Debug, Clone)]
pub struct AgentPeer {
    pub address: SocketAddr,
    pub serial: Serial,
}

/// Address of the other end, of every request at the HTTP and enrollment listeners (`ConnectInfo` of axum).
#[derive(Debug, Clone, Copy)]
pub struct PeerAddress(pub SocketAddr);
