//! `restore`: a backup takes the place of an installation that is stopped, or of none.
//!
//! Invariant: what was there stays in force until the restored database is whole, migrated, opened by the master key and
//! marked as restored; then one transaction switches.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, ensure};
use clap::Args;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};

use crate::backup::{DUMP, KEY, Manifest, verify, write_private};
use crate::cli::Refusal;
use crate::clock;
use crate::config::Place;
use crate::db::bootstrap::{Access, DATABASE, create_roles};
use crate::db::{installation, migrator, restore as rows};
use crate::identity::seal::{Purpose, Sealer};
use crate::postgres::binaries::Binaries;
use crate::postgres::{Cluster, archive::Archiver, prepare_data_dir};

#[derive(Debug, Args)]
pub struct Arguments {
    /// What `backup` made.
    folder: PathBuf,
    /// Says whether the backup can be restored here, and changes nothing.
    #[arg(long)]
    check: bool,
    /// Takes the place of an installation that is there already, which is lost.
    #[arg(long)]
    replace: bool,
}

pub async fn run(place: Place, arguments: Arguments) -> anyhow::Result<()> {
    let newest = migrator::newest();
    let programs = Binaries::find(&place.data_dir.join("postgres")).await?;
    let manifest = verify(&arguments.folder, newest, programs.major);
    let manifest = manifest.map_err(|fault| Refusal::BadInput(fault.to_string()))?;
    let taken = manifest.taken_at.format("%Y-%m-%d %H:%M:%S UTC");
    if arguments.check {
        Archiver::reading(programs).list(&arguments.folder.join(DUMP)).await?;
        println!("{} is whole: installation {} as of {taken}.", arguments.folder.display(), manifest.installation_id);
        return Ok(());
    }
    if let Some(url) = &place.database_url {
        let options = PgConnectOptions::from_str(&url.0).context("DATABASE_URL is not an address")?;
        // Makes the roles where they are missing.
        Access::given(&url.0).await?;
        let database = options.get_database().unwrap_or(options.get_username()).to_owned();
        let target = Target { options: &options, database: &database, archiver: &Archiver::given(&options).await? };
        prepare_data_dir(&place.data_dir)?;
        target.restore(&place.data_dir, &arguments, &manifest).await?;
    } else {
        let cluster = Cluster::own(&place.data_dir).await?;
        let options = cluster.options();
        create_roles(&options).await?;
        let target = Target { options: &options, database: DATABASE, archiver: &Archiver::private(&cluster) };
        let restored = target.restore(&place.data_dir, &arguments, &manifest).await;
        cluster.stop().await?;
        restored?;
    }
    eprintln!("Restored installation {} as of {taken}.", manifest.installation_id);
    eprintln!("Webhooks are held until `portreeve-server deliveries release`.");
    eprintln!(
        "What people did since then is gone: revoke again what was revoked, and enroll again the hosts that were enrolled."
    );
    Ok(())
}

/// A Postgres server, and the database on it that is to be made.
struct Target<'a> {
    options: &'a PgConnectOptions,
    database: &'a str,
    archiver: &'a Archiver,
}

impl Target<'_> {
    async fn restore(&self, data_dir: &Path, arguments: &Arguments, manifest: &Manifest) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect_with(&self.options.clone().database("postgres")).await?;
        let is_there = rows::exists(&mut connection, self.database).await?;
        if is_there
            && !arguments.replace
            && let Some(present) = rows::describe(&self.options.clone().database(self.database)).await?
        {
            let text = format!(
                "installation {} is here already; with --replace the backup takes its place, and it is lost",
                present.installation_id
            );
            return Err(Refusal::NotAllowed(text).into());
        }
        let new = format!("{}_restored", self.database);
        // Of a restore that was interrupted.
        rows::drop_database(&mut connection, &new).await?;
        rows::create(&mut connection, &new).await?;
        let filled = self.fill(&new, data_dir, arguments, manifest).await;
        if let Err(error) = filled {
            rows::drop_database(&mut connection, &new).await?;
            return Err(error);
        }
        let old = format!("{}_replaced", self.database);
        rows::drop_database(&mut connection, &old).await?;
        let switched = rows::switch(&mut connection, &new, self.database, &old).await;
        switched.context("cannot put the restored database in its place; is a server still running on it?")?;
        rows::drop_database(&mut connection, &old).await?;
        connection.close().await?;
        Ok(())
    }

    async fn fill(&self, new: &str, data_dir: &Path, arguments: &Arguments, manifest: &Manifest) -> anyhow::Result<()> {
        self.archiver.restore(&arguments.folder.join(DUMP), new).await?;
        let access = Access::acting(self.options, new);
        access.migrate().await?;
        let db = access.connect().await?;
        let prepared = async {
            let present = installation::read(&db).await?.context("the backup holds no installation")?;
            ensure!(
                present.installation_id == manifest.installation_id,
                "the database is of installation {}, and the manifest of {}",
                present.installation_id,
                manifest.installation_id
            );
            key_that_opens(data_dir, &arguments.folder, &present.ca_key_sealed)?;
            rows::mark(&db, manifest.taken_at, clock::now()).await?;
            anyhow::Ok(())
        };
        let prepared = prepared.await;
        db.pool.close().await;
        prepared
    }
}

/// The master key of the data folder must open what is sealed in the backup; where there is none, that of the backup is
/// put there.
fn key_that_opens(data_dir: &Path, backup: &Path, sealed: &[u8]) -> anyhow::Result<()> {
    let (own, brought) = (data_dir.join(KEY), backup.join(KEY));
    let path = if own.exists() { &own } else { &brought };
    if !path.exists() {
        let text = format!("put the master.key of this installation into {}: the backup has none", data_dir.display());
        return Err(Refusal::NotFound(text).into());
    }
    if Sealer::load(path)?.open(Purpose::CaKey, sealed).is_err() {
        let text = format!("{} is not the key under which this backup was sealed", path.display());
        return Err(Refusal::NotAllowed(text).into());
    }
    if !own.exists() {
        write_private(&own, &std::fs::read(&brought)?)?;
    }
    Ok(())
}
