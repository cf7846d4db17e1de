//! A simulated fleet that plays in this process against a real server, and is recorded.

use std::time::Duration;

use anyhow::{Context as _, Result};
use chrono::TimeDelta;
use portreeve_agent::identity::Server as Address;
use portreeve_agent::proxy::ProxyChoice;
use portreeve_agent::stream::Pacing;
use portreeve_agent::token::Token;
use portreeve_server::clock;
use portreeve_server::simulate::Fleet;
use portreeve_server::simulate::player::{Play, Seat, identity, play, report};
use portreeve_server::simulate::warp::Warp;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::recorder::{Recorded, record};
use crate::server::{Server, eventually};
use crate::truth::{Life, database};

/// How soon agents of tests come back: there is no crowd to spread.
const BACK_WITHIN: Duration = Duration::from_secs(1);

/// How a fleet is played.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub seed: u64,
    pub hosts: u32,
    pub speed: u32,
    pub read_every: Duration,
}

#[derive(Debug)]
pub struct Simulation {
    pub warp: Warp,
    over: CancellationToken,
    playing: JoinHandle<()>,
    recording: JoinHandle<Vec<Recorded>>,
}

impl Simulation {
    /// Begins when every host has enrolled and told how it begins.
    pub async fn begin(server: &Server, plan: Plan) -> Result<Self> {
        let token: Token = server.new_site("Simulated", plan.hosts).await?.parse()?;
        let fleet = Fleet::new(plan.seed, plan.hosts)?;
        let hosts = fleet.into_hosts().into_iter().map(|host| {
            let name = host.name().to_string();
            let folder = server.scratch().join("simulated").join(&name);
            (host, Seat { name, folder, token: Some(token.clone()) })
        });
        let (recorder, told) = mpsc::unbounded_channel();
        let over = CancellationToken::new();
        let warp = Warp { origin: clock::now() + WARM_UP, speed: plan.speed };
        let shared = Play {
            server: address(server),
            warp,
            read_every: plan.read_every,
            pacing: pacing(),
            over: over.clone(),
            recorder: Some(recorder),
        };
        let recording = tokio::spawn(record(told, usize::try_from(plan.hosts)?));
        let playing = tokio::spawn(play(hosts.collect(), shared, CancellationToken::new()));
        let all = i64::from(plan.hosts);
        eventually("every host has told how it begins", WARM_UP.to_std()?, async || {
            let pool = database(server).await?;
            let known: i64 = sqlx::query_scalar("select count(*) from host_section where section = 'updates'")
                .fetch_one(&pool)
                .await?;
            Ok((known >= all).then_some(()))
        })
        .await?;
        Ok(Self { warp, over, playing, recording })
    }

    /// Until the fleet is that old.
    pub async fn reaches(&self, age: TimeDelta) {
        let real = age / i32::try_from(self.warp.speed).unwrap_or(i32::MAX);
        let left = self.warp.origin + real - clock::now();
        tokio::time::sleep(left.to_std().unwrap_or_default()).await;
    }

    /// Ends the play when everything is acknowledged, and gives what each host told.
    pub async fn end(self) -> Result<Vec<Recorded>> {
        self.over.cancel();
        self.playing.await.context("the play failed")?;
        self.recording.await.context("the recorder failed")
    }
}

/// From the start of the play until simulated time begins.
const WARM_UP: TimeDelta = TimeDelta::seconds(60);

/// Tells a life whose every moment is known beforehand; ends when all of it is acknowledged.
pub async fn live(server: &Server, life: Life, token: Token) -> Result<JoinHandle<Result<()>>> {
    let seat = Seat { name: "life".to_owned(), folder: server.scratch().join("life"), token: Some(token) };
    let identity = identity(&address(server), &seat, &Semaphore::new(1)).await?;
    let (sender, facts) = mpsc::channel(1);
    tokio::spawn(async move {
        for line in life.lines().lines() {
            let facts = rules::check::parse_facts(line.as_bytes()).map_err(|fault| anyhow::anyhow!("{fault}"))?;
            sender.send(facts).await?;
            tokio::time::sleep(Duration::from_millis(life.step_ms.into())).await;
        }
        anyhow::Ok(())
    });
    Ok(tokio::spawn(report(identity, seat.folder, pacing(), facts)))
}

fn address(server: &Server) -> Address {
    Address {
        host: server.agents().ip().to_string(),
        enroll_port: server.enroll().port(),
        agents_port: server.agents().port(),
        proxy: ProxyChoice::Direct,
    }
}

fn pacing() -> Pacing {
    Pacing { cap: BACK_WITHIN, later: BACK_WITHIN, spread: BACK_WITHIN, base: BACK_WITHIN / 4, ..Pacing::default() }
}
