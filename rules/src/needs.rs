//! The services of a host joined with its ports, for people who look at it: what each service needs, who has that, and
//! what it holds. Who is in whose way is decided as the rule `port-conflict/blocked` decides it.

use std::collections::BTreeSet;

use crate::blocked::{self, Holder};
use crate::catalog::{Catalog, Claim};
use crate::facts::{Facts, Section, Service, Socket};
use crate::history::History;
use crate::view::View;

/// One service with its ports.
#[derive(Clone, Debug)]
pub struct ServicePorts<'a> {
    pub service: &'a Service,
    /// By port, as the catalog knows them for this generation of the system, and as earlier boots have shown.
    pub needs: Vec<(Claim, HeldBy<'a>)>,
    /// Sockets that are the service's own. Empty, too, while the sockets are unknown.
    pub holds: Vec<&'a Socket>,
}

/// Who has a port that a service needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBy<'a> {
    /// The service itself, its driver, or a service that shares the port with it.
    Own(&'a Socket),
    Other(&'a Socket),
    Free,
    /// The sockets could not be read.
    Unknown,
}

/// Every service of the host by name. Empty while the services are unknown.
pub fn service_ports<'a>(facts: &'a Facts, catalog: &'a Catalog, history: &'a History) -> Vec<ServicePorts<'a>> {
    let view = View::new(facts, catalog, history);
    view.services().map(|service| of_service(service, &view)).collect()
}

fn of_service<'a>(service: &'a Service, view: &View<'a>) -> ServicePorts<'a> {
    let mut claims = view.claims_of(&service.name).into_owned();
    claims.sort_by_key(|claim| claim.port);
    let needs: Vec<_> = claims.into_iter().map(|claim| (claim.clone(), held_by(service, claim, view))).collect();
    let own = view.sockets().filter(|socket| blocked::is_of(service, socket, view));
    let met = needs.iter().filter_map(|(_, held_by)| match held_by {
        HeldBy::Own(socket) => Some(*socket),
        _ => None,
    });
    let holds: BTreeSet<&Socket> = own.chain(met).collect();
    ServicePorts { service, needs, holds: holds.into_iter().collect() }
}

fn held_by<'a>(service: &Service, claim: &Claim, view: &View<'a>) -> HeldBy<'a> {
    if let Section::Unknown(_) = view.facts.sockets {
        return HeldBy::Unknown;
    }
    if let Some(socket) = blocked::own_socket(service, claim, view) {
        return HeldBy::Own(socket);
    }
    Holder::foreign(service, claim, view).map_or(HeldBy::Free, |holder| HeldBy::Other(holder.socket))
}

#[cfg(test)]
mod tests {
    use super::{HeldBy, service_ports};
    use crate::catalog::Catalog;
    use crate::facts::Facts;
    use crate::history::History;

    const HOST: &str = r#"{
      "schema": "portreeve.facts/1",
      "host": {"known": {"name": "DC2", "os": {"name": "Windows Server 2008 R2", "major": 6, "minor": 1, "build": 7601}}},
      "services": {"known": [
        {"name": "IAS", "state": "stopped", "start": "auto"},
        {"name": "DNS", "state": "running", "start": "auto", "pid": 1420}
      ]},
      "sockets": {"known": [
        {"protocol": "udp", "address": "0.0.0.0", "port": 1812, "pid": 1420, "image": "dns.exe", "services": ["DNS"]},
        {"protocol": "udp", "address": "0.0.0.0", "port": 53, "pid": 1420, "image": "dns.exe", "services": ["DNS"]}
      ]}
    }"#;

    fn held(facts: &Facts, name: &str) -> Vec<(String, &'static str)> {
        let catalog = Catalog::builtin();
        let history = History::default();
        let rows = service_ports(facts, &catalog, &history);
        let row = rows.iter().find(|row| &*row.service.name == name).unwrap();
        let word = |held_by: &HeldBy<'_>| match held_by {
            HeldBy::Own(_) => "own",
            HeldBy::Other(_) => "other",
            HeldBy::Free => "free",
            HeldBy::Unknown => "unknown",
        };
        row.needs.iter().map(|(claim, held_by)| (claim.port.to_string(), word(held_by))).collect()
    }

    #[test]
    fn tells_own_foreign_and_free_ports_apart() {
        let facts: Facts = serde_json::from_str(HOST).unwrap();
        let ias = held(&facts, "IAS");
        assert!(ias.contains(&("udp/1812".to_owned(), "other")), "{ias:?}");
        assert!(ias.contains(&("udp/1813".to_owned(), "free")), "{ias:?}");
        let dns = held(&facts, "DNS");
        assert!(dns.contains(&("udp/53".to_owned(), "own")), "{dns:?}");
    }

    #[test]
    fn of_names_that_differ_in_case_any_order_chooses_the_same() {
        let mut facts: Facts = serde_json::from_str(HOST).unwrap();
        let crate::facts::Section::Known(services) = &mut facts.services else { unreachable!("they are known") };
        let mut twin = services[0].clone();
        twin.name = "ias".into();
        services.push(twin);
        let catalog = Catalog::builtin();
        let names = |facts: &Facts| -> Vec<String> {
            service_ports(facts, &catalog, &History::default()).iter().map(|row| row.service.name.to_string()).collect()
        };
        let before = names(&facts);
        if let crate::facts::Section::Known(services) = &mut facts.services {
            services.reverse();
        }
        assert_eq!(before, ["DNS", "IAS"]);
        assert_eq!(names(&facts), before);
    }

    #[test]
    fn unknown_sockets_are_not_free() {
        let mut facts: Facts = serde_json::from_str(HOST).unwrap();
        facts.sockets = crate::facts::Section::Unknown("access denied".into());
        assert!(held(&facts, "IAS").iter().all(|(_, word)| *word == "unknown"));
    }
}
