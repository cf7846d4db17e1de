//! How a host of the demonstration fleet is written down (`hosts/*.toml`, on top of a system from `systems/*.toml`):
//! processes with the ports that they hold, services that stopped, updates, and phases that it goes through for ever.
//! A reader should see the story of a host in its file; [`super::expand`] turns it into facts.
//!
//! Times are whole seconds after the boot of the host; inside a phase without a restart, after the phase began.

use std::collections::BTreeMap;

use rules::facts::{CollectedBy, Os, Product, StartMode};
use rules::ports::{Family, Port, PortRange, Protocol};
use rules::text::Text;
use serde::Deserialize;

/// One host and its story.
#[derive(Clone, Debug, Deserialize)]
pub struct Host {
    pub client: String,
    pub site: String,
    pub name: Text,
    pub domain: Option<Text>,
    /// Name of an entry of `systems/systems.toml`.
    pub system: String,
    #[serde(default)]
    pub collected_by: CollectedBy,
    /// How long before the start of the demonstration it booted, in seconds.
    pub booted_ago: i64,
    #[serde(default)]
    pub domain_controller: bool,
    #[serde(default)]
    pub roles: Vec<Text>,
    #[serde(default)]
    pub products: Vec<Product>,
    #[serde(default)]
    pub policy: Policy,
    /// Sections that its agent cannot read, and why.
    #[serde(default)]
    pub unknown: Unknown,
    /// Boots that it had before those of the story.
    pub past: Option<Past>,
    /// Why it wants a restart, one entry a sign.
    #[serde(default)]
    pub wants_restart: Vec<Text>,
    /// What is true in all phases.
    #[serde(flatten)]
    pub always: Scene,
    /// Played in turn, for ever. None: the host stays as it is.
    #[serde(default, rename = "phase")]
    pub phases: Vec<Phase>,
}

/// Boots from before the demonstration, told once, when the host enrolls.
#[derive(Clone, Debug, Deserialize)]
pub struct Past {
    /// How many.
    pub boots: u32,
    /// Days from one to the next, and from the last of them to the story.
    pub days_apart: i64,
    /// What each of them showed, in place of what is always true in the story.
    #[serde(flatten)]
    pub scene: Scene,
}

/// What a host shows for a while, beside what it always shows.
#[derive(Clone, Debug, Deserialize)]
pub struct Phase {
    /// What happens, in a sentence: logged when the phase begins.
    pub happens: String,
    /// Seconds.
    pub lasts: u64,
    /// The host restarted, and booted this many seconds before the phase begins. `None`: it did not.
    pub booted_ago: Option<i64>,
    /// Update build revision from this phase on.
    pub revision: Option<u32>,
    #[serde(flatten)]
    pub scene: Scene,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub struct Scene {
    #[serde(default, rename = "process")]
    pub processes: Vec<Process>,
    #[serde(default, rename = "stopped")]
    pub stopped: Vec<Stopped>,
    #[serde(default, rename = "update")]
    pub updates: Vec<Update>,
    #[serde(default, rename = "exclusion")]
    pub exclusions: Vec<rules::facts::Exclusion>,
    /// Findings that the rules make of it, as `rule subject`: the test of these files holds them to it.
    #[serde(default)]
    pub shows: Vec<String>,
}

/// A process, the services that run in it, and what it holds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// Full path, or the name alone where the path cannot be read (PID 4).
    pub image: Text,
    pub pid: u32,
    /// Seconds.
    pub started: i64,
    /// SCM key names; each is described in `systems/services.toml`.
    #[serde(default)]
    pub services: Vec<String>,
    /// Held on all addresses of both families.
    #[serde(default)]
    pub holds: Vec<Port>,
    /// Held on all addresses of IPv4 only.
    #[serde(default)]
    pub holds_ipv4: Vec<Port>,
    /// When the ports were bound, in seconds. `None`: two seconds after the process started.
    pub bound: Option<i64>,
    pub pool: Option<Pool>,
}

/// Ports that a process draws at random at each start, such as the pool of the DNS server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    pub protocol: Protocol,
    /// Drawn for each family.
    pub count: usize,
    pub families: Vec<Family>,
    pub from: PortRange,
    /// The draw holds these, on IPv4.
    #[serde(default)]
    pub hits: Vec<u16>,
    /// The draw spares these.
    #[serde(default)]
    pub misses: Vec<u16>,
}

/// A service that does not run. Those that run are named by their process.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stopped {
    pub service: String,
    pub exit_code: u32,
    pub service_exit_code: Option<u32>,
    /// When it stopped, in seconds. `None`: that was not seen.
    pub at: Option<i64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Update {
    pub kb: Text,
    /// Identity of the component package. `None`: the entry is one of a capture, or of the uninstall list.
    pub package: Option<Text>,
    pub title: Text,
    /// Date, such as `2008-10-14`.
    pub installed: chrono::NaiveDate,
}

/// Port policy where it differs from what the system has by default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    pub udp_range: Option<PortRange>,
    pub tcp_range: Option<PortRange>,
    /// `MaxUserPort`.
    pub max_user_port: Option<u32>,
    /// `SocketPoolSize`. `None`: not set.
    pub dns_pool_size: Option<u32>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unknown {
    pub updates: Option<Text>,
    /// The exclusions in force only: the rest of the policy is read from the registry.
    pub exclusions: Option<Text>,
}

/// A generation of Windows.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct System {
    pub os: Os,
    /// Name of the file that says what every host of it shows.
    pub scene: String,
    /// Where the system draws ports from unless told otherwise. `None`: the system has no such setting, and
    /// MaxUserPort decides.
    pub dynamic_range: Option<PortRange>,
    /// Display names that differ from those of `services.toml`.
    #[serde(default)]
    pub display: BTreeMap<String, Text>,
}

/// A service as the Service Control Manager is configured, the same on every host.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceEntry {
    pub display: Text,
    pub image: Text,
    pub start: StartMode,
    #[serde(default)]
    pub delayed: bool,
    #[serde(default)]
    pub trigger: bool,
}
