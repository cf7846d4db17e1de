//! Hosts whose services change, reported by real agents over mutual TLS to a real server: the same facts that the peers
//! are given as values. Rules and history are on, as always.

#![expect(clippy::cast_precision_loss, reason = "figures are far below 2^52")]

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use portreeve_agent::identity;
use portreeve_agent::run::{Agent, Source};
use portreeve_agent::spool::Limits;
use portreeve_agent::stream::Pacing;
use rules::catalog::Catalog;
use rules::check::parse_facts;
use rules::facts::{Facts, Section, Service, ServiceState};
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::sync::{mpsc, watch};

use crate::bench::cost::{Tree, checkpoint, wal};
use crate::server::{Server, eventually};
use crate::truth::database;

/// Of each host.
pub const SERVICES: usize = 200;
/// Services of a host that change in a round: 1 %.
const CHANGES: usize = 2;

/// What a number of rounds cost.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    pub values: f64,
    pub server_cpu: Duration,
    pub postgres_cpu: Duration,
    pub wal: u64,
    pub server_memory: u64,
}

#[derive(Debug)]
pub struct ServiceFleet {
    pub server: Server,
    pub pool: PgPool,
    hosts: Vec<Host>,
    round: usize,
}

#[derive(Debug)]
struct Host {
    observed: mpsc::Sender<Facts>,
    facts: Facts,
}

impl ServiceFleet {
    /// A server, and so many hosts whose first reports are stored.
    pub async fn connect(hosts: usize) -> Result<Self> {
        let server = Server::start().await?;
        let pool = database(&server).await?;
        Self::connect_to(server, pool, hosts).await
    }

    /// As [`ServiceFleet::connect`]; `pool` sees all that the server stores.
    pub async fn connect_to(server: Server, pool: PgPool, hosts: usize) -> Result<Self> {
        let token = server.new_site("Bench", u32::try_from(hosts)?).await?;
        let names = service_names()?;
        let mut connected = Vec::with_capacity(hosts);
        for number in 0..hosts {
            let observed = connect(&server, &token, number).await?;
            connected.push(Host { observed, facts: facts(number, &names)? });
        }
        let mut fleet = Self { server, pool, hosts: connected, round: 0 };
        fleet.play(1).await?;
        Ok(fleet)
    }

    /// Plays so many rounds, each after the one before is stored, and tells what they cost.
    pub async fn measure(&mut self, rounds: usize) -> Result<Spent> {
        // As after a while: statistics are there, and dirty pages have been written.
        sqlx::query("analyze").execute(&self.pool).await?;
        checkpoint(&self.pool).await?;
        let (server, postgres) = (Tree(self.server.process()?), self.postgres()?);
        let before = (server.own_cpu()?, postgres.cpu()?, wal(&self.pool).await?);
        self.play(rounds).await?;
        Ok(Spent {
            values: (self.hosts.len() * SERVICES * rounds) as f64,
            server_cpu: server.own_cpu()?.saturating_sub(before.0),
            postgres_cpu: postgres.cpu()?.saturating_sub(before.1),
            wal: wal(&self.pool).await? - before.2,
            server_memory: server.own_memory()?,
        })
    }

    /// All processes of the server's own Postgres.
    pub fn postgres(&self) -> Result<Tree> {
        Ok(Tree(u32::try_from(self.server.postmaster()?.as_raw())?))
    }

    async fn play(&mut self, rounds: usize) -> Result<()> {
        for _ in 0..rounds {
            self.report().await?;
            self.is_stored().await?;
        }
        Ok(())
    }

    /// Every host observes a change, which its agent sends when it can.
    pub async fn report(&mut self) -> Result<()> {
        self.round += 1;
        for (number, host) in self.hosts.iter_mut().enumerate() {
            turn_over(&mut host.facts, number, self.round);
            host.observed.send(host.facts.clone()).await.context("the agent of a host ended")?;
        }
        Ok(())
    }

    /// Services whose stored state is not what their hosts observed last.
    pub async fn differences(&self) -> Result<usize> {
        let rows: Vec<(String, String, String)> = sqlx::query_as(
            "select host.name, service_now.name, state from service_now join host using (client_id, host_id)",
        )
        .fetch_all(&self.pool)
        .await?;
        let stored: HashMap<(String, String), String> =
            rows.into_iter().map(|(host, service, state)| ((host, service), state)).collect();
        let differs = |host: &str, service: &Service| {
            let state = if service.state == ServiceState::Running { "running" } else { "stopped" };
            stored.get(&(host.to_owned(), service.name.to_string())).is_none_or(|stored| stored != state)
        };
        let of_host = |(number, host): (usize, &Host)| {
            let services = host.facts.services.known().map(Vec::as_slice).unwrap_or_default();
            services.iter().filter(|service| differs(&name(number), service)).count()
        };
        Ok(self.hosts.iter().enumerate().map(of_host).sum())
    }

