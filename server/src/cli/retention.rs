//! `retention show` and `retention set`.

use std::io::Write;

use clap::Subcommand;
use serde_json::json;

use crate::{
    cli::{Refusal, open::Opened},
    clock,
    config::Place,
    retention::{self, Change, SetFault, Standing, forecast::Forecast, kind::Kind},
};

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Prints how long each kind is kept, how large it is, and when its budget will be used up.
    Show {
        /// Print one JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Sets how long a kind is kept, or how much room it has.
    Set {
        kind: Kind,
        /// Days after which it is removed.
        #[arg(long)]
        days: Option<i32>,
        /// Room that it may take, such as 500M or 20G; `none` takes the budget away.
        #[arg(long, value_parser = budget)]
        budget: Option<Budget>,
        /// Whether its oldest weeks go when it is over its budget. For spans.
        #[arg(long)]
        shorten: Option<bool>,
    },
}

/// A number of bytes, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget(Option<i64>);

pub async fn run(place: Place, action: Action) -> anyhow::Result<()> {
    let opened = Opened::open(&place).await?;
    let done = match action {
        Action::Show { json } => show(&opened, json).await,
        Action::Set { kind, days, budget, shorten } => {
            let change = Change { keep_days: days, budget_bytes: budget.map(|budget| budget.0), may_shorten: shorten };
            set(&opened, kind, change).await
        }
    };
    opened.close().await?;
    done
}

async fn set(opened: &Opened, kind: Kind, change: Change) -> anyhow::Result<()> {
    match retention::set(&opened.db, kind, change, "portreeve-server", clock::now()).await {
        Ok(setting) => {
            let days = setting.keep_days.map_or("no end".to_owned(), |days| format!("{days} days"));
            let budget = setting.budget_bytes.map_or("no budget".to_owned(), bytes);
            eprintln!("{}: {days}, {budget}.", kind.as_str());
            Ok(())
        }
        Err(SetFault::Database(error)) => Err(error.into()),
        Err(fault) => Err(Refusal::BadInput(fault.to_string()).into()),
    }
}

async fn show(opened: &Opened, json: bool) -> anyhow::Result<()> {
    let standings = retention::standings(&opened.db, clock::now()).await?;
    let mut out = std::io::stdout().lock();
    for standing in &standings {
        if json {
            let setting = &standing.setting;
            let object = json!({
                "kind": setting.kind,
                "keep_days": setting.keep_days,
                "budget_bytes": setting.budget_bytes,
                "may_shorten": setting.may_shorten,
                "bytes": standing.bytes,
                "growth_per_day": standing.forecast.growth(),
                "full_in_days": standing.forecast.days(),
            });
            writeln!(out, "{object}")?;
        } else {
            writeln!(out, "{}", line(standing))?;
        }
    }
    Ok(())
}

fn line(standing: &Standing) -> String {
    let setting = &standing.setting;
    let kept = match (setting.keep_days, setting.shortened_to_days) {
        (Some(days), Some(shortened)) => format!("{days} days, shortened to {shortened}"),
        (Some(days), None) => format!("{days} days"),
        (None, _) => "no end".to_owned(),
    };
    let size = standing.bytes.map_or("size not told".to_owned(), bytes);
    let budget = setting.budget_bytes.map_or("no budget".to_owned(), |budget| format!("of {}", bytes(budget)));
    format!("{:<14} {kept:<28} {size:>14} {budget:<14} {}", setting.kind.as_str(), outlook(standing.forecast))
}

/// When the budget is used up, in words.
pub fn outlook(forecast: Forecast) -> String {
    match forecast {
        Forecast::CannotTell => "cannot tell yet".to_owned(),
        Forecast::NotFull { .. } => "not in sight".to_owned(),
        Forecast::FullIn { days, .. } if days <= 0.0 => "FULL".to_owned(),
        Forecast::FullIn { days, .. } => format!("full in {days:.0} days"),
    }
}

/// As people read sizes: 512 B, 1.5 MiB.
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub fn bytes(count: i64) -> String {
    let mut value = count as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{count} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

fn budget(text: &str) -> Result<Budget, String> {
    let bad = || format!("`{text}` is not a size such as 500M or 20G, nor `none`");
    if text == "none" {
        return Ok(Budget(None));
    }
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" => 10,
        "M" | "MB" => 20,
        "G" | "GB" => 30,
        "T" | "TB" => 40,
        _ => return Err(bad()),
    };
    let count: i64 = digits.parse().map_err(|_| bad())?;
    count.checked_mul(1 << shift).filter(|bytes| *bytes > 0).map(|bytes| Budget(Some(bytes))).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_has_a_number_and_a_unit() {
        assert_eq!(budget("20G"), Ok(Budget(Some(20 << 30))));
        assert_eq!(budget("512"), Ok(Budget(Some(512))));
        assert_eq!(budget("none"), Ok(Budget(None)));
        for bad in ["", "G", "0", "-1G", "5X", "99999999999T"] {
            assert!(budget(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_have_one_decimal() {
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(3 << 29), "1.5 GiB");
    }
}
