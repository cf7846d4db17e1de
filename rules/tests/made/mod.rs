//! Hosts made from the conditions of a catalog entry. What the entry does not ask for is known and empty.

use rules::catalog::{BadUpdate, Condition, Grounding, Package, Trace};
use rules::check;
use rules::facts::{Facts, OsGeneration, UpdateState};
use serde_json::{Value, json};

#[derive(Clone, Debug)]
pub(crate) struct Made {
    generation: OsGeneration,
    build: u32,
    revision: Option<u32>,
    name: String,
    domain: Option<String>,
    booted_at: &'static str,
    roles: Vec<String>,
    products: Vec<Value>,
    services: Vec<Value>,
    updates: Vec<Value>,
    events: Vec<Value>,
    policy: Value,
    /// The number that stands for the entry.
    kb: Option<String>,
    trace: Trace,
    pub(crate) grounding: Grounding,
}

/// Every generation, and the build by which it is known.
const BUILDS: [(OsGeneration, u32, u32, u32); 10] = [
    (OsGeneration::Windows2000, 5, 0, 2195),
    (OsGeneration::Server2003, 5, 2, 3790),
    (OsGeneration::Server2008, 6, 0, 6002),
    (OsGeneration::Server2008R2, 6, 1, 7601),
    (OsGeneration::Server2012, 6, 2, 9200),
    (OsGeneration::Server2012R2, 6, 3, 9600),
    (OsGeneration::Server2016, 10, 0, 14393),
    (OsGeneration::Server2019, 10, 0, 17763),
    (OsGeneration::Server2022, 10, 0, 20348),
    (OsGeneration::Server2025, 10, 0, 26100),
];

/// The services that roles come with.
const SERVICES: [(&str, &str); 15] = [
    ("adcs", "CertSvc"),
    ("adfs", "adfssrv"),
    ("dhcp-server", "DHCPServer"),
    ("dns-server", "DNS"),
    ("domain-controller", "NTDS"),
    ("failover-cluster", "ClusSvc"),
    ("hyper-v", "vmms"),
    ("iis", "W3SVC"),
    ("msmq", "MSMQ"),
    ("nps", "IAS"),
    ("rds-gateway", "TSGateway"),
    ("rds-licensing", "TermServLicensing"),
    ("rras", "RemoteAccess"),
    ("wds", "WDSServer"),
    ("wsus", "WsusService"),
];

pub(crate) fn canonical() -> impl Iterator<Item = OsGeneration> {
    BUILDS.iter().map(|(generation, ..)| *generation)
}

fn numbers(build: &str) -> (u32, u32) {
    let parts: Vec<u32> = build.split('.').map(|part| part.parse().unwrap()).collect();
    (parts[2], parts[3])
}

impl Made {
    fn bare(generation: OsGeneration) -> Self {
        let (_, _, _, build) = BUILDS.iter().find(|(of, ..)| *of == generation).copied().unwrap();
        Self {
            generation,
            build,
            revision: (generation >= OsGeneration::Server2016).then_some(1),
            name: "SERVER1".to_owned(),
            domain: None,
            booted_at: "2026-09-30T06:00:00Z",
            roles: Vec::new(),
            products: Vec::new(),
            services: Vec::new(),
            updates: Vec::new(),
            events: Vec::new(),
            policy: json!({ "exclusions": { "known": [] }, "persistent_exclusions": { "known": [] }, "reserved_ports": { "known": [] } }),
            kb: None,
            trace: Trace::Installed,
            grounding: Grounding::Verified,
        }
    }

    /// A host of `generation` on which everything that the entry asks for is so.
    pub(crate) fn positive(entry: &BadUpdate, generation: OsGeneration) -> Self {
        let mut made = Self::bare(generation);
        made.trace = entry.trace;
        if let Some(package) = entry.packages.iter().find(|package| package.os == generation) {
            made.install(package, entry);
        } else if let Some(kb) = &entry.kb {
            let verified = entry.own_kbs().find(|kb| entry.grounding_of(kb) == Grounding::Verified);
            let kb = verified.unwrap_or(kb);
            made.grounding = entry.grounding_of(kb);
            made.kb = Some(kb.to_owned());
        }
        made.satisfy(&entry.conditions);
        made
    }

