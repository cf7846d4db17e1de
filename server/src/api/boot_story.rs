//! The entries of a boot as people read them: what several sources tell of one happening is one entry, each says in a
//! sentence what happened, and a failed service names who held the ports that it needs. Pure.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use rules::catalog::{Catalog, Claim};
use rules::events::codes;
use rules::facts::{Event, OsGeneration};
use rules::ports::{Port, Protocol};

use crate::api::host_boots::{Basis, BootEntry, EntryKind, PortHolder};
use crate::api::host_events::fact;
use crate::db::read_boots::EntryRow;
use crate::events::sentence;

/// A socket of each family is bound by one call after the other.
const SAME_BIND: TimeDelta = TimeDelta::seconds(2);
/// The event log, the push and the sweep tell of one change of a service at their own times.
const SAME_CHANGE: TimeDelta = TimeDelta::seconds(5);
/// The kernel binds ports for services.
const KERNEL: i64 = 4;

/// `rows` in the order of time.
pub fn tell(rows: Vec<EntryRow>, catalog: &Catalog, generation: Option<OsGeneration>) -> Vec<BootEntry> {
    let rows = merged(rows);
    rows.iter().map(|row| entry(row, &rows, catalog, generation)).collect()
}

/// `dns.exe` for `C:\Windows\System32\dns.exe`.
pub fn process(image: &str) -> String {
    image.rsplit(['\\', '/']).next().unwrap_or(image).to_owned()
}

/// From `boot_entry.basis`.
pub fn basis(number: i16) -> Basis {
    match number {
        1 => Basis::BindTime,
        2 => Basis::Event,
        3 => Basis::Watched,
        _ => Basis::Seen,
    }
}

fn kind(number: i16) -> EntryKind {
    match number {
        1 => EntryKind::Bound,
        2 => EntryKind::Pool,
        3 => EntryKind::Running,
        4 => EntryKind::Stopped,
        5 => EntryKind::Failed,
        _ => EntryKind::Event,
    }
}

/// A row with the addresses of those that it stands for.
struct Merged {
    row: EntryRow,
    addresses: Vec<String>,
}

fn merged(rows: Vec<EntryRow>) -> Vec<Merged> {
    let mut merged: Vec<Merged> = Vec::with_capacity(rows.len());
    let mut last: HashMap<Subject, usize> = HashMap::new();
    for row in rows {
        let subject = Subject::of(&row);
        let before = subject.as_ref().and_then(|subject| merged.get_mut(*last.get(subject)?));
        if let Some(before) = before
            && is_same(&before.row, &row)
        {
            before.absorb(row);
            continue;
        }
        if let Some(subject) = subject {
            last.insert(subject, merged.len());
        }
        let addresses = row.address.iter().map(ToString::to_string).collect();
        merged.push(Merged { row, addresses });
    }
    merged
}

/// What an entry is about.
#[derive(PartialEq, Eq, Hash)]
enum Subject {
    Bind(Option<i16>, Option<i32>, Option<i64>),
    Service(String),
}

impl Subject {
    fn of(row: &EntryRow) -> Option<Self> {
        match kind(row.kind) {
            EntryKind::Bound => Some(Self::Bind(row.protocol, row.port, row.pid)),
            EntryKind::Running | EntryKind::Stopped | EntryKind::Failed => {
                Some(Self::Service(row.services.first()?.to_lowercase()))
            }
            EntryKind::Pool | EntryKind::Event => None,
        }
    }
}

/// Whether two entries about one subject tell of one happening; `later` is not the earlier one.
fn is_same(before: &EntryRow, later: &EntryRow) -> bool {
    let apart = later.at - before.at;
    let runs = |row: &EntryRow| kind(row.kind) == EntryKind::Running;
    match kind(later.kind) {
        EntryKind::Bound => apart <= SAME_BIND && before.gone_at.is_none_or(|gone| gone > later.at),
        EntryKind::Running | EntryKind::Stopped | EntryKind::Failed if runs(before) == runs(later) => {
            let is_same_process = before.pid.is_none() || later.pid.is_none() || before.pid == later.pid;
            apart <= SAME_CHANGE || basis(later.basis) == Basis::Seen || (runs(later) && is_same_process)
        }
        _ => false,
    }
}

impl Merged {
    /// Keeps the earlier time, what it is the time of, and all that either knows.
    fn absorb(&mut self, other: EntryRow) {
        let row = &mut self.row;
        self.addresses.extend(other.address.iter().map(ToString::to_string));
        // One that failed is not only stopped.
        row.kind = row.kind.max(other.kind);
        if row.exit_code.is_none() || other.service_exit_code.is_some() {
            row.exit_code = other.exit_code.or(row.exit_code);
            row.service_exit_code = other.service_exit_code.or(row.service_exit_code);
        }
        row.pid = row.pid.or(other.pid);
        row.image = row.image.take().or(other.image);
        if row.services.is_empty() {
            row.services = other.services;
        }
        row.gone_at = row.gone_at.zip(other.gone_at).map(|(one, other)| one.max(other));
    }
}

