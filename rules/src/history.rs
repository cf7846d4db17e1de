//! What is remembered of a host beside its facts of now: the ports that services held before, who held a port over the
//! boots, and what became different since a service last ran. The server keeps it; rules only read it.
//!
//! An empty history says that nothing is remembered, never that nothing was.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::ports::Port;
use crate::suspect::Suspect;
use crate::text::Text;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// Ports that services of this host held in earlier boots, here or elsewhere.
    pub claims: Vec<LearnedClaim>,
    /// Who held the ports of claims in earlier boots.
    pub holds: Vec<Hold>,
    /// Of services that do not run now and did before.
    pub last_good: Vec<LastGood>,
    /// Updates that the fleet suspects, whether this host has them or not.
    #[serde(with = "shared")]
    pub suspects: Arc<[Suspect]>,
}

/// Every host of a client has the same ones, so that they are held once.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::suspect::Suspect;

    pub(super) fn serialize<S: Serializer>(suspects: &Arc<[Suspect]>, serializer: S) -> Result<S::Ok, S::Error> {
        suspects.as_ref().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<[Suspect]>, D::Error> {
        Vec::deserialize(deserializer).map(Arc::from)
    }
}

/// A port that a service was seen to hold, and that no entry of the catalog tells of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearnedClaim {
    /// SCM key name.
    pub service: Text,
    pub port: Port,
    /// File name of the program that held it for the service.
    pub image: Option<Text>,
    pub seen: Seen,
}

/// How often something was seen, of how often it could have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Seen {
    /// On this host, in boots in which the service ran.
    Boots { held: u32, of: u32 },
    /// On other hosts where the same service runs from the same image.
    Hosts { held: u32, of: u32 },
}

/// One program on one port over the boots of this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub port: Port,
    /// File name of the program.
    pub image: Text,
    pub boots: u32,
    /// Boots of which the sockets were seen.
    pub of: u32,
}

/// The last boot in which a service ran well, and what became different since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastGood {
    /// SCM key name.
    pub service: Text,
    /// `None`: not known when it began.
    pub booted_at: Option<DateTime<Utc>>,
    /// When it was last seen to run.
    pub last_ran_at: Option<DateTime<Utc>>,
    pub differences: Vec<Difference>,
}

/// Something that was otherwise when the service last ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    pub kind: DifferenceKind,
    /// By the host's clock. `None`: some time since.
    pub at: Option<DateTime<Utc>>,
    /// What it is about, such as `KB948609`, `udp/1812` or the name of a setting.
    pub about: Text,
    pub before: Option<Text>,
    pub now: Option<Text>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DifferenceKind {
    Update,
    /// A port of the service has another holder.
    Port,
    PortPolicy,
    /// Version or build of the system or of a product.
    Version,
    /// How the service is set up: program, account, start mode, what it depends on.
    Service,
}
