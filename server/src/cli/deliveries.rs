//! `deliveries release`: lets webhooks go that are held after a restore.

use clap::Subcommand;

use crate::cli::Refusal;
use crate::cli::open::Opened;
use crate::clock;
use crate::config::Place;
use crate::db::restore::{self, Owed};

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Sends webhooks again after a restore. A receiver may see some twice, under the same webhook-id.
    Release {
        /// Gives up what was pending when the backup was taken, instead of sending it.
        #[arg(long)]
        give_up: bool,
    },
}

pub async fn run(place: Place, action: Action) -> anyhow::Result<()> {
    let Action::Release { give_up } = action;
    let owed = if give_up { Owed::GiveUp } else { Owed::Send };
    let opened = Opened::open(&place).await?;
    let released = restore::release(&opened.db, owed, clock::now()).await;
    opened.close().await?;
    let Some(given_up) = released? else {
        return Err(Refusal::NotFound("no deliveries are held".to_owned()).into());
    };
    eprintln!("Deliveries are sent again; {given_up} from before the restore were given up.");
    Ok(())
}
