//! `catalog check`: reads a folder of catalog files and names every fault by file and line. Needs no database.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use rules::catalog::Catalog;

use crate::cli::Refusal;

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Check a folder that holds `bad-updates/`, `claims/` and `takers/`.
    Check(CheckArguments),
}

#[derive(Debug, Args)]
pub struct CheckArguments {
    /// Folder of the catalog; docs/catalog.schema.json describes its files.
    folder: PathBuf,
}

const FOLDERS: [&str; 3] = ["bad-updates", "claims", "takers"];

pub fn run(action: &Action) -> anyhow::Result<()> {
    let Action::Check(arguments) = action;
    let files = read(&arguments.folder)?;
    let borrowed: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    match Catalog::parse(&borrowed) {
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
fn read(folder: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for name in FOLDERS {
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
            let text = fs::read_to_string(&path).map_err(|error| refused(&path, &error))?;
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

fn refused(path: &Path, error: &std::io::Error) -> anyhow::Error {
    let text = format!("cannot read {}: {error}", path.display());
    match error.kind() {
        ErrorKind::NotFound => Refusal::NotFound(text).into(),
        ErrorKind::PermissionDenied => Refusal::NotAllowed(text).into(),
        ErrorKind::InvalidData => Refusal::BadInput(text).into(),
        _ => anyhow::anyhow!(text),
    }
}
