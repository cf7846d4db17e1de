//! A claim: service X needs port Y. One claim a port, so that an index finds it.

use serde::{Deserialize, Serialize};

use super::Grounding;
use crate::facts::OsGeneration;
use crate::ports::Port;

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
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    Required,
    /// Only in the configurations that the text names.
    Optional(String),
}

/// The addresses on which a service binds a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Binding {
    #[default]
    All,
    Loopback,
}

/// Generations from `from` to `to`, both included; `None` is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OsSpan {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<OsGeneration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<OsGeneration>,
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
