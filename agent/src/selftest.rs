//! What works on this host and what it costs: the answer to "can this agent see what it must, here".
//!
//! Reads the host as the agent does and tells of each source whether it works, how many rows it gave, and how long the first
//! and the second read took: the second shows what is kept between two looks. Invariant: it changes nothing, and a source
//! that does not work is an answer, not a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rules::facts::{CollectorState, Exclusion, Facts, Section, UpdateSource};
use rules::ports::{PortRange, Protocol};
use rules::text::Text;
use serde::Serialize;

use crate::collect::live::{self, Took};
use crate::collect::reading::Unreadable;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    pub collectors: Vec<Line>,
    /// What is asked on a system that was not seen before.
    pub answers: Vec<Answer>,
    /// Bytes that this process has for itself after the last read. Absent: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_bytes: Option<u64>,
    /// How many reads the medians are of. Absent: there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reads: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Line {
    pub name: Text,
    pub state: CollectorState,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<usize>,
    /// Microseconds; absent where it is read together with another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_us: Option<u128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second_us: Option<u128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub median_us: Option<u128>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    pub question: &'static str,
    pub answer: Text,
}

/// Reads this host `reads` times, two at least; medians are told of three and more.
pub fn selftest(clock: fn() -> DateTime<Utc>, reads: usize) -> Report {
    let (facts, took) = live::measure(clock, reads.max(2));
    let lasting = live::lasting_exclusions();
    Report { private_bytes: live::private_bytes(), ..report(&facts, &took, &lasting) }
}

/// Ranges that an administrator excluded, as netsh tells them.
type Lasting = Result<Vec<Exclusion>, Unreadable>;

fn report(facts: &Facts, took: &[Took], lasting: &Lasting) -> Report {
    let time = |read: Option<&Took>, name: &str| Some(read?.get(name)?.as_micros());
    let has_medians = took.len() > 2;
    let collectors = facts.host.known().map(|host| host.collectors.as_slice()).unwrap_or_default();
    let lines = collectors.iter().map(|collector| Line {
        name: collector.name.clone(),
        state: collector.state,
        reason: collector.reason.clone(),
        rows: rows(facts, &collector.name),
        first_us: time(took.first(), &collector.name),
        second_us: time(took.get(1), &collector.name),
        median_us: if has_medians { median(took, &collector.name) } else { None },
    });
    Report {
        collectors: lines.collect(),
        answers: answers(facts, lasting),
        private_bytes: None,
        reads: has_medians.then_some(took.len()),
    }
}

fn median(took: &[Took], name: &str) -> Option<u128> {
    let mut times: Vec<Duration> = took.iter().filter_map(|read| read.get(name).copied()).collect();
    times.sort_unstable();
    Some(times.get(times.len() / 2)?.as_micros())
}

fn rows(facts: &Facts, name: &str) -> Option<usize> {
    match name {
        "sockets" => facts.sockets.known().map(Vec::len),
        "services" => facts.services.known().map(Vec::len),
        "connections" => facts
            .connections
            .known()
            .map(|counts| counts.states.iter().map(|count| usize::try_from(count.count).unwrap_or(usize::MAX)).sum()),
        "event-log" => facts.events.known().map(Vec::len),
        "update-packages" => updates(facts, UpdateSource::ComponentPackage),
        "installer-patches" => updates(facts, UpdateSource::InstallerPatch),
        "uninstall-entries" => updates(facts, UpdateSource::UninstallEntry),
        "update-history" => updates(facts, UpdateSource::UpdateHistory),
        "update-offers" => updates(facts, UpdateSource::Offer),
        _ => None,
    }
}

fn updates(facts: &Facts, source: UpdateSource) -> Option<usize> {
    facts.updates.known().map(|updates| updates.iter().filter(|update| update.source == source).count())
}

fn answers(facts: &Facts, lasting: &Lasting) -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut answer = |question, answer: String| answers.push(Answer { question, answer: Text::from(answer) });
    if let Some(services) = facts.services.known() {
        let mut by_process: BTreeMap<u32, usize> = BTreeMap::new();
        for pid in services.iter().filter_map(|service| service.pid) {
            *by_process.entry(pid).or_default() += 1;
        }
        let shared = by_process.values().filter(|count| **count > 1).count();
        answer("processes with services, and those with several", format!("{} and {shared}", by_process.len()));
    }
    if let Some(sockets) = facts.sockets.known() {
        let ambiguous = sockets.iter().filter(|socket| socket.services.len() > 1).count();
        answer("sockets of several possible services", format!("{ambiguous} of {}", sockets.len()));
        let unowned = sockets.iter().filter(|socket| socket.pid.is_some() && socket.image.is_none()).count();
        answer("sockets of processes without a readable image", format!("{unowned} of {}", sockets.len()));
    }
    if let Some(policy) = facts.port_policy.known() {
        answer("persistent exclusions in the network store", count(&policy.persistent_exclusions));
        answer("exclusions in force by netsh", count(&policy.exclusions));
        answer("dynamic ranges by netsh", count(&policy.dynamic_ranges));
        let by_netsh = match lasting {
            Ok(lasting) => against_store(lasting, &policy.persistent_exclusions),
            Err(reason) => format!("unknown: {reason}"),
        };
        answer("persistent exclusions by netsh, against the network store", by_netsh);
        let until_the_boot = match (lasting, &policy.exclusions) {
            (Ok(lasting), Section::Known(active)) => {
                let count = ranges(active).difference(&ranges(lasting)).count();
                format!("{count} of {}", ranges(active).len())
            }
            (Err(reason), _) => format!("unknown: {reason}"),
            (_, Section::Unknown(reason)) => format!("unknown: {reason}"),
        };
        answer("exclusions in force that netsh does not call persistent", until_the_boot);
    }
    answers
}

