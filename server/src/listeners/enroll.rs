//! The door for enrollment and renewal: TLS with our certificate, no client certificate.

use std::{sync::Arc, time::Duration};

use proto::fleet::v1::enroll_server::EnrollServer;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use crate::{
    identity::enrollment::Enrollment,
    listeners::{PeerAddress, accept::handshakes},
};

/// Two certificates and a signature are far below this, bytes.
const LONGEST_MESSAGE: usize = 64 * 1024;

/// Serves until `stop`.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    enrollment: Enrollment,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let incoming = handshakes(listener, tls, |address, _, _| Some(PeerAddress(address)), stop.clone());
    Server::builder()
        .timeout(Duration::from_secs(15))
        .max_concurrent_streams(4)
        .http2_keepalive_interval(Some(Duration::from_mins(1)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .http2_max_header_list_size(16 * 1024)
        .http2_max_pending_accept_reset_streams(Some(20))
        // A call takes milliseconds; whoever stays longer holds a connection for nothing.
        .max_connection_age(Duration::from_mins(2))
        .add_service(EnrollServer::new(enrollment).max_decoding_message_size(LONGEST_MESSAGE))
        .serve_with_incoming_shutdown(incoming, stop.cancelled_owned())
        .await?;
    Ok(())
}
