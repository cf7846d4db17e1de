//! What differs between a host at two moments, as a person asks it: who came, who went, who took over. Pure.
//!
//! Unlike [`crate::delta`], which carries every field of every row, a port that the same program bound again is no change
//! here, and a KB is one thing in however many lists it stands.
//!
//! Invariant: a section that was unknown at one of the moments is unknown here, with the reason; it has no changes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Serialize;
use serde_json::Value;

use crate::delta::Row;
use crate::facts::{Facts, Section, Service, Socket, Update, UpdateState};
use crate::ports::Port;
use crate::text::Text;

/// What differs, section by section.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    pub sockets: Section<SocketChanges>,
    pub services: Section<ServiceChanges>,
    /// By KB, or by the entry's own id where it names none.
    pub updates: Section<Vec<UpdateChange>>,
    pub host: Section<Vec<MemberChange>>,
    pub port_policy: Section<Vec<MemberChange>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct SocketChanges {
    /// On an address and port that nobody had.
    pub came: Vec<Socket>,
    /// From an address and port that nobody has.
    pub went: Vec<Socket>,
    /// Another program or service has the address and port.
    pub taken_over: Vec<TakenOver>,
    /// How many addresses and ports the same program has bound anew, as after a restart.
    pub bound_again: usize,
}

/// One address and port, and who had it at each of the moments.
#[derive(Clone, Debug, PartialEq)]
pub struct TakenOver {
    pub port: Port,
    pub address: IpAddr,
    pub before: Vec<Socket>,
    pub after: Vec<Socket>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceChanges {
    pub came: Vec<Service>,
    pub went: Vec<Service>,
    pub changed: Vec<ServiceChange>,
    /// How many run as before in another process.
    pub restarted: usize,
}

/// A service that is there at both moments, and not the same.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceChange {
    pub before: Service,
    pub after: Service,
    /// By name of the member. Process and times are left out: they change with every start.
    pub members: Vec<MemberChange>,
}

/// A KB that came, went or changed its state.
#[derive(Clone, Debug, PartialEq)]
pub struct UpdateChange {
    /// `None`: no list had it then.
    pub before: Option<Update>,
    pub after: Option<Update>,
}

/// A member of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberChange {
    pub member: String,
    /// As facts files write it. `None`: not read, not set or not there.
    pub before: Option<Value>,
    pub after: Option<Value>,
}

/// What is different in `after`.
pub fn compare(before: &Facts, after: &Facts) -> Changes {
    Changes {
        sockets: both(&before.sockets, &after.sockets, |a, b| sockets(a, b)),
        services: both(&before.services, &after.services, |a, b| services(a, b)),
        updates: both(&before.updates, &after.updates, |a, b| updates(a, b)),
        host: both(&before.host, &after.host, members),
        port_policy: both(&before.port_policy, &after.port_policy, members),
    }
}

fn both<T, C>(before: &Section<T>, after: &Section<T>, compare: impl FnOnce(&T, &T) -> C) -> Section<C> {
    match (before, after) {
        (Section::Known(before), Section::Known(after)) => Section::Known(compare(before, after)),
        (Section::Unknown(reason), _) => Section::Unknown(Text::from(format!("not known before: {reason}"))),
        (_, Section::Unknown(reason)) => Section::Unknown(Text::from(format!("not known after: {reason}"))),
    }
}

/// Sockets of one place, before and after.
type Pair<'a> = (Vec<&'a Socket>, Vec<&'a Socket>);

fn sockets(before: &[Socket], after: &[Socket]) -> SocketChanges {
    let mut places: BTreeMap<(Port, IpAddr, u32), Pair<'_>> = BTreeMap::new();
    let place = |socket: &Socket| (socket.local_port(), socket.address, socket.scope);
    for socket in before {
        places.entry(place(socket)).or_default().0.push(socket);
    }
    for socket in after {
        places.entry(place(socket)).or_default().1.push(socket);
    }
    let mut changes = SocketChanges::default();
    for ((port, address, _), (before, after)) in places {
        if before.is_empty() {
            changes.came.extend(after.into_iter().cloned());
        } else if after.is_empty() {
            changes.went.extend(before.into_iter().cloned());
        } else if !same_owners(&before, &after) {
            let owned = |sockets: Vec<&Socket>| sockets.into_iter().cloned().collect();
            changes.taken_over.push(TakenOver { port, address, before: owned(before), after: owned(after) });
        } else if rows(&before) != rows(&after) {
            changes.bound_again += 1;
        }
    }
    changes
}