fn entry(merged: &Merged, all: &[Merged], catalog: &Catalog, generation: Option<OsGeneration>) -> BootEntry {
    let row = &merged.row;
    let kind = kind(row.kind);
    BootEntry {
        kind,
        at: row.at,
        basis: basis(row.basis),
        learned_at: row.learned_at,
        text: text(row),
        port: port_text(row),
        port_count: row.port_count.and_then(|count| u32::try_from(count).ok()),
        addresses: merged.addresses.clone(),
        gone_at: row.gone_at,
        process: row.image.as_deref().map(process),
        image: row.image.clone(),
        pid: number(row.pid),
        services: row.services.clone(),
        exit_code: number(row.exit_code),
        service_exit_code: number(row.service_exit_code),
        holders: if kind == EntryKind::Failed { holders(row, all, catalog, generation) } else { Vec::new() },
    }
}

fn number(number: Option<i64>) -> Option<u32> {
    number.and_then(|number| u32::try_from(number).ok())
}

fn protocol(row: &EntryRow) -> Option<Protocol> {
    Some(if row.protocol? == 6 { Protocol::Tcp } else { Protocol::Udp })
}

fn port_text(row: &EntryRow) -> Option<String> {
    let (protocol, first, last) = (protocol(row)?, row.port?, row.last_port?);
    Some(if first == last { format!("{protocol}/{first}") } else { format!("{protocol}/{first}-{last}") })
}

/// The port of a single bind.
fn port(row: &EntryRow) -> Option<Port> {
    let number = row.port.filter(|_| kind(row.kind) == EntryKind::Bound)?;
    Some(Port { protocol: protocol(row)?, number: u16::try_from(number).ok()? })
}

fn text(row: &EntryRow) -> String {
    let service = || row.services.first().map_or("A service", String::as_str);
    let port = || port_text(row).unwrap_or_default();
    match kind(row.kind) {
        EntryKind::Bound => format!("{} bound {}.", owner(row), port()),
        EntryKind::Pool => {
            let count = grouped(row.port_count.unwrap_or_default());
            let family = if row.address.is_some_and(|address| address.is_ipv6()) { "IPv6" } else { "IPv4" };
            format!("{} took {count} ports of {} for {family}.", owner(row), port())
        }
        EntryKind::Running => format!("{} runs.", service()),
        EntryKind::Stopped => format!("{} stopped.", service()),
        EntryKind::Failed => format!("{} {}.", service(), failure(row)),
        EntryKind::Event => {
            let Some(event) = row.event.as_ref().and_then(fact) else {
                return "An event that is not kept any more.".to_owned();
            };
            sentence::sentence(&event).unwrap_or_else(|| unknown(&event))
        }
    }
}

/// An event without a sentence of ours.
fn unknown(event: &Event) -> String {
    format!("{} {}", event.provider, event.id)
}

/// `dns.exe (DNS)`.
fn owner(row: &EntryRow) -> String {
    let process = row.image.as_deref().map(process);
    let process = process.or_else(|| row.pid.map(|pid| format!("The process {pid}")));
    let process = process.unwrap_or_else(|| "A process that is not known".to_owned());
    if row.services.is_empty() { process } else { format!("{process} ({})", row.services.join(", ")) }
}

fn failure(row: &EntryRow) -> String {
    match (number(row.exit_code), number(row.service_exit_code)) {
        (Some(1066), Some(code)) => format!("failed with {} of its own", codes::words(code)),
        (Some(code), _) => format!("failed with {}", codes::words(code)),
        (None, _) => "failed; its code is not known".to_owned(),
    }
}

fn grouped(count: i32) -> String {
    if count < 1000 { count.to_string() } else { format!("{},{:03}", count / 1000, count % 1000) }
}

/// Who held the ports that the catalog knows the service to need, when it failed. Without bind times that it was
/// before the failure cannot be said: then `basis` tells.
fn holders(failed: &EntryRow, all: &[Merged], catalog: &Catalog, generation: Option<OsGeneration>) -> Vec<PortHolder> {
    let Some(service) = failed.services.first() else { return Vec::new() };
    let mut claims: Vec<&Claim> = catalog.claims_of(service, generation).collect();
    claims.sort_by_key(|claim| claim.port);
    let held = |claim: &&Claim| {
        let row = all.iter().map(|merged| &merged.row).rfind(|row| {
            port(row) == Some(claim.port) && is_foreign(row, service, claim) && was_there(row, failed.at)
        })?;
        Some(PortHolder {
            port: claim.port.to_string(),
            process: row.image.as_deref().map(process),
            pid: number(row.pid),
            services: row.services.clone(),
            since: row.at,
            basis: basis(row.basis),
            until: row.gone_at,
        })
    };
    claims.iter().filter_map(held).collect()
}

