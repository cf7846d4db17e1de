//! What Windows does not remember about services: since when each is in its state.
//!
//! Invariant: a time is given only for a change that was seen. No I/O, no clock.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use rules::facts::{Service, ServiceState};
use rules::text::Text;

/// Services whose state decides which ports are taken at run time in blocks: their start or stop moves the exclusions.
const PORT_BLOCK_SERVICES: [&str; 3] = ["winnat", "hns", "vmms"];

/// WSAEACCES: the port lies in an excluded range, or is held exclusively.
const ACCESS_DENIED_TO_SOCKET: u32 = 10013;

#[derive(Clone, Debug, Default)]
pub struct ServiceMemory {
    last: Option<HashMap<Text, Seen>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    state: ServiceState,
    pid: Option<u32>,
    since: Option<DateTime<Utc>>,
}

impl ServiceMemory {
    /// Sets `state_since` of every service and remembers them for the next call. Says whether one of the changes may have
    /// moved the ports that are excluded at run time.
    #[must_use]
    pub fn stamp(&mut self, services: &mut [Service], now: DateTime<Utc>) -> ExcludedPorts {
        let mut excluded = ExcludedPorts::AsBefore;
        let mut seen_now = HashMap::with_capacity(services.len());
        for service in services {
            let seen = self.see(service, now);
            if seen.since == Some(now) && concerns_excluded_ports(service) {
                excluded = ExcludedPorts::MayHaveMoved;
            }
            service.state_since = seen.since;
            seen_now.insert(service.name.clone(), seen);
        }
        self.last = Some(seen_now);
        excluded
    }

    fn see(&self, service: &Service, now: DateTime<Utc>) -> Seen {
        let fresh = Seen { state: service.state, pid: service.pid, since: Some(now) };
        let Some(last) = &self.last else { return Seen { since: None, ..fresh } };
        // A service that was not there is new; one with another process was restarted between two looks.
        match last.get(&service.name) {
            Some(seen) if (seen.state, seen.pid) == (service.state, service.pid) => *seen,
            _ => fresh,
        }
    }
}

fn concerns_excluded_ports(service: &Service) -> bool {
    let exit_codes = [service.exit_code, service.service_exit_code];
    exit_codes.contains(&Some(ACCESS_DENIED_TO_SOCKET))
        || PORT_BLOCK_SERVICES.iter().any(|name| name.eq_ignore_ascii_case(&service.name))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExcludedPorts {
    AsBefore,
    MayHaveMoved,
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};
    use rules::facts::{Service, ServiceState};

    use super::{ExcludedPorts, ServiceMemory};

    const START: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn service(name: &str, state: ServiceState, pid: Option<u32>) -> Service {
        let mut service: Service =
            serde_json::from_value(serde_json::json!({ "name": name, "state": "stopped" })).unwrap();
        (service.state, service.pid) = (state, pid);
        service
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        START + TimeDelta::seconds(seconds)
    }

    #[test]
    fn what_was_there_first_has_no_time() {
        let mut memory = ServiceMemory::default();
        let mut services = [service("IAS", ServiceState::Running, Some(4))];
        let _ = memory.stamp(&mut services, at(1));
        let _ = memory.stamp(&mut services, at(2));
        assert_eq!(services[0].state_since, None);
    }

    #[test]
    fn a_change_is_remembered_until_the_next() {
        let mut memory = ServiceMemory::default();
        let _ = memory.stamp(&mut [service("IAS", ServiceState::Running, Some(4))], at(1));
        let mut stopped = [service("IAS", ServiceState::Stopped, None)];
        let _ = memory.stamp(&mut stopped, at(2));
        let _ = memory.stamp(&mut stopped, at(3));
        assert_eq!(stopped[0].state_since, Some(at(2)));
        let mut running = [service("IAS", ServiceState::Running, Some(5))];
        let _ = memory.stamp(&mut running, at(4));
        let mut restarted = [service("IAS", ServiceState::Running, Some(6))];
        let _ = memory.stamp(&mut restarted, at(5));
        assert_eq!(restarted[0].state_since, Some(at(5)));
    }

    #[test]
    fn a_service_that_is_new_changed_when_it_came() {
        let mut memory = ServiceMemory::default();
        let _ = memory.stamp(&mut [], at(1));
        let mut services = [service("New", ServiceState::Stopped, None)];
        let _ = memory.stamp(&mut services, at(2));
        assert_eq!(services[0].state_since, Some(at(2)));
    }

    #[test]
    fn says_when_excluded_ports_may_have_moved() {
        let mut memory = ServiceMemory::default();
        let stopped = service("WinNat", ServiceState::Stopped, None);
        assert_eq!(memory.stamp(&mut [stopped.clone()], at(1)), ExcludedPorts::AsBefore);
        assert_eq!(memory.stamp(&mut [stopped], at(2)), ExcludedPorts::AsBefore);
        let running = service("WinNat", ServiceState::Running, Some(4));
        assert_eq!(memory.stamp(&mut [running.clone()], at(3)), ExcludedPorts::MayHaveMoved);
        let mut refused = service("Web", ServiceState::Stopped, None);
        refused.service_exit_code = Some(10013);
        assert_eq!(memory.stamp(&mut [running, refused], at(4)), ExcludedPorts::MayHaveMoved);
    }
}