fn rows<'a>(sockets: &[&'a Socket]) -> BTreeSet<&'a Socket> {
    sockets.iter().copied().collect()
}

/// Whether the same programs have it. An owner that could not be read may be anyone: that is no take-over.
fn same_owners(before: &[&Socket], after: &[&Socket]) -> bool {
    let is_unknown = |socket: &&Socket| socket.image.is_none() && socket.services.is_empty();
    if before.iter().chain(after).any(is_unknown) {
        return true;
    }
    owners(before) == owners(after)
}

/// Program and services, without regard to case, which Windows has none of.
fn owners(sockets: &[&Socket]) -> BTreeSet<(Option<String>, Vec<String>)> {
    let owner = |socket: &&Socket| {
        let image = socket.process().map(str::to_lowercase);
        (image, socket.services.iter().map(|service| service.to_lowercase()).collect())
    };
    sockets.iter().map(owner).collect()
}

fn services(before: &[Service], after: &[Service]) -> ServiceChanges {
    let mut changes = ServiceChanges::default();
    for (before, after) in paired(before, after, Row::key) {
        match (before, after) {
            (None, Some(after)) => changes.came.push(after.clone()),
            (Some(before), None) => changes.went.push(before.clone()),
            (Some(before), Some(after)) => {
                let members: Vec<_> = members(before, after).into_iter().filter(is_told).collect();
                if !members.is_empty() {
                    changes.changed.push(ServiceChange { before: before.clone(), after: after.clone(), members });
                } else if before.pid.is_some() && before.pid != after.pid {
                    changes.restarted += 1;
                }
            }
            (None, None) => {}
        }
    }
    changes
}

fn is_told(change: &MemberChange) -> bool {
    !["pid", "state_since", "display_name", "name"].contains(&change.member.as_str())
}

fn updates(before: &[Update], after: &[Update]) -> Vec<UpdateChange> {
    let (before, after) = (by_kb(before), by_kb(after));
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changes = keys.into_iter().map(|key| (before.get(key), after.get(key)));
    changes
        .filter(|(before, after)| before.map(|update| update.state) != after.map(|update| update.state))
        .map(|(before, after)| UpdateChange { before: before.copied().cloned(), after: after.copied().cloned() })
        .collect()
}

/// Of several lists, the one counts that says most: installed before others, then with a time.
fn by_kb(updates: &[Update]) -> BTreeMap<String, &Update> {
    let mut best: BTreeMap<String, &Update> = BTreeMap::new();
    let weight = |update: &Update| (update.state == UpdateState::Installed, update.installed_at.is_some());
    for update in updates {
        let key = update.kb.as_deref().unwrap_or(&update.id).to_lowercase();
        let known = best.entry(key).or_insert(update);
        if weight(update) > weight(known) {
            *known = update;
        }
    }
    best
}

fn paired<'a, T, K: Ord>(
    before: &'a [T],
    after: &'a [T],
    key: impl Fn(&T) -> K,
) -> Vec<(Option<&'a T>, Option<&'a T>)> {
    let mut pairs: BTreeMap<K, (Option<&T>, Option<&T>)> = BTreeMap::new();
    for row in before {
        pairs.entry(key(row)).or_default().0 = Some(row);
    }
    for row in after {
        pairs.entry(key(row)).or_default().1 = Some(row);
    }
    pairs.into_values().collect()
}

