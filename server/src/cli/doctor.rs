//! `doctor`: examines the installation in the order in which `run` needs it, and says in sentences what is wrong.

use std::{net::SocketAddr, os::unix::fs::PermissionsExt, path::Path, process::ExitCode};

use clap::Args;

use crate::{
    cli::open::Opened,
    clock,
    config::{Config, Place},
    postgres::{account::Account, binaries::Binaries, postmaster::Postmaster},
};

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    config: Config,
}

/// Collects and prints verdicts as they are reached.
#[derive(Debug, Default)]
struct Examination {
    faults: usize,
}

impl Examination {
    fn note(&mut self, verdict: Result<String, String>) {
        match verdict {
            Ok(text) => println!("ok      {text}"),
            Err(text) => {
                self.faults += 1;
                println!("FAULT   {text}");
            }
        }
    }
}

pub async fn run(place: Place, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mut examination = Examination::default();
    let data = place.data_dir.canonicalize().unwrap_or_else(|_| place.data_dir.clone());
    let is_running = Postmaster::running(&data.join("postgres")).is_some();
    if place.database_url.is_none() {
        examination.note(match Binaries::find(&data.join("postgres")).await {
            Ok(found) => Ok(format!("Postgres {} is installed.", found.major)),
            Err(error) => Err(format!("{error:#}.")),
        });
    }
    examination.note(folder(&data));
    examination.note(master_key(&data));
    if data.exists() || place.database_url.is_some() {
        database(&place, &mut examination).await;
    }
    if !is_running {
        for (flag, address) in ports(&arguments.config) {
            examination.note(match std::net::TcpListener::bind(address) {
                Ok(_) => Ok(format!("{address} (--{flag}) is free.")),
                Err(error) => Err(format!("Cannot listen on {address} (--{flag}): {error}.")),
            });
        }
    }
    Ok(if examination.faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn ports(config: &Config) -> [(&'static str, SocketAddr); 3] {
    [("http", config.http), ("agents", config.agents), ("enroll", config.enroll)]
}

fn folder(data: &Path) -> Result<String, String> {
    if !data.exists() {
        return Ok(format!("The data folder {} does not exist yet; `run` makes it.", data.display()));
    }
    let account = Account::for_postgres().map_err(|error| format!("{error:#}."))?;
    for parent in data.ancestors() {
        let metadata =
            std::fs::metadata(parent).map_err(|error| format!("Cannot read {}: {error}.", parent.display()))?;
        if let Some(account) = &account
            && !account.may_enter(&metadata)
        {
            return Err(format!(
                "Account {}, as which Postgres runs, may not enter {}.",
                account.name,
                parent.display()
            ));
        }
    }
    let mode = std::fs::metadata(data).map_err(|error| error.to_string())?.permissions().mode();
    if mode & 0o022 != 0 {
        return Err(format!("Others may write in {} (mode {:o}).", data.display(), mode & 0o777));
    }
    Ok(format!("The data folder {} can be used.", data.display()))
}

fn master_key(data: &Path) -> Result<String, String> {
    let path = data.join("master.key");
    let Ok(metadata) = std::fs::metadata(&path) else {
        return Ok("There is no master.key yet; the first start makes it.".to_owned());
    };
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(format!("{} can be read by others; set its mode to 0600.", path.display()));
    }
    Ok("master.key is readable by its owner only. Keep a copy: without it this database is mute.".to_owned())
}

async fn database(place: &Place, examination: &mut Examination) {
    let opened = match Opened::open(place).await {
        Ok(opened) => opened,
        Err(error) => return examination.note(Err(format!("The database cannot be opened: {error:#}."))),
    };
    examination.note(Ok("The database answers, its roles are right, and every migration is applied.".to_owned()));
    examination.note(match opened.identity(clock::now()).await {
        Ok(identity) => Ok(format!("The certificate authority opens (pin {}).", identity.authority.pin())),
        Err(error) => Err(format!("The certificate authority does not open: {error:#}.")),
    });
    if let Err(error) = opened.close().await {
        examination.note(Err(format!("Postgres does not stop: {error:#}.")));
    }
}
