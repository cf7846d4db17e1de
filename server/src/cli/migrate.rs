//! `migrate`: what `run` does first, by itself.

use crate::{cli::open::Opened, config::Place};

pub async fn run(place: Place) -> anyhow::Result<()> {
    let opened = Opened::open(&place).await?;
    let pending = opened.access.pending().await?;
    opened.close().await?;
    anyhow::ensure!(pending == 0, "{pending} migrations are still to be applied");
    eprintln!("The database is up to date.");
    Ok(())
}
