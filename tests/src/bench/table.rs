//! Figures of one bench with their limits, printed as they are made and kept for docs/benchmarks.md.
//!
//! A figure past its limit is marked; past the limit by more than [`SLACK`] it fails the bench: machines are noisy, and
//! a test that fails by chance is soon ignored.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

/// By how much a limit may be passed before the bench fails.
pub const SLACK: f64 = 2.0;

/// Where figures go beside standard output.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Keep {
    /// Folder for the figures, as make bench reads them into docs/benchmarks.md.
    #[arg(long)]
    pub keep: Option<PathBuf>,
}

/// What a figure must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

#[derive(Debug)]
pub struct Table {
    bench: &'static str,
    command: String,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    what: String,
    measured: f64,
    unit: &'static str,
    /// `None`: for the reader only.
    limit: Option<Limit>,
}

impl Table {
    /// `command` is what measures it again.
    pub fn new(bench: &'static str, command: impl Into<String>) -> Self {
        let command = command.into();
        println!("{bench}: {command}");
        Self { bench, command, rows: Vec::new() }
    }

    /// A figure that has a limit.
    pub fn hold(&mut self, what: impl Into<String>, measured: f64, unit: &'static str, limit: Limit) {
        self.add(Row { what: what.into(), measured, unit, limit: Some(limit) });
    }

    /// A figure that the reader wants to know beside.
    pub fn note(&mut self, what: impl Into<String>, measured: f64, unit: &'static str) {
        self.add(Row { what: what.into(), measured, unit, limit: None });
    }

    /// Keeps the figures; an error names those that passed their limits by more than the slack.
    pub fn finish(self, keep: &Keep) -> Result<()> {
        if let Some(folder) = &keep.keep {
            fs::create_dir_all(folder)?;
            let path = folder.join(format!("{}.json", self.bench));
            fs::write(&path, serde_json::to_string_pretty(&self.as_json())?)
                .with_context(|| format!("writing {}", path.display()))?;
        }
        let broken: Vec<&str> =
            self.rows.iter().filter(|row| row.passes_by(SLACK)).map(|row| row.what.as_str()).collect();
        ensure!(broken.is_empty(), "{}: past twice the limit: {}", self.bench, broken.join("; "));
        Ok(())
    }

    fn add(&mut self, row: Row) {
        let limit = match row.limit {
            None => String::new(),
            Some(Limit::AtMost(limit)) => format!("  (at most {})", figure(limit)),
            Some(Limit::AtLeast(limit)) => format!("  (at least {})", figure(limit)),
        };
        let mark = if row.passes_by(1.0) { "  PAST ITS LIMIT" } else { "" };
        println!("  {:<72}{:>12} {}{limit}{mark}", row.what, figure(row.measured), row.unit);
        self.rows.push(row);
    }

    fn as_json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let (kind, limit) = match row.limit {
                    None => (None, None),
                    Some(Limit::AtMost(limit)) => (Some("at most"), Some(limit)),
                    Some(Limit::AtLeast(limit)) => (Some("at least"), Some(limit)),
                };
                json!({
                    "what": row.what,
                    "measured": row.measured,
                    "unit": row.unit,
                    "limit_kind": kind,
                    "limit": limit,
                    "holds": !row.passes_by(1.0),
                })
            })
            .collect();
        json!({"bench": self.bench, "command": self.command, "rows": rows})
    }
}

impl Row {
    /// Whether it is past its limit by more than `slack`. What is no number is past every limit.
    fn passes_by(&self, slack: f64) -> bool {
        match self.limit {
            None => false,
            Some(_) if self.measured.is_nan() => true,
            Some(Limit::AtMost(limit)) => self.measured > limit * slack,
            Some(Limit::AtLeast(limit)) => self.measured < limit / slack,
        }
    }
}

/// With as many digits as say something.
pub fn figure(number: f64) -> String {
    match number.abs() {
        0.0 => "0".to_owned(),
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        size if size >= 1.0 => format!("{number:.2}"),
        size if size >= 0.01 => format!("{number:.3}"),
        _ => format!("{number:.5}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Keep, Limit, Table, figure};

    #[test]
    fn a_figure_past_twice_its_limit_fails() {
        for (measured, limit, fails) in [
            (1.9, Limit::AtMost(1.0), false),
            (2.1, Limit::AtMost(1.0), true),
            (0.06, Limit::AtLeast(0.1), false),
            (0.04, Limit::AtLeast(0.1), true),
            (f64::NAN, Limit::AtMost(1.0), true),
            (1.0, Limit::AtMost(0.0), true),
            (0.0, Limit::AtMost(0.0), false),
        ] {
            let mut table = Table::new("test", "cargo test");
            table.hold("a figure", measured, "x", limit);
            assert_eq!(table.finish(&Keep::default()).is_err(), fails, "{measured} against {limit:?}");
        }
    }

    #[test]
    fn figures_have_the_digits_that_say_something() {
        for (number, text) in [(0.0, "0"), (1234.5, "1234"), (12.34, "12.3"), (0.1234, "0.123"), (0.001, "0.00100")] {
            assert_eq!(figure(number), text);
        }
    }
}