    /// Waits until every host's report of this round is committed.
    async fn is_stored(&self) -> Result<()> {
        let reports = i64::try_from(self.hosts.len() * self.round)?;
        let stored = eventually("every report is stored", Duration::from_mins(5), async || {
            let stored: i64 = sqlx::query_scalar("select coalesce(sum(seq), 0)::int8 from agent_stream")
                .fetch_one(&self.pool)
                .await?;
            Ok((stored >= reports).then_some(stored))
        })
        .await?;
        ensure!(stored == reports, "{stored} reports where {reports} were made");
        Ok(())
    }
}

/// An agent of this process, enrolled as host `number`; what is sent is what it observes.
pub async fn connect(server: &Server, token: &str, number: usize) -> Result<mpsc::Sender<Facts>> {
    let at = identity::Server {
        host: server.enroll().ip().to_string(),
        enroll_port: server.enroll().port(),
        agents_port: server.agents().port(),
        proxy: portreeve_agent::proxy::ProxyChoice::Direct,
    };
    // The door lets in so many a second.
    let token = token.parse()?;
    let identity = eventually("the host is enrolled", Duration::from_mins(2), async || {
        Ok(portreeve_agent::enroll::enroll(&at, &token, &name(number)).await.ok())
    })
    .await?;
    let agent = Agent {
        identity,
        state_dir: server.scratch().join(name(number)),
        fingerprint: Vec::new(),
        pacing: Pacing::default(),
        spool: Limits::default(),
        clock: portreeve_agent::clock::now,
    };
    let (sender, facts) = mpsc::channel(1);
    let (collect_every, _) = watch::channel(Duration::from_mins(1));
    tokio::spawn(portreeve_agent::run::run(
        agent,
        Source { facts, collect_every, connections: None },
        std::future::pending(),
    ));
    Ok(sender)
}

fn name(number: usize) -> String {
    format!("BENCH{number:05}")
}

/// Which services of a host change in a round.
pub fn changed(host: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..CHANGES).map(move |step| (host + round * CHANGES + step) % SERVICES)
}

fn turn_over(facts: &mut Facts, host: usize, round: usize) {
    let Section::Known(services) = &mut facts.services else { return };
    for index in changed(host, round) {
        let Some(service) = services.get_mut(index) else { continue };
        (service.state, service.pid) = match service.state {
            ServiceState::Running => (ServiceState::Stopped, None),
            _ => (ServiceState::Running, u32::try_from(1_000 + 4 * index).ok()),
        };
    }
}

fn service_names() -> Result<Vec<String>> {
    let mut names: Vec<String> = Catalog::builtin()
        .services()
        .iter()
        .flat_map(|entry| entry.services.clone())
        .filter(|name| !name.contains('*'))
        .collect();
    names.sort();
    names.dedup();
    names.truncate(SERVICES);
    ensure!(names.len() == SERVICES, "the catalog names {} services", names.len());
    Ok(names)
}

/// All services run. They are those of the catalog, started by hand: none of them is at fault when it does not run.
fn facts(host: usize, names: &[String]) -> Result<Facts> {
    let services: Vec<Value> = names
        .iter()
        .enumerate()
        .map(|(index, name)| {
            json!({
                "name": name, "display_name": name, "start": "manual", "state": "running", "pid": 1_000 + 4 * index,
                "exit_code": 0, "service_exit_code": 0, "account": "LocalSystem",
                "image_path": format!(r"C:\Windows\System32\svchost.exe -k {name}"),
            })
        })
        .collect();
    let facts = json!({
        "schema": "portreeve.facts/1",
        "host": { "known": {
            "name": name(host),
            "os": { "name": "Windows Server 2019 Standard", "major": 10, "minor": 0, "build": 17763 },
            "boot_id": format!("3f0c6f53-0000-0000-0000-{host:012}"), "booted_at": "2026-11-01T03:01:12Z",
            "products": { "known": [] }, "roles": { "known": [] },
        } },
        "sockets": { "known": [] },
        "services": { "known": services },
        "updates": { "known": [] },
    });
    parse_facts(facts.to_string().as_bytes()).map_err(anyhow::Error::msg)
}
