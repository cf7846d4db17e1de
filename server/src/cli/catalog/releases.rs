//! `catalog trust`, `distrust`, `import`, `approve` and `discard`: releases that others publish.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use uuid::Uuid;

use crate::catalog::release::{self, Brought, HOLD_ABOVE, Order, ReleaseFault};
use crate::catalog::signature::PublicKey;
use crate::cli::Refusal;
use crate::cli::catalog::{BY, read_text};
use crate::cli::open::Opened;
use crate::cli::output::{Format, name};
use crate::clock;
use crate::db::catalog::releases::ReleaseRow;
use crate::db::catalog::{TrustedKey, distrust_key, releases, trust_key};

/// Where a running server tries the release, it is asked again after so long.
const ASK_AGAIN: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub struct TrustArguments {
    /// Public key of the publisher, PEM.
    file: PathBuf,
    /// Whose it is.
    #[arg(long, value_parser = name)]
    name: String,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, Args)]
pub struct ImportArguments {
    /// The release; its signature lies beside it as FILE.sig.
    file: PathBuf,
    /// Hold it for an admin when it would open more findings.
    #[arg(long, default_value_t = HOLD_ABOVE, value_parser = clap::value_parser!(i32).range(0..))]
    hold_above: i32,
    /// Take it also when a newer one is in force.
    #[arg(long)]
    allow_older: bool,
    #[command(flatten)]
    format: Format,
}

pub async fn trust(opened: &Opened, arguments: TrustArguments) -> anyhow::Result<()> {
    let bad = |fault: crate::catalog::signature::KeyFault| {
        Refusal::BadInput(format!("{}: {fault}", arguments.file.display()))
    };
    let public = PublicKey::from_pem(&read_text(&arguments.file)?).map_err(bad)?;
    let key = TrustedKey {
        key_id: public.id(),
        name: arguments.name,
        public_key: public.as_bytes().to_vec(),
        trusted_at: clock::now(),
        trusted_by: BY.to_owned(),
    };
    trust_key(&opened.db.pool, &key).await?;
    tracing::info!(key.id = key.key_id, by = BY, "Trusted a key for releases of the catalog");
    arguments.format.print(&[("key_id", key.key_id.into())])
}

pub async fn distrust(opened: &Opened, key_id: &str) -> anyhow::Result<()> {
    if !distrust_key(&opened.db.pool, key_id).await? {
        return Err(Refusal::NotFound(format!("no key {key_id} is trusted")).into());
    }
    tracing::info!(key.id = key_id, by = BY, "Trusts a key for releases of the catalog no more");
    Ok(())
}

/// Returns when the release was tried: prints what it would do, and what became of it.
pub async fn import(opened: &Opened, arguments: ImportArguments) -> anyhow::Result<()> {
    let db = &opened.db;
    let mut beside = OsString::from(&arguments.file);
    beside.push(".sig");
    let brought = Brought {
        text: &read_text(&arguments.file)?,
        signature: &read_text(&PathBuf::from(beside))?,
        hold_above: arguments.hold_above,
        order: if arguments.allow_older { Order::Any } else { Order::Newer },
        by: BY,
    };
    let release_id = release::import(db, &brought, clock::now()).await.map_err(refusal)?;
    let tried = loop {
        release::finish(db, clock::now).await?;
        match find(opened, release_id).await? {
            Some(release) if release.state == "shadowing" => tokio::time::sleep(ASK_AGAIN).await,
            Some(release) => break release,
            None => anyhow::bail!("the release is gone"),
        }
    };
    arguments.format.print(&[
        ("release_id", release_id.to_string().into()),
        ("state", tried.state.into()),
        ("hosts", tried.hosts.into()),
        ("opens", tried.opens.into()),
        ("resolves", tried.resolves.into()),
        ("changes", tried.changes.into()),
    ])
}

async fn find(opened: &Opened, release_id: Uuid) -> sqlx::Result<Option<ReleaseRow>> {
    let releases = releases::list(&opened.db.pool).await?;
    Ok(releases.into_iter().find(|release| release.release_id == release_id))
}

pub async fn approve(opened: &Opened, release_id: Uuid) -> anyhow::Result<()> {
    settled(release::approve(&opened.db, release_id, BY, clock::now()).await?)
}

pub async fn discard(opened: &Opened, release_id: Uuid) -> anyhow::Result<()> {
    settled(release::discard(&opened.db, release_id, BY, clock::now()).await?)
}

fn settled(is_done: bool) -> anyhow::Result<()> {
    if is_done {
        return Ok(());
    }
    Err(Refusal::NotFound("no release of this id waits for a decision".to_owned()).into())
}

fn refusal(fault: ReleaseFault) -> anyhow::Error {
    let text = fault.to_string();
    match fault {
        ReleaseFault::BadSignature | ReleaseFault::Older { .. } | ReleaseFault::OneWaits => {
            Refusal::NotAllowed(text).into()
        }
        ReleaseFault::Bundle(_) | ReleaseFault::Faulty(_) => Refusal::BadInput(text).into(),
        ReleaseFault::Database(error) => error.into(),
        ReleaseFault::Other(error) => error,
    }
}
