//! All hosts of a seed, and the clients and sites that they belong to: a few large ones and many small.

use std::sync::Arc;

use super::chance::Chance;
use super::host::Host;
use super::knowledge::Knowledge;

/// A site of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub client: String,
    pub site: String,
}

#[derive(Debug)]
pub struct Fleet {
    hosts: Vec<Host>,
    places: Vec<Place>,
}

/// Hosts of a client on average.
const HOSTS_OF_A_CLIENT: u32 = 20;

impl Fleet {
    /// `hosts` of the fleet that `seed` names. A larger fleet of the same seed is another one.
    pub fn new(seed: u64, hosts: u32) -> anyhow::Result<Self> {
        let knowledge = Arc::new(Knowledge::read()?);
        let chance = Chance::new(seed);
        let clients = hosts.div_ceil(HOSTS_OF_A_CLIENT).max(1);
        let places: Vec<Place> = (1..=clients).flat_map(|client| sites(client, chance)).collect();
        let hosts = (0..hosts).map(|number| {
            let chance = chance.of("host").at(number.into());
            Host::new(number, place(chance, places.len()), chance, Arc::clone(&knowledge))
        });
        Ok(Self { hosts: hosts.collect(), places })
    }

    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    pub fn into_hosts(self) -> Vec<Host> {
        self.hosts
    }

    /// Where [`Host::place`] points to.
    pub fn places(&self) -> &[Place] {
        &self.places
    }
}

fn sites(client: u32, chance: Chance) -> impl Iterator<Item = Place> {
    let count = chance.of("sites").at(client.into()).between(1, 3);
    (1..=count).map(move |site| Place { client: format!("Client {client}"), site: format!("Site {site}") })
}

/// The first places have most hosts: the smaller of two draws.
fn place(chance: Chance, places: usize) -> usize {
    let limit = places as u64;
    let drawn = chance.of("place").at(0).below(limit).min(chance.of("place").at(1).below(limit));
    usize::try_from(drawn).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};
    use rules::catalog::Catalog;
    use rules::facts::ServiceState;
    use rules::history::History;

    use super::Fleet;
    use crate::simulate::calendar::epoch;
    use crate::simulate::host::Role;

    fn moment() -> DateTime<Utc> {
        epoch() + TimeDelta::hours(77)
    }

    #[test]
    fn one_seed_is_one_fleet_and_another_seed_another() {
        let (fleet, again, other) =
            (Fleet::new(7, 12).unwrap(), Fleet::new(7, 12).unwrap(), Fleet::new(8, 12).unwrap());
        let differ =
            fleet.hosts().iter().zip(other.hosts()).filter(|(a, b)| a.facts_at(moment()) != b.facts_at(moment()));
        assert!(differ.count() > 10);
        for (host, same) in fleet.hosts().iter().zip(again.hosts()) {
            for hours in [-1, 0, 5, 60, 100] {
                let time = epoch() + TimeDelta::hours(hours);
                assert_eq!(host.facts_at(time), same.facts_at(time));
            }
        }
    }

    #[test]
    fn the_mean_host_is_that_of_the_workload_model() {
        let fleet = Fleet::new(1, 100).unwrap();
        let count = fleet.hosts().len();
        let (mut sockets, mut services, mut updates) = (0, 0, 0);
        for host in fleet.hosts() {
            let facts = host.facts_at(moment());
            sockets += facts.sockets.known().map_or(0, Vec::len);
            services += facts.services.known().map_or(0, Vec::len);
            updates += facts.updates.known().map_or(0, Vec::len);
        }
        let mean = (sockets / count, services / count, updates / count);
        assert!(
            (590..=650).contains(&mean.0) && (170..=220).contains(&mean.1) && (100..=200).contains(&mean.2),
            "{mean:?}"
        );
        let dns = fleet.hosts().iter().filter(|host| host.role() == Role::Dns).count();
        assert_eq!(dns, 10);
    }

    #[test]
    fn no_row_is_told_twice() {
        for host in Fleet::new(2, 40).unwrap().hosts() {
            for hours in [0, 50, 90] {
                let facts = host.facts_at(epoch() + TimeDelta::hours(hours));
                assert_eq!(
                    proto::wire::canonical(&facts).sockets.known().map(Vec::len),
                    facts.sockets.known().map(Vec::len)
                );
                let mut names: Vec<_> =
                    facts.services.known().unwrap().iter().map(|row| row.name.to_lowercase()).collect();
                let all = names.len();
                names.sort();
                names.dedup();
                assert_eq!(names.len(), all);
            }
        }
    }

    /// The mission's incident: a service that starts after the DNS server finds its port in the pool as often as the
    /// size of the pool says, 2,500 of 16,384 ports or of 64,511.
    #[test]
    fn services_lose_their_ports_to_the_pool_as_often_as_arithmetic_says() {
        let fleet = Fleet::new(5, 1_200).unwrap();
        let (mut lost, mut expected) = (0_u32, 0.0);
        for host in fleet.hosts().iter().filter(|host| host.role() == Role::Dns) {
            for days in (0..300).step_by(20) {
                let odds = host.odds_of_losing_a_port(epoch() + TimeDelta::days(days));
                expected += odds;
                let facts = host.facts_at(epoch() + TimeDelta::days(days));
                let is_lost = facts
                    .services
                    .known()
                    .unwrap()
                    .iter()
                    .any(|row| row.state == ServiceState::Stopped && row.exit_code == Some(10_048));
                lost += u32::from(is_lost);
            }
        }
        let lost = f64::from(lost);
        assert!(expected > 40.0 && (0.6..1.5).contains(&(lost / expected)), "{lost} lost, {expected} expected");
    }

    #[test]
    fn the_rules_find_what_is_wrong_and_little_else() {
        let catalog = Catalog::builtin();
        let fleet = Fleet::new(11, 60).unwrap();
        let mut found = std::collections::BTreeMap::<String, u32>::new();
        for host in fleet.hosts() {
            for finding in rules::judge(&host.facts_at(moment()), &catalog, &History::default()).findings {
                *found.entry(finding.rule).or_default() += 1;
            }
        }
        let all: u32 = found.values().sum();
        assert!(all < 60 * 8, "{found:#?}");
    }
}
