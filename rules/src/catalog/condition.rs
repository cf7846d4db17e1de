//! When a bad update does harm, as data: typed conditions, joined by all, any and not. There is no expression language.
//! Answering them from facts is the business of the rule.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::facts::OsGeneration;
use crate::ports::Port;

/// A statement about a host that facts make true, false or leave open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Condition {
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
    /// The system is of one of these generations.
    Os(Vec<OsGeneration>),
    /// A server product within a range of versions.
    Product(ProductCondition),
    /// The host has this role, by the catalog's ids, such as `dns-server`.
    Role(String),
    /// A service of this name exists and is not disabled.
    Service(String),
    /// This KB is installed.
    Update(String),
    /// `build.revision` of the system is at least this.
    BuildAtLeast(String),
    /// The name of the host has exactly this many characters.
    HostNameLength(usize),
    /// The host is a member of a domain.
    DomainMember(bool),
    /// The DNS server's socket pool draws from a range that holds this port, and nothing keeps it out.
    DnsPoolReaches(Port),
    /// What no fact answers, in words, such as `an account trusted for unconstrained delegation`. Always open.
    Unobserved(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProductCondition {
    /// Id, such as `exchange-server`.
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
            Self::Update(kb) => write!(formatter, "{kb} installed"),
            Self::BuildAtLeast(build) => write!(formatter, "build {build} or later"),
            Self::HostNameLength(length) => write!(formatter, "a host name of {length} characters"),
            Self::DomainMember(true) => formatter.write_str("membership in a domain"),
            Self::DomainMember(false) => formatter.write_str("no membership in a domain"),
            Self::DnsPoolReaches(port) => write!(formatter, "a DNS socket pool that can take {port}"),
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