    fn install(&mut self, package: &Package, entry: &BadUpdate) {
        self.kb = Some(package.kb.clone());
        self.grounding = entry.grounding_of(&package.kb);
        if let Some(build) = &package.build {
            let (build, revision) = numbers(build);
            self.build = build;
            // An update that failed to install leaves the build below its own.
            self.revision = Some(if self.trace == Trace::Installed { revision } else { revision - 1 });
        } else if let Some(build) = &package.fixed_build {
            let (build, revision) = numbers(build);
            (self.build, self.revision) = (build, Some(revision - 1));
        }
    }

    /// The same on another generation, where the entry has no business.
    pub(crate) fn positive_elsewhere(entry: &BadUpdate, generation: OsGeneration, other: OsGeneration) -> Self {
        let mut made = Self::positive(entry, generation);
        let bare = Self::bare(other);
        (made.generation, made.build, made.revision) = (bare.generation, bare.build, bare.revision);
        made
    }

    /// All conditions but one of the list.
    pub(crate) fn without(entry: &BadUpdate, generation: OsGeneration, index: usize) -> Self {
        let Condition::All(parts) = &entry.conditions else { return Self::bare(generation) };
        let mut rest = entry.clone();
        rest.conditions = Condition::All(
            parts.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, part)| part.clone()).collect(),
        );
        let mut made = Self::positive(&rest, generation);
        made.spoil(&parts[index]);
        made
    }

    /// Whether facts can say that the condition is not met.
    pub(crate) fn can_fail(condition: &Condition) -> bool {
        match condition {
            Condition::All(parts) => parts.iter().any(Self::can_fail),
            Condition::Any(parts) => parts.iter().all(Self::can_fail),
            Condition::Not(part) => matches!(**part, Condition::Update(_)),
            // Whether a host is in a workgroup no fact says.
            Condition::DomainMember(_)
            | Condition::Registry(_)
            | Condition::Hypervisor(_)
            | Condition::Unobserved(_) => false,
            _ => true,
        }
    }

    /// Meets the condition as far as facts can.
    fn satisfy(&mut self, condition: &Condition) {
        match condition {
            Condition::All(parts) => parts.iter().for_each(|part| self.satisfy(part)),
            Condition::Any(parts) => {
                let part = parts.iter().find(|part| Self::can_be_met(part)).unwrap_or(&parts[0]);
                self.satisfy(part);
            }
            Condition::Product(wanted) => {
                let version = wanted.from.clone().unwrap_or_else(|| "1.0".to_owned());
                self.products.push(json!({ "id": wanted.id, "name": wanted.label, "version": version }));
            }
            Condition::Role(role) => {
                self.roles.push(role.clone());
                if let Some((_, service)) = SERVICES.iter().find(|(of, _)| of == role) {
                    self.satisfy(&Condition::Service((*service).to_owned()));
                }
            }
            Condition::Service(name) | Condition::Running(name) => {
                self.services
                    .push(json!({ "name": name, "state": "running", "start": "auto", "pid": 900, "exit_code": 0 }));
            }
            Condition::Update(kb) => self.updates.push(update(kb, UpdateState::Installed)),
            Condition::BuildAtLeast(build) => self.revision = Some(numbers(build).1),
            Condition::BuildBelow(build) => self.revision = Some(numbers(build).1 - 1),
            Condition::HostNameLength(length) => self.name = "A".repeat(*length),
            Condition::DomainMember(_) => self.domain = Some("example.test".to_owned()),
            Condition::DnsPoolReaches(_) => {
                let top = if self.generation < OsGeneration::Server2008 { json!(65_000) } else { Value::Null };
                self.policy["max_user_port"] = json!({ "known": top });
                self.policy["dynamic_ranges"] = json!({ "known": [
                    { "protocol": "udp", "family": "ipv4", "range": "1025-65535" },
                    { "protocol": "udp", "family": "ipv6", "range": "1025-65535" },
                ] });
                self.policy["dns_socket_pool"] = json!({ "known": {} });
            }
            Condition::BlockHoldsClaim => {
                self.satisfy(&Condition::Running("BlackBerry Router".to_owned()));
                self.policy["exclusions"] =
                    json!({ "known": [{ "protocol": "tcp", "family": "ipv4", "range": "3100-3199" }] });
            }
            Condition::UptimeDays(_) => self.booted_at = "2020-01-01T00:00:00Z",
            Condition::Event(event) => self.events.push(json!({
                "log": "Application", "record_id": 1, "provider": event.provider, "id": event.id,
            })),
            Condition::Os(_)
            | Condition::Not(_)
            | Condition::Registry(_)
            | Condition::Hypervisor(_)
            | Condition::Unobserved(_) => {}
        }
    }

    fn can_be_met(condition: &Condition) -> bool {
        match condition {
            Condition::All(parts) => parts.iter().all(Self::can_be_met),
            Condition::Any(parts) => parts.iter().any(Self::can_be_met),
            Condition::Not(part) => Self::can_be_met(part),
            Condition::Registry(_) | Condition::Hypervisor(_) | Condition::Unobserved(_) => false,
            _ => true,
        }
    }

    /// Makes the condition fail where leaving it out does not.
    fn spoil(&mut self, condition: &Condition) {
        match condition {
            Condition::Not(part) => self.satisfy(part),
            Condition::BuildBelow(build) => self.revision = Some(numbers(build).1),
            Condition::BuildAtLeast(_) => self.revision = Some(0),
            _ => {}
        }
    }

    pub(crate) fn by_number(&self, kb: &str) -> Self {
        Self { kb: Some(kb.to_owned()), ..self.clone() }
    }

    pub(crate) fn with_update(&self, kb: &str, state: UpdateState) -> Self {
        let mut made = self.clone();
        made.updates.push(update(kb, state));
        made
    }

    /// The number of the entry in this state and no other.
    pub(crate) fn in_state(&self, state: UpdateState) -> Self {
        let mut made = self.clone();
        let kb = made.kb.take().unwrap();
        made.updates.push(update(&kb, state));
        made
    }

    /// The KBs that mend the entry on this system.
    pub(crate) fn fixes(&self, entry: &BadUpdate) -> Vec<String> {
        let here = entry.packages.iter().filter(|package| package.os == self.generation && self.is_of_build(package));
        entry.fixed_by.iter().chain(here.flat_map(|package| &package.fixed_by)).cloned().collect()
    }

    fn is_of_build(&self, package: &Package) -> bool {
        package.build.iter().chain(&package.fixed_build).all(|build| numbers(build).0 == self.build)
    }

    pub(crate) fn at_fixed_build(&self, entry: &BadUpdate) -> Option<Self> {
        let here = entry.packages.iter().filter(|package| package.os == self.generation && self.is_of_build(package));
        let fixed = here.filter_map(|package| package.fixed_build.as_deref()).map(|build| numbers(build).1).max()?;
        Some(Self { revision: Some(fixed), ..self.clone() })
    }

    /// A monthly rollup of the month after the fix.
    pub(crate) fn with_later_rollup(&self, entry: &BadUpdate) -> Option<Self> {
        let (year, month) = entry.fixed_in.as_deref()?.split_once('-')?;
        let (year, month): (u32, u32) = (year.parse().unwrap(), month.parse().unwrap());
        let (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        let mut made = self.clone();
        made.updates.push(json!({
            "source": "component_package", "id": "Package_for_KB99999999~31bf3856ad364e35~amd64~~1.0.0.0", "kb": "KB99999999",
            "title": format!("{year}-{month:02} Security Monthly Quality Rollup for Windows Server (KB99999999)"),
            "state": "installed",
        }));
        Some(made)
    }

    pub(crate) fn facts(&self) -> Facts {
        let (_, major, minor, _) = BUILDS.iter().find(|(of, ..)| *of == self.generation).copied().unwrap();
        let mut updates = self.updates.clone();
        let state = if self.trace == Trace::Failed { UpdateState::Failed } else { UpdateState::Installed };
        updates.extend(self.kb.iter().map(|kb| update(kb, state)));
        let is_controller = self.roles.iter().any(|role| role == "domain-controller");
        let document = json!({
            "schema": "portreeve.facts/1",
            "collected_at": "2026-10-01T08:00:00Z",
            "host": { "known": {
                "name": self.name, "domain": self.domain, "domain_controller": is_controller,
                "os": { "name": self.generation.label(), "major": major, "minor": minor, "build": self.build, "revision": self.revision },
                "booted_at": self.booted_at,
                "products": { "known": self.products }, "roles": { "known": self.roles },
            } },
            "sockets": { "known": [] },
            "services": { "known": self.services },
            "updates": { "known": updates },
            "port_policy": { "known": self.policy },
            "events": { "known": self.events },
        });
        check::parse_facts(document.to_string().as_bytes()).unwrap()
    }
}

fn update(kb: &str, state: UpdateState) -> Value {
    json!({
        "source": "component_package", "id": format!("Package_for_{kb}~31bf3856ad364e35~amd64~~1.0.0.0"), "kb": kb,
        "title": format!("Security Update for Microsoft Windows ({kb})"), "state": state,
        "installed_at": "2026-09-29T02:00:00Z",
    })
}
