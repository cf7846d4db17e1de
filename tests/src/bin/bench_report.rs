//! Writes docs/benchmarks.md and docs/benchmarks.json out of the figures that the benches kept. Of those that did not run
//! again the figures stay.
//!
//! usage: make bench, or bench_report FOLDER DOCS

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use tests::bench::report::{Bench, ORDER, renewed, tables};

#[derive(Debug, Parser)]
struct Arguments {
    folder: PathBuf,
    docs: PathBuf,
}

fn main() -> Result<()> {
    let Arguments { folder, docs } = Arguments::parse();
    let newer = read(&folder)?;
    ensure!(!newer.is_empty(), "{} holds no figures", folder.display());
    let figures = docs.join("benchmarks.json");
    let before = if figures.exists() { serde_json::from_slice(&fs::read(&figures)?)? } else { Vec::new() };
    let benches = renewed(before, newer);
    fs::write(figures, serde_json::to_string_pretty(&benches)? + "\n")?;
    fs::write(docs.join("benchmarks.md"), head()? + &tables(&benches)?)?;
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

fn head() -> Result<String> {
    let processors = std::thread::available_parallelism()?;
    Ok(format!(
        "# Benchmarks\n\n`make bench` measures all of this again and writes this page; each part can be run alone with the command \
         beside it, out of the folder `measured`, where `make bench` puts the benches and the server as it is shipped.\n\nMeasured on {processors} processors, everything on one machine: server, Postgres, agents and peers. \
         Such machines are noisy, so limits are ratios of one run wherever a yardstick runs beside; a bench fails past twice its limit.\n"
    ))
}
