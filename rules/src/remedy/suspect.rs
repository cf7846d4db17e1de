//! What to do about an update that is suspected, not known: look at one host first, and hold the update back elsewhere.

use crate::facts::{OsGeneration, Update};
use crate::finding::{Remedy, Restart};
use crate::remedy::command::{by_hand, restart_server, start, undecided};
use crate::remedy::update::uninstall;
use crate::view::View;
use crate::words;

/// Where the host stands with a suspect update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exposure {
    /// It is installed, and the service does not run.
    Failing,
    /// It is installed, and the service runs.
    Running,
    /// It is about to be installed.
    Pending,
}

/// `kbs` are those of the suspect that the host has, with the rows that name the first.
pub(crate) fn of_suspect(exposure: Exposure, service: &str, kbs: &[&str], rows: &[&Update], view: &View<'_>) -> Remedy {
    let generation = view.generation();
    let shown = words::list(kbs);
    let first = kbs.first().copied().unwrap_or_default();
    let hold = by_hand(format!("Hold {shown} back where it is not installed yet, until it is clear what it does."));
    let try_without = [
        by_hand(match kbs {
            [_] => format!("If its log names no other cause, try one host without {shown}."),
            _ => format!("If its log names no other cause, try one host without {shown}, one after the other."),
        }),
        uninstall(first, rows, generation),
        restart_server(),
    ];
    let look = format!("Read what {service} wrote to the event log when it failed.");
    let (summary, steps) = match exposure {
        Exposure::Failing => {
            let steps = [by_hand(look), start(service)].into_iter().chain(try_without).chain([hold]).map(undecided);
            (format!("Start {service}; if it fails again, try one host without {shown}"), steps.collect())
        }
        Exposure::Running => {
            let steps = [by_hand(format!("After the next restart see whether {service} runs.")), hold];
            (format!("See whether {service} runs after the next restart"), steps.to_vec())
        }
        Exposure::Pending => (format!("Hold {shown} back until it is clear what it does"), vec![hold]),
    };
    Remedy {
        summary,
        applies_to: generation.unwrap_or(OsGeneration::Other).label().to_owned(),
        steps,
        risk: format!(
            "Without {shown} the server lacks what it mends. It is suspected by its record on this fleet; nothing is known of it."
        ),
        restart: if exposure == Exposure::Failing { Restart::Server } else { Restart::None },
        undo: vec![by_hand(format!("Install {shown} from the Microsoft Update Catalog."))],
        proven_when: match exposure {
            Exposure::Failing => format!("{service} runs after the next restart."),
            Exposure::Running | Exposure::Pending => format!("{service} runs 72 hours after the restart with {shown}."),
        },
    }
}
