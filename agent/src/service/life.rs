//! The life of the service, from its start until it is told to stop: enrolled when there is an order, reporting when there
//! is an identity, and otherwise waiting for one of them, which it says.
//!
//! Invariant: it ends only by being told to, or where it cannot work at all. A host that was refused is not restarted over
//! and over: it waits.

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::order::{Order, Plan};
use crate::collect::live;
use crate::enroll::{EnrollFault, enroll, renew};
use crate::identity::{Identity, Server};
use crate::place::host_name;
use crate::run::{Agent, run};
use crate::spool::Limits;
use crate::stream::Pacing;
use crate::token::Token;
use crate::{clock, fingerprint};

/// A server that cannot be reached is asked again after this, then after twice as long, and so on …
const FIRST_RETRY: Duration = Duration::from_secs(5);
/// … up to this.
const LAST_RETRY: Duration = Duration::from_mins(5);
/// How often a host that waits looks for a new order or identity.
const LOOKS_EVERY: Duration = Duration::from_secs(30);

/// Becomes true when the service is to stop.
pub(super) type Stop = watch::Receiver<bool>;

/// `spool`: what reports may take while the server is away.
pub(super) async fn live(state_dir: &Path, spool: Limits, mut stop: Stop) -> anyhow::Result<()> {
    let mut stop_of_all = stop.clone();
    tokio::select! {
        () = stopped(&mut stop_of_all) => Ok(()),
        ended = follow_orders(state_dir, spool, &mut stop) => ended,
    }
}

async fn follow_orders(state_dir: &Path, spool: Limits, stop: &mut Stop) -> anyhow::Result<()> {
    let mut retry = FIRST_RETRY;
    loop {
        let order = Order::read()?;
        let identity = Identity::load(state_dir)?;
        match order.plan(identity.as_ref()) {
            Plan::Report => {}
            Plan::Confirm { server, token } => confirm(state_dir, identity.as_ref(), server, &token, &order).await?,
            Plan::Enroll { server, token } => {
                let outcome = enroll_at(state_dir, &server, &token, &order).await?;
                if outcome == Outcome::TryAgain && identity.is_none() {
                    tokio::time::sleep(retry.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
                    retry = (retry * 2).min(LAST_RETRY);
                    continue;
                }
            }
            Plan::Discard(why) => {
                error!("{why}. It was removed");
                order.discard_token()?;
            }
            Plan::Wait(what_to_do) => warn!("{what_to_do}"),
        }
        retry = FIRST_RETRY;
        if let Some(identity) = Identity::load(state_dir)? {
            report(state_dir, identity, spool, stop).await?;
        }
        wait_for_change(state_dir).await?;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    TryAgain,
}

/// Uses the token, and removes it when the server answered, whatever it answered.
async fn enroll_at(state_dir: &Path, server: &Server, token: &Token, order: &Order) -> anyhow::Result<Outcome> {
    match enroll(server, token, &host_name()).await {
        Ok(identity) => {
            identity.save(state_dir)?;
            order.discard_token()?;
            info!("Enrolled at {}; the certificate holds until {}", server.host, identity.valid().until);
            Ok(Outcome::Done)
        }
        Err(fault @ EnrollFault::Refused { .. }) => {
            error!("{} refuses to enroll this host: {fault}. The token was removed: give another one", server.host);
            order.discard_token()?;
            Ok(Outcome::Done)
        }
        Err(fault @ EnrollFault::Failed(_)) => {
            warn!("Not enrolled at {}:{} yet: {fault}", server.host, server.enroll_port);
            Ok(Outcome::TryAgain)
        }
    }
}

/// A host that was enrolled keeps its identity, whoever installs the package over it with a token, and whatever address
/// the server has now. The token is for the case that the server does not want that identity any more.
async fn confirm(
    state_dir: &Path,
    identity: Option<&Identity>,
    server: Server,
    token: &Token,
    order: &Order,
) -> anyhow::Result<()> {
    let present = identity.context("only a host with an identity has one to confirm")?;
    let mut moved = present.clone();
    // Who named a proxy when this host was enrolled meant this network.
    let proxy = if order.names_proxy() { server.proxy.clone() } else { present.server.proxy.clone() };
    moved.server = Server { proxy, ..server };
    match renew(&moved).await {
        Ok(renewed) => {
            renewed.save(state_dir)?;
            info!("This host is enrolled at {} already: the token was not needed", renewed.server.host);
            order.discard_token()
        }
        Err(EnrollFault::Refused { code, .. }) => {
            warn!("The server does not want this host's identity any more ({code}): the host is enrolled anew");
            enroll_at(state_dir, &moved.server, token, order).await.map(drop)
        }
        Err(fault @ EnrollFault::Failed(_)) => {
            warn!(
                "{}:{} cannot be asked: {fault}. The present identity is used",
                moved.server.host, moved.server.enroll_port
            );
            Ok(())
        }
    }
}

/// Until the server does not want to hear this host any more, or the service is to stop.
async fn report(state_dir: &Path, identity: Identity, spool: Limits, stop: &mut Stop) -> anyhow::Result<()> {
    let (source, _collecting) =
        live::watch(clock::now, Some(state_dir.to_owned())).context("cannot start the collecting thread")?;
    let agent = Agent {
        identity,
        state_dir: state_dir.to_owned(),
        fingerprint: fingerprint::of_this_machine(),
        pacing: Pacing::default(),
        spool,
        clock: clock::now,
    };
    if let Err(fault) = run(agent, source, stopped(stop)).await {
        error!("This host does not report: {fault}");
    }
    Ok(())
}

/// Someone enrolls by hand, or installs again with a token.
async fn wait_for_change(state_dir: &Path) -> anyhow::Result<()> {
    let certificate = |identity: Option<Identity>| identity.map(|identity| identity.certificate().clone());
    let present = certificate(Identity::load(state_dir)?);
    loop {
        tokio::time::sleep(LOOKS_EVERY).await;
        if !Order::read()?.token.is_empty() || certificate(Identity::load(state_dir)?) != present {
            return Ok(());
        }
    }
}

async fn stopped(stop: &mut Stop) {
    // A sender that is gone cannot say it any more.
    if stop.wait_for(|is_stopping| *is_stopping).await.is_err() {
        std::future::pending::<()>().await;
    }
}
