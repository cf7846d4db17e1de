//! The command line: one file per subcommand under cli/. Standard output is for results, standard error for talk.
//!
//! Exit codes: 0 fine, 1 failed, 2 usage, 3 not found, 4 not allowed, 5 findings present, 65 bad input.

use std::{io::Write, process::ExitCode};

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::{api, config::Place};

pub mod open;

pub mod output;

pub mod run;

pub mod migrate;

pub mod client;

pub mod site;

pub mod operator;

pub mod api_token;

pub mod enroll_token;

pub mod host;

pub mod endpoint;

pub mod check;

pub mod catalog;

pub mod import;

pub mod ask;

pub mod retention;

pub mod backup;

pub mod restore;

pub mod deliveries;

pub mod doctor;

pub mod simulate;

#[derive(Debug, Parser)]
#[command(name = "portreeve-server", version, about = "Who took the port, and which update did this")]
pub struct Cli {
    #[command(flatten)]
    pub place: Place,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the server until it is told to stop.
    Run(run::Arguments),
    /// Runs the server with a demonstration fleet: invented hosts that report as real ones do.
    Demo(run::Arguments),
    /// Brings the database to the shape that this version needs.
    Migrate,
    /// Customers of the MSP.
    #[command(subcommand)]
    Client(client::Action),
    /// Places of a client; every host belongs to one.
    #[command(subcommand)]
    Site(site::Action),
    /// People who sign in.
    #[command(subcommand)]
    Operator(operator::Action),
    /// Bearer tokens of the API.
    #[command(subcommand)]
    ApiToken(api_token::Action),
    /// Tokens with which agents enroll.
    #[command(subcommand)]
    EnrollToken(enroll_token::Action),
    /// Monitored machines.
    #[command(subcommand)]
    Host(host::Action),
    /// Where webhooks go.
    #[command(subcommand)]
    Endpoint(endpoint::Action),
    /// Judges a facts file and prints what was found; ends with 5 when something was.
    Check(check::Arguments),
    /// What is known beforehand (ports of services, takers, bad updates), and what this installation adds to it.
    #[command(subcommand)]
    Catalog(catalog::Action),
    /// Stores what a capture says of a server that cannot run the agent, and tells what was understood.
    Import(import::Arguments),
    /// How long what is stored is kept, and how much room it may take.
    #[command(subcommand)]
    Retention(retention::Action),
    /// Tells what was: who held a port, what was true of a host, what changed.
    Ask(ask::Arguments),
    /// Prints the description of the API.
    Openapi,
    /// Plays a fleet of invented hosts against a server that runs, each through an agent of its own.
    Simulate(simulate::Arguments),
    /// Writes one consistent moment of the database into a folder.
    Backup(backup::Arguments),
    /// Puts a backup in the place of a server that is stopped.
    Restore(restore::Arguments),
    /// Webhooks on their way.
    #[command(subcommand)]
    Deliveries(deliveries::Action),
    /// Examines this installation and says what is wrong with it.
    Doctor(doctor::Arguments),
}

/// A failure whose exit code means something to a script. Everything else ends with 1.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    NotAllowed(String),
    #[error("{0}")]
    BadInput(String),
}

impl Refusal {
    fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound(_) => 3,
            Self::NotAllowed(_) => 4,
            Self::BadInput(_) => 65,
        }
    }
}

/// Parses the arguments and runs the command.
pub fn main() -> ExitCode {
    let Cli { place, command } = Cli::parse();
    if let Err(error) = start_logging(&place.log) {
        eprintln!("error: --log: {error}");
        return ExitCode::from(2);
    }
    // Everything that speaks TLS uses ring. An error means that it is installed already.
    drop(rustls::crypto::ring::default_provider().install_default());

    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(dispatch(place, command)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(error.downcast_ref().map_or(1, Refusal::exit_code))
        }
    }
}

async fn dispatch(place: Place, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(arguments) => run::run(place, arguments, run::Fleet::Real).await.map(success),
        Command::Demo(arguments) => run::run(place, arguments, run::Fleet::Demonstration).await.map(success),
        Command::Migrate => migrate::run(place).await.map(success),
        Command::Openapi => {
            std::io::stdout().write_all(api::openapi::text().as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Client(action) => client::run(place, action).await.map(success),
        Command::Site(action) => site::run(place, action).await.map(success),
        Command::Operator(action) => operator::run(place, action).await.map(success),
        Command::ApiToken(action) => api_token::run(place, action).await.map(success),
        Command::EnrollToken(action) => enroll_token::run(place, action).await.map(success),
        Command::Host(action) => host::run(place, action).await.map(success),
        Command::Endpoint(action) => endpoint::run(place, action).await.map(success),
        Command::Check(arguments) => check::run(&arguments),
        Command::Catalog(action) => catalog::run(place, action).await.map(success),
        Command::Import(arguments) => import::run(place, arguments).await.map(success),
        Command::Retention(action) => retention::run(place, action).await.map(success),
        Command::Simulate(arguments) => simulate::run(place, arguments).await.map(success),
        Command::Backup(arguments) => backup::run(place, arguments).await.map(success),
        Command::Restore(arguments) => restore::run(place, arguments).await.map(success),
        Command::Deliveries(action) => deliveries::run(place, action).await.map(success),
        Command::Ask(arguments) => ask::run(place, arguments).await.map(success),
        Command::Doctor(arguments) => doctor::run(place, arguments).await,
    }
}

fn success((): ()) -> ExitCode {
    ExitCode::SUCCESS
}

fn start_logging(filter: &str) -> Result<(), tracing_subscriber::filter::ParseError> {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(filter)?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
    Ok(())
}
