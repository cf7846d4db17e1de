//! What a remedy changes on a host, as data: the state that is to be, never the one that was. Steps carry it beside their
//! words; [`crate::plan`] joins the changes of all findings of a host.
//!
//! Invariant: what a change names of the host is hostile text. Whoever writes it into a script quotes it.

use serde::{Deserialize, Serialize};

use crate::ports::{Family, PortRange, Protocol};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Change {
    /// With those that depend on it.
    Stop {
        service: String,
    },
    Start {
        service: String,
    },
    /// Stopped and started, so that it reads its settings.
    Restart {
        service: String,
    },
    /// Ranges that a list of the registry is to hold beside those that it holds.
    Reserve {
        list: RangeList,
        ranges: Vec<PortRange>,
    },
    /// An administered exclusion that survives a restart.
    Exclude {
        protocol: Protocol,
        family: Family,
        range: PortRange,
    },
    /// The range from which ports are drawn.
    MoveRange {
        protocol: Protocol,
        family: Family,
        range: PortRange,
    },
    SetValue {
        key: String,
        name: String,
        data: Data,
    },
    Uninstall {
        kb: String,
        removal: Removal,
    },
    RestartServer,
}

/// A REG_MULTI_SZ value of port ranges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RangeList {
    /// Honoured by Windows 2000 and 2003, for both protocols (KB812873).
    ReservedPorts,
    /// Ports that the DNS server leaves out of its pool, Server 2008 R2 and later.
    DnsPool,
}

impl RangeList {
    pub fn key(self) -> &'static str {
        match self {
            Self::ReservedPorts => r"HKLM\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters",
            Self::DnsPool => r"HKLM\SYSTEM\CurrentControlSet\Services\DNS\Parameters",
        }
    }

    pub fn value(self) -> &'static str {
        match self {
            Self::ReservedPorts => "ReservedPorts",
            Self::DnsPool => "SocketPoolExcludedPortRanges",
        }
    }
}

/// What a registry value is set to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Data {
    Dword(u32),
    String(String),
}

/// What a registry value is before a remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Former {
    Absent,
    Was(Data),
    Unread,
}

/// The way in which an update goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Removal {
    /// Its own uninstaller, Windows 2000 and 2003.
    Spuninst,
    /// By the identity of its package, Server 2008 (KB940410).
    Pkgmgr(String),
    /// By the identity of its package.
    Dism(String),
    /// By its number, Server 2008 R2 and later (KB934307).
    Wusa,
}

impl Change {
    /// The line of an elevated command prompt that does it. `None`: a name in it is not safe there, or the line depends on
    /// what the host holds already.
    pub fn command(&self) -> Option<String> {
        use super::command::argument;
        Some(match self {
            Self::Stop { service } => format!("net stop {} /y", argument(service)?),
            Self::Start { service } => format!("net start {}", argument(service)?),
            Self::Restart { service } => {
                let name = argument(service)?;
                format!("net stop {name} /y & net start {name}")
            }
            Self::Reserve { .. } => return None,
            Self::Exclude { protocol, family, range } => excluded_port_range("add", *protocol, *family, *range),
            Self::MoveRange { protocol, family, range } => format!(
                "netsh int {} set dynamicport {protocol} start={} num={}",
                family.as_str(),
                range.start(),
                range.count()
            ),
            Self::SetValue { key, name, data: Data::Dword(number) } => {
                format!("reg add \"{key}\" /v \"{name}\" /t REG_DWORD /d {number} /f")
            }
            Self::SetValue { key, name, data: Data::String(text) } => {
                format!("reg add \"{key}\" /v \"{name}\" /t REG_SZ /d \"{text}\" /f")
            }
            Self::Uninstall { kb, removal: Removal::Spuninst } => {
                format!("\"%SystemRoot%\\$NtUninstall{kb}$\\spuninst\\spuninst.exe\"")
            }
            Self::Uninstall { removal: Removal::Pkgmgr(package), .. } => {
                format!("start /w pkgmgr /up:{package} /norestart")
            }
            Self::Uninstall { removal: Removal::Dism(package), .. } => {
                format!("dism /online /remove-package /packagename:{package} /norestart")
            }
            Self::Uninstall { kb, removal: Removal::Wusa } => {
                format!("wusa /uninstall /kb:{} /norestart", kb.trim_start_matches("KB"))
            }
            Self::RestartServer => "shutdown /r /t 0".to_owned(),
        })
    }
}

/// `verb` is `add` or `delete`.
pub(crate) fn excluded_port_range(verb: &str, protocol: Protocol, family: Family, range: PortRange) -> String {
    format!(
        "netsh int {} {verb} excludedportrange protocol={protocol} startport={} numberofports={} store=persistent",
        family.as_str(),
        range.start(),
        range.count()
    )
}