/// The top members of two documents that differ.
fn members<T: Serialize>(before: &T, after: &T) -> Vec<MemberChange> {
    let (Ok(Value::Object(before)), Ok(Value::Object(after))) =
        (serde_json::to_value(before), serde_json::to_value(after))
    else {
        return Vec::new();
    };
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| MemberChange {
            member: name.clone(),
            before: before.get(name).cloned(),
            after: after.get(name).cloned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::compare;
    use crate::facts::{Facts, Section};

    fn facts(sockets: &str, services: &str, updates: &str) -> Facts {
        serde_json::from_str(&format!(
            r#"{{ "schema": "portreeve.facts/1",
                "host": {{ "unknown": "access denied" }},
                "sockets": {{ "known": [{sockets}] }},
                "services": {{ "known": [{services}] }},
                "updates": {{ "known": [{updates}] }},
                "port_policy": {{ "known": {{}} }} }}"#
        ))
        .unwrap()
    }

    fn socket(port: u16, pid: u32, image: &str) -> String {
        format!(r#"{{ "protocol": "udp", "address": "0.0.0.0", "port": {port}, "pid": {pid}, "image": "{image}" }}"#)
    }

    #[test]
    fn tells_who_took_over_from_who_came_back() {
        let before = facts(&[socket(1812, 900, "svchost.exe"), socket(53, 10, "dns.exe")].join(","), "", "");
        let after = facts(
            &[socket(1812, 11, "dns.exe"), socket(53, 11, "DNS.EXE"), socket(123, 4, "w32.exe")].join(","),
            "",
            "",
        );
        let Section::Known(sockets) = compare(&before, &after).sockets else { panic!("both are known") };
        assert_eq!(sockets.taken_over.len(), 1);
        assert_eq!(sockets.taken_over[0].port.to_string(), "udp/1812");
        assert_eq!(sockets.taken_over[0].after[0].process(), Some("dns.exe"));
        assert_eq!(sockets.bound_again, 1);
        assert_eq!(sockets.came.iter().map(|socket| socket.port).collect::<Vec<_>>(), [123]);
        assert!(sockets.went.is_empty());
    }

    #[test]
    fn an_owner_that_was_not_read_is_no_take_over() {
        let unowned = r#"{ "protocol": "udp", "address": "0.0.0.0", "port": 1812 }"#;
        let after = facts(&socket(1812, 11, "dns.exe"), "", "");
        let Section::Known(sockets) = compare(&facts(unowned, "", ""), &after).sockets else { panic!("known") };
        assert!(sockets.taken_over.is_empty());
    }

    #[test]
    fn a_service_that_only_restarted_is_a_number() {
        let before = facts(
            "",
            r#"{ "name": "IAS", "state": "running", "pid": 5 }, { "name": "DNS", "state": "running", "pid": 6 }"#,
            "",
        );
        let after = facts(
            "",
            r#"{ "name": "ias", "state": "stopped", "exit_code": 10048 }, { "name": "DNS", "state": "running", "pid": 7 }"#,
            "",
        );
        let Section::Known(services) = compare(&before, &after).services else { panic!("known") };
        assert_eq!(services.restarted, 1);
        let members: Vec<_> = services.changed[0].members.iter().map(|change| change.member.as_str()).collect();
        assert_eq!(members, ["exit_code", "state"]);
    }

    #[test]
    fn a_kb_in_two_lists_came_once() {
        let listed = r#"{ "source": "component_package", "id": "p", "kb": "KB948609", "state": "installed" },
            { "source": "update_history", "id": "h", "kb": "KB948609", "state": "failed" }"#;
        let Section::Known(updates) = compare(&facts("", "", ""), &facts("", "", listed)).updates else {
            panic!("known")
        };
        assert_eq!(updates.len(), 1);
        assert!(updates[0].before.is_none());
        assert_eq!(updates[0].after.as_ref().unwrap().id.as_ref() as &str, "p");
    }

    #[test]
    fn what_was_unknown_did_not_change() {
        let changes = compare(&facts("", "", ""), &facts("", "", ""));
        assert_eq!(changes.host.unknown().unwrap().to_string(), "not known before: access denied");
        assert_eq!(changes.port_policy.known().map(Vec::len), Some(0));
    }
}
