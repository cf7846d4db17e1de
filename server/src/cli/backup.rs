//! `backup`: one consistent moment of the database into a folder, beside a running server or without one.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context;
use clap::Args;
use sqlx::postgres::PgConnectOptions;

use crate::backup::{Draft, KEY, write_private};
use crate::cli::Refusal;
use crate::clock;
use crate::config::Place;
use crate::db::bootstrap::DATABASE;
use crate::db::restore::describe;
use crate::postgres::{Cluster, archive::Archiver};

#[derive(Debug, Args)]
pub struct Arguments {
    /// A folder that does not exist yet.
    folder: PathBuf,
    /// Puts the master key beside the database. Whoever has both can speak as this server: keep such a backup like the key.
    #[arg(long)]
    with_key: bool,
}

pub async fn run(place: Place, arguments: Arguments) -> anyhow::Result<()> {
    let Some(url) = &place.database_url else {
        if !place.data_dir.join("postgres/PG_VERSION").exists() {
            let text = format!("there is no installation in {}", place.data_dir.display());
            return Err(Refusal::NotFound(text).into());
        }
        let cluster = Cluster::join(&place.data_dir).await?;
        let options = cluster.options().database(DATABASE);
        let taken = take(&place, &arguments, &Archiver::private(&cluster), &options).await;
        cluster.stop().await?;
        return taken;
    };
    let options = PgConnectOptions::from_str(&url.0).context("DATABASE_URL is not an address")?;
    take(&place, &arguments, &Archiver::given(&options).await?, &options).await
}

async fn take(
    place: &Place,
    arguments: &Arguments,
    archiver: &Archiver,
    options: &PgConnectOptions,
) -> anyhow::Result<()> {
    let taken_at = clock::now();
    let Some(described) = describe(options).await? else {
        return Err(Refusal::NotFound("no server ever ran on this database".to_owned()).into());
    };
    let database = options.get_database().unwrap_or(options.get_username());
    let draft = Draft::begin(&arguments.folder)?;
    archiver.dump(database, &draft.path(crate::backup::DUMP)).await?;
    if arguments.with_key {
        copy_key(&place.data_dir.join(KEY), &draft.path(KEY))?;
    }
    let manifest = draft.finish(described, archiver.major(), taken_at)?;
    let bytes: u64 = manifest.files.values().map(|file| file.bytes).sum();
    println!("{}", arguments.folder.display());
    eprintln!("Backed up {bytes} bytes as of {}.", taken_at.format("%Y-%m-%d %H:%M:%S UTC"));
    if !arguments.with_key {
        eprintln!(
            "It needs {} to be restored, which is not in it: keep a copy of that file somewhere else.",
            place.data_dir.join(KEY).display()
        );
    }
    Ok(())
}

fn copy_key(from: &Path, to: &Path) -> anyhow::Result<()> {
    let key = std::fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    write_private(to, &key)
}
