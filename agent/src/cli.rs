//! The command line: what can be asked of this program, and how it answers.
//!
//! Exit codes: 0 fine, 1 failed, 2 usage (clap), 3 not enrolled, 4 not allowed, 65 bad input.

use std::fmt;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use tracing::{Level, info};

use crate::capture::script::SCRIPT;
use crate::collect::{live, replay};
use crate::enroll::{self, EnrollFault};
use crate::identity::{Identity, Server};
use crate::logging::{self, Sink};
use crate::proxy::ProxyChoice;
use crate::run::{Agent, Source, Stopped, run};
use crate::selftest::selftest;
#[cfg(windows)]
use crate::service;
use crate::spool::Limits;
use crate::stream::Pacing;
use crate::token::{BadToken, Token};
use crate::{clock, fingerprint, place};

/// Reads of `selftest --bench`.
const BENCH_READS: usize = 20;
/// Longest token file: a token has about 120 characters.
const LONGEST_TOKEN: u64 = 4096;

#[derive(Debug, Parser)]
#[command(name = "portreeve-agent", version, about = "Reports sockets, services and updates of this host to Portreeve")]
struct Cli {
    /// How much is logged to standard error: error, warn, info, debug or trace.
    #[arg(long, global = true, default_value = "info", env = "PORTREEVE_LOG")]
    log: Level,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Get this host's identity from the server, with a token from standard input or a file.
    Enroll(Enroll),
    /// Report this host until stopped.
    Run(State),
    /// Install the Windows service, or bring its settings up to date, and start it.
    Install(Install),
    /// Remove the Windows service, this host's identity and everything else that the agent kept.
    Uninstall(State),
    /// What the service control manager starts; nobody else can.
    Service(State),
    /// What the MSI package runs: installs the service, and keeps what its properties say until the service starts.
    #[command(hide = true)]
    Configure(Configure),
    /// Print this host's facts.
    Collect {
        /// As a facts document.
        #[arg(long, required = true)]
        json: bool,
    },
    /// Say what works on this host and how long it takes; fine even where something does not.
    Selftest {
        /// Read many times: medians, and the memory of this process.
        #[arg(long)]
        bench: bool,
        /// As a document instead of lines.
        #[arg(long)]
        json: bool,
    },
    /// Report a recorded host instead of this one.
    Replay(Replay),
    /// Print the script that collects the facts of a server that cannot run this program.
    ///
    /// Windows 2000, Server 2003 and Server 2008: redirect it to a file that ends with .cmd, run that file there as an
    /// administrator, and give the folder that it writes to `portreeve-server import`.
    Capture,
}

#[derive(Debug, Args)]
struct State {
    /// Where the identity is kept.
    #[arg(long, env = "PORTREEVE_STATE_DIR", default_value_os_t = place::state_dir())]
    state_dir: PathBuf,
    /// MiB of disk that reports may take while the server is away; 16 at least, the size of the largest report.
    #[arg(long, env = "PORTREEVE_SPOOL_MIB", default_value_t = 64, value_parser = clap::value_parser!(u64).range(16..=65_536))]
    spool_mib: u64,
}

impl State {
    fn limits(&self) -> Limits {
        Limits { disk: self.spool_mib * 1024 * 1024, ..Limits::default() }
    }
}

#[derive(Debug, Args)]
struct Enroll {
    #[command(flatten)]
    state: State,
    /// The server, as HOST or HOST:PORT of its enrollment listener (8444).
    #[arg(long, value_parser = Server::parse_address)]
    server: (String, u16),
    /// Port of the server's listener for agents.
    #[arg(long, default_value_t = Server::AGENTS_PORT)]
    agents_port: u16,
    /// HTTP proxy before the server: http://[USER:PASSWORD@]HOST:PORT, `system` for the machine's own setting, or `none`.
    #[arg(long, env = "PORTREEVE_PROXY", hide_env_values = true, default_value = "system")]
    proxy: ProxyChoice,
    /// Read the token from this file instead of standard input. A token is never an argument: those are visible.
    #[arg(long)]
    token_file: Option<PathBuf>,
    /// What the server calls this host until its first report.
    #[arg(long, default_value_t = place::host_name())]
    host_name: String,
}

