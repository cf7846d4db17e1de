//! `catalog`: `check` reads a folder of catalog files and names every fault by file and line, without a database. The
//! others change what this installation knows: [`own`] by itself, [`releases`] by what others publish with [`publish`].

pub mod own;

pub mod publish;

pub mod releases;

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use rules::catalog::{Catalog, Kind};
use uuid::Uuid;

use crate::cli::Refusal;
use crate::cli::open::Opened;
use crate::config::Place;
use crate::rulebook::{Files, borrowed};

/// Who changes things here, as overrides and lists name it.
const BY: &str = "command line";

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Check a folder that holds `bad-updates/`, `claims/` and `takers/`.
    Check(CheckArguments),
    /// Add an entry of this installation's own; hosts are judged again.
    Add(own::AddArguments),
    /// Remove an own entry.
    Remove(own::RemoveArguments),
    /// Decide that an entry counts otherwise for a client, or not at all, until a time.
    Override(own::OverrideArguments),
    /// Take an override back.
    Withdraw { override_id: Uuid },
    /// Believe releases that this key signs.
    Trust(releases::TrustArguments),
    /// Believe releases of a key no more.
    Distrust { key_id: String },
    /// Import a signed release: try it on every host, and put it in force unless it would open too much.
    Import(releases::ImportArguments),
    /// Put a held release in force.
    Approve { release_id: Uuid },
    /// Drop a release that waits.
    Discard { release_id: Uuid },
    /// Make a key for signing releases, and print its public half.
    Keygen(publish::KeygenArguments),
    /// Make a release of a folder, and sign it.
    Sign(publish::SignArguments),
}

#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Folder of the catalog; docs/catalog.schema.json describes its files.
    folder: PathBuf,
}

pub async fn run(place: Place, action: Action) -> anyhow::Result<()> {
    match action {
        Action::Check(arguments) => check(&arguments),
        Action::Keygen(arguments) => publish::keygen(&arguments),
        Action::Sign(arguments) => publish::sign(&arguments),
        stored => {
            let opened = Opened::open(&place).await?;
            let done = change(&opened, stored).await;
            opened.close().await?;
            done
        }
    }
}

async fn change(opened: &Opened, action: Action) -> anyhow::Result<()> {
    match action {
        Action::Add(arguments) => own::add(opened, arguments).await,
        Action::Remove(arguments) => own::remove(opened, arguments).await,
        Action::Override(arguments) => own::decide(opened, arguments).await,
        Action::Withdraw { override_id } => own::withdraw(opened, override_id).await,
        Action::Trust(arguments) => releases::trust(opened, arguments).await,
        Action::Distrust { key_id } => releases::distrust(opened, &key_id).await,
        Action::Import(arguments) => releases::import(opened, arguments).await,
        Action::Approve { release_id } => releases::approve(opened, release_id).await,
        Action::Discard { release_id } => releases::discard(opened, release_id).await,
        Action::Check(arguments) => check(&arguments),
        Action::Keygen(arguments) => publish::keygen(&arguments),
        Action::Sign(arguments) => publish::sign(&arguments),
    }
}

fn check(arguments: &CheckArguments) -> anyhow::Result<()> {
    let files = read(&arguments.folder)?;
    match Catalog::parse(&borrowed(&files)) {
        Ok(catalog) => {
            let (services, takers, updates) = catalog.counts();
            println!("{} files: {updates} bad updates, {services} services, {takers} takers. No fault.", files.len());
            Ok(())
        }
        Err(faults) => {
            for fault in &faults {
                println!("{fault}");
            }
            let count = match faults.len() {
                1 => "1 fault".to_owned(),
                count => format!("{count} faults"),
            };
            Err(Refusal::BadInput(format!("{count} in {}", arguments.folder.display())).into())
        }
    }
}

/// The files of the three folders as (`claims/iis.toml`, text), in order.
fn read(folder: &Path) -> anyhow::Result<Files> {
    let mut files = Files::new();
    for name in Kind::ALL.map(Kind::folder) {
        let inner = folder.join(name);
        let entries = match fs::read_dir(&inner) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(refused(&inner, &error)),
        };
        for entry in entries {
            let path = entry.map_err(|error| refused(&inner, &error))?.path();
            if path.extension().is_none_or(|extension| extension != "toml") {
                continue;
            }
            let text = read_text(&path)?;
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            files.push((format!("{name}/{file}"), text));
        }
    }
    if files.is_empty() {
        let text = format!("{} holds no bad-updates/, claims/ or takers/ with TOML files", folder.display());
        return Err(Refusal::NotFound(text).into());
    }
    files.sort();
    Ok(files)
}

fn read_text(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).map_err(|error| refused(path, &error))
}

fn refused(path: &Path, error: &std::io::Error) -> anyhow::Error {
    let text = format!("cannot read {}: {error}", path.display());
    match error.kind() {
        ErrorKind::NotFound => Refusal::NotFound(text).into(),
        ErrorKind::PermissionDenied => Refusal::NotAllowed(text).into(),
        ErrorKind::InvalidData => Refusal::BadInput(text).into(),
        _ => anyhow::anyhow!(text),
    }
}
