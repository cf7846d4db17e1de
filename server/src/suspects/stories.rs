//! Rows of all hosts as the stories that the rules learn from. Pure.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use rules::catalog::normalized_kb;
use rules::suspect::{Fleet, FleetHost, Installed, Trouble};

use crate::db::suspects::{HostId, HostRow, Stories};

/// The fleet, and whose story each is.
pub(super) fn fleet(stories: Stories) -> (Fleet, Vec<HostId>) {
    let mut kbs = Names::default();
    let mut services = Names::default();
    let mut classes = Names::default();
    let ids: Vec<HostId> = stories.hosts.iter().map(|host| (host.client_id, host.host_id)).collect();
    let places: HashMap<HostId, usize> = ids.iter().copied().zip(0..).collect();
    let begin = |host: HostRow| FleetHost {
        client: host.client_id,
        class: classes.place(&class(&host)),
        seen_from: host.seen_from,
        seen_until: host.seen_until,
        boots: Vec::new(),
        updates: Vec::new(),
        services: Vec::new(),
        troubles: Vec::new(),
    };
    let mut hosts: Vec<FleetHost> = stories.hosts.into_iter().map(begin).collect();
    let place = |client_id: i32, host_id: i64| places.get(&(client_id, host_id)).copied();

    for row in stories.boots {
        if let Some(place) = place(row.client_id, row.host_id) {
            hosts[place].boots.push(row.booted_at);
        }
    }
    let mut updates: BTreeMap<(usize, u32), Option<DateTime<Utc>>> = BTreeMap::new();
    for row in stories.updates {
        let (Some(place), Some(kb)) = (place(row.client_id, row.host_id), normalized_kb(&row.kb)) else { continue };
        // Two ways to write one KB: unless both say when, nobody knows.
        updates
            .entry((place, kbs.place(&kb)))
            .and_modify(|at| *at = at.zip(row.installed_at).map(|(a, b)| a.max(b)))
            .or_insert(row.installed_at);
    }
    for ((place, kb), at) in updates {
        hosts[place].updates.push(Installed { kb, at });
    }
    for row in stories.services {
        if let Some(place) = place(row.client_id, row.host_id) {
            let service = services.place(&row.key);
            services.show(service, &row.name);
            hosts[place].services.push(service);
        }
    }
    for row in stories.troubles {
        if let Some(place) = place(row.client_id, row.host_id) {
            let service = services.place(&row.service);
            hosts[place].troubles.push(Trouble { service, at: row.at, until: row.until });
        }
    }
    for host in &mut hosts {
        host.boots.sort_unstable();
        host.services.sort_unstable();
        host.services.dedup();
    }
    (Fleet { kbs: kbs.shown, services: services.shown, hosts }, ids)
}

/// System, line of updates and roles; of a host whose roles are not known, only with others of that kind.
fn class(host: &HostRow) -> String {
    let build = host.os_build.as_deref().unwrap_or_default();
    let line: Vec<&str> = build.splitn(4, '.').take(3).collect();
    let roles = host.roles.as_ref().and_then(|roles| roles.as_array()).map(|roles| {
        let mut roles: Vec<&str> = roles.iter().filter_map(|role| role.as_str()).collect();
        roles.sort_unstable();
        roles.join("+")
    });
    let generation = host.os_generation.as_deref().unwrap_or_default();
    format!("{generation}/{}/{}", line.join("."), roles.as_deref().unwrap_or("?"))
}

/// Names by their places, and places by their names.
#[derive(Default)]
struct Names {
    places: HashMap<String, u32>,
    shown: Vec<String>,
}

impl Names {
    fn place(&mut self, name: &str) -> u32 {
        if let Some(place) = self.places.get(name) {
            return *place;
        }
        let place = u32::try_from(self.shown.len()).unwrap_or(u32::MAX);
        self.places.insert(name.to_owned(), place);
        self.shown.push(name.to_owned());
        place
    }

    /// As a host writes it. Of several ways the first in order is kept, whatever the order of hosts.
    fn show(&mut self, place: u32, name: &str) {
        let Some(shown) = usize::try_from(place).ok().and_then(|place| self.shown.get_mut(place)) else { return };
        if *shown == name.to_lowercase() || name < shown.as_str() {
            name.clone_into(shown);
        }
    }
}
