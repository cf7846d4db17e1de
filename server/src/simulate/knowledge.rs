//! What hosts are made of, read once: systems and services of the demonstration, the rest of Windows' services, what
//! servers of a role run, and from the catalog the ports of services and the updates of each system.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use chrono::{NaiveDate, TimeDelta};
use rules::catalog::{BadUpdate, Catalog};
use rules::facts::{OsGeneration, StartMode};
use rules::ports::{Port, Protocol};
use rules::text::Text;
use serde::Deserialize;

use super::host::Role;
use crate::demo::Windows;
use crate::demo::description::{Scene, System};

const WINDOWS: &str = include_str!("windows.toml");
const APPS: &str = include_str!("apps.toml");

/// The systems of the fleet, and how many of a hundred hosts have each.
const SYSTEMS: [(&str, u64); 4] = [("server-2016", 20), ("server-2019", 35), ("server-2022", 35), ("server-2025", 10)];

/// How long after an update the one that mends it comes.
const MENDED_AFTER: TimeDelta = TimeDelta::days(10);

#[derive(Debug)]
pub(super) struct Knowledge {
    pub(super) systems: Vec<KnownSystem>,
    pub(super) services: Vec<WindowsService>,
    pub(super) apps: Vec<App>,
}

#[derive(Debug)]
pub(super) struct KnownSystem {
    pub(super) system: System,
    /// What every host of it shows.
    pub(super) scene: Scene,
    pub(super) base: Vec<WindowsService>,
    /// In the order of time.
    pub(super) releases: Vec<Release>,
    /// Of a hundred hosts.
    pub(super) share: u64,
}

/// A service of Windows, as delivered.
#[derive(Clone, Debug)]
pub(super) struct WindowsService {
    pub(super) name: Text,
    pub(super) display: Text,
    /// `None`: that of a service in a shared process.
    pub(super) image: Option<Text>,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Auto,
    Delayed,
    Manual,
    Trigger,
    Disabled,
}

impl Kind {
    pub(super) fn start(self) -> StartMode {
        match self {
            Self::Auto | Self::Delayed => StartMode::Auto,
            Self::Manual | Self::Trigger => StartMode::Manual,
            Self::Disabled => StartMode::Disabled,
        }
    }
}

/// What a server runs for a purpose.
#[derive(Clone, Debug)]
pub(super) struct App {
    pub(super) service: Text,
    pub(super) display: Text,
    /// Of the process. `None`: not known.
    pub(super) image: Option<Text>,
    /// Of the service.
    pub(super) command: Option<Text>,
    pub(super) on: Vec<Role>,
    /// All hosts of those roles have it.
    pub(super) always: bool,
    /// Role of the catalog.
    pub(super) role: Option<Text>,
    pub(super) ports: Vec<Port>,
}

impl App {
    /// Whether a pool of UDP ports could be in its way.
    pub(super) fn races(&self) -> bool {
        self.ports.iter().any(|port| port.protocol == Protocol::Udp && port.number > 1023)
    }
}

/// An update of one system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Release {
    pub(super) on: NaiveDate,
    pub(super) kb: Text,
    /// Update build revision with it. `None`: not said.
    pub(super) revision: Option<u32>,
}

