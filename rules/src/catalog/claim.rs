//! Services and their ports: what a service needs, and what it takes besides. One [`Claim`] a port, so that an index
//! finds it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Grounding;
use crate::facts::OsGeneration;
use crate::finding::Confidence;
use crate::history::{LearnedClaim, Seen};
use crate::ports::{Port, PortRange, Protocol};

/// What is known of the ports of one service, or of several that are the same product. Its ports become [`Claim`]s.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceEntry {
    pub id: String,
    /// SCM key names, or patterns with `*` such as `MSSQL$*`. Compared without case.
    pub services: Vec<String>,
    /// The product in words, such as `Network Policy Server`.
    pub product: String,
    /// The systems on which this is so.
    #[serde(default)]
    pub os: OsSpan,
    /// Ports that the service needs.
    #[serde(default)]
    pub ports: Vec<Port>,
    /// Ports that it needs in some configurations only.
    #[serde(default)]
    pub optional: Vec<OptionalPorts>,
    /// Ranges of which it takes what it finds free, or what it is told to: no single port of them is a claim.
    #[serde(default)]
    pub ranges: Vec<RangeOfPorts>,
    /// It takes ports of the dynamic range too, or only such.
    #[serde(default)]
    pub dynamic: bool,
    /// Where its ports are set, if they can be: `WinStations\RDP-Tcp, PortNumber`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configurable: Option<String>,
    /// How it starts as delivered, where that is known and not automatic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<StartKind>,
    #[serde(default)]
    pub binding: Binding,
    /// The kernel owns the sockets (PID 4) on behalf of the service: HTTP.sys, SMB.
    #[serde(default)]
    pub kernel: bool,
    /// URLs that it registers at HTTP.sys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// Services that use the same ports together with this one: their holding one is no conflict.
    #[serde(default)]
    pub shared_with: Vec<String>,
    /// The process that holds the ports for this service although the socket table may not name the service, such as
    /// `lsass.exe`. `None`: the service's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    pub grounding: Grounding,
    pub sources: Vec<String>,
    /// What else is worth knowing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What helps where one of its ports is taken, beyond keeping the port free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OptionalPorts {
    pub ports: Vec<Port>,
    /// The configurations that use them: `with an HTTPS listener`.
    pub when: String,
    /// Where the entry as a whole is better supported than these ports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grounding: Option<Grounding>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RangeOfPorts {
    pub protocol: Protocol,
    pub range: PortRange,
    /// What it takes of the range: `one port for each agent`.
    pub when: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grounding: Option<Grounding>,
}

/// How a service starts as delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StartKind {
    Manual,
    Trigger,
    Disabled,
}

/// One port that one service needs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Claim {
    /// Of the entry; several claims may share it.
    pub id: String,
    /// SCM key name, or a pattern with `*` such as `MSSQL$*`. Compared without case.
    pub service: String,
    /// The product in words, such as `Network Policy Server`.
    pub product: String,
    pub port: Port,
    pub need: Need,
    pub binding: Binding,
    /// The kernel owns the socket (PID 4) on behalf of the service: HTTP.sys, SMB.
    pub kernel: bool,
    /// Services that use the same port together with this one: their holding it is no conflict.
    pub shared_with: Vec<String>,
    /// The process that holds the port for this service although the socket table may not name the service, such as
    /// `lsass.exe`. `None`: the service's own.
    pub process: Option<String>,
    /// The systems on which the service needs the port.
    pub os: OsSpan,
    pub grounding: Grounding,
    pub sources: Vec<String>,
    /// Seen in earlier boots instead of read in a source. `None`: a claim of the catalog.
    #[serde(skip)]
    pub learned: Option<Seen>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    Required,
    /// Only in the configurations that the text names.
    Optional(String),
}

/// The addresses on which a service binds a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Binding {
    #[default]
    All,
    Loopback,
}

/// Generations from `from` to `to`, both included; `None` is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OsSpan {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<OsGeneration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<OsGeneration>,
}

impl ServiceEntry {
    /// One claim a service and port.
    pub(super) fn claims(&self) -> impl Iterator<Item = Claim> {
        let required = self.ports.iter().map(|&port| (port, Need::Required, self.grounding));
        let optional = self.optional.iter().flat_map(|group| {
            let grounding = group.grounding.unwrap_or(self.grounding);
            group.ports.iter().map(move |&port| (port, Need::Optional(group.when.clone()), grounding))
        });
        let ports: Vec<_> = required.chain(optional).collect();
        self.services.iter().flat_map(move |service| {
            ports.clone().into_iter().map(move |(port, need, grounding)| Claim {
                id: self.id.clone(),
                service: service.clone(),
                product: self.product.clone(),
                port,
                need,
                binding: self.binding,
                kernel: self.kernel,
                shared_with: self.shared_with.clone(),
                process: self.process.clone(),
                os: self.os,
                grounding,
                sources: self.sources.clone(),
                learned: None,
            })
        })
    }
}

/// Boots of its own in which a service held a port, each time, before that counts as more than chance.
const ENOUGH_BOOTS: u32 = 3;

impl Claim {
    /// What a service was seen to hold: needed where it held it each time. Its own boots say more than other hosts.
    pub(crate) fn learned(claim: &LearnedClaim, product: &str) -> Self {
        let (held, of, story) = match claim.seen {
            Seen::Boots { held, of } => (held, of, format!("in {held} of {of} earlier boots of this server")),
            Seen::Hosts { held, of } => (held, of, format!("on {held} of {of} other servers that run it")),
        };
        Self {
            id: "learned".to_owned(),
            service: claim.service.to_string(),
            product: product.to_owned(),
            port: claim.port,
            need: if held >= of { Need::Required } else { Need::Optional(format!("as {story}")) },
            binding: Binding::All,
            kernel: false,
            shared_with: Vec::new(),
            process: None,
            os: OsSpan::default(),
            grounding: Grounding::Verified,
            sources: vec![format!("it held the port {story}")],
            learned: Some(claim.seen),
        }
    }

    /// The most that a finding from this claim can be.
    pub(crate) fn at_most(&self) -> Confidence {
        match (self.learned, self.grounding) {
            (None, Grounding::Verified) => Confidence::Certain,
            (Some(Seen::Boots { held, of }), _) if held >= ENOUGH_BOOTS && held == of => Confidence::Likely,
            (Some(_), _) | (None, Grounding::Recalled) => Confidence::Possible,
        }
    }

    /// Who says that the port is needed.
    pub(crate) fn source(&self) -> &'static str {
        match self.learned {
            None => "catalog",
            Some(Seen::Boots { .. }) => "earlier boots",
            Some(Seen::Hosts { .. }) => "other servers",
        }
    }
}

impl OsSpan {
    pub fn holds(self, generation: OsGeneration) -> bool {
        self.from.is_none_or(|from| from <= generation) && self.to.is_none_or(|to| generation <= to)
    }

    pub fn is_open(self) -> bool {
        self.from.is_none() && self.to.is_none()
    }
}

/// `pattern` with `*` for any run of characters; both in lower case.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, mut rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(head) else { return false };
    while let Some((middle, tail)) = rest.split_once('*') {
        let Some(at) = name.find(middle) else { return false };
        name = &name[at + middle.len()..];
        rest = tail;
    }
    name.ends_with(rest)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_run() {
        assert!(matches("mssql$*", "mssql$sqlexpress"));
        assert!(matches("a*b*c", "a-b-b-c"));
        assert!(matches("dns", "dns"));
        assert!(!matches("mssql$*", "mssqlserver"));
        assert!(!matches("a*bc", "abcd"));
    }
}
