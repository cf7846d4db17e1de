//! `operator create`: the only way to the first operator; there is no sign-up over HTTP.

use std::io::{IsTerminal, Read};

use anyhow::Context;
use clap::Subcommand;
use uuid::Uuid;

use crate::{
    cli::{
        Refusal,
        open::Opened,
        output::{Format, name},
    },
    clock,
    config::Place,
    db::{
        self,
        operator::{NewOperator, create_operator},
    },
    identity::token::random_hex,
    people::{MAX_PASSWORD, Role, hash_password},
};

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Adds an operator. The password is read from standard input; when that is a terminal or empty, one is made and
    /// printed.
    Create {
        #[arg(long, value_parser = name)]
        name: String,
        #[arg(long, value_enum)]
        role: Role,
        /// Ids or names of the clients that the operator may see; without it, all of them.
        #[arg(long, value_delimiter = ',')]
        clients: Vec<String>,
        #[command(flatten)]
        format: Format,
    },
}

pub async fn run(place: Place, action: Action) -> anyhow::Result<()> {
    let Action::Create { name, role, clients, format } = action;
    let given = read_password()?;
    let made = given.is_none().then(random_hex::<16>);
    let password = given.as_deref().or(made.as_deref()).unwrap_or_default();
    let password_hash = hash_password(password).map_err(|fault| Refusal::BadInput(fault.to_string()))?;

    let opened = Opened::open(&place).await?;
    let created = create(&opened, &name, role, &clients, &password_hash).await;
    opened.close().await?;
    let mut printed = vec![("operator_id", created?.to_string().into())];
    if let Some(password) = made {
        printed.push(("password", password.into()));
    }
    format.print(&printed)
}

async fn create(
    opened: &Opened,
    name: &str,
    role: Role,
    clients: &[String],
    password_hash: &str,
) -> anyhow::Result<Uuid> {
    let scope = opened.db.everything().await?;
    let mut client_ids = Vec::new();
    for client in clients {
        let found = db::installation::find_client(&opened.db, &scope, client).await?;
        client_ids.push(found.ok_or_else(|| Refusal::NotFound(format!("there is no client {client}")))?);
    }
    let operator = NewOperator {
        operator_id: Uuid::new_v4(),
        name,
        role,
        password_hash,
        client_ids: (!client_ids.is_empty()).then_some(client_ids.as_slice()),
    };
    create_operator(&opened.db.pool, &operator, clock::now()).await?;
    Ok(operator.operator_id)
}

/// What standard input holds, without its line end; `None`: a terminal, or nothing.
fn read_password() -> anyhow::Result<Option<String>> {
    let input = std::io::stdin();
    if input.is_terminal() {
        return Ok(None);
    }
    let mut text = String::new();
    // One byte more than allowed, so that too long is noticed and endless input is not read.
    let limit = u64::try_from(MAX_PASSWORD)? + 3;
    input.take(limit).read_to_string(&mut text).context("standard input is not text")?;
    let password = text.trim_end_matches(['\r', '\n']);
    Ok((!password.is_empty()).then(|| password.to_owned()))
}
