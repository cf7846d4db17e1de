//! From what was gathered to facts: sources are joined by PID and by key name, and where they contradict each other, that
//! is said and nothing is assumed. No I/O.

mod host;
mod policy;
mod updates;

use std::collections::{BTreeMap, BTreeSet};

use rules::facts::{Facts, Section, Service, ServiceState, Socket, SocketState, StartMode};
use rules::text::Text;

use super::gathered::Gathered;
use super::netstat::SocketRow;
use super::registry::{Found, Registry};
use super::service_control::{Configuration, ServiceBlock};
use super::tasklist;
use crate::collect::reading::section;

/// Facts, and in which points the files contradict each other.
pub(super) fn join(gathered: &Gathered) -> (Facts, Vec<Text>) {
    let mut contradictions = Vec::new();
    if let Some(mixed) = host::mixed(gathered) {
        return (unknown(&mixed), vec![mixed]);
    }
    let services = services(gathered, &mut contradictions);
    let processes = Processes::of(gathered, services.as_deref().unwrap_or_default(), &mut contradictions);
    let times = host::Times::of(gathered, &mut contradictions);
    let host = host::host(gathered, services.as_deref(), &times, &mut contradictions);
    let generation = host.as_ref().ok().map(|host| host.os.generation());
    let facts = Facts {
        collected_at: times.collected_at,
        sockets: sockets(gathered, &processes),
        services: match services {
            Some(services) => Section::Known(services),
            None => missing("list of services with their states (sc queryex)"),
        },
        host: section(host),
        updates: updates::updates(gathered),
        port_policy: policy::policy(gathered, generation),
        events: missing("events"),
        connections: missing("counts of connections"),
        ..Facts::default()
    };
    (facts, contradictions)
}

/// Nothing can be said of one host where files of two were given.
fn unknown(reason: &Text) -> Facts {
    Facts {
        host: Section::Unknown(reason.clone()),
        sockets: Section::Unknown(reason.clone()),
        services: Section::Unknown(reason.clone()),
        updates: Section::Unknown(reason.clone()),
        port_policy: Section::Unknown(reason.clone()),
        events: Section::Unknown(reason.clone()),
        connections: Section::Unknown(reason.clone()),
        ..Facts::default()
    }
}

fn missing<T>(what: &str) -> Section<T> {
    Section::Unknown(Text::new(&format!("the capture holds no {what}")))
}

/// `None`: no file lists services with their states.
fn services(gathered: &Gathered, contradictions: &mut Vec<Text>) -> Option<Vec<Service>> {
    let mut blocks: BTreeMap<String, ServiceBlock> = BTreeMap::new();
    for block in gathered.services.iter().filter(|block| !block.is_driver) {
        let key = block.name.to_lowercase();
        match blocks.get_mut(&key) {
            None => {
                blocks.insert(key, block.clone());
            }
            Some(known) => merge(known, block, contradictions),
        }
    }
    start_named(gathered, &mut blocks, contradictions);
    let services: Vec<Service> = blocks.into_values().filter_map(|block| service(block, &gathered.registry)).collect();
    (!services.is_empty()).then_some(services)
}

/// `net start` knows display names only. Where exactly one service has the name, that service runs.
fn start_named(gathered: &Gathered, blocks: &mut BTreeMap<String, ServiceBlock>, contradictions: &mut Vec<Text>) {
    let mut keys: BTreeMap<Text, Vec<String>> = BTreeMap::new();
    for (key, block) in blocks.iter() {
        if let Some(display) = &block.display_name {
            keys.entry(display.clone()).or_default().push(key.clone());
        }
    }
    for name in &gathered.started {
        let Some([key]) = keys.get(name).map(Vec::as_slice) else { continue };
        let Some(block) = blocks.get_mut(key) else { continue };
        match block.state {
            None => block.state = Some(ServiceState::Running),
            Some(ServiceState::Stopped) => contradictions.push(Text::new(&format!(
                "{} is stopped in one list and started in another: the files are not of one moment",
                block.name
            ))),
            Some(_) => {}
        }
    }
}

