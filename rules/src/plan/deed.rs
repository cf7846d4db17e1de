//! One thing that a plan does, with what was before where that is known, so that it can be checked and taken back.

use crate::ports::{Family, PortRange, Protocol};
use crate::remedy::{Change, Data, Former, RangeList, Removal, command, excluded_port_range};
use crate::words;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    Stop {
        service: String,
    },
    Start {
        service: String,
    },
    AddRanges {
        list: RangeList,
        added: Vec<PortRange>,
        /// As the list holds them, in its order. `None`: not read.
        former: Option<Vec<PortRange>>,
    },
    /// Only to take [`Deed::AddRanges`] back.
    SetRanges {
        list: RangeList,
        ranges: Vec<PortRange>,
    },
    Exclude {
        protocol: Protocol,
        family: Family,
        range: PortRange,
    },
    /// Only to take [`Deed::Exclude`] back.
    Include {
        protocol: Protocol,
        family: Family,
        range: PortRange,
    },
    MoveRange {
        protocol: Protocol,
        family: Family,
        range: PortRange,
        former: Option<PortRange>,
    },
    SetValue {
        key: String,
        name: String,
        data: Data,
        former: Former,
    },
    /// Only to take [`Deed::SetValue`] back.
    DeleteValue {
        key: String,
        name: String,
    },
    Uninstall {
        kb: String,
        removal: Removal,
    },
    RestartServer,
}

impl Deed {
    /// What the list holds afterwards. `None`: what it holds before was not read.
    pub(super) fn all_ranges(added: &[PortRange], former: Option<&[PortRange]>) -> Option<Vec<PortRange>> {
        former.map(|former| words::merged(former.iter().chain(added).copied().collect()))
    }

    /// Lines for an elevated command prompt. Empty: there is none that is safe.
    pub(super) fn commands(&self) -> Vec<String> {
        let change = match self {
            Self::Stop { service } => Change::Stop { service: service.clone() },
            Self::Start { service } => Change::Start { service: service.clone() },
            Self::AddRanges { list, added, former } => {
                let all = Self::all_ranges(added, former.as_deref());
                return all.map(|all| command::set_ranges(*list, &all)).into_iter().collect();
            }
            Self::SetRanges { list, ranges } => return vec![command::set_ranges(*list, ranges)],
            Self::Exclude { protocol, family, range } => {
                Change::Exclude { protocol: *protocol, family: *family, range: *range }
            }
            Self::Include { protocol, family, range } => {
                return vec![excluded_port_range("delete", *protocol, *family, *range)];
            }
            Self::MoveRange { protocol, family, range, .. } => {
                Change::MoveRange { protocol: *protocol, family: *family, range: *range }
            }
            Self::SetValue { key, name, data, .. } => {
                Change::SetValue { key: key.clone(), name: name.clone(), data: data.clone() }
            }
            Self::DeleteValue { key, name } => return vec![format!("reg delete \"{key}\" /v \"{name}\" /f")],
            Self::Uninstall { kb, removal } => Change::Uninstall { kb: kb.clone(), removal: removal.clone() },
            Self::RestartServer => Change::RestartServer,
        };
        change.command().into_iter().collect()
    }

    /// What takes it back. `None`: nothing stays changed, or no command can.
    pub(super) fn inverse(&self) -> Option<Self> {
        Some(match self {
            Self::AddRanges { list, former, .. } => {
                Self::SetRanges { list: *list, ranges: words::merged(former.clone()?) }
            }
            Self::Exclude { protocol, family, range } => {
                Self::Include { protocol: *protocol, family: *family, range: *range }
            }
            Self::MoveRange { protocol, family, range, former } => {
                Self::MoveRange { protocol: *protocol, family: *family, range: (*former)?, former: Some(*range) }
            }
            Self::SetValue { key, name, data, former: Former::Was(was) } => Self::SetValue {
                key: key.clone(),
                name: name.clone(),
                data: was.clone(),
                former: Former::Was(data.clone()),
            },
            Self::SetValue { key, name, former: Former::Absent, .. } => {
                Self::DeleteValue { key: key.clone(), name: name.clone() }
            }
            _ => return None,
        })
    }
}
