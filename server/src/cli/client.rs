//! `client create`.

use anyhow::bail;
use clap::Subcommand;

use crate::{
    cli::{
        open::Opened,
        output::{Format, name},
    },
    clock,
    config::Place,
    db,
};

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Adds a client and prints its id.
    Create {
        #[arg(long, value_parser = name)]
        name: String,
        #[command(flatten)]
        format: Format,
    },
}

pub async fn run(place: Place, action: Action) -> anyhow::Result<()> {
    let Action::Create { name, format } = action;
    let opened = Opened::open(&place).await?;
    let created = db::installation::insert_client(&opened.db, &name, clock::now()).await;
    opened.close().await?;
    let Some(client_id) = created? else { bail!("there is a client named {name} already") };
    format.print(&[("client_id", client_id.into())])
}
