//! `catalog add`, `remove`, `override` and `withdraw`: what this installation knows and decided itself. A running server
//! takes it over within seconds.

use std::path::PathBuf;

use anyhow::bail;
use chrono::TimeDelta;
use clap::{Args, ValueEnum};
use rules::catalog::Kind;
use rules::overrides::{Decision, Override};
use uuid::Uuid;

use crate::catalog::entries::{self, EntryFault};
use crate::cli::Refusal;
use crate::cli::catalog::{BY, read_text};
use crate::cli::endpoint::MinSeverity;
use crate::cli::open::Opened;
use crate::cli::output::{Format, name, span};
use crate::clock;
use crate::db::{self, Scope};
use crate::rulebook::Rulebook;

#[derive(Debug, Args)]
pub struct AddArguments {
    /// TOML with one entry, as a file of the catalog holds it.
    file: PathBuf,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub struct RemoveArguments {
    #[arg(value_enum)]
    kind: KindName,
    id: String,
}

/// What an entry tells of.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum KindName {
    BadUpdate,
    Claim,
    Taker,
}

impl From<KindName> for Kind {
    fn from(kind: KindName) -> Self {
        match kind {
            KindName::BadUpdate => Self::BadUpdate,
            KindName::Claim => Self::Claim,
            KindName::Taker => Self::Taker,
        }
    }
}

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("where").required(true).args(["client", "all_clients"])))]
#[command(group(clap::ArgGroup::new("what").required(true).args(["severity", "not_applicable"])))]
pub struct OverrideArguments {
    /// Id of a bad update or a taker.
    entry: String,
    /// Id or name of the client.
    #[arg(long)]
    client: Option<String>,
    /// Every client that there is now.
    #[arg(long)]
    all_clients: bool,
    /// What its findings count as.
    #[arg(long)]
    severity: Option<MinSeverity>,
    /// It does not apply there.
    #[arg(long)]
    not_applicable: bool,
    /// Why. It stands in the evidence of findings.
    #[arg(long, value_parser = name)]
    reason: String,
    /// For how long: `90d`, a year at most.
    #[arg(long = "for", value_name = "SPAN", value_parser = span)]
    lasting: TimeDelta,
    #[command(flatten)]
    format: Format,
}

pub async fn add(opened: &Opened, arguments: AddArguments) -> anyhow::Result<()> {
    let text = read_text(&arguments.file)?;
    let (kind, id) = entries::add(&opened.db, &text, BY, clock::now()).await.map_err(refusal)?;
    arguments.format.print(&[("kind", kind.folder().into()), ("id", id.into())])
}

pub async fn remove(opened: &Opened, arguments: RemoveArguments) -> anyhow::Result<()> {
    let RemoveArguments { kind, id } = arguments;
    if entries::remove(&opened.db, kind.into(), &id, BY).await? {
        return Ok(());
    }
    Err(Refusal::NotFound(format!("there is no own entry {id} of this kind")).into())
}

pub async fn decide(opened: &Opened, arguments: OverrideArguments) -> anyhow::Result<()> {
    let db = &opened.db;
    let everything = db.everything().await?;
    let scope = if arguments.all_clients {
        everything
    } else {
        let client = arguments.client.unwrap_or_default();
        let found = db::installation::find_client(db, &everything, &client).await?;
        Scope::of(found.ok_or_else(|| Refusal::NotFound(format!("there is no client {client}")))?)
    };
    if scope.0.is_empty() {
        bail!("there is no client yet");
    }
    let now = clock::now();
    let decided = Override {
        entry: arguments.entry,
        decision: match arguments.severity {
            Some(severity) if !arguments.not_applicable => Decision::Severity(severity.into()),
            _ => Decision::NotApplicable,
        },
        reason: arguments.reason,
        by: BY.to_owned(),
        until: now + arguments.lasting,
    };
    let catalog = Rulebook::load(db).await?.catalog;
    let id = entries::decide(db, &scope, &catalog, decided, now).await.map_err(refusal)?;
    arguments.format.print(&[("override_id", id.to_string().into())])
}

pub async fn withdraw(opened: &Opened, override_id: Uuid) -> anyhow::Result<()> {
    let everything = opened.db.everything().await?;
    if entries::withdraw(&opened.db, &everything, override_id, BY).await? {
        return Ok(());
    }
    Err(Refusal::NotFound("there is no such override".to_owned()).into())
}

fn refusal(fault: EntryFault) -> anyhow::Error {
    let text = fault.to_string();
    match fault {
        EntryFault::Faulty(_) | EntryFault::NotOne(_) | EntryFault::NoReason | EntryFault::BadEnd => {
            Refusal::BadInput(text).into()
        }
        EntryFault::NoSuchEntry(_) => Refusal::NotFound(text).into(),
        EntryFault::Database(error) => error.into(),
        EntryFault::Other(error) => error,
    }
}
