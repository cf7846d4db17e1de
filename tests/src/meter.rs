//! What a process and a connection cost, as the kernel counts it.

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A process of this machine, by its number.
#[derive(Clone, Copy, Debug)]
pub struct Process(pub u32);

impl Process {
    /// Processor time of all its threads until now.
    pub fn cpu(self) -> Result<Duration> {
        let mut nanoseconds = 0_u64;
        for task in fs::read_dir(format!("/proc/{}/task", self.0))? {
            // The first number is the time spent on a processor. A thread that ended meanwhile is gone with its time.
            let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
            let time = text.split_whitespace().next().context("schedstat has numbers")?;
            nanoseconds += time.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// Bytes in memory that belong to it alone and to no file: the nearest to the private bytes of Windows.
    pub fn private_memory(self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0))?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("status names RssAnon")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }

    pub fn threads(self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/task", self.0))?.count())
    }

    /// Every process whose command line holds all of `words`.
    pub fn running(words: &[&str]) -> Result<Vec<Self>> {
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let Ok(id) = entry?.file_name().to_string_lossy().parse() else { continue };
            let command = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command);
            if words.iter().all(|word| command.contains(word)) {
                found.push(Self(id));
            }
        }
        Ok(found)
    }
}

/// Passes connections on to another address, and counts what is sent there.
#[derive(Debug)]
pub struct CountingDoor {
    address: SocketAddr,
    bytes: Arc<AtomicU64>,
}

impl CountingDoor {
    pub async fn to(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let bytes = Arc::new(AtomicU64::new(0));
        tokio::spawn({
            let bytes = Arc::clone(&bytes);
            async move {
                while let Ok((near, _)) = listener.accept().await {
                    let Ok(far) = TcpStream::connect(target).await else { continue };
                    let (near_reads, near_writes) = near.into_split();
                    let (far_reads, far_writes) = far.into_split();
                    tokio::spawn(pass(near_reads, far_writes, Arc::clone(&bytes)));
                    tokio::spawn(pass(far_reads, near_writes, Arc::default()));
                }
            }
        });
        Ok(Self { address, bytes })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From who connects to who accepts, with what TLS adds.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The count when nothing has gone through for a while.
    pub async fn settled(&self) -> u64 {
        let mut before = self.bytes();
        loop {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let now = self.bytes();
            if now == before {
                return now;
            }
            before = now;
        }
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut into: impl AsyncWrite + Unpin,
    bytes: Arc<AtomicU64>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return into.shutdown().await;
        }
        bytes.fetch_add(count as u64, Ordering::Relaxed);
        into.write_all(&buffer[..count]).await?;
    }
}
