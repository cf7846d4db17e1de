//! The demonstration fleet: hosts as files ([`description`]), turned into facts ([`expand`]), played through the real
//! enrollment and the real stream by the agent's own library ([`player`]) in the installation that [`stage`] sets up.
//!
//! Invariant: nothing here reaches around a door. What the pages show of it came over the stream and was judged by the
//! rules, as everything else.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use portreeve_agent::identity::Server;
use portreeve_agent::proxy::ProxyChoice;
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::clock;
use crate::lifecycle::Lifecycle;
use description::{Host, Scene, ServiceEntry, System};

pub mod description;

pub mod expand;

pub mod player;

pub mod stage;

pub(crate) mod told;

const SERVICES: &str = include_str!("demo/systems/services.toml");
const SYSTEMS: &str = include_str!("demo/systems/systems.toml");
const SCENES: [(&str, &str); 3] = [
    ("nt5", include_str!("demo/systems/nt5.toml")),
    ("nt6", include_str!("demo/systems/nt6.toml")),
    ("nt10", include_str!("demo/systems/nt10.toml")),
];
const HOSTS: [(&str, &str); 15] = [
    ("dc1.toml", include_str!("demo/hosts/dc1.toml")),
    ("dc2.toml", include_str!("demo/hosts/dc2.toml")),
    ("fs1.toml", include_str!("demo/hosts/fs1.toml")),
    ("mail1.toml", include_str!("demo/hosts/mail1.toml")),
    ("bes1.toml", include_str!("demo/hosts/bes1.toml")),
    ("sbs1.toml", include_str!("demo/hosts/sbs1.toml")),
    ("radius1.toml", include_str!("demo/hosts/radius1.toml")),
    ("mail3.toml", include_str!("demo/hosts/mail3.toml")),
    ("erp1.toml", include_str!("demo/hosts/erp1.toml")),
    ("dc3.toml", include_str!("demo/hosts/dc3.toml")),
    ("rds1.toml", include_str!("demo/hosts/rds1.toml")),
    ("sql1.toml", include_str!("demo/hosts/sql1.toml")),
    ("web1.toml", include_str!("demo/hosts/web1.toml")),
    ("hv1.toml", include_str!("demo/hosts/hv1.toml")),
    ("fs2.toml", include_str!("demo/hosts/fs2.toml")),
];

/// Sets the stage and lets the fleet play until the server stops, at the doors where this process listens. Gives the
/// lines that tell how to sign in.
pub async fn start(
    app: &Arc<App>,
    data_dir: &Path,
    agents_at: SocketAddr,
    enroll_at: SocketAddr,
    lifecycle: &mut Lifecycle,
) -> anyhow::Result<Vec<String>> {
    let now = clock::now();
    let players = stage::players(app, actors()?, data_dir, now).await?;
    let sign_in = stage::sign_in(app, data_dir, now).await?;
    let ip = enroll_at.ip();
    let host = if ip.is_unspecified() { Ipv4Addr::LOCALHOST.to_string() } else { ip.to_string() };
    let server =
        Server { host, enroll_port: enroll_at.port(), agents_port: agents_at.port(), proxy: ProxyChoice::Direct };
    lifecycle.spawn("demonstration", player::play_all(players, server, app.stopping.clone()));
    Ok(sign_in)
}

/// A host with all that its facts are made from.
#[derive(Clone, Debug)]
pub struct Actor {
    host: Host,
    system: System,
    /// What every host of that system shows.
    system_scene: Scene,
    services: Arc<BTreeMap<String, ServiceEntry>>,
}

/// Generations of Windows and their services, as every host of the demonstration and of the simulated fleet has them.
pub(crate) struct Windows {
    pub(crate) systems: BTreeMap<String, System>,
    /// What every host of a system shows, by the name that the system gives.
    pub(crate) scenes: BTreeMap<String, Scene>,
    pub(crate) services: BTreeMap<String, ServiceEntry>,
}

impl Windows {
    pub(crate) fn read() -> anyhow::Result<Self> {
        let scene = |(name, text): &(&str, &str)| anyhow::Ok(((*name).to_owned(), read(name, text)?));
        Ok(Self {
            systems: read("systems.toml", SYSTEMS)?,
            scenes: SCENES.iter().map(scene).collect::<Result<_, _>>()?,
            services: read("services.toml", SERVICES)?,
        })
    }
}

/// Reads the files that are built into the program.
fn actors() -> anyhow::Result<Vec<Actor>> {
    let Windows { systems, scenes, services } = Windows::read()?;
    let services = Arc::new(services);
    let actor = |(name, text): &(&str, &str)| -> anyhow::Result<Actor> {
        let host: Host = read(name, text)?;
        let system = systems.get(&host.system).with_context(|| format!("{name}: no system {}", host.system))?;
        let scene = scenes.get(&system.scene);
        let system_scene = scene.with_context(|| format!("{}: no scene {}", host.system, system.scene))?.clone();
        Ok(Actor { system_scene, system: system.clone(), services: Arc::clone(&services), host })
    };
    HOSTS.iter().map(actor).collect()
}

fn read<T: DeserializeOwned>(name: &str, text: &str) -> anyhow::Result<T> {
    toml::from_str(text).with_context(|| format!("file {name} of the demonstration fleet"))
}

#[cfg(test)]
mod tests;
