//! What the benches kept, as docs/benchmarks.json holds it and docs/benchmarks.md tells it.

use std::fmt::Write as _;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::bench::table::figure;

/// In which the document tells of them.
pub const ORDER: [(&str, &str); 11] = [
    ("store", "What it costs to keep rows current, against copying them into a table without an index"),
    ("zabbix", "Services beside Zabbix 6.0 on the same Postgres"),
    ("prometheus", "Services beside Prometheus"),
    ("wire", "Bytes on the wire, against osquery's JSON"),
    ("streams", "Connected agents in memory"),
    ("storm", "A server restarted under its agents"),
    ("history", "Questions about the past"),
    ("scale", "Many hosts against few"),
    ("outage", "Postgres away under load"),
    ("soak", "Tables after long writing"),
    ("latency", "From a change on the host to the ticket"),
];

#[derive(Debug, Serialize, Deserialize)]
pub struct Bench {
    #[serde(rename = "bench")]
    pub name: String,
    pub command: String,
    pub rows: Vec<Row>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Row {
    pub what: String,
    pub measured: f64,
    pub unit: String,
    pub limit_kind: Option<String>,
    pub limit: Option<f64>,
    pub holds: bool,
}

/// The newer figures in place of those before, in the order of the document.
pub fn renewed(before: Vec<Bench>, newer: Vec<Bench>) -> Vec<Bench> {
    let kept = before.into_iter().filter(|old| newer.iter().all(|new| new.name != old.name)).collect::<Vec<_>>();
    let mut benches: Vec<Bench> = kept.into_iter().chain(newer).collect();
    benches.sort_by_key(|bench| ORDER.iter().position(|(name, _)| *name == bench.name));
    benches
}

/// The tables of all benches: what follows the head of the document.
pub fn tables(benches: &[Bench]) -> Result<String> {
    let mut text = String::new();
    for bench in benches {
        let title = ORDER.iter().find(|(name, _)| *name == bench.name).map_or(bench.name.as_str(), |(_, title)| title);
        write!(text, "\n## {title}\n\n`{}`\n\n| what | measured | limit |\n|---|---|---|\n", bench.command)?;
        for row in &bench.rows {
            let limit = match (row.limit_kind.as_deref(), row.limit) {
                (Some(kind), Some(limit)) if row.holds => format!("{kind} {}", figure(limit)),
                (Some(kind), Some(limit)) => format!("{kind} {}: **not met**", figure(limit)),
                _ => String::new(),
            };
            writeln!(text, "| {} | {} {} | {limit} |", row.what, figure(row.measured), row.unit)?;
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::{Bench, renewed};

    #[test]
    fn one_bench_that_ran_again_leaves_the_others() {
        let bench = |name: &str, command: &str| Bench { name: name.into(), command: command.into(), rows: Vec::new() };
        let before = vec![bench("store", "old"), bench("scale", "old"), bench("soak", "old")];
        let now = renewed(before, vec![bench("scale", "new"), bench("wire", "new")]);
        let now: Vec<String> = now.into_iter().map(|bench| format!("{} {}", bench.name, bench.command)).collect();
        assert_eq!(now, ["store old", "wire new", "scale new", "soak old"]);
    }
}