fn is_foreign(row: &EntryRow, service: &str, claim: &Claim) -> bool {
    let is_own = |name: &String| {
        name.eq_ignore_ascii_case(service) || claim.shared_with.iter().any(|other| other.eq_ignore_ascii_case(name))
    };
    let is_kernels = claim.kernel && row.pid == Some(KERNEL);
    !is_kernels && !row.services.iter().any(is_own)
}

fn was_there(row: &EntryRow, at: DateTime<Utc>) -> bool {
    (basis(row.basis) == Basis::Seen || row.at <= at) && row.gone_at.is_none_or(|gone| gone >= at)
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};
    use rules::catalog::Catalog;

    use super::tell;
    use crate::db::read_boots::EntryRow;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap() + TimeDelta::seconds(second)
    }

    fn row(second: i64, kind: i16, basis: i16, service: &str) -> EntryRow {
        EntryRow {
            kind,
            basis,
            at: at(second),
            learned_at: at(90),
            gone_at: None,
            protocol: None,
            address: None,
            port: None,
            last_port: None,
            port_count: None,
            pid: None,
            image: None,
            services: vec![service.to_owned()],
            exit_code: None,
            service_exit_code: None,
            event: None,
        }
    }

    fn bind(second: i64, address: &str, port: i32, image: &str, service: &str) -> EntryRow {
        EntryRow {
            protocol: Some(17),
            address: Some(address.parse().unwrap()),
            port: Some(port),
            last_port: Some(port),
            port_count: Some(1),
            pid: Some(1420),
            image: Some(image.to_owned()),
            ..row(second, 1, 1, service)
        }
    }

    fn failed(second: i64, basis: i16, code: Option<i64>) -> EntryRow {
        EntryRow { exit_code: code, ..row(second, 5, basis, "IAS") }
    }

    fn told(rows: Vec<EntryRow>) -> Vec<String> {
        let entries = tell(rows, &Catalog::builtin(), None);
        entries.iter().map(|entry| format!("{} {}", (entry.at - at(0)).num_seconds(), entry.text)).collect()
    }

    #[test]
    fn what_several_sources_tell_of_one_change_is_one_entry() {
        let rows = vec![
            row(10, 3, 2, "DNS"),
            EntryRow { pid: Some(1420), ..row(11, 3, 3, "dns") },
            failed(59, 2, Some(10048)),
            row(59, 4, 2, "IAS"),
            EntryRow { service_exit_code: Some(10048), ..failed(60, 3, Some(1066)) },
            EntryRow { pid: Some(1420), ..row(90, 3, 4, "DNS") },
            failed(90, 4, Some(1066)),
        ];
        assert_eq!(told(rows), ["10 DNS runs.", "59 IAS failed with 10048 (address already in use) of its own."]);
    }

    #[test]
    fn a_service_that_fails_again_fails_twice() {
        let rows =
            vec![failed(59, 2, Some(10048)), failed(119, 2, Some(10048)), row(200, 3, 3, "IAS"), row(300, 4, 3, "IAS")];
        assert_eq!(
            told(rows),
            [
                "59 IAS failed with 10048 (address already in use).",
                "119 IAS failed with 10048 (address already in use).",
                "200 IAS runs.",
                "300 IAS stopped.",
            ]
        );
    }

    #[test]
    fn both_families_of_a_port_are_one_bind_and_a_pool_is_a_line() {
        let pool = EntryRow {
            kind: 2,
            last_port: Some(65_535),
            port_count: Some(2500),
            ..bind(29, "0.0.0.0", 49_152, r"C:\dns.exe", "DNS")
        };
        let rows = vec![bind(28, "0.0.0.0", 53, r"C:\dns.exe", "DNS"), bind(28, "::", 53, r"C:\dns.exe", "DNS"), pool];
        let entries = tell(rows.clone(), &Catalog::builtin(), None);
        assert_eq!(entries[0].addresses, ["0.0.0.0", "::"]);
        assert_eq!(
            told(rows),
            ["28 dns.exe (DNS) bound udp/53.", "29 dns.exe (DNS) took 2,500 ports of udp/49152-65535 for IPv4."]
        );
    }

    #[test]
    fn a_failed_service_names_who_held_its_ports_then() {
        let gone = EntryRow { gone_at: Some(at(40)), ..bind(20, "0.0.0.0", 1813, "other.exe", "Other") };
        let late = bind(70, "0.0.0.0", 1645, "late.exe", "Late");
        let own = bind(30, "0.0.0.0", 1646, "svchost.exe", "IAS");
        let rows = vec![gone, bind(28, "0.0.0.0", 1812, "dns.exe", "DNS"), own, failed(59, 2, Some(10048)), late];
        let entries = tell(rows, &Catalog::builtin(), None);
        let held: Vec<_> =
            entries[3].holders.iter().map(|held| (held.port.as_str(), held.process.as_deref())).collect();
        assert_eq!(held, [("udp/1812", Some("dns.exe"))]);
    }
}
