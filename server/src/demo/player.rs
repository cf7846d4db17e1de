//! Plays the hosts: each enrolls if it has not yet, and then streams its story for ever, as an agent would.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use portreeve_agent::identity::Server;
use portreeve_agent::stream::Pacing;
use rules::facts::Facts;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Actor;
use super::description::Past;
use super::expand::{self, Moment};
use crate::clock;
use crate::simulate::player::{Seat, identity, report};

/// How long a boot of the past is told; the first one waits for the stream to open.
const PAST_BOOT: Duration = Duration::from_millis(250);
const FIRST_PAST_BOOT: Duration = Duration::from_secs(4);

const RECONNECT_WITHIN: Duration = Duration::from_secs(5);

/// A host that is about to play. One with a token has not enrolled before, and tells its past.
#[derive(Debug)]
pub struct Player {
    pub actor: Actor,
    pub seat: Seat,
}

/// Plays all until `stop`. A host that fails is told in the log, and the others go on.
pub async fn play_all(players: Vec<Player>, server: Server, stop: CancellationToken) -> anyhow::Result<()> {
    let mut playing = JoinSet::new();
    let gate = Arc::new(Semaphore::new(players.len().max(1)));
    for player in players {
        let (server, stop, gate) = (server.clone(), stop.clone(), Arc::clone(&gate));
        playing.spawn(async move {
            let name = player.actor.host.name.clone();
            tokio::select! {
                () = stop.cancelled() => {}
                ended = play(player, &server, &gate) => if let Err(error) = ended {
                    warn!(host.name = %name, error = format!("{error:#}"), "A demonstration host ended");
                },
            }
        });
    }
    while playing.join_next().await.is_some() {}
    // Hosts that all ended are no reason to end the server.
    stop.cancelled().await;
    Ok(())
}

async fn play(Player { actor, seat }: Player, server: &Server, gate: &Semaphore) -> anyhow::Result<()> {
    let past = seat.token.as_ref().and(actor.host.past.as_ref());
    let identity = identity(server, &seat, gate).await?;
    let (sender, facts) = mpsc::channel(1);
    // It is on the same machine: there is no crowd to spread.
    let pacing =
        Pacing { cap: RECONNECT_WITHIN, later: RECONNECT_WITHIN, spread: RECONNECT_WITHIN, ..Pacing::default() };
    tokio::select! {
        ended = report(identity, seat.folder, pacing, facts) => ended,
        () = tell(&actor, past, sender) => Ok(()),
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