/// Whether both name the same ranges: the layout of the network store is not documented.
fn against_store(lasting: &[Exclusion], store: &Section<Vec<Exclusion>>) -> String {
    let Section::Known(store) = store else { return "the network store is unknown".to_owned() };
    let (by_netsh, in_store) = (ranges(lasting), ranges(store));
    let only = |one: &Ranges, other: &Ranges| {
        one.difference(other).map(|(protocol, range)| format!("{protocol}/{range}")).collect::<Vec<_>>().join(", ")
    };
    match (only(&by_netsh, &in_store), only(&in_store, &by_netsh)) {
        (netsh, store) if netsh.is_empty() && store.is_empty() => format!("the same, {}", by_netsh.len()),
        (netsh, store) => format!("different; only netsh: [{netsh}]; only the store: [{store}]"),
    }
}

type Ranges = BTreeSet<(Protocol, PortRange)>;

/// Of both families: the store does not part them.
fn ranges(exclusions: &[Exclusion]) -> Ranges {
    exclusions.iter().map(|exclusion| (exclusion.protocol, exclusion.range)).collect()
}

fn count<T>(section: &Section<Vec<T>>) -> String {
    match section {
        Section::Known(rows) => rows.len().to_string(),
        Section::Unknown(reason) => format!("unknown: {reason}"),
    }
}

/// One line a collector, for people.
impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |time: Option<u128>| time.map_or_else(|| "-".to_owned(), |time| format!("{time} µs"));
        for line in &self.collectors {
            let state = match line.state {
                CollectorState::Ok => "ok",
                CollectorState::Degraded => "degraded",
                CollectorState::Unavailable => "unavailable",
            };
            let rows = line.rows.map_or_else(|| "-".to_owned(), |rows| rows.to_string());
            let (first, second) = (time(line.first_us), time(line.second_us));
            write!(formatter, "{:<20} {state:<12} {rows:>6} rows {first:>12} {second:>12}", line.name.as_str())?;
            if self.reads.is_some() {
                write!(formatter, " {:>12}", time(line.median_us))?;
            }
            match &line.reason {
                Some(reason) => writeln!(formatter, "  {reason}")?,
                None => writeln!(formatter)?,
            }
        }
        for answer in &self.answers {
            writeln!(formatter, "{}: {}", answer.question, answer.answer)?;
        }
        if let Some(bytes) = self.private_bytes {
            writeln!(formatter, "private memory: {bytes} bytes")?;
        }
        if self.collectors.is_empty() {
            writeln!(formatter, "no source can be read on this system")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rules::facts::{Exclusion, Facts, Section};
    use rules::ports::{Family, Protocol};

    use super::{against_store, report};
    use crate::collect::live::Took;

    fn facts() -> Facts {
        serde_json::from_value(serde_json::json!({
            "schema": "portreeve.facts/1",
            "host": { "known": {
                "name": "dc1", "os": { "name": "Windows Server 2008 R2", "major": 6, "minor": 1, "build": 7601 },
                "collectors": [
                    { "name": "services", "state": "ok" },
                    { "name": "socket-owners", "state": "unavailable", "reason": "Wine does not tell" },
                ],
            } },
            "services": { "known": [
                { "name": "Dhcp", "state": "running", "pid": 5 },
                { "name": "Dnscache", "state": "running", "pid": 5 },
                { "name": "IAS", "state": "stopped" },
            ] },
        }))
        .unwrap()
    }

    fn took(milliseconds: u64) -> Took {
        Took::from([("services", Duration::from_millis(milliseconds))])
    }

    #[test]
    fn one_line_tells_of_one_collector() {
        let shown = report(&facts(), &[took(7), took(2)], &Ok(Vec::new())).to_string();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], "services             ok                3 rows      7000 µs      2000 µs");
        assert!(lines[1].starts_with("socket-owners        unavailable       - rows"), "{}", lines[1]);
        assert!(lines[1].ends_with("  Wine does not tell"), "{}", lines[1]);
        assert_eq!(lines[2], "processes with services, and those with several: 1 and 1");
    }

    #[test]
    fn the_store_is_held_against_netsh() {
        let exclusion = |protocol, range: &str, family| Exclusion {
            protocol,
            family,
            range: range.parse().unwrap(),
            administered: true,
        };
        let tcp = |range| exclusion(Protocol::Tcp, range, None);
        let by_netsh = |range| [Family::Ipv4, Family::Ipv6].map(|family| exclusion(Protocol::Tcp, range, Some(family)));
        let store = Section::Known(vec![tcp("50000-50059"), tcp("52311")]);
        let same = [by_netsh("50000-50059"), by_netsh("52311")].concat();
        assert_eq!(against_store(&same, &store), "the same, 2");
        let other = [by_netsh("50000-50059"), by_netsh("14283")].concat();
        assert_eq!(against_store(&other, &store), "different; only netsh: [tcp/14283]; only the store: [tcp/52311]");
        assert_eq!(against_store(&same, &Section::Unknown("x".into())), "the network store is unknown");
    }

    #[test]
    fn medians_are_of_many_reads() {
        let report = report(&facts(), &[took(9), took(1), took(3)], &Ok(Vec::new()));
        assert_eq!((report.reads, report.collectors[0].median_us), (Some(3), Some(3000)));
    }
}
