//! What Windows does not remember about services: since when each is in its state.
//!
//! Invariant: a time is given only for a change that was seen, and for a service that is alone in its process. No I/O, no
//! clock.

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
    /// Nothing was stamped yet.
    pub fn is_new(&self) -> bool {
        self.last.is_none()
    }

    /// Sets `state_since` of every service and remembers them for the next call. `entered`: what was pushed since that call,
    /// the last state of each service and when it came. Says whether one of the changes may have moved the ports that are
    /// excluded at run time.
    #[must_use]
    pub fn stamp(
        &mut self,
        services: &mut [Service],
        entered: &HashMap<Text, Entered>,
        now: DateTime<Utc>,
    ) -> ExcludedPorts {
        let mut excluded = ExcludedPorts::AsBefore;
        let mut seen_now = HashMap::with_capacity(services.len());
        for service in services {
            let (seen, is_change) = self.see(service, entered.get(&service.name), now);
            if is_change && concerns_excluded_ports(service) {
                excluded = ExcludedPorts::MayHaveMoved;
            }
            service.state_since = seen.since;
            seen_now.insert(service.name.clone(), seen);
        }
        self.last = Some(seen_now);
        excluded
    }

    /// And whether it changed.
    fn see(&self, service: &Service, entered: Option<&Entered>, now: DateTime<Utc>) -> (Seen, bool) {
        let fresh = Seen { state: service.state, pid: service.pid, since: Some(now) };
        // It may have come back to the state that it was in; or gone on since it was pushed.
        if let Some(entered) = entered.filter(|entered| entered.state == service.state) {
            return (Seen { since: Some(entered.at), ..fresh }, true);
        }
        let Some(last) = &self.last else { return (Seen { since: service.state_since, ..fresh }, false) };
        // A service that was not there is new; one with another process was restarted between two looks.
        match last.get(&service.name) {
            Some(seen) if (seen.state, seen.pid) == (service.state, service.pid) => (*seen, false),
            _ => (fresh, true),
        }
    }
}

/// A service was told to have entered a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entered {
    pub state: ServiceState,
    pub at: DateTime<Utc>,
}

/// Services that run, and have a process to themselves: at the first look they entered their state when it started, as far
/// as anybody can tell.
pub fn since_process_start(services: &mut [Service], mut started_at: impl FnMut(u32) -> Option<DateTime<Utc>>) {
    let mut in_process: HashMap<u32, usize> = HashMap::new();
    for pid in services.iter().filter_map(|service| service.pid) {
        *in_process.entry(pid).or_default() += 1;
    }
    for service in services.iter_mut().filter(|service| service.state == ServiceState::Running) {
        let Some(pid) = service.pid.filter(|pid| in_process[pid] == 1) else { continue };
        service.state_since = started_at(pid);
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
    use std::collections::HashMap;

    use chrono::{DateTime, TimeDelta, Utc};
    use rules::facts::{Service, ServiceState};

    use super::{Entered, ExcludedPorts, ServiceMemory, since_process_start};

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
        let _ = memory.stamp(&mut services, &HashMap::new(), at(1));
        let _ = memory.stamp(&mut services, &HashMap::new(), at(2));
        assert_eq!(services[0].state_since, None);
    }

    #[test]
    fn a_change_is_remembered_until_the_next() {
        let mut memory = ServiceMemory::default();
        let _ = memory.stamp(&mut [service("IAS", ServiceState::Running, Some(4))], &HashMap::new(), at(1));
        let mut stopped = [service("IAS", ServiceState::Stopped, None)];
        let _ = memory.stamp(&mut stopped, &HashMap::new(), at(2));
        let _ = memory.stamp(&mut stopped, &HashMap::new(), at(3));
        assert_eq!(stopped[0].state_since, Some(at(2)));
        let mut running = [service("IAS", ServiceState::Running, Some(5))];
        let _ = memory.stamp(&mut running, &HashMap::new(), at(4));
        let mut restarted = [service("IAS", ServiceState::Running, Some(6))];
        let _ = memory.stamp(&mut restarted, &HashMap::new(), at(5));
        assert_eq!(restarted[0].state_since, Some(at(5)));
    }

    #[test]
    fn a_service_that_is_new_changed_when_it_came() {
        let mut memory = ServiceMemory::default();
        let _ = memory.stamp(&mut [], &HashMap::new(), at(1));
        let mut services = [service("New", ServiceState::Stopped, None)];
        let _ = memory.stamp(&mut services, &HashMap::new(), at(2));
        assert_eq!(services[0].state_since, Some(at(2)));
    }

    #[test]
    fn a_push_says_when() {
        let mut memory = ServiceMemory::default();
        let mut services = [service("IAS", ServiceState::Stopped, None)];
        let _ = memory.stamp(&mut services, &HashMap::new(), at(1));
        // Started and failed again between two looks: the state is as it was, and yet it is another one.
        let entered = |state| HashMap::from([("IAS".into(), Entered { state, at: at(3) })]);
        let _ = memory.stamp(&mut services, &entered(ServiceState::Stopped), at(5));
        assert_eq!(services[0].state_since, Some(at(3)));
        // Gone on since the push: the look counts.
        let mut running = [service("IAS", ServiceState::Running, Some(4))];
        let _ = memory.stamp(&mut running, &entered(ServiceState::StartPending), at(6));
        assert_eq!(running[0].state_since, Some(at(6)));
    }

    #[test]
    fn at_first_a_service_runs_since_its_process_started() {
        let mut services = [
            service("IAS", ServiceState::Running, Some(4)),
            service("Dhcp", ServiceState::Running, Some(5)),
            service("Dnscache", ServiceState::Running, Some(5)),
            service("Stopping", ServiceState::StopPending, Some(6)),
        ];
        since_process_start(&mut services, |pid| Some(at(pid.into())));
        let mut memory = ServiceMemory::default();
        let _ = memory.stamp(&mut services, &HashMap::new(), at(9));
        let since: Vec<_> = services.iter().map(|service| service.state_since).collect();
        assert_eq!(since, [Some(at(4)), None, None, None], "a process of several tells of none of them");
    }

    #[test]
    fn says_when_excluded_ports_may_have_moved() {
        let mut memory = ServiceMemory::default();
        let stopped = service("WinNat", ServiceState::Stopped, None);
        assert_eq!(memory.stamp(&mut [stopped.clone()], &HashMap::new(), at(1)), ExcludedPorts::AsBefore);
        assert_eq!(memory.stamp(&mut [stopped], &HashMap::new(), at(2)), ExcludedPorts::AsBefore);
        let running = service("WinNat", ServiceState::Running, Some(4));
        assert_eq!(memory.stamp(&mut [running.clone()], &HashMap::new(), at(3)), ExcludedPorts::MayHaveMoved);
        let mut refused = service("Web", ServiceState::Stopped, None);
        refused.service_exit_code = Some(10013);
        assert_eq!(memory.stamp(&mut [running, refused], &HashMap::new(), at(4)), ExcludedPorts::MayHaveMoved);
    }
}
