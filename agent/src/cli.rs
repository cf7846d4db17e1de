//! The command line: what can be asked of this program, and how it answers.
//!
//! Exit codes: 0 fine, 1 failed, 2 usage (clap), 3 not enrolled, 4 not allowed, 65 bad input.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use tracing::{Level, info};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::clock;
use crate::collect::{live, replay};
use crate::enroll::{self, EnrollFault};
use crate::identity::{Identity, Server};
use crate::run::{Agent, Source, Stopped, run};
use crate::stream::Pacing;
use crate::token::{BadToken, Token};

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
    /// Print this host's facts.
    Collect {
        /// As a facts document.
        #[arg(long, required = true)]
        json: bool,
    },
    /// Report a recorded host instead of this one.
    Replay(Replay),
}

#[derive(Debug, Args)]
struct State {
    /// Where the identity is kept.
    #[arg(long, env = "PORTREEVE_STATE_DIR", default_value_os_t = default_state_dir())]
    state_dir: PathBuf,
}

#[derive(Debug, Args)]
struct Enroll {
    #[command(flatten)]
    state: State,
    /// The server, as HOST or HOST:PORT of its enrollment listener (8444).
    #[arg(long, value_parser = parse_server)]
    server: (String, u16),
    /// Port of the server's listener for agents.
    #[arg(long, default_value_t = 8443)]
    agents_port: u16,
    /// Read the token from this file instead of standard input. A token is never an argument: those are visible.
    #[arg(long)]
    token_file: Option<PathBuf>,
    /// What the server calls this host until its first report.
    #[arg(long, default_value_t = host_name())]
    host_name: String,
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
    // Libraries speak of every frame: of them only warnings are for people.
    let levels = Targets::new().with_target("portreeve_agent", cli.log).with_default(cli.log.min(Level::WARN));
    tracing_subscriber::fmt()
        .with_max_level(cli.log)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .finish()
        .with(levels)
        .init();
    match answer(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed; the exit code still tells.
            drop(writeln!(std::io::stderr(), "portreeve-agent: {error:#}"));
            error.downcast_ref::<Failure>().map_or(ExitCode::FAILURE, |failure| failure.exit_code().into())
        }
    }
}

fn answer(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Enroll(arguments) => block_on(enroll(arguments)),
        Command::Run(state) => block_on(async move {
            let source = live::watch(clock::now).context("cannot start the collecting thread")?;
            report(state, source).await
        }),
        Command::Collect { .. } => {
            let mut out = std::io::stdout().lock();
            serde_json::to_writer(&mut out, &live::snapshot(clock::now()))?;
            Ok(writeln!(out)?)
        }
        Command::Replay(arguments) => block_on(async move {
            let frames = read_recordings(&arguments.files)?;
            let after_last = if arguments.stay { replay::AfterLast::Stay } else { replay::AfterLast::Leave };
            report(arguments.state, replay::play(frames, arguments.speed, after_last)).await
        }),
    }
}

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

async fn enroll(arguments: Enroll) -> anyhow::Result<()> {
    let token: Token = read_token(arguments.token_file.as_deref())?.parse().map_err(Failure::Token)?;
    let (host, enroll_port) = arguments.server;
    let server = Server { host, enroll_port, agents_port: arguments.agents_port };
    let identity = match enroll::enroll(&server, &token, &arguments.host_name).await {
        Ok(identity) => identity,
        Err(refused @ EnrollFault::Refused { .. }) => return Err(Failure::Refused(refused).into()),
        Err(EnrollFault::Failed(error)) => return Err(error),
    };
    identity.save(&arguments.state.state_dir)?;
    info!("Enrolled at {}; the certificate holds until {}", identity.server.host, identity.valid().until);
    Ok(())
}

async fn report(state: State, source: Source) -> anyhow::Result<()> {
    let identity = Identity::load(&state.state_dir)?.ok_or_else(|| Failure::NotEnrolled(state.state_dir.clone()))?;
    let agent = Agent { identity, state_dir: state.state_dir, pacing: Pacing::default(), clock: clock::now };
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

/// `HOST`, `HOST:PORT` or `[IPV6]:PORT`.
fn parse_server(text: &str) -> Result<(String, u16), String> {
    const PORT: u16 = 8444;
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or("write [ADDRESS]:PORT")?)),
        // A bare IPv6 address has several colons and no port.
        None if text.matches(':').count() > 1 => (text, None),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() || host.contains('/') {
        return Err("write HOST or HOST:PORT, without https://".to_owned());
    }
    let port = port.map_or(Ok(PORT), |port| port.parse().map_err(|_| format!("`{port}` is not a port")))?;
    Ok((host.to_owned(), port))
}

fn parse_speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if speed.is_finite() && speed > 0.0 { Ok(speed) } else { Err("a speed is above 0".to_owned()) }
}

/// The folder that Windows has for data of programs, of all users; elsewhere beside where one works.
fn default_state_dir() -> PathBuf {
    match std::env::var_os("ProgramData") {
        Some(folder) => Path::new(&folder).join("Portreeve"),
        None => PathBuf::from("agent-state"),
    }
}

fn host_name() -> String {
    let name = match std::env::var_os("COMPUTERNAME") {
        Some(name) => name.to_string_lossy().into_owned(),
        None => fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default(),
    };
    let name = name.trim();
    if name.is_empty() { "unnamed".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::parse_server;

    #[test]
    fn reads_servers() {
        let server = |host: &str, port| Ok((host.to_owned(), port));
        assert_eq!(parse_server("ports.example.net"), server("ports.example.net", 8444));
        assert_eq!(parse_server("10.0.0.5:9000"), server("10.0.0.5", 9000));
        assert_eq!(parse_server("[2001:db8::1]:9000"), server("2001:db8::1", 9000));
        assert_eq!(parse_server("[2001:db8::1]"), server("2001:db8::1", 8444));
        assert_eq!(parse_server("2001:db8::1"), server("2001:db8::1", 8444));
        for wrong in ["", "https://ports.example.net", "host:port", ":8444", "[::1]8444", "host:70000"] {
            assert!(parse_server(wrong).is_err(), "{wrong}");
        }
    }
}
