//! `host revoke`, `host accept-machine`, `host retire` and `host move`.

use clap::{Args, Subcommand};

use crate::cli::Refusal;
use crate::cli::open::Opened;
use crate::cli::output::Format;
use crate::clock;
use crate::config::Place;
use crate::db::{self, Scope};
use crate::departures::{self, Fault, Moved};
use crate::ingest::Store;
use crate::live::Bus;

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Takes a host's identity away for ever: its stream is cut within seconds, and it must be enrolled anew.
    Revoke { host_id: i64 },
    /// Lets the next machine that comes with the host's identity speak for it: after hardware was replaced, or a copy of
    /// the machine was dealt with.
    AcceptMachine { host_id: i64 },
    /// Watches a host no longer: its identity is revoked, its findings end, and no list has it. Its history stays.
    Retire {
        host_id: i64,
        /// Puts a retired host back into lists. Its agent must be enrolled anew, as another host.
        #[arg(long)]
        undo: bool,
        #[command(flatten)]
        links: Links,
    },
    /// Moves a host to another site, or to another client, where it is a new host. Nothing is to be done on the host.
    Move {
        host_id: i64,
        /// Id or name of the client.
        #[arg(long)]
        to_client: String,
        /// Id or name of a site of it.
        #[arg(long)]
        site: String,
        #[command(flatten)]
        links: Links,
        #[command(flatten)]
        format: Format,
    },
}

/// Where links in webhooks lead.
#[derive(Debug, Args)]
pub struct Links {
    /// As `run` has it: where people reach the pages, for links in webhooks.
    #[arg(long, env = "PORTREEVE_PUBLIC_URL", default_value = "http://127.0.0.1:8080")]
    public_url: String,
}

pub async fn run(place: Place, action: Action) -> anyhow::Result<()> {
    let opened = Opened::open(&place).await?;
    let done = act(&opened, action).await;
    opened.close().await?;
    done
}

async fn act(opened: &Opened, action: Action) -> anyhow::Result<()> {
    let db = &opened.db;
    let everything = db.everything().await?;
    let now = clock::now();
    match action {
        Action::Revoke { host_id } => {
            let Some(certificates) = db::identity::revoke_host(db, &everything, host_id, now).await? else {
                return Err(Refusal::NotFound(format!("there is no host {host_id}")).into());
            };
            eprintln!("Revoked {certificates} certificates of host {host_id}.");
        }
        Action::AcceptMachine { host_id } => {
            if db::stream::accept_machine(db, &everything, host_id).await?.is_none() {
                return Err(Refusal::NotFound(format!("there is no host {host_id} with an agent")).into());
            }
            eprintln!("The next machine that comes with the identity of host {host_id} speaks for it.");
        }
        Action::Retire { host_id, undo: false, links } => {
            let told = Told::new(opened, &links);
            departures::retire(&told.store, &everything, host_id, now).await.map_err(refusal)?;
            told.pass_on(opened).await;
            eprintln!("Retired host {host_id}. Its history stays; its name may be enrolled again, as a new host.");
        }
        Action::Retire { host_id, undo: true, links } => {
            let told = Told::new(opened, &links);
            departures::bring_back(&told.store, &everything, host_id).await.map_err(refusal)?;
            told.pass_on(opened).await;
            eprintln!("Host {host_id} is in lists again. Its identity stays revoked: enroll its agent anew.");
        }
        Action::Move { host_id, to_client, site, links, format } => {
            let to = site_of(opened, &everything, &to_client, &site).await?;
            let told = Told::new(opened, &links);
            let moved = departures::move_to(&told.store, &everything, host_id, to, now).await.map_err(refusal)?;
            told.pass_on(opened).await;
            let (client_id, host_id) = match moved {
                Moved::Site => (to.0, host_id),
                Moved::Client { client_id, host_id } => (client_id, host_id),
            };
            return format.print(&[("host_id", host_id.into()), ("client_id", client_id.into())]);
        }
    }
    Ok(())
}

async fn site_of(opened: &Opened, everything: &Scope, client: &str, site: &str) -> anyhow::Result<(i32, i64)> {
    let Some(client_id) = db::installation::find_client(&opened.db, everything, client).await? else {
        return Err(Refusal::NotFound(format!("there is no client {client}")).into());
    };
    let found = db::installation::find_site(&opened.db, &Scope::of(client_id), site).await?;
    found.ok_or_else(|| Refusal::NotFound(format!("the client has no site {site}")).into())
}

fn refusal(fault: Fault) -> anyhow::Error {
    let text = fault.to_string();
    match fault {
        Fault::NoSuchHost => Refusal::NotFound(text).into(),
        Fault::Retired | Fault::NotRetired | Fault::HasMoved | Fault::NoIdentity => Refusal::NotAllowed(text).into(),
        Fault::Database(error) => error.into(),
    }
}

/// A store whose hints go to the servers that run.
struct Told {
    store: Store,
    bus: Bus,
}

impl Told {
    fn new(opened: &Opened, links: &Links) -> Self {
        let bus = Bus::new();
        Self { store: Store::new(opened.db.clone(), bus.clone(), &links.public_url), bus }
    }

    async fn pass_on(self, opened: &Opened) {
        if let Err(error) = db::hints::pass_on(&opened.db, &self.bus).await {
            tracing::warn!(error = format!("{error:#}"), "A running server will show this when it is asked next");
        }
    }
}
