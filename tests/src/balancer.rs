//! A TCP balancer as it may stand before several servers: passes bytes to the first one that takes the connection.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Until it is dropped.
#[derive(Debug)]
pub struct Balancer {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    _stop: DropGuard,
}

#[derive(Debug)]
struct Shared {
    servers: Vec<SocketAddr>,
    /// Cancelled to cut every connection that is open.
    open: CancellationToken,
}

impl Balancer {
    pub async fn start(servers: Vec<SocketAddr>) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (address, stop) = (listener.local_addr()?, CancellationToken::new());
        let shared = Arc::new(Mutex::new(Shared { servers, open: CancellationToken::new() }));
        let (balanced, stopped) = (Arc::clone(&shared), stop.clone());
        tokio::spawn(stopped.run_until_cancelled_owned(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (servers, open) = {
                    let shared = balanced.lock().unwrap_or_else(PoisonError::into_inner);
                    (shared.servers.clone(), shared.open.clone())
                };
                // However a connection ends: the agent comes again.
                tokio::spawn(open.run_until_cancelled_owned(serve(stream, servers)));
            }
        }));
        Ok(Self { address, shared, _stop: stop.drop_guard() })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// New connections go to these, in this order; open ones stay where they are.
    pub fn prefer(&self, servers: Vec<SocketAddr>) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).servers = servers;
    }

    /// Ends every open connection.
    pub fn cut(&self) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut shared.open).cancel();
    }
}

async fn serve(mut stream: TcpStream, servers: Vec<SocketAddr>) -> Result<()> {
    for server in servers {
        if let Ok(mut there) = TcpStream::connect(server).await {
            copy_bidirectional(&mut stream, &mut there).await?;
            return Ok(());
        }
    }
    None.context("no server takes connections")
}