#[derive(Deserialize)]
struct AppFile {
    app: Vec<AppEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AppEntry {
    service: Text,
    on: Vec<Role>,
    #[serde(default)]
    always: bool,
    image: Option<Text>,
    role: Option<Text>,
}

impl Knowledge {
    pub(super) fn read() -> anyhow::Result<Self> {
        let catalog = Catalog::builtin();
        let windows = Windows::read()?;
        let delivered: BTreeMap<Kind, BTreeMap<Text, Text>> = toml::from_str(WINDOWS).context("windows.toml")?;
        let services = delivered
            .into_iter()
            .flat_map(|(kind, services)| {
                services.into_iter().map(move |(name, display)| WindowsService { name, display, image: None, kind })
            })
            .collect();
        let apps: AppFile = toml::from_str(APPS).context("apps.toml")?;
        let apps = apps.app.into_iter().map(|entry| app(entry, &windows, &catalog)).collect::<Result<_, _>>()?;
        let systems = SYSTEMS.iter().map(|(name, share)| system(name, *share, &windows, &catalog));
        Ok(Self { systems: systems.collect::<Result<_, _>>()?, services, apps })
    }
}

fn app(entry: AppEntry, windows: &Windows, catalog: &Catalog) -> anyhow::Result<App> {
    let name = entry.service.as_str();
    let known = catalog.services().iter().find(|known| known.services.iter().any(|service| service == name));
    let known = known.with_context(|| format!("the catalog has no service {name}"))?;
    let described = windows.services.get(name);
    Ok(App {
        display: described.map_or_else(|| Text::from(known.product.as_str()), |described| described.display.clone()),
        command: described.map(|described| described.image.clone()).or_else(|| entry.image.clone()),
        ports: known.ports.clone(),
        service: entry.service,
        image: entry.image,
        on: entry.on,
        always: entry.always,
        role: entry.role,
    })
}

fn system(name: &str, share: u64, windows: &Windows, catalog: &Catalog) -> anyhow::Result<KnownSystem> {
    let system = windows.systems.get(name).with_context(|| format!("no system {name}"))?.clone();
    let scene = windows.scenes.get(&system.scene).with_context(|| format!("no scene {}", system.scene))?.clone();
    let running = scene.processes.iter().flat_map(|process| &process.services);
    let named: BTreeSet<&String> = running.chain(scene.stopped.iter().map(|stopped| &stopped.service)).collect();
    let base = named.into_iter().map(|name| {
        let entry = windows.services.get(name).with_context(|| format!("no service {name}"))?;
        let kind = match (entry.start, entry.trigger) {
            (_, true) => Kind::Trigger,
            (StartMode::Auto, _) => Kind::Auto,
            _ => Kind::Manual,
        };
        let (name, display) = (Text::from(name.as_str()), entry.display.clone());
        anyhow::Ok(WindowsService { name, display, image: Some(entry.image.clone()), kind })
    });
    let releases = releases(system.os.generation(), catalog);
    Ok(KnownSystem { base: base.collect::<Result<_, _>>()?, system, scene, releases, share })
}

/// Every update that the catalog names for a system: those that do harm, and those that end it.
fn releases(generation: OsGeneration, catalog: &Catalog) -> Vec<Release> {
    let mut releases: BTreeMap<String, Release> = BTreeMap::new();
    let mut add = |on: NaiveDate, kb: &str, build: Option<&str>| {
        let revision = build.and_then(|build| build.rsplit('.').next()).and_then(|text| text.parse().ok());
        let release = Release { on, kb: Text::from(kb), revision };
        let known = releases.entry(kb.to_owned()).or_insert_with(|| release.clone());
        if release.on < known.on {
            *known = release;
        }
    };
    for entry in catalog.bad_updates() {
        let Some(on) = released(entry) else { continue };
        for package in entry.packages.iter().filter(|package| package.os == generation) {
            add(on, &package.kb, package.build.as_deref());
            for fix in &package.fixed_by {
                add(on + MENDED_AFTER, fix, package.fixed_build.as_deref());
            }
        }
    }
    let mut releases: Vec<Release> = releases.into_values().collect();
    releases.sort_by(|a, b| (a.on, &a.kb).cmp(&(b.on, &b.kb)));
    releases
}

/// `None`: the entry names no day.
fn released(entry: &BadUpdate) -> Option<NaiveDate> {
    entry.released.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::Knowledge;

    #[test]
    fn the_files_are_well_formed_and_name_nothing_twice() {
        let knowledge = Knowledge::read().unwrap();
        for system in &knowledge.systems {
            assert!(system.releases.len() > 15, "{}: {}", system.system.os.name, system.releases.len());
            let names = knowledge.services.iter().chain(&system.base).map(|service| service.name.to_lowercase());
            let mut names: Vec<_> = names.chain(knowledge.apps.iter().map(|app| app.service.to_lowercase())).collect();
            let count = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), count);
        }
        let shares: u64 = knowledge.systems.iter().map(|system| system.share).sum();
        assert_eq!(shares, 100);
    }
}
