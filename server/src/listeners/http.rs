//! The door for people and programs. Plain HTTP on loopback only; elsewhere TLS, or a proxy of ours in front.

use std::net::SocketAddr;

use anyhow::bail;
use axum::{Router, serve::Listener};
use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tokio_util::{either::Either, sync::CancellationToken};
use tracing::debug;

use crate::{
    config::Config,
    listeners::{
        PeerAddress,
        accept::{Connection, accept, handshakes},
        tls,
    },
};

/// Bound, and with its way of protection decided.
#[derive(Debug)]
pub struct HttpListener {
    address: SocketAddr,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Plain { listener: TcpListener, proxies: Vec<IpNet> },
    Tls(ReceiverStream<std::io::Result<Connection<PeerAddress>>>),
}

impl HttpListener {
    /// Refuses an address that others can reach in the clear.
    pub fn bind(config: &Config) -> anyhow::Result<Self> {
        let is_loopback = config.http.ip().is_loopback();
        let certificate = config.tls_cert.as_ref().zip(config.tls_key.as_ref());
        if !is_loopback && certificate.is_none() && config.behind_proxy.is_empty() {
            bail!(
                "--http {} can be reached from other machines, and passwords would cross the network in the clear: \
                 give --tls-cert and --tls-key, or --behind-proxy with the network of a proxy that speaks HTTPS, or \
                 listen on 127.0.0.1",
                config.http
            );
        }
        // Read first: a wrong file should not leave the port bound.
        let tls = certificate.map(|(chain, key)| tls::for_http(chain, key)).transpose()?;
        let listener = super::bind(config.http, "http")?;
        let address = listener.local_addr()?;
        let source = match tls {
            Some(tls) => {
                let identify = |address, _, _: &_| Some(PeerAddress(address));
                Source::Tls(handshakes(listener, tls, identify, CancellationToken::new()))
            }
            None => Source::Plain { listener, proxies: config.behind_proxy.clone() },
        };
        Ok(Self { address, source })
    }

    /// Where a browser on this machine finds us.
    pub fn url(&self) -> String {
        let scheme = if matches!(self.source, Source::Tls(_)) { "https" } else { "http" };
        if self.address.ip().is_unspecified() {
            return format!("{scheme}://localhost:{}", self.address.port());
        }
        format!("{scheme}://{}", self.address)
    }
}

impl Listener for HttpListener {
    type Io = Either<TcpStream, TlsStream<TcpStream>>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match &mut self.source {
            Source::Plain { listener, proxies } => loop {
                let (stream, address) = accept(listener).await;
                let peer = address.ip().to_canonical();
                if proxies.is_empty() || peer.is_loopback() || proxies.iter().any(|network| network.contains(&peer)) {
                    return (Either::Left(stream), address);
                }
                debug!(peer.address = %address, "Dropped a connection from outside --behind-proxy");
            },
            Source::Tls(connections) => loop {
                if let Some(Ok(connection)) = connections.next().await {
                    return (Either::Right(connection.io), connection.peer.0);
                }
            },
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// Serves until `stop`, then lets open requests end.
pub async fn serve(listener: HttpListener, router: Router, stop: CancellationToken) -> anyhow::Result<()> {
    axum::serve(listener, router.into_make_service_with_connect_info::<PeerAddress>())
        .with_graceful_shutdown(stop.cancelled_owned())
        .await?;
    Ok(())
}
