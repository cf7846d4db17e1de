//! What is remembered of a connected host, as the rules want it: learned from its earlier boots when a boot begins, and
//! its services as they last ran well. Kept beside the state of the host, so that no report costs a query for it.
//!
//! What is noted of a service is a level: the same again is no row to write. No I/O, no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use rules::catalog::Catalog;
use rules::facts::{Facts, ServiceState};
use rules::history::{History, Hold, LearnedClaim, Seen};
use rules::last_good::{Ran, RanIn, Running, Setting, running};
use rules::ports::Port;
use rules::text::Text;
use sha2::{Digest, Sha256};

use crate::db::history::{Held, Past};
use crate::db::learned_ports::LearnedPort;
use crate::ingest::ledger;

/// Between two looks at which services run well.
const NOTE_AFTER: TimeDelta = TimeDelta::minutes(10);
/// Services that are remembered of a host; a host may name as many as it likes.
const MAX_SERVICES: usize = 1_000;
/// What hangs on a service that is remembered, about: its name, its lists.
const SETUP: usize = 128;
/// What a setting takes, about: a list of all updates, whose titles other hosts say too.
const SETTING: usize = 8 * 1024;
/// Holding a port once may be chance.
const LEARNED_FROM: usize = 2;
/// Other hosts that must show the same.
const LEARNED_FROM_HOSTS: u32 = 3;

#[derive(Debug)]
pub struct Memory {
    /// The boot that is under way.
    boot: Option<Text>,
    /// By what all of it was told to its ledger. `None`: it was not, as far as is known.
    derived_by: Option<String>,
    history: History,
    services: BTreeMap<String, Remembered>,
    /// By the server's clock. `None`: at once.
    note_from: Option<DateTime<Utc>>,
}

/// A service as it last ran well, and the row of its setting.
#[derive(Clone, Debug)]
pub struct Remembered {
    pub ran: Ran,
    pub setting_id: i64,
}

/// Services that run well and are not remembered so.
#[derive(Clone, Debug)]
pub struct Noted {
    pub boot_id: Text,
    /// By the host's clock, corrected by its skew.
    pub at: DateTime<Utc>,
    pub setting_id: i64,
    pub setting: Arc<Setting>,
    pub services: Vec<Running>,
}

impl Memory {
    pub fn new(
        boot: Option<Text>,
        past: &Past,
        services: BTreeMap<String, Remembered>,
        facts: &Facts,
        catalog: &Catalog,
    ) -> Self {
        let history = learned(past, facts, catalog);
        Self { boot, derived_by: past.derived_by.clone(), history, services, note_from: None }
    }

    pub fn is_of(&self, boot: Option<&Text>) -> bool {
        self.boot.as_ref() == boot
    }

    /// Whether the ledger of the boot held all that was true when this was read, derived by the same.
    pub fn is_told(&self, derived_by: &str) -> bool {
        self.derived_by.as_deref() == Some(derived_by)
    }

    /// What the rules may know besides `facts`, which are those of the host now.
    pub fn history(&mut self, facts: &Facts) -> &mut History {
        let failed =
            facts.services.known().into_iter().flatten().filter(|service| {
                service.state == ServiceState::Stopped && !matches!(service.exit_code, Some(0 | 1077))
            });
        let remembered = failed.filter_map(|service| self.services.get(&service.name.to_lowercase()));
        self.history.last_good = remembered.filter_map(|remembered| remembered.ran.last_good(facts)).collect();
        &mut self.history
    }

    /// What is to be written of the services that run well by now. `None`: nothing, or it is not time yet.
    pub fn note(&mut self, facts: &Facts, now: DateTime<Utc>) -> Option<Noted> {
        if self.note_from.is_some_and(|from| now < from) {
            return None;
        }
        self.note_from = Some(now + NOTE_AFTER);
        let (boot_id, at) = (self.boot.clone()?, facts.collected_at?);
        let setting = Setting::of(facts);
        let setting_id = hash(&setting)?;
        let is_news = |running: &Running| match self.services.get(&running.service.to_lowercase()) {
            Some(known) => {
                known.setting_id != setting_id || known.ran.boot != RanIn::Present || known.ran.running != *running
            }
            None => self.services.len() < MAX_SERVICES,
        };
        let services: Vec<Running> = running(facts).into_iter().filter(is_news).take(MAX_SERVICES).collect();
        let setting = Arc::new(setting);
        (!services.is_empty()).then_some(Noted { boot_id, at, setting_id, setting, services })
    }

    /// What it takes of memory, about: services share the settings that they ran under.
    pub fn bytes(&self) -> usize {
        let learned = (self.history.claims.len() + self.history.holds.len()) * size_of::<Hold>();
        let settings: BTreeSet<i64> = self.services.values().map(|remembered| remembered.setting_id).collect();
        learned + self.services.len() * (size_of::<Remembered>() + SETUP) + settings.len() * SETTING
    }

    /// It is written.
    pub fn keep(&mut self, noted: Noted) {
        for running in noted.services {
            let key = running.service.to_lowercase();
            let ran = Ran { running, setting: Arc::clone(&noted.setting), boot: RanIn::Present, at: Some(noted.at) };
            self.services.insert(key, Remembered { ran, setting_id: noted.setting_id });
        }
    }
}