#[derive(Debug, Args)]
struct Install {
    #[command(flatten)]
    state: State,
    /// Enroll first, at HOST or HOST:PORT, with a token from standard input or a file.
    #[arg(long, value_parser = Server::parse_address)]
    server: Option<(String, u16)>,
    /// Port of the server's listener for agents.
    #[arg(long, default_value_t = Server::AGENTS_PORT)]
    agents_port: u16,
    /// HTTP proxy before the server: http://[USER:PASSWORD@]HOST:PORT, `system` for the machine's own setting, or `none`.
    #[arg(long, env = "PORTREEVE_PROXY", hide_env_values = true, default_value = "system")]
    proxy: ProxyChoice,
    /// Read the token from this file instead of standard input.
    #[arg(long)]
    token_file: Option<PathBuf>,
}

/// Text as somebody gave it to the package, empty where they did not: what is wrong with it must not make the
/// installation fail. The token is an argument of msiexec before it is one of ours.
#[derive(Args)]
struct Configure {
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    server: String,
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    agents_port: String,
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    proxy: String,
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    token: String,
}

impl fmt::Debug for Configure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Configure({}, {}, ***)", self.server, self.agents_port)
    }
}

#[derive(Debug, Args)]
struct Replay {
    #[command(flatten)]
    state: State,
    /// Recordings, played one after the other.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// How many times as fast as recorded.
    #[arg(long, default_value_t = 1.0, value_parser = parse_speed)]
    speed: f64,
    /// Stay connected after the last document instead of leaving.
    #[arg(long)]
    stay: bool,
}

/// Failures with an exit code of their own.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("this host is not enrolled ({} holds no identity): run `portreeve-agent enroll` first", .0.display())]
    NotEnrolled(PathBuf),
    #[error(transparent)]
    Stopped(#[from] Stopped),
    #[error("the server refuses to enroll this host: {0}")]
    Refused(EnrollFault),
    #[error(transparent)]
    Token(#[from] BadToken),
    #[error("{}, {fault}", path.display())]
    Recording { path: PathBuf, fault: replay::BadRecording },
}

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::NotEnrolled(_) => 3,
            Self::Stopped(_) | Self::Refused(_) => 4,
            Self::Token(_) | Self::Recording { .. } => 65,
        }
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // A service has no standard error: it says elsewhere what it does.
    if !matches!(cli.command, Command::Service(_)) {
        logging::start(cli.log, Sink::standard_error());
    }
    match answer(cli.command, cli.log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed; the exit code still tells.
            drop(writeln!(std::io::stderr(), "portreeve-agent: {error:#}"));
            error.downcast_ref::<Failure>().map_or(ExitCode::FAILURE, |failure| failure.exit_code().into())
        }
    }
}

fn answer(command: Command, level: Level) -> anyhow::Result<()> {
    match command {
        Command::Enroll(arguments) => block_on(enroll(arguments)),
        Command::Run(state) => block_on(async move {
            let (source, _collecting) =
                live::watch(clock::now, Some(state.state_dir.clone())).context("cannot start the collecting thread")?;
            report(state, source, fingerprint::of_this_machine()).await
        }),
        Command::Install(arguments) => block_on(install(arguments)),
        Command::Uninstall(state) => block_on(uninstall(state)),
        Command::Configure(arguments) => configure(arguments),
        Command::Service(state) => serve(&state, level),
        Command::Collect { .. } => {
            let mut out = std::io::stdout().lock();
            serde_json::to_writer(&mut out, &live::snapshot(clock::now()))?;
            Ok(writeln!(out)?)
        }
        Command::Selftest { bench, json } => {
            let report = selftest(clock::now, if bench { BENCH_READS } else { 2 });
            let mut out = std::io::stdout().lock();
            if json { Ok(writeln!(out, "{}", serde_json::to_string(&report)?)?) } else { Ok(write!(out, "{report}")?) }
        }
        Command::Capture => Ok(std::io::stdout().lock().write_all(SCRIPT.as_bytes())?),
        Command::Replay(arguments) => block_on(async move {
            let frames = read_recordings(&arguments.files)?;
            let after_last = if arguments.stay { replay::AfterLast::Stay } else { replay::AfterLast::Leave };
            report(arguments.state, replay::play(frames, arguments.speed, after_last), Vec::new()).await
        }),
    }
}

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

