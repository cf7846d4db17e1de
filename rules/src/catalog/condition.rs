//! When a bad update does harm, as data: typed conditions, joined by all, any and not. There is no expression language.
//! Answering them from facts is the business of the rule.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::facts::OsGeneration;
use crate::ports::Port;

/// A statement about a host that facts make true, false or leave open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    /// The system is of one of these generations.
    Os(Vec<OsGeneration>),
    /// A server product within a range of versions.
    Product(ProductCondition),
    /// The host has this role, one of [`ROLES`].
    Role(String),
    /// A service of this name exists and is not disabled.
    Service(String),
    /// A service of this name runs.
    Running(String),
    /// This KB is installed.
    Update(String),
    /// `build.revision` of the system is at least this.
    BuildAtLeast(String),
    /// `build.revision` of the system is below this.
    BuildBelow(String),
    /// The name of the host has exactly this many characters.
    HostNameLength(usize),
    /// The host is a member of a domain.
    DomainMember(bool),
    /// The DNS server's socket pool draws from a range that holds this port, and nothing keeps it out.
    DnsPoolReaches(Port),
    /// A service of this host runs without a port that it needs, which lies in a block that Windows reserved at run time.
    BlockHoldsClaim,
    /// The system has been up for at least so many days.
    UptimeDays(i64),
    /// The window of events holds this one.
    Event(EventCondition),
    /// A value of the registry. No fact tells it: always open.
    Registry(RegistryCondition),
    /// The host is a guest of this hypervisor, in words. No fact tells it: always open.
    Hypervisor(String),
    /// What no fact answers, in words, such as `an account trusted for unconstrained delegation`. Always open.
    Unobserved(String),
}

impl Condition {
    /// The generations that it can be true of, as far as `os` says; every one where it does not.
    pub(super) fn generations(&self) -> BTreeSet<OsGeneration> {
        match self {
            Self::Os(generations) => generations.iter().copied().collect(),
            Self::All(parts) => {
                let narrowed = parts.iter().map(Self::generations).reduce(|a, b| a.intersection(&b).copied().collect());
                narrowed.unwrap_or_default()
            }
            Self::Any(parts) => parts.iter().flat_map(Self::generations).collect(),
            _ => GENERATIONS.iter().copied().collect(),
        }
    }
}

const GENERATIONS: &[OsGeneration] = &[
    OsGeneration::Windows2000,
    OsGeneration::Server2003,
    OsGeneration::Server2008,
    OsGeneration::Server2008R2,
    OsGeneration::Server2012,
    OsGeneration::Server2012R2,
    OsGeneration::Server2016,
    OsGeneration::Server2019,
    OsGeneration::Server2022,
    OsGeneration::Server2025,
    OsGeneration::Other,
];

/// Roles that facts can tell.
pub const ROLES: &[&str] = &[
    "adcs",
    "adfs",
    "dfs-replication",
    "dhcp-server",
    "dns-server",
    "domain-controller",
    "failover-cluster",
    "file-server",
    "hyper-v",
    "iis",
    "kms-host",
    "msmq",
    "nps",
    "print-server",
    "rds-connection-broker",
    "rds-gateway",
    "rds-licensing",
    "rds-session-host",
    "rds-virtualization-host",
    "rds-web-access",
    "rras",
    "server-core",
    "wds",
    "wsus",
];

/// Products that facts can tell. Of any other a list of products says nothing.
pub const PRODUCTS: &[&str] = &["blackberry-enterprise-server", "exchange-server", "iis", "sql-server"];

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductCondition {
    /// One of [`PRODUCTS`].
    pub id: String,
    /// As a sentence names it, such as `Exchange Server 2007 SP1`.
    pub label: String,
    /// Lowest version that is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// First version that is not meant any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventCondition {
    /// Such as `Service Control Manager`; compared without case.
    pub provider: String,
    pub id: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegistryCondition {
    /// Such as `HKLM\SYSTEM\CurrentControlSet\Control\Print`.
    pub key: String,
    pub value: String,
    pub data: String,
}

/// The condition in words: `Exchange Server 2007 SP1 (8.1.240 up to, not including, 8.2)`.
impl fmt::Display for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(parts) => join(formatter, parts, " and "),
            Self::Any(parts) => join(formatter, parts, " or "),
            Self::Not(part) => write!(formatter, "not ({part})"),
            Self::Os(generations) => {
                let names: Vec<_> = generations.iter().map(|generation| generation.label()).collect();
                formatter.write_str(&names.join(" or "))
            }
            Self::Product(product) => match (&product.from, &product.below) {
                (Some(from), Some(below)) => {
                    write!(formatter, "{} ({from} up to, not including, {below})", product.label)
                }
                (Some(from), None) => write!(formatter, "{} ({from} or later)", product.label),
                (None, Some(below)) => write!(formatter, "{} (before {below})", product.label),
                (None, None) => formatter.write_str(&product.label),
            },
            Self::Role(role) => write!(formatter, "the role {role}"),
            Self::Service(service) => write!(formatter, "the service {service}"),
            Self::Running(service) => write!(formatter, "the running service {service}"),
            Self::Update(kb) => write!(formatter, "{kb} installed"),
            Self::BuildAtLeast(build) => write!(formatter, "build {build} or later"),
            Self::BuildBelow(build) => write!(formatter, "a build before {build}"),
            Self::HostNameLength(length) => write!(formatter, "a host name of {length} characters"),
            Self::DomainMember(true) => formatter.write_str("membership in a domain"),
            Self::DomainMember(false) => formatter.write_str("no membership in a domain"),
            Self::DnsPoolReaches(port) => write!(formatter, "a DNS socket pool that can take {port}"),
            Self::BlockHoldsClaim => formatter.write_str("a reserved block over a port that a service here needs"),
            Self::UptimeDays(days) => write!(formatter, "{days} days without a restart"),
            Self::Event(event) => write!(formatter, "event {} of {}", event.id, event.provider),
            Self::Registry(wanted) => {
                write!(formatter, "the value {} = {} in {}", wanted.value, wanted.data, wanted.key)
            }
            Self::Hypervisor(words) => write!(formatter, "the hypervisor {words}"),
            Self::Unobserved(words) => formatter.write_str(words),
        }
    }
}

fn join(formatter: &mut fmt::Formatter<'_>, parts: &[Condition], word: &str) -> fmt::Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            formatter.write_str(word)?;
        }
        match part {
            Condition::All(_) | Condition::Any(_) if parts.len() > 1 => write!(formatter, "({part})")?,
            _ => write!(formatter, "{part}")?,
        }
    }
    Ok(())
}
