//! `api-token create`: prints a bearer token once; only its hash is stored.

use chrono::TimeDelta;
use clap::Subcommand;

use crate::{
    cli::{
        Refusal,
        open::Opened,
        output::{Format, name, span},
    },
    clock,
    config::Place,
    db::operator::create_api_token,
    people::ApiToken,
};

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Makes a token that can do what its operator can, and prints it; it is not shown again.
    Create {
        /// Name of the operator.
        #[arg(long)]
        operator: String,
        /// What the token is for.
        #[arg(long, value_parser = name)]
        name: String,
        /// How long it works, such as 24h or 90d; without it, until it is revoked.
        #[arg(long, value_parser = span)]
        expires: Option<TimeDelta>,
        #[command(flatten)]
        format: Format,
    },
}

pub async fn run(place: Place, action: Action) -> anyhow::Result<()> {
    let Action::Create { operator, name, expires, format } = action;
    let (now, token) = (clock::now(), ApiToken::random());
    let opened = Opened::open(&place).await?;
    let expires_at = expires.map(|span| now + span);
    let created = create_api_token(&opened.db.pool, &token, &name, &operator, expires_at, now).await;
    opened.close().await?;
    if !created? {
        return Err(Refusal::NotFound(format!("there is no operator {operator}, or they are disabled")).into());
    }
    format.print(&[("token", token.reveal().into())])
}
