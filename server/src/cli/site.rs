//! `site create`.

use anyhow::bail;
use clap::Subcommand;

use crate::{
    cli::{
        Refusal,
        open::Opened,
        output::{Format, name},
    },
    clock,
    config::Place,
    db,
};

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Adds a site of a client and prints its id.
    Create {
        /// Id or name of the client.
        #[arg(long)]
        client: String,
        #[arg(long, value_parser = name)]
        name: String,
        #[command(flatten)]
        format: Format,
    },
}

pub async fn run(place: Place, action: Action) -> anyhow::Result<()> {
    let Action::Create { client, name, format } = action;
    let opened = Opened::open(&place).await?;
    let created = create(&opened, &client, &name).await;
    opened.close().await?;
    format.print(&[("site_id", created?.into())])
}

async fn create(opened: &Opened, client: &str, name: &str) -> anyhow::Result<i64> {
    let scope = opened.db.everything().await?;
    let Some(client_id) = db::installation::find_client(&opened.db, &scope, client).await? else {
        return Err(Refusal::NotFound(format!("there is no client {client}")).into());
    };
    let created = db::installation::insert_site(&opened.db, client_id, name, clock::now()).await?;
    let Some(site_id) = created else { bail!("client {client} has a site named {name} already") };
    Ok(site_id)
}
