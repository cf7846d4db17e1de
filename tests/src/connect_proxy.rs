//! An HTTP proxy that makes tunnels (CONNECT), counts them, and can refuse.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Until it is dropped.
#[derive(Debug)]
pub struct ConnectProxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    _stop: DropGuard,
}

/// A request for a tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub destination: String,
    /// The header `Proxy-Authorization`.
    pub credentials: Option<String>,
}

impl ConnectProxy {
    /// `refusal`: the status line with which every tunnel is refused.
    pub async fn start(refusal: Option<&'static str>) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (address, asked, stop) = (listener.local_addr()?, Arc::default(), CancellationToken::new());
        let (log, stopped) = (Arc::clone(&asked), stop.clone());
        tokio::spawn(stopped.run_until_cancelled_owned(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // However a tunnel ends: the test looks at what came through.
                tokio::spawn(serve(stream, refusal, Arc::clone(&log)));
            }
        }));
        Ok(Self { address, asked, _stop: stop.drop_guard() })
    }

    /// As `--proxy` takes it.
    pub fn url(&self, credentials: &str) -> String {
        format!("http://{credentials}{}", self.address)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(stream: TcpStream, refusal: Option<&'static str>, log: Arc<Mutex<Vec<Asked>>>) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let destination = line.strip_prefix("CONNECT ").and_then(|rest| rest.split_once(' ')).context("not CONNECT")?.0;
    let mut asked = Asked { destination: destination.to_owned(), credentials: None };
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await?;
        match header.trim_end().split_once(": ") {
            Some(("Proxy-Authorization", value)) => asked.credentials = Some(value.to_owned()),
            Some(_) => {}
            None => break,
        }
    }
    let destination = asked.destination.clone();
    log.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
    if let Some(refusal) = refusal {
        stream.write_all(format!("HTTP/1.1 {refusal}\r\nContent-Length: 0\r\n\r\n").as_bytes()).await?;
        return Ok(());
    }
    let mut there = TcpStream::connect(destination).await?;
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    copy_bidirectional(&mut stream, &mut there).await?;
    Ok(())
}
