//! The door for streams. A peer without a certificate of ours never gets past the handshake; one whose certificate is
//! revoked gets `certificate.revoked` as the answer to every call.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rustls::{ServerConfig, ServerConnection};
use tokio::{net::TcpListener, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Request, Status,
    service::{InterceptorLayer, Routes},
    transport::Server,
};

use crate::{
    coded,
    identity::{authority::serial_of, revocations::Revocations},
    listeners::{AgentPeer, accept::handshakes},
};

/// Longest message that the Fleet service should decode, bytes. There is no compression on the stream.
pub const LONGEST_MESSAGE: usize = 256 * 1024;

/// An agent opens one stream; the rest is for the moment in which a new one fences an old one.
const STREAMS: u32 = 4;

/// Per stream and per connection: what an agent may send before we have read it.
const WINDOW: u32 = 64 * 1024;

/// Serves until `stop`, then lets open calls end.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    fleet: Routes,
    revocations: Arc<Revocations>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let incoming = handshakes(listener, tls, identify, stop.clone());
    Server::builder()
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .http2_keepalive_interval(Some(Duration::from_mins(1)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .http2_max_header_list_size(16 * 1024)
        .http2_max_pending_accept_reset_streams(Some(20))
        .layer(InterceptorLayer::new(move |request| refuse_revoked(&revocations, request)))
        .add_routes(fleet)
        .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
        .await?;
    Ok(())
}

fn identify(address: SocketAddr, begun_at: Instant, handshake: &ServerConnection) -> Option<AgentPeer> {
    let serial = serial_of(handshake.peer_certificates()?.first()?)?;
    Some(AgentPeer { address, serial, begun_at })
}

fn refuse_revoked(revocations: &Revocations, request: Request<()>) -> Result<Request<()>, Status> {
    match request.extensions().get::<AgentPeer>() {
        Some(peer) if !revocations.is_revoked(&peer.serial) => Ok(request),
        Some(_) => Err(revoked()),
        None => Err(coded::status(Code::Unauthenticated, "certificate.unknown", "no client certificate was shown")),
    }
}

/// What a revoked agent is told, at the start of a call and when its stream is cut.
pub fn revoked() -> Status {
    coded::status(Code::PermissionDenied, "certificate.revoked", "this host's identity was revoked; enroll it again")
}
