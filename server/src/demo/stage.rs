//! Sets up the installation that the demonstration plays in: its clients, sites and enrollment tokens, and an operator.
//! Starting again on the same data folder finds them and adds nothing.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use portreeve_agent::identity::Identity;
use portreeve_agent::token::Token;
use uuid::Uuid;

use super::Actor;
use super::player::Player;
use crate::app::App;
use crate::db::identity::{NewEnrollToken, insert_enroll_token};
use crate::db::operator::{NewOperator, create_operator, credentials};
use crate::db::{Db, Scope, installation};
use crate::identity::token::{FreshToken, random_hex, secret_hash};
use crate::people::{Role, hash_password};
use crate::simulate::player::Seat;

/// Who signs in to the demonstration.
const OPERATOR: &str = "demo";

/// Long enough for a machine on which everything else starts at the same time.
const TOKEN_LIFETIME: TimeDelta = TimeDelta::hours(1);

/// More than any site of the demonstration has hosts.
const TOKEN_USES: i32 = 15;

/// The hosts as players: those that enrolled before with their identities, the others with tokens of their sites.
pub async fn players(
    app: &App,
    actors: Vec<Actor>,
    data_dir: &Path,
    now: DateTime<Utc>,
) -> anyhow::Result<Vec<Player>> {
    // One folder per authority: with another database in the same data folder all enroll anew.
    let folder = data_dir.join("demo").join(&app.identity.authority.pin()[..16]);
    let mut tokens: BTreeMap<(String, String), Token> = BTreeMap::new();
    let mut players = Vec::new();
    for actor in actors {
        let folder = folder.join(actor.host.name.as_str());
        let place = (actor.host.client.clone(), actor.host.site.clone());
        let token = if Identity::load(&folder)?.is_some() {
            None
        } else if let Some(token) = tokens.get(&place) {
            Some(token.clone())
        } else {
            let (pin, limits) = (app.identity.authority.pin(), (TOKEN_USES, TOKEN_LIFETIME));
            let token: Token = enroll_token(&app.db, pin, (&place.0, &place.1), limits, now).await?.parse()?;
            tokens.insert(place, token.clone());
            Some(token)
        };
        let seat = Seat { name: actor.host.name.to_string(), folder, token };
        players.push(Player { actor, seat });
    }
    Ok(players)
}

/// A token of a site, which is made with its client where they are missing.
pub(crate) async fn enroll_token(
    db: &Db,
    pin: &str,
    (client, site): (&str, &str),
    (uses, lifetime): (i32, TimeDelta),
    now: DateTime<Utc>,
) -> anyhow::Result<String> {
    let everything = db.everything().await?;
    let client_id = match installation::find_client(db, &everything, client).await? {
        Some(client_id) => client_id,
        None => installation::insert_client(db, client, now).await?.context("another process made the client")?,
    };
    installation::insert_site(db, client_id, site, now).await?;
    let found = installation::find_site(db, &Scope::of(client_id), site).await?;
    let (_, site_id) = found.context("the site was just made")?;
    let token = FreshToken::random();
    let row = NewEnrollToken {
        id: &token.id,
        secret_hash: &secret_hash(&token.secret),
        client_id,
        site_id,
        uses,
        expires_at: now + lifetime,
    };
    insert_enroll_token(db, &row, now).await?;
    Ok(token.text(pin))
}

/// Makes the operator unless there is one, and gives the lines that tell how to sign in.
pub async fn sign_in(app: &App, data_dir: &Path, now: DateTime<Utc>) -> anyhow::Result<Vec<String>> {
    let file = data_dir.join("demo-password");
    let file_name = file.display();
    if credentials(&app.db.pool, OPERATOR).await?.is_some() {
        return Ok(vec![format!("Sign in as {OPERATOR}, with the password in {file_name}")]);
    }
    let password = random_hex::<12>();
    keep(&file, &password)?;
    let for_hashing = password.clone();
    let password_hash = tokio::task::spawn_blocking(move || hash_password(&for_hashing)).await??;
    let operator = NewOperator {
        operator_id: Uuid::new_v4(),
        name: OPERATOR,
        role: Role::Admin,
        password_hash: &password_hash,
        client_ids: None,
    };
    create_operator(&app.db.pool, &operator, now).await?;
    Ok(vec![
        format!("Sign in as {OPERATOR}, with the password {password}"),
        format!("It is shown this once, and kept in {file_name}"),
    ])
}

/// Writes the password before there is an operator with it, so that it cannot be lost between the two.
fn keep(file: &PathBuf, password: &str) -> anyhow::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let opened = options.write(true).create(true).truncate(true).mode(0o600).open(file);
    let mut opened = opened.with_context(|| format!("cannot write {}", file.display()))?;
    writeln!(opened, "{password}")?;
    Ok(())
}
