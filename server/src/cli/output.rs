//! What a command prints: one value per line for people and shells, or one JSON object.

use std::io::Write;

use clap::Args;

/// How a command that makes something tells what it made.
#[derive(Debug, Clone, Copy, Args)]
pub struct Format {
    /// Print one JSON object instead of one value per line.
    #[arg(long)]
    json: bool,
}

impl Format {
    /// Prints the members in order. A broken pipe is an error, not a panic.
    pub fn print(self, members: &[(&str, serde_json::Value)]) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        if self.json {
            let object: serde_json::Map<_, _> =
                members.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
            writeln!(out, "{}", serde_json::Value::Object(object))?;
            return Ok(());
        }
        for (_, value) in members {
            match value {
                serde_json::Value::String(text) => writeln!(out, "{text}")?,
                other => writeln!(out, "{other}")?,
            }
        }
        Ok(())
    }
}

/// A name that people give: 1 to 200 characters, none of them a control character.
pub fn name(text: &str) -> Result<String, String> {
    let trimmed = text.trim();
    if trimmed.is_empty() || trimmed.chars().count() > 200 || trimmed.chars().any(char::is_control) {
        return Err("a name has 1 to 200 characters and no control characters".to_owned());
    }
    Ok(trimmed.to_owned())
}

/// A span of time such as `30m`, `24h` or `7d`.
pub fn span(text: &str) -> Result<chrono::TimeDelta, String> {
    let bad = || format!("`{text}` is not a span of time such as 30m, 24h or 7d");
    let unit = text.chars().last().ok_or_else(bad)?;
    let count: i64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| bad())?;
    let seconds = match unit {
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(bad()),
    };
    let span = count.checked_mul(seconds).and_then(chrono::TimeDelta::try_seconds).ok_or_else(bad)?;
    if span <= chrono::TimeDelta::zero() || span > chrono::TimeDelta::days(3660) { Err(bad()) } else { Ok(span) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_a_number_and_a_unit() {
        assert_eq!(span("90m"), Ok(chrono::TimeDelta::minutes(90)));
        assert_eq!(span("7d"), Ok(chrono::TimeDelta::days(7)));
        for bad in ["", "h", "5", "5 h", "-1h", "0d", "99999999999999999999h", "9999999d", "5é"] {
            assert!(span(bad).is_err(), "{bad}");
        }
    }
}
