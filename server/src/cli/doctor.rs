//! `doctor`: examines an installation in the order in which `run` needs it, and says line by line what is so and what to
//! do about it.
//!
//! Invariant: it changes nothing. It applies no migration and makes no role, key or folder; a private Postgres that does
//! not run is started for the examination alone.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use crate::config::{Config, Place};
use crate::postgres::postmaster::Postmaster;

mod inside;
mod machine;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    config: Config,
    /// Print one JSON object for each line.
    #[arg(long)]
    json: bool,
}

/// How something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Fine,
    /// It works, and somebody should look at it.
    Look,
    /// It does not work, or will not for long.
    Bad,
}

/// One line.
#[derive(Clone, Debug, Serialize)]
struct Verdict {
    /// The same for ever: programs go by it.
    what: &'static str,
    state: State,
    text: String,
    /// What to do. `None`: nothing.
    action: Option<String>,
}

fn fine(what: &'static str, text: impl Into<String>) -> Verdict {
    Verdict { what, state: State::Fine, text: text.into(), action: None }
}

fn look(what: &'static str, text: impl Into<String>, action: impl Into<String>) -> Verdict {
    Verdict { what, state: State::Look, text: text.into(), action: Some(action.into()) }
}

fn bad(what: &'static str, text: impl Into<String>, action: impl Into<String>) -> Verdict {
    Verdict { what, state: State::Bad, text: text.into(), action: Some(action.into()) }
}

pub async fn run(place: Place, arguments: Arguments) -> anyhow::Result<ExitCode> {
    let data = place.data_dir.canonicalize().unwrap_or_else(|_| place.data_dir.clone());
    let is_running = Postmaster::running(&data.join("postgres")).is_some();
    let mut verdicts = Vec::new();
    verdicts.extend(machine::postgres_programs(&place, &data).await);
    verdicts.push(machine::folder(&data));
    verdicts.push(machine::master_key(&data));
    verdicts.extend(machine::disk(&data));
    verdicts.extend(machine::open_files());
    verdicts.extend(inside::examine(&place, &data).await);
    if !is_running && place.database_url.is_none() {
        verdicts.extend(addresses(&arguments.config).map(machine::address));
    }
    print(&verdicts, arguments.json)?;
    let is_bad = verdicts.iter().any(|verdict| verdict.state == State::Bad);
    Ok(if is_bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn addresses(config: &Config) -> impl Iterator<Item = (&'static str, SocketAddr)> {
    [("http", config.http), ("agents", config.agents), ("enroll", config.enroll)].into_iter()
}

fn print(verdicts: &[Verdict], as_json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for verdict in verdicts {
        if as_json {
            writeln!(out, "{}", serde_json::to_string(verdict)?)?;
            continue;
        }
        let state = match verdict.state {
            State::Fine => "fine",
            State::Look => "look",
            State::Bad => "BAD ",
        };
        writeln!(out, "{state}  {}", verdict.text)?;
        if let Some(action) = &verdict.action {
            writeln!(out, "      → {action}")?;
        }
    }
    Ok(())
}