/// The first 64 bits of a SHA-256 over its JSON, whose maps are in order.
fn hash(setting: &Setting) -> Option<i64> {
    let hash = Sha256::digest(serde_json::to_vec(setting).ok()?);
    hash.first_chunk().map(|bytes| i64::from_le_bytes(*bytes))
}

/// Claims and holds out of the earlier boots of a host.
pub fn learned(past: &Past, facts: &Facts, catalog: &Catalog) -> History {
    let mut claims = claims(past, facts, catalog);
    claims.extend(claims_elsewhere(past, facts, catalog));
    let wanted: BTreeSet<Port> = claims.iter().map(|claim| claim.port).collect();
    let is_wanted = |held: &&Held| wanted.contains(&held.port) || catalog.claims_on(held.port).next().is_some();
    let mut holders: BTreeMap<(Port, &str), BTreeSet<i32>> = BTreeMap::new();
    for held in past.held.iter().filter(is_wanted) {
        if let Some(image) = held.image.as_deref() {
            holders.entry((held.port, file_name(image))).or_default().extend(&held.boots);
        }
    }
    let hold = |((port, image), boots): ((Port, &str), BTreeSet<i32>)| Hold {
        port,
        image: Text::new(image),
        boots: number(boots.len()),
        of: number(past.boots.len()),
    };
    History { claims, holds: holders.into_iter().map(hold).collect(), ..History::default() }
}

/// Ports that one service held in at least half of the boots in which it ran, outside of what the system draws from; what
/// it held for the host itself only is no other program's concern.
fn claims(past: &Past, facts: &Facts, catalog: &Catalog) -> Vec<LearnedClaim> {
    let generation = facts.host.known().map(|host| host.os.generation());
    let mut by_port: BTreeMap<(String, Port), Vec<&Held>> = BTreeMap::new();
    let mut ran = past.ran.clone();
    for held in &past.held {
        let [service] = held.services.as_slice() else { continue };
        let service = service.to_lowercase();
        ran.entry(service.clone()).or_default().extend(&held.boots);
        if !held.is_loopback && !ledger::is_drawn(held.port, facts) {
            by_port.entry((service, held.port)).or_default().push(held);
        }
    }
    let claim = |((service, port), rows): ((String, Port), Vec<&Held>)| {
        let boots: BTreeSet<i32> = rows.iter().flat_map(|row| &row.boots).copied().collect();
        let (held, of) = (boots.len(), ran.get(&service)?.len());
        if held < LEARNED_FROM
            || held * 2 < of
            || catalog.claims_of(&service, generation).any(|claim| claim.port == port)
        {
            return None;
        }
        let row = rows.iter().max_by_key(|row| row.boots.len())?;
        Some(LearnedClaim {
            service: Text::new(row.services.first()?),
            port,
            image: row.image.as_deref().map(|image| Text::new(file_name(image))),
            seen: Seen::Boots { held: number(held), of: number(of) },
        })
    };
    by_port.into_iter().filter_map(claim).collect()
}

/// Ports that the same service holds from the same program on other hosts, where the host's own boots do not say so.
fn claims_elsewhere(past: &Past, facts: &Facts, catalog: &Catalog) -> Vec<LearnedClaim> {
    let generation = facts.host.known().map(|host| host.os.generation());
    let services = facts.services.known().map(Vec::as_slice).unwrap_or_default();
    let claim = |learned: &LearnedPort| {
        let port = learned.held.port;
        let service = services.iter().find(|service| service.name.to_lowercase() == learned.held.service)?;
        let program = service.image_path.as_deref().and_then(program)?;
        // This host may be one of those that were counted.
        let is_held = facts.sockets.known().into_iter().flatten().any(|socket| {
            socket.local_port() == port && socket.services.iter().any(|name| name.eq_ignore_ascii_case(&service.name))
        });
        let held = u32::try_from(learned.hosts).ok()?.saturating_sub(u32::from(is_held));
        let of = u32::try_from(learned.of).ok()?.saturating_sub(1).max(held);
        let is_known = catalog.claims_of(&service.name, generation).any(|claim| claim.port == port);
        let counts = held >= LEARNED_FROM_HOSTS && held * 2 >= of;
        if program != learned.held.image || !counts || is_known || ledger::is_drawn(port, facts) {
            return None;
        }
        let (service, image) = (service.name.clone(), Some(Text::new(&program)));
        Some(LearnedClaim { service, port, image, seen: Seen::Hosts { held, of } })
    };
    past.elsewhere.iter().filter_map(claim).collect()
}

/// `erp.exe` of `"C:\Program Files\Erp\erp.exe" -service`, in lower case.
fn program(command: &str) -> Option<String> {
    let command = command.trim().to_lowercase();
    let path = match command.strip_prefix('"') {
        Some(rest) => rest.split('"').next()?.to_owned(),
        None => command.find(".exe").map_or(command.clone(), |end| command[..end + 4].to_owned()),
    };
    Some(file_name(&path).to_owned()).filter(|name| !name.is_empty())
}

