//! `host revoke` and `host accept-machine`.

use clap::Subcommand;

use crate::{cli::Refusal, cli::open::Opened, clock, config::Place, db};

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Takes a host's identity away for ever: its stream is cut within seconds, and it must be enrolled anew.
    Revoke { host_id: i64 },
    /// Lets the next machine that comes with the host's identity speak for it: after hardware was replaced, or a copy of
    /// the machine was dealt with.
    AcceptMachine { host_id: i64 },
}

pub async fn run(place: Place, action: Action) -> anyhow::Result<()> {
    match action {
        Action::Revoke { host_id } => revoke(place, host_id).await,
        Action::AcceptMachine { host_id } => accept_machine(place, host_id).await,
    }
}

async fn accept_machine(place: Place, host_id: i64) -> anyhow::Result<()> {
    let opened = Opened::open(&place).await?;
    let accepted = match opened.db.everything().await {
        Ok(scope) => db::stream::accept_machine(&opened.db, &scope, host_id).await,
        Err(error) => Err(error),
    };
    opened.close().await?;
    if accepted?.is_none() {
        return Err(Refusal::NotFound(format!("there is no host {host_id} with an agent")).into());
    }
    eprintln!("The next machine that comes with the identity of host {host_id} speaks for it.");
    Ok(())
}

async fn revoke(place: Place, host_id: i64) -> anyhow::Result<()> {
    let opened = Opened::open(&place).await?;
    let scope = opened.db.everything().await;
    let revoked = match scope {
        Ok(scope) => db::identity::revoke_host(&opened.db, &scope, host_id, clock::now()).await,
        Err(error) => Err(error),
    };
    opened.close().await?;
    let Some(certificates) = revoked? else {
        return Err(Refusal::NotFound(format!("there is no host {host_id}")).into());
    };
    eprintln!("Revoked {certificates} certificates of host {host_id}.");
    Ok(())
}
