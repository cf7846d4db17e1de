//! Plays the hosts: each enrolls if it has not yet, and then streams its story for ever, as an agent would.

use std::path::PathBuf;
use std::time::Duration;

use chrono::TimeDelta;
use portreeve_agent::enroll::{self, EnrollFault};
use portreeve_agent::identity::{Identity, Server};
use portreeve_agent::run::{self, Agent, Source};
use portreeve_agent::spool::Limits;
use portreeve_agent::stream::Pacing;
use portreeve_agent::token::Token;
use rules::facts::Facts;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Actor;
use super::description::Past;
use super::expand::{self, Moment};
use crate::clock;

/// How long a boot of the past is told; the first one waits for the stream to open.
const PAST_BOOT: Duration = Duration::from_millis(250);
const FIRST_PAST_BOOT: Duration = Duration::from_secs(4);

/// Between two attempts to enroll.
const ENROLL_AGAIN_AFTER: Duration = Duration::from_secs(2);

const RECONNECT_WITHIN: Duration = Duration::from_secs(5);

/// A host that is about to play.
#[derive(Debug)]
pub struct Player {
    pub actor: Actor,
    /// State folder of its agent.
    pub folder: PathBuf,
    pub credential: Credential,
}

/// How a host gets in.
#[derive(Debug)]
pub enum Credential {
    /// It enrolled when the demonstration ran before.
    Enrolled(Box<Identity>),
    Token(Token),
}

/// Plays all until `stop`. A host that fails is told in the log, and the others go on.
pub async fn play_all(players: Vec<Player>, server: Server, stop: CancellationToken) -> anyhow::Result<()> {
    let mut playing = JoinSet::new();
    for player in players {
        let (server, stop) = (server.clone(), stop.clone());
        playing.spawn(async move {
            let name = player.actor.host.name.clone();
            if let Err(error) = play(player, server, stop).await {
                warn!(host.name = %name, error = format!("{error:#}"), "A demonstration host ended");
            }
        });
    }
    while playing.join_next().await.is_some() {}
    // Hosts that all ended are no reason to end the server.
    stop.cancelled().await;
    Ok(())
}

async fn play(player: Player, server: Server, stop: CancellationToken) -> anyhow::Result<()> {
    let past = match &player.credential {
        Credential::Enrolled(_) => None,
        Credential::Token(_) => player.actor.host.past.as_ref(),
    };
    let mut identity = match player.credential {
        Credential::Enrolled(identity) => *identity,
        Credential::Token(token) => {
            let enrolled = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                enrolled = enroll(&server, &token, &player.actor) => enrolled?,
            };
            enrolled.save(&player.folder)?;
            enrolled
        }
    };
    // The server may listen elsewhere today.
    identity.server = server;

    let (sender, facts) = mpsc::channel(1);
    let (collect_every, _) = watch::channel(Duration::ZERO);
    // It is on the same machine: there is no crowd to spread.
    let pacing = Pacing { cap: RECONNECT_WITHIN, spread: RECONNECT_WITHIN, ..Pacing::default() };
    let agent = Agent {
        identity,
        state_dir: player.folder,
        fingerprint: Vec::new(),
        pacing,
        spool: Limits::default(),
        clock: clock::now,
    };
    tokio::select! {
        ended = run::run(agent, Source { facts, collect_every, connections: None }, stop.cancelled()) => Ok(ended?),
        () = tell(&player.actor, past, sender) => Ok(()),
    }
}

async fn enroll(server: &Server, token: &Token, actor: &Actor) -> Result<Identity, EnrollFault> {
    loop {
        match enroll::enroll(server, token, &actor.host.name).await {
            Err(EnrollFault::Failed(error)) => {
                warn!(host.name = %actor.host.name, error = format!("{error:#}"), "Enrolling again in a moment");
                tokio::time::sleep(ENROLL_AGAIN_AFTER).await;
            }
            decided => return decided,
        }
    }
}

/// Hands out what the host shows, phase after phase; ends when nobody listens.
async fn tell(actor: &Actor, past: Option<&Past>, sender: mpsc::Sender<Facts>) {
    let host = &actor.host;
    let mut booted_at = clock::now() - TimeDelta::seconds(host.booted_ago);
    if let Some(past) = past {
        for boot in (1..=i64::from(past.boots)).rev() {
            let booted_at = booted_at - TimeDelta::days(boot * past.days_apart);
            let now = booted_at + TimeDelta::minutes(5);
            let moment = Moment { past: Some(&past.scene), phase: None, phase_began_at: now, booted_at, now };
            if sender.send(expand::facts(actor, &moment)).await.is_err() {
                return;
            }
            let is_first = boot == i64::from(past.boots);
            tokio::time::sleep(if is_first { FIRST_PAST_BOOT } else { PAST_BOOT }).await;
        }
    }
    if host.phases.is_empty() {
        let now = clock::now();
        let facts = expand::facts(actor, &Moment { past: None, phase: None, phase_began_at: now, booted_at, now });
        if sender.send(facts).await.is_ok() {
            sender.closed().await;
        }
        return;
    }
    for phase in host.phases.iter().cycle() {
        let now = clock::now();
        booted_at = phase.booted_ago.map_or(booted_at, |ago| now - TimeDelta::seconds(ago));
        let facts =
            expand::facts(actor, &Moment { past: None, phase: Some(phase), phase_began_at: now, booted_at, now });
        if sender.send(facts).await.is_err() {
            return;
        }
        info!(host.name = %host.name, "Demonstration: {}", phase.happens);
        tokio::time::sleep(Duration::from_secs(phase.lasts)).await;
    }
}
