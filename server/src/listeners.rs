//! The three doors: HTTP for people and programs, mutual TLS for agents, TLS for enrollment.
//!
//! Invariants: whoever reaches the Fleet service showed a certificate of our authority, TLS 1.3; a silent peer
//! costs one of a bounded number of places for ten seconds, a slow one one of fewer handshakes for as long; people's
//! passwords never cross a network in the clear.

use std::net::SocketAddr;

use anyhow::Context;
use axum::{extract::connect_info::Connected, serve::IncomingStream};
use tokio::{
    net::{TcpListener, TcpSocket},
    time::Instant,
};

use crate::{config::Config, identity::revocations::Serial};

pub mod tls;

pub mod accept;

pub mod agents;

pub mod enroll;

pub mod files;

pub mod http;

/// Connections that wait in the kernel's queue: what Linux allows by default. Those that find no room there try again after
/// one second, two, four, … by themselves, for minutes.
const BACKLOG: u32 = 4_096;

/// Who is at the other end of an agent's connection. Found in the extensions of every request of the Fleet service.
#[derive(Debug, Clone)]
pub struct AgentPeer {
    pub address: SocketAddr,
    pub serial: Serial,
    /// When its handshake began: nothing that it says was said before.
    pub begun_at: Instant,
}

/// Address of the other end: in the extensions of requests at the enrollment listener, and axum's `ConnectInfo` at the
/// HTTP listener.
#[derive(Debug, Clone, Copy)]
pub struct PeerAddress(pub SocketAddr);

impl Connected<IncomingStream<'_, http::HttpListener>> for PeerAddress {
    fn connect_info(stream: IncomingStream<'_, http::HttpListener>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// All three, bound before anything else starts: an address in use is told at once.
#[derive(Debug)]
pub struct Bound {
    pub http: http::HttpListener,
    pub agents: TcpListener,
    pub enroll: TcpListener,
}

impl Bound {
    pub fn bind(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            http: http::HttpListener::bind(config)?,
            agents: bind(config.agents, "agents")?,
            enroll: bind(config.enroll, "enroll")?,
        })
    }
}

fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    let bind = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // Connections of the server before, which linger, are not in the way of the next one.
        socket.set_reuseaddr(cfg!(unix))?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bind().with_context(|| format!("cannot listen on {address} (--{flag})"))
}
