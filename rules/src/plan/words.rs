//! What each step of a plan says: what it does, needs, risks and restarts, the way back, and how a report proves it.

use super::deed::Deed;
use crate::facts::OsGeneration;
use crate::finding::Restart;
use crate::remedy::{Data, Former, RangeList, Removal};
use crate::words::list;

/// Whether a step leads to the remedy or takes it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    There,
    Back,
}

pub(super) fn text(deed: &Deed, way: Way) -> String {
    match deed {
        Deed::Stop { service } => format!("Stop {service}, and with it the services that depend on it."),
        Deed::Start { service } => format!("Start {service}."),
        Deed::AddRanges { list: to, added, .. } => {
            format!("Add {} to {}; what it holds stays.", list(added), to.value())
        }
        Deed::SetRanges { list: to, ranges } if ranges.is_empty() => {
            format!("Delete {}, which was not set.", to.value())
        }
        Deed::SetRanges { list: to, ranges } => format!("Set {} back to {}.", to.value(), list(ranges)),
        Deed::Exclude { protocol, family, range } => format!(
            "Exclude {protocol}/{range} from what Windows hands out by itself, for {}; who asks for it by number still gets it.",
            family.label()
        ),
        Deed::Include { protocol, family, range } => {
            format!("Let Windows hand out {protocol}/{range} again, for {}.", family.label())
        }
        Deed::MoveRange { protocol, family, range, .. } => {
            let back = if way == Way::Back { " back" } else { "" };
            format!("Move the dynamic range of {protocol}, for {},{back} to {range}.", family.label())
        }
        Deed::SetValue { key, name, data, .. } => {
            let back = if way == Way::Back { " back" } else { "" };
            format!("Set {name} under {key}{back} to {}.", shown(data))
        }
        Deed::DeleteValue { key, name } => format!("Delete {name} under {key}, which was not set."),
        Deed::Uninstall { kb, .. } => format!("Uninstall {kb}."),
        Deed::RestartServer => "Restart the server.".to_owned(),
    }
}

fn shown(data: &Data) -> String {
    match data {
        Data::Dword(number) => number.to_string(),
        Data::String(text) => format!("\"{text}\""),
    }
}

pub(super) fn precondition(deed: &Deed, generation: OsGeneration) -> Option<String> {
    Some(match deed {
        Deed::AddRanges { list: to, former, .. } => match former.as_deref() {
            None => format!("What {} holds was not read: it must be kept.", to.value()),
            Some([]) => format!("{} is not set, as in the last report.", to.value()),
            Some(former) => format!("{} holds {}, as in the last report.", to.value(), list(former)),
        },
        Deed::Exclude { protocol, range, .. } => {
            let hotfix = match generation {
                OsGeneration::Server2008R2 => " Hotfix KB2665809 is installed.",
                _ => "",
            };
            format!(
                "Nobody holds a port of {protocol}/{range}: an exclusion cannot be added while one is held.{hotfix}"
            )
        }
        Deed::MoveRange { former: Some(former), .. } => {
            format!("The dynamic range is {former}, as in the last report.")
        }
        Deed::SetValue { name, former, .. } => match former {
            Former::Absent => format!("{name} is not set, as in the last report."),
            Former::Was(data) => format!("{name} is {}, as in the last report.", shown(data)),
            Former::Unread => format!("What {name} is was not read: keep it, for the way back."),
        },
        Deed::Uninstall { kb, .. } => format!("{kb} is installed, and nothing that is needed depends on it."),
        Deed::RestartServer => "Everybody who uses the server knows of it.".to_owned(),
        _ => return None,
    })
}

pub(super) fn risk(deed: &Deed, generation: OsGeneration) -> Option<String> {
    Some(match deed {
        Deed::Stop { service } => format!("What {service} does is away until it is started again."),
        Deed::AddRanges { list: RangeList::ReservedPorts, .. } => {
            "Programs that ask for any free port get none of these.".to_owned()
        }
        Deed::AddRanges { list: RangeList::DnsPool, .. } => "These ports leave the DNS server's pool.".to_owned(),
        Deed::Exclude { .. } => match generation {
            OsGeneration::Server2008R2 | OsGeneration::Server2012 | OsGeneration::Server2012R2 => {
                "A program that binds an excluded port twice with SO_REUSEADDR fails with 10013 on this system (KB3039044).".to_owned()
            }
            _ => return None,
        },
        Deed::MoveRange { protocol, .. } => {
            format!("Programs that ask for any free port of {protocol} get one of the new range; firewalls must let it pass.")
        }
        Deed::SetValue { .. } => "Firewalls, and whoever relies on the former value, must know of the new one.".to_owned(),
        Deed::Uninstall { kb, .. } => format!("What {kb} mended is open again."),
        Deed::RestartServer => "The server is away during the restart.".to_owned(),
        _ => return None,
    })
}

/// What must start anew for the step to count.
pub(super) fn restart(deed: &Deed) -> Restart {
    match deed {
        Deed::Stop { .. } | Deed::Start { .. } | Deed::AddRanges { list: RangeList::DnsPool, .. } => Restart::Service,
        Deed::AddRanges { list: RangeList::ReservedPorts, .. }
        | Deed::SetValue { .. }
        | Deed::Uninstall { .. }
        | Deed::RestartServer => Restart::Server,
        _ => Restart::None,
    }
}

/// The way back in a sentence. `None`: nothing stays changed.
pub(super) fn undo(deed: &Deed) -> Option<String> {
    match deed {
        Deed::Stop { .. } | Deed::Start { .. } | Deed::RestartServer => None,
        Deed::Uninstall { kb, removal } => Some(match removal {
            Removal::Spuninst => format!("Install {kb} again by its own package."),
            _ => format!("Install {kb} again from the Microsoft Update Catalog."),
        }),
        deed => Some(match (deed.inverse(), deed) {
            (Some(inverse), _) => text(&inverse, Way::Back),
            (None, Deed::AddRanges { list, .. }) => format!("Take the added lines out of {} again.", list.value()),
            (None, Deed::SetValue { key, name, .. }) => {
                format!("Put {name} under {key} back to what it was, from the file that the script saved first.")
            }
            (None, _) => "Set it back to what it was.".to_owned(),
        }),
    }
}

pub(super) fn proven_when(deed: &Deed) -> String {
    match deed {
        Deed::Stop { service } => format!("{service} is started again further down."),
        Deed::Start { service } => format!("{service} runs in the next report."),
        Deed::AddRanges { list: to, added, .. } | Deed::SetRanges { list: to, ranges: added } => {
            format!("The port policy of the next report lists {} in {}.", list(added), to.value())
        }
        Deed::Exclude { protocol, family, range } | Deed::Include { protocol, family, range } => format!(
            "The port policy of the next report shows {protocol}/{range} as an administered exclusion for {}.",
            family.label()
        ),
        Deed::MoveRange { protocol, family, range, .. } => {
            format!(
                "The port policy of the next report shows {range} as the dynamic range of {protocol} for {}.",
                family.label()
            )
        }
        Deed::SetValue { name, data, .. } => format!("{name} reads {} after the restart.", shown(data)),
        Deed::DeleteValue { name, .. } => format!("{name} is gone."),
        Deed::Uninstall { kb, .. } => format!("{kb} is gone from the report that follows the restart."),
        Deed::RestartServer => "The next report names a later boot.".to_owned(),
    }
}
