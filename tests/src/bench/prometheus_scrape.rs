//! Prometheus of Debian as a yardstick: it scrapes the state of every service as one series each.
//! <https://prometheus.io/docs/prometheus/latest/configuration/configuration/>

#![expect(clippy::cast_precision_loss, reason = "figures are far below 2^52")]

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::bench::cost::Tree;
use crate::bench::service_fleet::SERVICES;
use crate::server::{eventually, free_address};

const PROGRAM: &str = "/usr/bin/prometheus";
const EVERY: Duration = Duration::from_secs(2);

/// What so many scrapes cost.
#[derive(Clone, Copy, Debug)]
pub struct Scraped {
    pub samples: f64,
    pub cpu: Duration,
    pub memory: u64,
}

/// Has all services of `hosts` scraped `rounds` times; two scrapes before are not counted.
pub async fn measure(hosts: usize, rounds: usize) -> Result<Scraped> {
    let scrapes = Arc::new(AtomicUsize::new(0));
    let target = serve(hosts, Arc::clone(&scrapes)).await?;
    let folder = tempfile::Builder::new().prefix("portreeve-bench-").tempdir()?;
    let mut server = start(folder.path(), target)?;
    let tree = Tree(server.id().context("Prometheus runs")?);
    reach(&scrapes, 3).await?;
    let (before, first) = (tree.cpu()?, scrapes.load(Ordering::Relaxed));
    reach(&scrapes, first + rounds).await?;
    let done = scrapes.load(Ordering::Relaxed) - first;
    let spent = Scraped {
        samples: (done * hosts * SERVICES) as f64,
        cpu: tree.cpu()?.saturating_sub(before),
        memory: tree.memory()?,
    };
    server.kill().await?;
    Ok(spent)
}

async fn serve(hosts: usize, scrapes: Arc<AtomicUsize>) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let page = move || {
        let round = scrapes.fetch_add(1, Ordering::Relaxed);
        async move { lines(hosts, round) }
    };
    let router = Router::new().route("/metrics", get(page));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

/// One line for each service; 1 % of them differ from one scrape to the next.
fn lines(hosts: usize, round: usize) -> String {
    let mut text = String::with_capacity(hosts * SERVICES * 48);
    for host in 0..hosts {
        for service in 0..SERVICES {
            let state = (round + host + service) / 100 % 2;
            let _ = writeln!(text, "service_state{{host=\"BENCH{host:05}\",service=\"service-{service}\"}} {state}");
        }
    }
    text
}

fn start(folder: &Path, target: SocketAddr) -> Result<Child> {
    let configuration = format!(
        "global: {{scrape_interval: {seconds}s, scrape_timeout: {seconds}s}}\n\
         scrape_configs: [{{job_name: bench, static_configs: [{{targets: ['{target}']}}]}}]\n",
        seconds = EVERY.as_secs(),
    );
    let path = folder.join("prometheus.yml");
    std::fs::write(&path, configuration)?;
    Command::new(PROGRAM)
        .arg(format!("--config.file={}", path.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
        .arg(format!("--web.listen-address={}", free_address()?))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{PROGRAM} comes with Debian's prometheus"))
}

async fn reach(scrapes: &AtomicUsize, count: usize) -> Result<()> {
    eventually("Prometheus scrapes", Duration::from_mins(10), async || {
        Ok((scrapes.load(Ordering::Relaxed) >= count).then_some(()))
    })
    .await
}