fn merge(known: &mut ServiceBlock, block: &ServiceBlock, contradictions: &mut Vec<Text>) {
    if let (Some(one), Some(other)) = (known.state, block.state)
        && one != other
    {
        contradictions.push(Text::new(&format!("{} is in two different states; the later one counts", known.name)));
    }
    if block.state.is_some() {
        (known.state, known.exit_code, known.service_exit_code) =
            (block.state, block.exit_code, block.service_exit_code);
        known.pid = block.pid.or(known.pid);
    }
    known.display_name = known.display_name.take().or_else(|| block.display_name.clone());
    known.configuration = block.configuration.clone().or_else(|| known.configuration.take());
}

fn service(block: ServiceBlock, registry: &Registry) -> Option<Service> {
    let state = block.state?;
    let configuration = block.configuration.or_else(|| configured(&block.name, registry));
    Some(Service {
        name: block.name,
        display_name: block.display_name.unwrap_or_default(),
        state,
        start: configuration.as_ref().map(|configuration| configuration.start),
        delayed: configuration.as_ref().map(|configuration| configuration.delayed),
        trigger_start: None,
        recovery: None,
        pid: block.pid.filter(|pid| *pid != 0 && state != ServiceState::Stopped),
        exit_code: block.exit_code,
        service_exit_code: block.service_exit_code,
        image_path: configuration.as_ref().and_then(|configuration| configuration.image_path.clone()),
        account: configuration.as_ref().and_then(|configuration| configuration.account.clone()),
        depends_on: configuration.map(|configuration| configuration.depends_on).unwrap_or_default(),
        state_since: None,
    })
}

/// The key of the service in the registry, where it was queried with its values.
fn configured(name: &str, registry: &Registry) -> Option<Configuration> {
    let key = registry.key(&format!(r"SYSTEM\CurrentControlSet\Services\{name}"))?;
    let start = match key.number("Start")? {
        0 => StartMode::Boot,
        1 => StartMode::System,
        2 => StartMode::Auto,
        3 => StartMode::Manual,
        4 => StartMode::Disabled,
        _ => return None,
    };
    let lines = |name| match key.find_lines(name) {
        Found::Set(lines) => lines,
        _ => Vec::new(),
    };
    Some(Configuration {
        start,
        delayed: key.number("DelayedAutostart").is_some_and(|delayed| delayed != 0),
        image_path: key.text("ImagePath").map(Text::new),
        account: key.text("ObjectName").map(Text::new),
        depends_on: lines("DependOnService").into_iter().map(Text::from).collect(),
    })
}

#[derive(Debug, Default)]
struct Process {
    image: Option<Text>,
    services: BTreeSet<Text>,
}

#[derive(Debug)]
struct Processes(BTreeMap<u32, Process>);

impl Processes {
    fn of(gathered: &Gathered, services: &[Service], contradictions: &mut Vec<Text>) -> Self {
        let mut images: BTreeMap<u32, Vec<Text>> = BTreeMap::new();
        let mut processes: BTreeMap<u32, Process> = BTreeMap::new();
        let of_sockets = gathered.sockets.iter().filter_map(|row| Some((row.pid?, row.image.as_ref()?)));
        let of_processes = gathered.processes.iter().map(|row| (row.pid, &row.image));
        for (pid, image) in of_processes.chain(of_sockets) {
            let known = images.entry(pid).or_default();
            if !known.iter().any(|other| is_same_image(other, image)) {
                known.push(image.clone());
            }
        }
        for (pid, mut images) in images {
            // PID 0 owns nothing; its name is a matter of language.
            if images.len() > 1 && pid > 4 {
                contradictions.push(Text::new(&format!(
                    "PID {pid} is {} in one place and {} in another: the files are not of one moment",
                    images[0], images[1]
                )));
            } else {
                processes.entry(pid).or_default().image = images.pop();
            }
        }
        for service in services {
            if let Some(pid) = service.pid {
                processes.entry(pid).or_default().services.insert(service.name.clone());
            }
        }
        let nothing = tasklist::no_services(&gathered.processes);
        for row in &gathered.processes {
            let names = row.services.iter().flat_map(|cell| &cell.names).filter(|name| Some(*name) != nothing.as_ref());
            for name in names.filter(|name| nothing.is_some() || is_key_name(name)) {
                let known = services.iter().find(|service| service.name.eq_ignore_ascii_case(name));
                let name = known.map_or(name, |service| &service.name).clone();
                processes.entry(row.pid).or_default().services.insert(name);
            }
        }
        let listed: BTreeSet<u32> = gathered.processes.iter().map(|row| row.pid).collect();
        let owners = gathered.sockets.iter().filter_map(|row| row.pid);
        let unknown: BTreeSet<u32> =
            owners.filter(|pid| *pid != 0 && !listed.is_empty() && !listed.contains(pid)).collect();
        if let Some(pid) = unknown.first() {
            contradictions.push(Text::new(&format!(
                "sockets belong to PID {pid}{}, which no list of processes has",
                match unknown.len() {
                    1 => String::new(),
                    more => format!(" and {} others", more - 1),
                }
            )));
        }
        Self(processes)
    }
}

