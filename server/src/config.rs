//! Everything that can be configured, read once by clap from flags and `PORTREEVE_…` variables.

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf};

use clap::Args;
use ipnet::IpNet;

/// Where an installation lives: common to all subcommands.
#[derive(Debug, Clone, Args)]
pub struct Place {
    /// Folder of the private Postgres and of the master key; made when missing.
    #[arg(long, env = "PORTREEVE_DATA_DIR", default_value = "./data", global = true)]
    pub data_dir: PathBuf,
    /// Use this Postgres instead of a private one, such as postgres://user@host/portreeve.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, global = true)]
    pub database_url: Option<DatabaseUrl>,
    /// What is logged on standard error, such as `info` or `info,portreeve_server::ingest=debug`.
    #[arg(long, env = "PORTREEVE_LOG", default_value = "info,sqlx=warn", global = true)]
    pub log: String,
}

/// A connection address that never shows its password.
#[derive(Clone)]
pub struct DatabaseUrl(pub String);

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("***")
    }
}

impl From<&str> for DatabaseUrl {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// Settings of `run`.
#[derive(Debug, Clone, Args)]
pub struct Config {
    /// Where people and programs connect: pages, API, health and metrics.
    #[arg(long, env = "PORTREEVE_HTTP", default_value = "127.0.0.1:8080")]
    pub http: SocketAddr,
    /// Where enrolled agents connect (mutual TLS).
    #[arg(long, env = "PORTREEVE_AGENTS", default_value = "0.0.0.0:8443")]
    pub agents: SocketAddr,
    /// Where agents enroll and renew (TLS).
    #[arg(long, env = "PORTREEVE_ENROLL", default_value = "0.0.0.0:8444")]
    pub enroll: SocketAddr,
    /// New hosts that may enroll at once from one address; afterwards one a second. More where many are behind one.
    #[arg(long, env = "PORTREEVE_ENROLL_BURST", default_value = "50")]
    pub enroll_burst: NonZeroU32,
    /// Certificate chain for HTTPS, PEM. Needed, with --tls-key, unless --http is on loopback.
    #[arg(long, env = "PORTREEVE_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, env = "PORTREEVE_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Networks of the proxies that speak HTTPS for us; only they may connect, and their X-Forwarded-For is believed.
    #[arg(long, env = "PORTREEVE_BEHIND_PROXY", value_delimiter = ',')]
    pub behind_proxy: Vec<IpNet>,
    /// Where people reach the pages, such as https://portreeve.example; for links in webhooks. Default: --http.
    #[arg(long, env = "PORTREEVE_PUBLIC_URL")]
    pub public_url: Option<String>,
    /// A streaming replica of the database given by --database-url; pages are read from it while it is hardly behind.
    #[arg(long, env = "PORTREEVE_READ_DATABASE_URL", hide_env_values = true)]
    pub read_database_url: Option<DatabaseUrl>,
    /// Folder of portreeve-agent.msi and portreeve-agent.exe, which are served under /agent/. Default: DATA_DIR/agent.
    #[arg(long, env = "PORTREEVE_AGENT_DIR")]
    pub agent_dir: Option<PathBuf>,
    /// Private networks to which webhooks may be sent.
    #[arg(long, env = "PORTREEVE_EGRESS_ALLOW", value_delimiter = ',')]
    pub egress_allow: Vec<IpNet>,
    /// MiB for what is known of connected hosts; past it, that of the hosts that reported longest ago is dropped until their
    /// next report. Default: a quarter of the machine's memory.
    #[arg(long, env = "PORTREEVE_HOST_MEMORY_MIB")]
    pub host_memory_mib: Option<usize>,
}

impl Config {
    /// The budget of [`crate::ingest::held`], in bytes.
    pub fn held_bytes(&self) -> usize {
        self.host_memory_mib.map_or_else(|| memory_of_machine() / 4, |mib| mib.saturating_mul(MIB))
    }

    /// Whether browsers reach us over HTTPS, by our own certificate or through a proxy.
    pub fn is_https(&self) -> bool {
        self.tls_cert.is_some() || !self.behind_proxy.is_empty()
    }
}

const MIB: usize = 1 << 20;

/// What the kernel has, or less where a container has less. Where neither says, a small machine.
fn memory_of_machine() -> usize {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        Some(line.trim().trim_end_matches(" kB").parse::<usize>().ok()? * 1024)
    });
    let limit = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let limit = limit.and_then(|text| text.trim().parse::<usize>().ok());
    machine.into_iter().chain(limit).min().unwrap_or(4096 * MIB)
}