fn file_name(path: &str) -> &str {
    path.rsplit(['\\', '/']).next().unwrap_or(path)
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rules::catalog::Catalog;
    use rules::facts::Facts;
    use rules::history::{Hold, Seen};

    use super::learned;
    use crate::db::history::{Held, Past};
    use crate::db::learned_ports::{HeldPort, LearnedPort};

    fn held(port: &str, image: &str, services: &[&str], boots: &[i32]) -> Held {
        Held {
            port: port.parse().unwrap(),
            image: Some(image.to_owned()),
            services: services.iter().map(ToString::to_string).collect(),
            is_loopback: false,
            boots: boots.iter().copied().collect(),
        }
    }

    fn past(held: Vec<Held>) -> Past {
        Past { boots: BTreeSet::from([1, 2, 3, 4]), held, ..Past::default() }
    }

    fn claims(past: &Past) -> Vec<(String, String, Seen)> {
        let history = learned(past, &Facts::default(), &Catalog::builtin());
        let claim =
            |claim: &rules::history::LearnedClaim| (claim.service.to_string(), claim.port.to_string(), claim.seen);
        history.claims.iter().map(claim).collect()
    }

    #[test]
    fn a_port_held_boot_after_boot_is_learned() {
        let program = r"C:\Erp\erp.exe";
        let mut past =
            past(vec![held("tcp/8123", program, &["Erp"], &[1, 2, 3]), held("tcp/8124", program, &["Erp"], &[1, 4])]);
        let seen = |held| Seen::Boots { held, of: 4 };
        assert_eq!(
            claims(&past),
            [("Erp".to_owned(), "tcp/8123".to_owned(), seen(3)), ("Erp".to_owned(), "tcp/8124".to_owned(), seen(2))]
        );
        past.ran.insert("erp".to_owned(), (1..=9).collect());
        assert!(claims(&past).is_empty(), "less than half");
    }

    #[test]
    fn what_is_chance_shared_drawn_local_or_known_is_not_learned() {
        let mut local = held("tcp/8005", "erp.exe", &["Erp"], &[1, 2, 3]);
        local.is_loopback = true;
        let past = past(vec![
            held("tcp/8123", "erp.exe", &["Erp"], &[1]),
            held("tcp/8124", "svchost.exe", &["A", "B"], &[1, 2, 3]),
            held("tcp/50000", "erp.exe", &["Erp"], &[1, 2, 3]),
            held("udp/1812", "svchost.exe", &["IAS"], &[1, 2, 3]),
            local,
        ]);
        assert_eq!(claims(&past), []);
    }

    #[test]
    fn a_host_without_a_past_learns_from_others() {
        let other = |image: &str, hosts| LearnedPort {
            held: HeldPort { service: "erp".to_owned(), image: image.to_owned(), port: "tcp/8123".parse().unwrap() },
            hosts,
            of: hosts + 1,
        };
        let facts = |sockets: serde_json::Value| -> Facts {
            serde_json::from_value(serde_json::json!({
                "schema": "portreeve.facts/1",
                "services": { "known": [
                    { "name": "Erp", "state": "running", "start": "auto", "image_path": r#""C:\Program Files\Erp\ERP.exe" -s"# },
                ] },
                "sockets": { "known": sockets },
            }))
            .unwrap()
        };
        let seen = |past: &Past, facts: &Facts| -> Vec<Seen> {
            learned(past, facts, &Catalog::builtin()).claims.iter().map(|claim| claim.seen).collect()
        };
        let of_hosts = |past| Past { elsewhere: past, ..Past::default() };
        let nothing = facts(serde_json::json!([]));
        assert_eq!(seen(&of_hosts(vec![other("erp.exe", 3)]), &nothing), [Seen::Hosts { held: 3, of: 3 }]);
        assert_eq!(seen(&of_hosts(vec![other("other.exe", 3)]), &nothing), [], "another program of the same name");
        let holds = facts(serde_json::json!([
            { "protocol": "tcp", "address": "0.0.0.0", "port": 8123, "state": "listen", "services": ["Erp"] },
        ]));
        assert_eq!(seen(&of_hosts(vec![other("erp.exe", 3)]), &holds), [], "it is one of the three");
        assert_eq!(seen(&of_hosts(vec![other("erp.exe", 4)]), &holds), [Seen::Hosts { held: 3, of: 4 }]);
    }

    #[test]
    fn who_held_a_wanted_port_is_counted_over_all_boots() {
        let past = past(vec![
            held("udp/1812", r"C:\Windows\System32\dns.exe", &["DNS"], &[2]),
            held("udp/1812", r"C:\Windows\System32\svchost.exe", &["IAS"], &[1, 3]),
            held("tcp/8124", "other.exe", &[], &[1, 2, 3]),
        ]);
        let history = learned(&past, &Facts::default(), &Catalog::builtin());
        let hold = |image: &str, boots| Hold { port: "udp/1812".parse().unwrap(), image: image.into(), boots, of: 4 };
        assert_eq!(history.holds, [hold("dns.exe", 1), hold("svchost.exe", 2)]);
    }
}
