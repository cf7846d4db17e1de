//! Accepts TCP connections and shakes hands, so that a peer who dawdles keeps nobody else waiting.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use rustls::{ServerConfig, ServerConnection};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    time::Instant,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;
use tracing::debug;

const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// Handshakes at one time …
const HANDSHAKES: usize = 64;

/// … and connections that wait for theirs; further ones wait in the kernel's queue, which is short beside a fleet that comes
/// back.
pub(super) const WAITING: usize = 4_096;

/// A connection whose handshake succeeded, and who is at its other end.
#[derive(Debug)]
pub struct Connection<P> {
    pub io: TlsStream<TcpStream>,
    pub peer: P,
}

/// Connections as they become ready, until `stop`. `identify` turns the handshake into the peer (`Instant`: before it
/// began); `None` drops it.
pub fn handshakes<P: Send + 'static>(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    identify: fn(SocketAddr, Instant, &ServerConnection) -> Option<P>,
    stop: CancellationToken,
) -> ReceiverStream<io::Result<Connection<P>>> {
    let (sender, receiver) = mpsc::channel(HANDSHAKES);
    let acceptor = TlsAcceptor::from(config);
    let (slots, waiting) = (Arc::new(Semaphore::new(HANDSHAKES)), Arc::new(Semaphore::new(WAITING)));
    tokio::spawn(async move {
        loop {
            // The semaphores are never closed.
            let Ok(place) = Arc::clone(&waiting).acquire_owned().await else { return };
            let (stream, address) = tokio::select! {
                () = stop.cancelled() => return,
                accepted = accept(&listener) => accepted,
            };
            let (sender, acceptor, slots) = (sender.clone(), acceptor.clone(), Arc::clone(&slots));
            tokio::spawn(async move {
                // Whoever says nothing takes no turn of those who do.
                if !matches!(tokio::time::timeout(HANDSHAKE_LIMIT, stream.peek(&mut [0])).await, Ok(Ok(1))) {
                    return debug!(peer.address = %address, "A connection ended, or said nothing for 10 s");
                }
                let Ok(slot) = slots.acquire_owned().await else { return };
                drop(place);
                let begun_at = Instant::now();
                match tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await {
                    Ok(Ok(io)) => {
                        let Some(peer) = identify(address, begun_at, io.get_ref().1) else { return };
                        // An error means that the server stopped meanwhile.
                        drop(sender.send(Ok(Connection { io, peer })).await);
                    }
                    Ok(Err(error)) => debug!(peer.address = %address, %error, "A TLS handshake failed"),
                    Err(_) => debug!(peer.address = %address, "A TLS handshake took longer than 10 s"),
                }
                drop(slot);
            });
        }
    });
    ReceiverStream::new(receiver)
}

/// The next TCP connection. Errors here are the peer's, or a lack of file handles that passes.
pub(super) async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // Best effort: without it small messages come later, not wrong.
                drop(stream.set_nodelay(true));
                return (stream, address);
            }
            Err(error) => {
                debug!(%error, "Cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

impl<P: Clone + Send + Sync + 'static> Connected for Connection<P> {
    type ConnectInfo = P;

    fn connect_info(&self) -> P {
        self.peer.clone()
    }
}

impl<P: Unpin> AsyncRead for Connection<P> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(context, buffer)
    }
}

impl<P: Unpin> AsyncWrite for Connection<P> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(context, buffer)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(context)
    }
}
