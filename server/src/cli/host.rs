//! `host revoke`.

use clap::Subcommand;

use crate::{cli::Refusal, cli::open::Opened, clock, config::Place, db};

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Takes a host's identity away for ever: its stream is cut within seconds, and it must be enrolled anew.
    Revoke { host_id: i64 },
}

pub async fn run(place: Place, action: Action) -> anyhow::Result<()> {
    let Action::Revoke { host_id } = action;
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
