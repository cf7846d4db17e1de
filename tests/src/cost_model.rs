//! What a fleet costs by its size: figures of docs/benchmarks.json put into formulas, as docs/scaling.md tells them.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};

use crate::bench::report::Bench;
use crate::bench::table::figure;

const FLEETS: [f64; 5] = [1_000.0, 10_000.0, 50_000.0, 200_000.0, 1_000_000.0];
/// A machine is planned for this share of its processors.
const BUSY: f64 = 0.5;

/// A figure of the model and where it comes from.
#[derive(Debug)]
struct Figure {
    letter: &'static str,
    what: &'static str,
    value: f64,
    unit: &'static str,
    source: String,
}

/// The part of the document between its marks. `benchmarks`: the text of benchmarks.json, if it is there.
pub fn written(benchmarks: Option<&str>) -> Result<String> {
    let benches: Vec<Bench> =
        benchmarks.map(serde_json::from_str).transpose().context("reading benchmarks.json")?.unwrap_or_default();
    let measured = |bench: &str, what: &str| {
        let bench = benches.iter().find(|one| one.name == bench)?;
        bench.rows.iter().find(|row| row.what == what).map(|row| row.measured)
    };
    let hosts = measured("streams", "hosts");
    let interval = measured("streams", "an interval of reports of all hosts, until the last is acknowledged");
    // Cores that were busy for so long, over the hosts that reported meanwhile.
    let by_report = |what| Some(measured("streams", what)? * interval? * 1e3 / hosts?);
    let by_host = |what| Some(measured("streams", what)? * 1e6 / hosts?);
    let [server, postgres] = [
        figure_of(
            "s",
            "processor of the server by report",
            "ms",
            by_report("cores of the server meanwhile"),
            "streams",
            1.0,
            "rules included",
        ),
        figure_of(
            "p",
            "processor of Postgres by report",
            "ms",
            by_report("cores of Postgres meanwhile"),
            "streams",
            0.6,
            "25 changed rows at 12 to 24 µs",
        ),
    ];
    let [memory, cache] = [
        figure_of(
            "m",
            "memory of the server by host",
            "KB",
            by_host("memory of the server"),
            "streams",
            100.0,
            "a stream and the facts of its host",
        ),
        figure_of(
            "c",
            "memory of Postgres by host",
            "KB",
            by_host("memory of Postgres"),
            "streams",
            200.0,
            "the rows that are read and written",
        ),
    ];
    let figures = [
        server,
        postgres,
        memory,
        cache,
        assumed(
            "n",
            "rows that change by host and day",
            3_600.0,
            "",
            "620 sockets of which 0.2 % close and open in a minute",
        ),
        assumed("w", "WAL by changed row, history included", 420.0, "B", "two B-trees and the span"),
        assumed("f", "full-page images by host and checkpoint", 44.0, "KB", "with `wal_compression = lz4`"),
        assumed("k", "checkpoints a day", 96.0, "", "`checkpoint_timeout = 15min`"),
        assumed("d", "disk by closed span", 230.0, "B", "the row and its two indexes"),
    ];
    let value = |letter: &str| figures.iter().find(|figure| figure.letter == letter).map_or(0.0, |figure| figure.value);

    let mut text = String::from("| | is | figure | of |\n|---|---|---|---|\n");
    for Figure { letter, what, value, unit, source } in &figures {
        writeln!(text, "| {letter} | {what} | {} | {source} |", format!("{} {unit}", figure(*value)).trim())?;
    }
    text.push_str(
        "\nFor N hosts that report each minute:\n\n```\n\
         processors   N × (s + p) / 60 s, planned to be busy by half\n\
         memory       N × (m + c)\n\
         WAL a day    N × (n × w + f × k)\n\
         disk a day   N × n / 2 × d          history; a day that is forgotten costs nothing\n```\n\n\
         | hosts | reports/s | processors | memory | WAL a day | disk a day |\n|---|---|---|---|---|---|\n",
    );
    for hosts in FLEETS {
        let processors = hosts * (value("s") + value("p")) / 60_000.0 / BUSY;
        let memory = hosts * (value("m") + value("c")) / 1e6;
        let wal = hosts * (value("n") * value("w") + value("f") * 1e3 * value("k")) / 1e9;
        let disk = hosts * value("n") / 2.0 * value("d") / 1e9;
        writeln!(
            text,
            "| {} | {} | {} | {} GB | {} GB | {} GB |",
            grouped(hosts),
            figure(hosts / 60.0),
            figure(processors),
            figure(memory),
            figure(wal),
            figure(disk)
        )?;
    }
    text.push_str(
        "\nBeyond one machine the same sums are divided among servers (s, m) and machines of the database (p, c, w, f, d).\n",
    );
    Ok(text)
}

fn figure_of(
    letter: &'static str,
    what: &'static str,
    unit: &'static str,
    measured: Option<f64>,
    bench: &str,
    otherwise: f64,
    why: &str,
) -> Figure {
    let source = match measured {
        Some(_) => format!("bench `{bench}`"),
        None => format!("assumed: {why}"),
    };
    Figure { letter, what, value: measured.unwrap_or(otherwise), unit, source }
}

fn assumed(letter: &'static str, what: &'static str, value: f64, unit: &'static str, why: &str) -> Figure {
    Figure { letter, what, value, unit, source: format!("assumed: {why}") }
}

/// With a comma before each three digits.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
