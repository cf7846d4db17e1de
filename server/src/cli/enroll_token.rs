//! `enroll-token create`: prints a token once; only its hash is stored. To a person, on standard error, it also says the
//! line that installs and enrolls a host with it.

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
        /// Where hosts reach this server, such as https://portreeve.example; for the line that installs the agent.
        #[arg(long, env = "PORTREEVE_PUBLIC_URL", default_value = "https://SERVER")]
        public_url: String,
        #[command(flatten)]
        format: Format,
    },
}

pub async fn run(place: Place, action: Action) -> anyhow::Result<()> {
    let Action::Create { site, client, uses, expires, public_url, format } = action;
    let opened = Opened::open(&place).await?;
    let created = create(&opened, &site, client.as_deref(), uses, expires).await;
    opened.close().await?;
    let token = created?;
    eprintln!("On the Windows server, as an administrator, in PowerShell:\n    {}", install_line(&public_url, &token));
    format.print(&[("token", token.into())])
}

/// Windows Installer fetches the package itself, through the proxy of the system.
fn install_line(public_url: &str, token: &str) -> String {
    let url = public_url.trim_end_matches('/');
    let name = url.split_once("://").map_or(url, |(_, rest)| rest);
    // The port of the pages is not that of enrollment.
    let host = match name.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => host,
        _ => name,
    };
    format!("msiexec /i {url}/agent/portreeve-agent.msi /qn SERVER_URL={host} ENROLL_TOKEN={token}")
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

#[cfg(test)]
mod tests {
    use super::install_line;

    #[test]
    fn the_line_names_package_and_server() {
        for (url, host) in [
            ("https://portreeve.example/", "portreeve.example"),
            ("https://portreeve.example:9443", "portreeve.example"),
            ("https://[2001:db8::1]", "[2001:db8::1]"),
        ] {
            let package = format!("{}/agent/portreeve-agent.msi", url.trim_end_matches('/'));
            assert_eq!(
                install_line(url, "ptr"),
                format!("msiexec /i {package} /qn SERVER_URL={host} ENROLL_TOKEN=ptr")
            );
        }
    }
}
