//! A Zabbix server as far as an agent with active checks can tell: it hands out what to check, and takes the values.
//! <https://www.zabbix.com/documentation/6.0/en/manual/appendix/items/activepassive>

use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};
use flate2::read::ZlibDecoder;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What an agent sent, and how often.
#[derive(Debug)]
pub struct ZabbixServer {
    address: SocketAddr,
    heard: Arc<Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    bytes: AtomicU64,
    values: AtomicU64,
}

impl ZabbixServer {
    /// Has every key of `keys` checked every `seconds`.
    pub async fn start(keys: Vec<String>, seconds: u32) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let heard = Arc::new(Heard::default());
        let checks: Vec<Value> = (1_u64..)
            .zip(keys)
            .map(|(id, key)| json!({"key": key, "itemid": id, "delay": format!("{seconds}s"), "lastlogsize": 0, "mtime": 0}))
            .collect();
        let checks = Arc::new(Value::from(checks));
        tokio::spawn({
            let heard = Arc::clone(&heard);
            async move {
                while let Ok((connection, _)) = listener.accept().await {
                    let (heard, checks) = (Arc::clone(&heard), Arc::clone(&checks));
                    tokio::spawn(async move { answer(connection, &heard, &checks).await });
                }
            }
        });
        Ok(Self { address, heard })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes that agents sent, before TCP's own.
    pub fn bytes(&self) -> u64 {
        self.heard.bytes.load(Ordering::Relaxed)
    }

    pub fn values(&self) -> u64 {
        self.heard.values.load(Ordering::Relaxed)
    }
}

/// "ZBXD", flags, the length of what follows, its length when inflated, and JSON; agents of 6.0 deflate it.
async fn answer(mut connection: TcpStream, heard: &Heard, checks: &Value) -> Result<()> {
    let mut header = [0; 13];
    connection.read_exact(&mut header).await?;
    ensure!(header[..5] == *b"ZBXD\x03", "not an agent that deflates what it sends");
    let mut length = [0; 4];
    length.copy_from_slice(&header[5..9]);
    let mut deflated = vec![0; usize::try_from(u32::from_le_bytes(length))?];
    connection.read_exact(&mut deflated).await?;
    heard.bytes.fetch_add(u64::try_from(header.len() + deflated.len())?, Ordering::Relaxed);
    let mut body = Vec::new();
    ZlibDecoder::new(deflated.as_slice()).read_to_end(&mut body)?;
    let request: Value = serde_json::from_slice(&body)?;
    let reply = if request["request"] == "active checks" {
        json!({"response": "success", "data": checks})
    } else {
        let values = request["data"].as_array().map_or(0, Vec::len);
        heard.values.fetch_add(u64::try_from(values)?, Ordering::Relaxed);
        json!({"response": "success", "info": "processed"})
    };
    let reply = serde_json::to_vec(&reply)?;
    connection.write_all(b"ZBXD\x01").await?;
    connection.write_all(&u64::try_from(reply.len())?.to_le_bytes()).await?;
    Ok(connection.write_all(&reply).await?)
}
