//! Writes docs/benchmarks.md and docs/benchmarks.json out of the figures that the benches kept.
//!
//! usage: make bench, or bench_report FOLDER DOCS

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use serde::{Deserialize, Serialize};
use tests::bench::table::figure;

/// In which the document tells of them.
const ORDER: [(&str, &str); 11] = [
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

#[derive(Debug, Parser)]
struct Arguments {
    folder: PathBuf,
    docs: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct Bench {
    #[serde(rename = "bench")]
    name: String,
    command: String,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    what: String,
    measured: f64,
    unit: String,
    limit_kind: Option<String>,
    limit: Option<f64>,
    holds: bool,
}

fn main() -> Result<()> {
    let Arguments { folder, docs } = Arguments::parse();
    let benches = read(&folder)?;
    ensure!(!benches.is_empty(), "{} holds no figures", folder.display());
    fs::write(docs.join("benchmarks.json"), serde_json::to_string_pretty(&benches)? + "\n")?;
    fs::write(docs.join("benchmarks.md"), document(&benches)?)?;
    Ok(())
}

fn read(folder: &Path) -> Result<Vec<Bench>> {
    let mut benches = Vec::new();
    for (name, _) in ORDER {
        let path = folder.join(format!("{name}.json"));
        if !path.exists() {
            continue;
        }
        let text = fs::read(&path)?;
        benches.push(serde_json::from_slice(&text).with_context(|| format!("reading {}", path.display()))?);
    }
    Ok(benches)
}

fn document(benches: &[Bench]) -> Result<String> {
    let processors = std::thread::available_parallelism()?;
    let mut text = format!(
        "# Benchmarks\n\n`make bench` measures all of this again and writes this page; each part can be run alone with the command \
         beside it, out of the folder of release builds.\n\nMeasured on {processors} processors, everything on one machine: server, Postgres, agents and peers. \
         Such machines are noisy, so limits are ratios of one run wherever a yardstick runs beside; a bench fails past twice its limit.\n"
    );
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
