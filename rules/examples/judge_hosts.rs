//! Measures what judging costs: one domain controller, the bytes that it allocates, ten times the catalog, and 10,000 hosts
//! after a change of the catalog. Prints a table, and fails where a limit is passed. `make bench-rules` runs it.
//!
//! usage: judge_hosts

#[path = "domain_controller/mod.rs"]
mod domain_controller;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use chrono::{DateTime, TimeDelta, Utc};
use rules::catalog::Catalog;
use rules::facts::{Facts, Section, UpdateState};
use rules::history::History;
use rules::judge;
use rules::text::Text;

use domain_controller::{Changes, DomainController};

/// Of dns.exe, over both address families.
const POOL: u16 = 5_000;
/// Sockets of dns.exe and updates of the mean host of a fleet, of which most are small: 620 sockets and 150 updates in all.
const MEAN_POOL: u16 = 369;
const MEAN_UPDATES: usize = 150;
const ROUNDS: usize = 400;
const HOSTS: usize = 10_000;
const CORES: usize = 2;

fn main() -> anyhow::Result<()> {
    let catalog = Catalog::builtin();
    let tenfold = tenfold()?;
    let host = host(&catalog, POOL);
    let mut mean = self::host(&catalog, MEAN_POOL);
    if let Section::Known(updates) = &mut mean.updates {
        updates.truncate(MEAN_UPDATES);
    }
    let judgement = judge(&host, &catalog, &History::default());
    println!(
        "A domain controller: {} sockets, {} services, {} updates; {} findings, {} that cannot be told.",
        host.sockets.known().map_or(0, Vec::len),
        host.services.known().map_or(0, Vec::len),
        host.updates.known().map_or(0, Vec::len),
        judgement.findings.len(),
        judgement.cannot_tell.len(),
    );
    let allocated = allocation_counter::measure(|| {
        std::hint::black_box(judge(&host, &catalog, &History::default()));
    });
    // In turns, so that a noisy moment meets both.
    let (mut once, mut ten, mut small) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        small.push(timed(&mean, &catalog));
        once.push(timed(&host, &catalog));
        ten.push(timed(&host, &tenfold));
    }
    let (once, ten, small) = (median(once), median(ten), median(small));
    let fleet = fleet(&host, &catalog);
    let rows = [
        Row::new("judge, median", once.as_secs_f64() * 1e3, 1.0, "ms"),
        Row::new("the mean host, median", small.as_secs_f64() * 1e6, 240.0, "µs"),
        Row::new("allocated", f64::from(u32::try_from(allocated.bytes_total).unwrap_or(u32::MAX)) / 1e6, 4.0, "MB"),
        Row::new("ten times the catalog", ten.as_secs_f64() / once.as_secs_f64(), 1.3, "x the time"),
        Row::new("10,000 hosts judged again", fleet.as_secs_f64(), 10.0, "s on 2 cores"),
    ];
    for row in &rows {
        println!("{:<28}{:>10.3} of {:>5.1} {}", row.name, row.value, row.limit, row.unit);
    }
    ensure!(rows.iter().all(|row| row.value <= row.limit), "a limit is passed");
    Ok(())
}

struct Row {
    name: &'static str,
    value: f64,
    limit: f64,
    unit: &'static str,
}

impl Row {
    fn new(name: &'static str, value: f64, limit: f64, unit: &'static str) -> Self {
        Self { name, value, limit, unit }
    }
}

/// The services and updates bear names that the catalog knows, so that every rule has work to do.
fn host(catalog: &Catalog, pool: u16) -> Facts {
    let now = DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(20_000);
    let host = DomainController { booted_at: now - TimeDelta::hours(1), pool, changes: Changes::default() };
    let mut facts = host.facts(now);
    if let Section::Known(services) = &mut facts.services {
        let names = catalog.services().iter().flat_map(|entry| &entry.services).filter(|name| !name.contains('*'));
        for (service, name) in services.iter_mut().zip(names) {
            service.name = Text::new(name);
        }
    }
    if let Section::Known(updates) = &mut facts.updates {
        let known = catalog.bad_updates().iter().filter_map(|entry| entry.kb.as_ref());
        for (update, kb) in updates.iter_mut().step_by(2).zip(known) {
            update.kb = Some(Text::new(kb));
            update.state = UpdateState::Installed;
        }
    }
    facts
}

/// The catalog, and nine times the same of other services and updates on the same ports.
fn tenfold() -> anyhow::Result<Catalog> {
    let mut files = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog");
    for folder in fs::read_dir(&root)? {
        for file in fs::read_dir(folder?.path())? {
            let path = file?.path();
            let table: toml::Table = toml::from_str(&fs::read_to_string(&path)?)?;
            let name = path.strip_prefix(&root)?.to_string_lossy().into_owned();
            for copy in 0..10 {
                let mut value = toml::Value::Table(table.clone());
                rename(&mut value, copy);
                let name = if copy == 0 { name.clone() } else { name.replace(".toml", &format!("-{copy}.toml")) };
                files.push((name, toml::to_string(&value)?));
            }
        }
    }
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    Catalog::parse(&files).map_err(|faults| anyhow::anyhow!("{faults:?}"))
}

/// Other ids, other services and other numbers of updates; the first copy is left as it is.
fn rename(value: &mut toml::Value, copy: u32) {
    let other = |text: &mut String| match text.strip_prefix("KB").and_then(|number| number.parse::<u32>().ok()) {
        Some(number) => *text = format!("KB{}", number % 1_000_000 + copy * 10_000_000),
        None => text.push_str(&["-copy-", &copy.to_string()].concat()),
    };
    match value {
        _ if copy == 0 => {}
        toml::Value::Table(table) => {
            for (name, value) in table {
                match (name.as_str(), value) {
                    ("id" | "kb", toml::Value::String(text)) => other(text),
                    ("services" | "fixed_by", toml::Value::Array(names)) => {
                        for name in names {
                            if let toml::Value::String(name) = name {
                                other(name);
                            }
                        }
                    }
                    ("conditions", _) => {}
                    (_, value) => rename(value, copy),
                }
            }
        }
        toml::Value::Array(values) => values.iter_mut().for_each(|value| rename(value, copy)),
        _ => {}
    }
}

fn timed(host: &Facts, catalog: &Catalog) -> Duration {
    let started = Instant::now();
    std::hint::black_box(judge(host, catalog, &History::default()));
    started.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// As many threads as cores, each with its share of the hosts.
fn fleet(host: &Facts, catalog: &Catalog) -> Duration {
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..CORES {
            scope.spawn(|| {
                for _ in 0..HOSTS / CORES {
                    std::hint::black_box(judge(host, catalog, &History::default()));
                }
            });
        }
    });
    started.elapsed()
}