/// Whether a word can be nothing else than a key name, where it is not known what stands for "none".
fn is_key_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'$' | b'.'))
}

/// Tables cut long names, and some commands print the path.
fn is_same_image(one: &str, other: &str) -> bool {
    let name = |image: &str| image.rsplit('\\').next().unwrap_or(image).to_lowercase();
    let (one, other) = (name(one), name(other));
    let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    short == long || (short.chars().count() >= 25 && long.starts_with(&short))
}

fn sockets(gathered: &Gathered, processes: &Processes) -> Section<Vec<Socket>> {
    if gathered.sockets.is_empty() {
        return missing("list of sockets (netstat -ano)");
    }
    let rows = &gathered.sockets;
    if rows.iter().all(|row| row.state == SocketState::Connected) {
        return missing("list of sockets that listen, but only one of connections (netstat without -a)");
    }
    let mut sockets = BTreeSet::new();
    let listening: BTreeSet<_> =
        rows.iter().filter(|row| row.state == SocketState::Listen).map(|row| (row.port, row.pid)).collect();
    for row in rows {
        // Accepted connections share the port of their listener; those of PID 0 are over.
        let is_connection = row.state == SocketState::Connected;
        if is_connection && (row.pid.is_none_or(|pid| pid == 0) || listening.contains(&(row.port, row.pid))) {
            continue;
        }
        sockets.insert(socket(row, processes));
    }
    Section::Known(without_less(sockets))
}

fn socket(row: &SocketRow, processes: &Processes) -> Socket {
    let process = row.pid.and_then(|pid| processes.0.get(&pid));
    let candidates = process.map(|process| process.services.clone()).unwrap_or_default();
    let component = row.component.as_ref();
    let named = component.and_then(|name| candidates.iter().find(|service| service.eq_ignore_ascii_case(name)));
    let services = match (named, component) {
        (Some(service), _) => vec![service.clone()],
        // No list tells the services of the process; netstat does.
        (None, Some(component)) if candidates.is_empty() => vec![component.clone()],
        (None, _) => candidates.into_iter().collect(),
    };
    Socket {
        protocol: row.protocol,
        address: row.address,
        scope: row.scope,
        port: row.port,
        state: row.state,
        pid: row.pid,
        image: process.and_then(|process| process.image.clone()).or_else(|| match row.pid {
            None => row.image.clone(),
            Some(_) => None,
        }),
        process_started_at: None,
        services,
        specific_port: None,
        bound_at: None,
    }
}

/// Without rows that say the same socket with less: the same table is often collected with and without owners.
fn without_less(sockets: BTreeSet<Socket>) -> Vec<Socket> {
    let mut kept: BTreeMap<_, Socket> = BTreeMap::new();
    for socket in sockets {
        let key = (socket.protocol, socket.address, socket.scope, socket.port, socket.state, socket.pid);
        let knowledge = |socket: &Socket| {
            (socket.image.is_some(), std::cmp::Reverse(socket.services.len().max(1)), !socket.services.is_empty())
        };
        match kept.get(&key) {
            Some(known) if knowledge(known) >= knowledge(&socket) => {}
            _ => {
                kept.insert(key, socket);
            }
        }
    }
    let owned: BTreeSet<_> =
        kept.keys().filter(|key| key.5.is_some()).map(|key| (key.0, key.1, key.2, key.3)).collect();
    kept.retain(|key, _| key.5.is_some() || !owned.contains(&(key.0, key.1, key.2, key.3)));
    kept.into_values().collect()
}