async fn enroll(arguments: Enroll) -> anyhow::Result<()> {
    let token: Token = read_token(arguments.token_file.as_deref())?.parse().map_err(Failure::Token)?;
    let (host, enroll_port) = arguments.server;
    let server = Server { host, enroll_port, agents_port: arguments.agents_port, proxy: arguments.proxy };
    let identity = match enroll::enroll(&server, &token, &arguments.host_name).await {
        Ok(identity) => identity,
        Err(refused @ EnrollFault::Refused { .. }) => return Err(Failure::Refused(refused).into()),
        Err(EnrollFault::Failed(error)) => return Err(error),
    };
    identity.save(&arguments.state.state_dir)?;
    info!("Enrolled at {}; the certificate holds until {}", identity.server.host, identity.valid().until);
    Ok(())
}

#[cfg(windows)]
async fn install(arguments: Install) -> anyhow::Result<()> {
    let Install { state, server, agents_port, proxy, token_file } = arguments;
    let folder = state.state_dir.clone();
    if let Some(server) = server {
        enroll(Enroll { state, server, agents_port, proxy, token_file, host_name: place::host_name() }).await?;
    }
    service::install(Some(folder.as_path()).filter(|folder| *folder != place::state_dir()))?;
    service::start()
}

#[cfg(windows)]
fn configure(arguments: Configure) -> anyhow::Result<()> {
    let Configure { server, agents_port, proxy, token } = arguments;
    service::install(None)?;
    service::Order { server, agents_port, proxy, token }.keep()
}

#[cfg(windows)]
async fn uninstall(state: State) -> anyhow::Result<()> {
    service::uninstall(&state.state_dir).await
}

#[cfg(windows)]
fn serve(state: &State, level: Level) -> anyhow::Result<()> {
    service::dispatch(&state.state_dir, state.limits(), level)
}

#[cfg(not(windows))]
const FOR_WINDOWS: &str = "the service is one of Windows; here, `portreeve-agent run` reports this host";

#[cfg(not(windows))]
#[expect(clippy::unused_async, reason = "as on Windows")]
async fn install(_: Install) -> anyhow::Result<()> {
    anyhow::bail!(FOR_WINDOWS)
}

#[cfg(not(windows))]
fn configure(_: Configure) -> anyhow::Result<()> {
    anyhow::bail!(FOR_WINDOWS)
}

#[cfg(not(windows))]
#[expect(clippy::unused_async, reason = "as on Windows")]
async fn uninstall(_: State) -> anyhow::Result<()> {
    anyhow::bail!(FOR_WINDOWS)
}

#[cfg(not(windows))]
fn serve(_: &State, _: Level) -> anyhow::Result<()> {
    anyhow::bail!(FOR_WINDOWS)
}

/// `fingerprint` is empty where another machine than this one is shown.
async fn report(state: State, source: Source, fingerprint: Vec<u8>) -> anyhow::Result<()> {
    let identity = Identity::load(&state.state_dir)?.ok_or_else(|| Failure::NotEnrolled(state.state_dir.clone()))?;
    let spool = state.limits();
    let agent = Agent {
        identity,
        state_dir: state.state_dir,
        fingerprint,
        pacing: Pacing::default(),
        spool,
        clock: clock::now,
    };
    let shutdown = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    run(agent, source, shutdown).await.map_err(|stopped| Failure::Stopped(stopped).into())
}

fn read_token(file: Option<&Path>) -> anyhow::Result<String> {
    let mut text = String::new();
    match file {
        Some(path) => fs::File::open(path)
            .and_then(|file| file.take(LONGEST_TOKEN).read_to_string(&mut text))
            .with_context(|| format!("cannot read the token from {}", path.display()))?,
        None => std::io::stdin()
            .take(LONGEST_TOKEN)
            .read_to_string(&mut text)
            .context("cannot read the token from standard input")?,
    };
    Ok(text)
}

fn read_recordings(files: &[PathBuf]) -> anyhow::Result<Vec<replay::Frame>> {
    let mut frames = Vec::new();
    for path in files {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let fault = |fault| Failure::Recording { path: path.clone(), fault };
        frames.extend(replay::read(&bytes).map_err(fault)?);
    }
    Ok(frames)
}

fn parse_speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if speed.is_finite() && speed > 0.0 { Ok(speed) } else { Err("a speed is above 0".to_owned()) }
}
