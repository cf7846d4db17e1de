//! What the event logs say, since the boot, of services that failed and of ports that could not be bound. They tell what
//! a service's exit code does not: captures have none, and a process that died leaves only 1067.

use chrono::{DateTime, TimeDelta, Utc};

use crate::events::{datum, error_code, is_from, parameter};
use crate::facts::{Event, Facts, Section, Service};
use crate::ports::{Port, Protocol};
use crate::view::View;

/// Between the entry in the log and the change of state that belongs to it.
const SLACK: TimeDelta = TimeDelta::minutes(2);

/// Why a service stopped, by an entry of the service control manager.
#[derive(Clone, Copy)]
pub(crate) struct Failure<'a> {
    pub(crate) event: &'a Event,
    pub(crate) code: u32,
}

/// The newest entry that names a code for `service` and is no older than its state.
pub(crate) fn of_service<'a>(service: &Service, view: &View<'a>) -> Option<Failure<'a>> {
    let told = view.failures().iter().copied().filter(|event| tells_of(event, service));
    let told = told.filter(|event| service.state_since.zip(event.at).is_none_or(|(since, at)| at >= since - SLACK));
    let failures = told.filter_map(|event| {
        let code = match event.id {
            7000 | 7023 | 7024 => parameter(event, 2).and_then(error_code).filter(|code| *code != 0)?,
            7001 => 1068,
            7009 | 7011 | 7022 => 1053,
            7031 | 7034 => 1067,
            _ => return None,
        };
        Some(Failure { event, code })
    });
    // 7031 follows the entry that names the code: of one moment, the code says more.
    failures.max_by_key(|failure| {
        let is_code = !matches!(failure.code, 1053 | 1067);
        (is_code, failure.event.at, failure.event.record_id)
    })
}

fn tells_of(event: &Event, service: &Service) -> bool {
    let is_it = |name: &str| {
        name.eq_ignore_ascii_case(&service.name)
            || (!service.display_name.is_empty() && name.eq_ignore_ascii_case(&service.display_name))
    };
    // 7009 and 7011 name a time first.
    let place = if matches!(event.id, 7009 | 7011) { 2 } else { 1 };
    match &event.service {
        Some(name) => is_it(name),
        None => parameter(event, place).is_some_and(is_it),
    }
}

/// An entry that says that a port could not be bound.
pub(crate) fn of_port<'a>(service: &Service, port: Port, view: &View<'a>) -> Option<&'a Event> {
    let is_dns = port.number == 53 && service.name.eq_ignore_ascii_case("DNS");
    since_boot(view)
        .filter(|event| {
            let of_dns = || is_from(event, "DNS-Server-Service") || is_from(event, "DNS");
            match event.id {
                15005 if port.protocol == Protocol::Tcp => {
                    (is_from(event, "HttpEvent") || is_from(event, "HTTP")) && http_port(event) == Some(port.number)
                }
                404 => is_dns && of_dns() && port.protocol == Protocol::Tcp,
                407 => is_dns && of_dns() && port.protocol == Protocol::Udp,
                408 => is_dns && of_dns(),
                _ => false,
            }
        })
        .max_by_key(|event| (event.at, event.record_id))
}

/// 443 of `0.0.0.0:443` or `[::]:443`.
fn http_port(event: &Event) -> Option<u16> {
    let address = datum(event, "Address").or(parameter(event, 2))?;
    address.rsplit(':').next()?.trim_end_matches('/').parse().ok()
}

/// Entries of one provider with one of these ids.
pub(crate) fn entries<'a>(provider: &str, ids: &[u32], view: &View<'a>) -> Vec<&'a Event> {
    let mut found: Vec<&Event> =
        since_boot(view).filter(|event| ids.contains(&event.id) && is_from(event, provider)).collect();
    found.sort_by_key(|event| (event.at, event.record_id));
    found
}

/// Why the logs could not be read. `None`: they were, or nobody tried, as with a capture: then they say nothing, and
/// nothing that was found rests on them.
pub(crate) fn unread<'a>(view: &View<'a>) -> Option<&'a str> {
    match &view.facts.events {
        Section::Unknown(reason) => Some(reason.as_str()).filter(|reason| *reason != "not collected"),
        Section::Known(events) if !events.is_empty() && view.host().is_none() => {
            Some("without the host facts, which entries are of this boot is not known")
        }
        Section::Known(_) => None,
    }
}

fn since_boot<'a>(view: &View<'a>) -> impl Iterator<Item = &'a Event> {
    of_boot(view.facts)
}

/// Entries of the service control manager that tell of a failure, since the boot: looked through once for all services.
pub(crate) fn of_manager(facts: &Facts) -> Vec<&Event> {
    let ids = [7000, 7001, 7009, 7011, 7022, 7023, 7024, 7031, 7034];
    of_boot(facts).filter(|event| ids.contains(&event.id) && is_from(event, "Service Control Manager")).collect()
}

fn of_boot(facts: &Facts) -> impl Iterator<Item = &Event> {
    let host = facts.host.known();
    let booted: Option<DateTime<Utc>> = host.and_then(|host| host.booted_at);
    let events = match &facts.events {
        Section::Known(events) if host.is_some() => events.as_slice(),
        Section::Known(_) | Section::Unknown(_) => &[],
    };
    events.iter().filter(move |event| booted.zip(event.at).is_none_or(|(booted, at)| at >= booted))
}
