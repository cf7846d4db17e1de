//! `simulate`: a fleet that behaves, against a server that runs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use chrono::TimeDelta;
use clap::Args;
use portreeve_agent::identity::Server;
use portreeve_agent::proxy::ProxyChoice;
use portreeve_agent::stream::Pacing;
use portreeve_agent::token::Token;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::cli::Refusal;
use crate::cli::open::Opened;
use crate::clock;
use crate::config::Place;
use crate::demo::stage::enroll_token;
use crate::simulate::Fleet;
use crate::simulate::player::{Play, Seat, play};
use crate::simulate::warp::Warp;

/// However fast the fleet lives, a host is read no more often.
const SHORTEST_READ: Duration = Duration::from_millis(250);

/// Tokens that this command makes for itself.
const TOKEN_LIFETIME: TimeDelta = TimeDelta::days(1);

#[derive(Debug, Args)]
pub struct Arguments {
    /// How many hosts.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    hosts: u32,
    /// Names the fleet: the same seed and number of hosts behave the same each time.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Ends after so many simulated days, when everything is acknowledged. Default: never.
    #[arg(long)]
    days: Option<u32>,
    /// Simulated seconds in one second.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    speed: u32,
    /// Simulated seconds between two reads of a host; by the real clock at least a quarter of a second.
    #[arg(long, default_value_t = 60)]
    read_every: u32,
    /// Real seconds until the fleet begins to live; until then hosts enroll and show how they begin.
    #[arg(long, default_value_t = 10)]
    begin_in: u32,
    /// Where the server listens for agents.
    #[arg(long, default_value = "127.0.0.1:8443")]
    server: SocketAddr,
    /// Where it listens for enrollment: another port of the same address.
    #[arg(long, default_value = "127.0.0.1:8444")]
    enroll: SocketAddr,
    /// Enrollment tokens, one a line, each with uses enough for its share of the hosts. Default: clients, sites and
    /// tokens are made in the installation of --data-dir.
    #[arg(long)]
    token_file: Option<PathBuf>,
    /// Identities and spools of the agents; used again by the next run. Default: DATA_DIR/simulate.
    #[arg(long)]
    state_dir: Option<PathBuf>,
}

pub async fn run(place: Place, arguments: Arguments) -> anyhow::Result<()> {
    if arguments.server.ip() != arguments.enroll.ip() {
        return Err(Refusal::BadInput("--server and --enroll must be ports of one address".to_owned()).into());
    }
    let fleet = Fleet::new(arguments.seed, arguments.hosts)?;
    let tokens = match &arguments.token_file {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            text.lines().filter(|line| !line.trim().is_empty()).map(str::parse).collect::<Result<Vec<Token>, _>>()?
        }
        None => tokens(&place, &fleet).await?,
    };
    let Some(first) = tokens.first() else {
        return Err(Refusal::BadInput("the file of tokens is empty".to_owned()).into());
    };
    // One folder per authority and fleet: another server, or another seed, begins anew.
    let folder = arguments.state_dir.unwrap_or_else(|| place.data_dir.join("simulate"));
    let folder = folder.join(&hex::encode(first.pin)[..16]).join(format!("{}-{}", arguments.seed, arguments.hosts));
    let server = Server {
        host: arguments.server.ip().to_string(),
        enroll_port: arguments.enroll.port(),
        agents_port: arguments.server.port(),
        proxy: ProxyChoice::Direct,
    };
    let origin = clock::now() + TimeDelta::seconds(arguments.begin_in.into());
    let lasts =
        arguments.days.map(|days| TimeDelta::days(days.into()) / i32::try_from(arguments.speed).unwrap_or(i32::MAX));
    let over = CancellationToken::new();
    let shared = Play {
        server,
        warp: Warp { origin, speed: arguments.speed },
        read_every: (Duration::from_secs(arguments.read_every.into()) / arguments.speed).max(SHORTEST_READ),
        pacing: Pacing::default(),
        over: over.clone(),
        recorder: None,
    };
    let hosts = fleet.into_hosts().into_iter().map(|host| {
        let name = host.name().to_string();
        let token = Some(tokens[host.place() % tokens.len()].clone());
        (host, Seat { folder: folder.join(&name), name, token })
    });
    let hosts = hosts.collect();
    info!("Playing {} hosts of seed {} at {} times real time", arguments.hosts, arguments.seed, arguments.speed);
    let ending = async {
        match lasts {
            Some(lasts) => tokio::time::sleep((origin + lasts - clock::now()).to_std().unwrap_or_default()).await,
            None => std::future::pending().await,
        }
        over.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = play(hosts, shared, CancellationToken::new()) => Ok(()),
        () = ending => Ok(()),
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
    }
}

/// One for each place, which is made where it is missing.
async fn tokens(place: &Place, fleet: &Fleet) -> anyhow::Result<Vec<Token>> {
    let opened = Opened::open(place).await?;
    let now = clock::now();
    let identity = opened.identity(now).await?;
    let pin = identity.authority.pin();
    let uses = i32::try_from(fleet.hosts().len()).unwrap_or(i32::MAX);
    let mut tokens = Vec::new();
    for place in fleet.places() {
        let token = enroll_token(&opened.db, pin, (&place.client, &place.site), (uses, TOKEN_LIFETIME), now).await?;
        tokens.push(token.parse()?);
    }
    opened.close().await?;
    Ok(tokens)
}
