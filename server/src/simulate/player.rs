//! Plays hosts through the agent's own library: each enrolls if it has not yet, keeps its identity and its spool in a
//! folder of its own, and reports what it shows over the real stream.
//!
//! Invariant: nothing here reaches around a door; a host that is off has no agent.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use portreeve_agent::enroll::{self, EnrollFault};
use portreeve_agent::identity::{Identity, Server};
use portreeve_agent::run::{self, Agent, Source};
use portreeve_agent::spool::Limits;
use portreeve_agent::stream::Pacing;
use portreeve_agent::token::Token;
use rules::facts::Facts;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::host::Host;
use super::warp::Warp;
use crate::clock;

/// Between two attempts to enroll: the server lets one host in each second from one address.
const ENROLL_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Hosts that enroll at a time.
const ENROLL_AT_ONCE: usize = 8;

/// Between the first connections of two hosts.
const APART: Duration = Duration::from_millis(2);

/// A host that is off for less than this by the real clock keeps its agent.
const SHORTEST_SILENCE: TimeDelta = TimeDelta::seconds(2);

/// How long the last reports may take when the play is over.
const SETTLES_WITHIN: Duration = Duration::from_mins(2);

/// An agent's place: where it keeps its state, and how it gets in.
#[derive(Clone, Debug)]
pub struct Seat {
    /// Shown until the first report names the host.
    pub name: String,
    pub folder: PathBuf,
    /// `None`: the folder holds its identity.
    pub token: Option<Token>,
}

/// What all hosts of a play share.
#[derive(Clone, Debug)]
pub struct Play {
    pub server: Server,
    pub warp: Warp,
    /// Between two reads of a host, by the real clock.
    pub read_every: Duration,
    pub pacing: Pacing,
    /// When it is cancelled the play is over: each host is read once more and ends when all is acknowledged.
    pub over: CancellationToken,
    /// Hears what every host is about to tell.
    pub recorder: Option<mpsc::UnboundedSender<Told>>,
}

/// What a host showed its agent, as the host's clock has it.
#[derive(Clone, Debug)]
pub struct Told {
    /// Index of the host among those that play.
    pub host: usize,
    pub facts: Facts,
    /// How far the host's clock is ahead.
    pub skew: TimeDelta,
    /// It is the first since its agent began.
    pub is_first: bool,
}

/// Plays all until the end or `stop`. A host that fails is told in the log, and the others go on.
pub async fn play(hosts: Vec<(Host, Seat)>, play: Play, stop: CancellationToken) {
    let gate = Arc::new(Semaphore::new(ENROLL_AT_ONCE));
    let play = Arc::new(play);
    let mut playing = JoinSet::new();
    for (number, (host, seat)) in hosts.into_iter().enumerate() {
        let (play, gate, stop) = (Arc::clone(&play), Arc::clone(&gate), stop.clone());
        playing.spawn(async move {
            let late = APART.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX));
            let whole = async {
                tokio::time::sleep(late).await;
                play_host(number, &host, seat, &play, &gate).await
            };
            tokio::select! {
                () = stop.cancelled() => {}
                ended = whole => if let Err(error) = ended {
                    warn!(host.name = %host.name(), error = format!("{error:#}"), "A simulated host ended");
                },
            }
        });
    }
    while playing.join_next().await.is_some() {}
}

/// The identity that the folder holds, or a new one.
pub async fn identity(server: &Server, seat: &Seat, gate: &Semaphore) -> anyhow::Result<Identity> {
    let mut identity = if let Some(identity) = Identity::load(&seat.folder)? {
        identity
    } else {
        let token = seat.token.as_ref().context("neither an identity nor a token")?;
        let _turn = gate.acquire().await?;
        let identity = enroll(server, token, &seat.name).await?;
        identity.save(&seat.folder)?;
        identity
    };
    // The server may listen elsewhere today.
    identity.server = server.clone();
    Ok(identity)
}

/// Reports what comes until nothing comes any more and everything is acknowledged.
pub async fn report(
    identity: Identity,
    folder: PathBuf,
    pacing: Pacing,
    facts: mpsc::Receiver<Facts>,
) -> anyhow::Result<()> {
    let (collect_every, _) = watch::channel(Duration::ZERO);
    let agent = Agent {
        identity,
        state_dir: folder,
        fingerprint: Vec::new(),
        pacing,
        spool: Limits::default(),
        clock: clock::now,
    };
    let source = Source { facts, collect_every, connections: None };
    Ok(run::run(agent, source, std::future::pending()).await?)
}

async fn enroll(server: &Server, token: &Token, name: &str) -> Result<Identity, EnrollFault> {
    loop {
        match enroll::enroll(server, token, name).await {
            Err(EnrollFault::Failed(error)) => {
                debug!(host.name = name, error = format!("{error:#}"), "Enrolling again in a moment");
                tokio::time::sleep(ENROLL_AGAIN_AFTER).await;
            }
            decided => return decided,
        }
    }
}

/// Why a host says nothing more for now.
enum Silence {
    /// It is off until then, by the real clock.
    Off(DateTime<Utc>),
    /// The play is over.
    Over,
}

async fn play_host(number: usize, host: &Host, seat: Seat, play: &Play, gate: &Semaphore) -> anyhow::Result<()> {
    let identity = identity(&play.server, &seat, gate).await?;
    loop {
        let (sender, facts) = mpsc::channel(1);
        let reporting = report(identity.clone(), seat.folder.clone(), play.pacing.clone(), facts);
        tokio::pin!(reporting);
        let silence = tokio::select! {
            ended = &mut reporting => return ended,
            silence = tell(number, host, play, sender) => silence,
        };
        match silence {
            Silence::Off(until) => tokio::select! {
                () = play.over.cancelled() => {}
                () = tokio::time::sleep((until - clock::now()).to_std().unwrap_or_default()) => {}
            },
            Silence::Over => return tokio::time::timeout(SETTLES_WITHIN, reporting).await?,
        }
    }
}

async fn tell(number: usize, host: &Host, play: &Play, sender: mpsc::Sender<Facts>) -> Silence {
    let mut is_first = true;
    loop {
        let now = clock::now();
        let is_over = play.over.is_cancelled();
        let simulated = play.warp.simulated(now);
        if let Some(back_at) = host.off_until(simulated).map(|back_at| play.warp.real(back_at))
            && back_at - now > SHORTEST_SILENCE
            && !is_over
        {
            return Silence::Off(back_at);
        }
        let facts = play.warp.told(host.facts_at(simulated), host.skew());
        let facts = Facts { collected_at: Some(now + host.skew()), ..facts };
        if let Some(recorder) = &play.recorder {
            // A recorder that is gone wants to hear no more.
            drop(recorder.send(Told { host: number, facts: facts.clone(), skew: host.skew(), is_first }));
        }
        is_first = false;
        if sender.send(facts).await.is_err() || is_over {
            return Silence::Over;
        }
        tokio::select! {
            () = play.over.cancelled() => {}
            () = tokio::time::sleep(play.read_every) => {}
        }
    }
}
