//! `enroll-token create`: prints a token once; only its hash is stored.

use chrono::TimeDelta;
use clap::Subcommand;

use crate::{
    cli::{
        Refusal,
        open::Opened,
        output::{Format, span},
    },
    clock,
    config::Place,
    db::{self, Scope, identity::NewEnrollToken},
    identity::token::{FreshToken, secret_hash},
};

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Makes a token for a site and prints it; it is not shown again.
    Create {
        /// Id of the site, or its name if only one site has it.
        #[arg(long)]
        site: String,
        /// Id or name of the site's client; needed when several clients have a site of that name.
        #[arg(long)]
        client: Option<String>,
        /// How many hosts may enroll with it.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..=100_000))]
        uses: i32,
        /// How long it works, such as 30m, 24h or 7d.
        #[arg(long, default_value = "24h", value_parser = span)]
        expires: TimeDelta,
        #[command(flatten)]
        format: Format,
    },
}

pub async fn run(place: Place, action: Action) -> anyhow::Result<()> {
    let Action::Create { site, client, uses, expires, format } = action;
    let opened = Opened::open(&place).await?;
    let created = create(&opened, &site, client.as_deref(), uses, expires).await;
    opened.close().await?;
    format.print(&[("token", created?.into())])
}

async fn create(
    opened: &Opened,
    site: &str,
    client: Option<&str>,
    uses: i32,
    expires: TimeDelta,
) -> anyhow::Result<String> {
    let now = clock::now();
    let mut scope = opened.db.everything().await?;
    if let Some(client) = client {
        let found = db::installation::find_client(&opened.db, &scope, client).await?;
        scope = Scope::of(found.ok_or_else(|| Refusal::NotFound(format!("there is no client {client}")))?);
    }
    let Some((client_id, site_id)) = db::installation::find_site(&opened.db, &scope, site).await? else {
        return Err(Refusal::NotFound(format!("there is no site {site}, or more than one: name its client too")).into());
    };
    let identity = opened.identity(now).await?;
    let token = FreshToken::random();
    let row = NewEnrollToken {
        id: &token.id,
        secret_hash: &secret_hash(&token.secret),
        client_id,
        site_id,
        uses,
        expires_at: now + expires,
    };
    db::identity::insert_enroll_token(&opened.db, &row, now).await?;
    Ok(token.text(identity.authority.pin()))
}
