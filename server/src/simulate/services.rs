//! Services of a host: those of Windows, of which some are started for minutes at a time, and those of its programs.
//! And what the event log says of them.

use chrono::{DateTime, TimeDelta, Utc};
use rules::facts::{Event, EventDatum, Service, ServiceState};
use rules::text::Text;

use super::host::{Moment, as_i64};
use super::knowledge::{Kind, WindowsService};
use super::sockets::{CRASHED, PORT_IN_USE, State, Table, crashes};
use crate::demo::told;

/// ERROR_SERVICE_NEVER_STARTED.
const NEVER_STARTED: u32 = 1077;

pub(super) fn of(moment: &Moment<'_>, table: &Table) -> Vec<Service> {
    let base = moment.host.known_system().base.iter().map(|service| {
        let process = moment
            .host
            .known_system()
            .scene
            .processes
            .iter()
            .find(|process| process.services.iter().any(|name| service.name == name.as_str()));
        let since = process.map(|process| (process.pid, moment.after_boot(process.started + 1)));
        row(service, since.filter(|(_, since)| *since <= moment.time))
    });
    let delivered =
        moment.host.knowledge().services.iter().enumerate().map(|(index, service)| delivered(moment, index, service));
    let apps = moment.host.apps().map(|(index, app)| {
        let service = WindowsService {
            name: app.service.clone(),
            display: app.display.clone(),
            image: app.command.clone(),
            kind: Kind::Auto,
        };
        match table.apps[&index] {
            State::NotYet => row(&service, None),
            State::Running { pid, since } => row(&service, Some((pid, since))),
            State::Stopped { exit_code, since } => {
                Service { exit_code: Some(exit_code), state_since: Some(since), ..row(&service, None) }
            }
        }
    });
    base.chain(delivered).chain(apps).collect()
}

/// Services of Windows that have run since the boot: name, process and start.
pub(super) fn running_from_boot<'a>(moment: &'a Moment<'_>) -> impl Iterator<Item = (Text, u32, DateTime<Utc>)> + 'a {
    moment
        .host
        .knowledge()
        .services
        .iter()
        .enumerate()
        .filter(|(_, service)| service.kind == Kind::Auto)
        .map(|(index, service)| (service.name.clone(), pid(moment, index, 0), started_at(moment, index, service.kind)))
}

/// The start of the system, and the services that failed since, in the order of time.
pub(super) fn events(moment: &Moment<'_>, services: &[Service]) -> Vec<Event> {
    let mut events = vec![event(moment.after_boot(2), "Microsoft-Windows-Kernel-General", 12, None, &[])];
    let mut failed = |id, name: &Text, display: &Text, code: u32, at| {
        let data = [display.clone(), Text::from(format!("%%{code}"))];
        events.push(event(at, "Service Control Manager", id, Some(name.clone()), &data));
    };
    for service in services.iter().filter(|service| service.exit_code == Some(PORT_IN_USE)) {
        let Some(at) = service.state_since else { continue };
        failed(7023, &service.name, &service.display_name, PORT_IN_USE, at);
    }
    for (index, app) in moment.host.apps() {
        for at in crashes(moment, index, app) {
            failed(7034, &app.service, &app.display, CRASHED, at);
        }
    }
    events.sort_by_key(|event| event.at);
    events
}

/// Numbered by its second: an entry keeps its number while others come and go.
fn event(at: DateTime<Utc>, provider: &str, id: u32, service: Option<Text>, data: &[Text]) -> Event {
    let datum = |(number, value): (usize, &Text)| EventDatum {
        name: Some(Text::from(format!("param{}", number + 1))),
        value: value.clone(),
    };
    let salt =
        service.as_deref().map_or(0, |name| name.bytes().fold(7, |sum, byte| (sum * 31 + u64::from(byte)) % 997));
    Event {
        log: "System".into(),
        record_id: u64::try_from(at.timestamp()).unwrap_or_default() * 1000 + salt,
        at: Some(at),
        provider: provider.into(),
        id,
        service,
        data: data.iter().enumerate().map(datum).collect(),
    }
}

fn delivered(moment: &Moment<'_>, index: usize, service: &WindowsService) -> Service {
    let host = moment.host.chance.of("service").at(as_i64(index));
    let started = started_at(moment, index, service.kind);
    let runs = match service.kind {
        Kind::Auto | Kind::Delayed => (started <= moment.time).then(|| (pid(moment, index, 0), started)),
        Kind::Manual if host.happens(20) => (started <= moment.time).then(|| (pid(moment, index, 0), started)),
        Kind::Trigger => return triggered(moment, index, service),
        Kind::Manual | Kind::Disabled => None,
    };
    row(service, runs)
}

/// Started every few hours for a while.
fn triggered(moment: &Moment<'_>, index: usize, service: &WindowsService) -> Service {
    let chance = moment.chance.of("trigger").at(as_i64(index));
    let every = chance.of("every").between(1200, 6 * 3600);
    let lasts = every * chance.of("lasts").between(10, 40) / 100;
    let first = moment.after_boot(chance.of("first").between(60, every));
    let turn = (moment.time - first).num_seconds().div_euclid(every);
    if moment.time < first {
        return row(service, None);
    }
    let start = first + TimeDelta::seconds(turn * every);
    let stop = start + TimeDelta::seconds(lasts);
    if moment.time < stop {
        row(service, Some((pid(moment, index, turn), start)))
    } else {
        Service { exit_code: Some(0), state_since: Some(stop), ..row(service, None) }
    }
}

fn started_at(moment: &Moment<'_>, index: usize, kind: Kind) -> DateTime<Utc> {
    let chance = moment.chance.of("started").at(as_i64(index));
    let (from, to) = match kind {
        Kind::Auto => (8, 45),
        Kind::Delayed => (120, 240),
        Kind::Manual | Kind::Trigger | Kind::Disabled => (60, 900),
    };
    moment.after_boot(chance.between(from, to))
}

/// Even, above those of the systems and of programs, and another one after each start.
fn pid(moment: &Moment<'_>, index: usize, turn: i64) -> u32 {
    let drawn = moment.chance.of("pid").at(as_i64(index)).at(turn).below(13);
    u32::try_from(8000 + 4 * (13 * index as u64 + drawn)).unwrap_or(u32::MAX)
}

/// `runs`: its process, and since when. `None`: it never started in this boot.
fn row(service: &WindowsService, runs: Option<(u32, DateTime<Utc>)>) -> Service {
    let start = service.kind.start();
    Service {
        name: service.name.clone(),
        display_name: service.display.clone(),
        state: if runs.is_some() { ServiceState::Running } else { ServiceState::Stopped },
        start: Some(start),
        delayed: Some(service.kind == Kind::Delayed),
        trigger_start: Some(service.kind == Kind::Trigger),
        pid: runs.map(|(pid, _)| pid),
        exit_code: Some(if runs.is_some() { 0 } else { NEVER_STARTED }),
        service_exit_code: None,
        image_path: service.image.clone(),
        account: None,
        depends_on: Vec::new(),
        state_since: runs.map(|(_, since)| since),
        recovery: Some(told::recovery(start)),
    }
}
