//! What to do about a service that failed for a reason that no rule knows: where to look, by its exit code, and what to
//! try. Honest: nothing here is said to mend it.

use super::command::{by_hand, start, step, undecided};
use crate::facts::{OsGeneration, Service};
use crate::finding::{Remedy, Restart, Step};
use crate::history::{DifferenceKind, LastGood};
use crate::view::View;

pub(crate) fn of_failure(service: &Service, last_good: Option<&LastGood>, view: &View<'_>) -> Remedy {
    let name = &service.name;
    let mut steps = vec![
        look(service),
        step(
            "Read what was logged around the failure; the newest entries come first.",
            Some("wevtutil qe Application /c:30 /rd:true /f:text /q:\"*[System[(Level=1 or Level=2)]]\"".to_owned()),
        ),
    ];
    if view.generation().is_some_and(|generation| generation <= OsGeneration::Server2003) {
        // wevtutil came with Vista.
        steps.truncate(1);
        steps.push(by_hand("Read what the event viewer shows around the failure, in Application and System."));
    }
    steps.push(undecided(start(name)));
    let differences = last_good.map(|good| good.differences.as_slice()).unwrap_or_default();
    if differences.iter().any(|difference| difference.kind == DifferenceKind::Update) {
        steps.push(by_hand(format!(
            "If {name} does not stay up: try the updates that came since it last ran, on one server first. The list names them, the likeliest first."
        )));
    }
    if differences.iter().any(|difference| difference.kind != DifferenceKind::Update) {
        steps.push(by_hand("Compare the settings that changed since it last ran, and put back what nobody meant."));
    }
    Remedy {
        summary: format!("Find out why {name} failed, then start it"),
        applies_to: view.generation().unwrap_or(OsGeneration::Other).label().to_owned(),
        steps,
        risk: format!("Starting {name} is what the system would do at the next boot; it may fail again."),
        restart: Restart::None,
        undo: vec![by_hand(format!("Stop {name} again."))],
        proven_when: format!("The next report shows {name} running."),
    }
}

/// Where the exit code points.
fn look(service: &Service) -> Step {
    let name = &service.name;
    match service.exit_code {
        Some(2 | 3) => by_hand(format!(
            "Look whether the program of {name} is where its setup says{}.",
            service.image_path.as_deref().map_or_else(String::new, |path| format!(": {path}"))
        )),
        Some(5) => by_hand(format!(
            "Look whether the account of {name}{} may read its program, its folders and its registry key.",
            account(service)
        )),
        Some(1053) => by_hand(format!(
            "{name} did not answer the start in time: look whether it waits for something, such as a database or a certificate check, and whether the server was overloaded."
        )),
        Some(1067) => by_hand(format!(
            "The process of {name} died: look for its crash, event 1000 or 1026, in the Application log."
        )),
        Some(1068 | 1075) => by_hand(format!(
            "Start the services that {name} depends on first{}.",
            match service.depends_on.as_slice() {
                [] => String::new(),
                names => format!(": {}", crate::words::list(names)),
            }
        )),
        Some(1069 | 1079) => by_hand(format!(
            "Look whether the account of {name}{} exists, is not locked, may log on as a service, and has the password that its setup holds.",
            account(service)
        )),
        _ => by_hand(format!("Look into the own log of {name}, if it keeps one.")),
    }
}

fn account(service: &Service) -> String {
    service.account.as_deref().map_or_else(String::new, |account| format!(" ({account})"))
}
