//! Command lines for an elevated command prompt, and the names that may stand in them.

use super::change::{Change, RangeList};
use crate::finding::Step;
use crate::ports::PortRange;

/// `name` as an argument: bare, or in quotes. `None`: it holds characters that a command line could act on.
pub(crate) fn argument(name: &str) -> Option<String> {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '_' | '.' | '$' | '#' | '-');
    if name.is_empty() || name.starts_with('-') || name.trim() != name || !name.chars().all(safe) {
        return None;
    }
    let bare = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    Some(if bare { name.to_owned() } else { format!("\"{name}\"") })
}

pub(super) fn step(text: impl Into<String>, command: Option<String>) -> Step {
    Step { text: text.into(), command, changes: Vec::new() }
}

pub(super) fn by_hand(text: impl Into<String>) -> Step {
    step(text, None)
}

/// A step that does `changes` one after the other; a name that is not safe in a command leaves its words only.
pub(super) fn doing(text: impl Into<String>, changes: Vec<Change>) -> Step {
    let commands: Option<Vec<String>> = changes.iter().map(Change::command).collect();
    let command = commands.filter(|commands| !commands.is_empty()).map(|commands| commands.join(" & "));
    Step { text: text.into(), command, changes }
}

/// For a person to decide on: the command stands there, and no plan takes it up.
pub(super) fn undecided(step: Step) -> Step {
    Step { changes: Vec::new(), ..step }
}

/// Starts a service.
pub(super) fn start(service: &str) -> Step {
    doing(format!("Start {service}."), vec![Change::Start { service: service.to_owned() }])
}

/// Stops a service, and those that depend on it.
pub(super) fn stop(service: &str) -> Step {
    doing(
        format!("Stop {service}. Services that depend on it stop too; start them again afterwards."),
        vec![Change::Stop { service: service.to_owned() }],
    )
}

pub(super) fn restart_service(service: &str) -> Step {
    doing(
        format!("Restart {service}. Services that depend on it stop too; start them again afterwards."),
        vec![Change::Restart { service: service.to_owned() }],
    )
}

pub(super) fn restart_server() -> Step {
    doing("Restart the server.", vec![Change::RestartServer])
}

/// The line that gives a list of ranges this content; an empty one deletes it.
pub(crate) fn set_ranges(list: RangeList, ranges: &[PortRange]) -> String {
    let (key, value) = (list.key(), list.value());
    if ranges.is_empty() {
        return format!("reg delete \"{key}\" /v {value} /f");
    }
    // `\0` separates the lines of the value: the default separator of reg.exe.
    let lines: Vec<String> = ranges.iter().map(|range| line(*range)).collect();
    format!("reg add \"{key}\" /v {value} /t REG_MULTI_SZ /d \"{}\" /f", lines.join("\\0"))
}

/// A line of such a list: a single port is written as a range too, as KB812873 demands.
pub(crate) fn line(range: PortRange) -> String {
    format!("{}-{}", range.start(), range.end())
}

#[cfg(test)]
mod tests {
    use super::argument;

    #[test]
    fn quotes_what_needs_it() {
        assert_eq!(argument("IAS").as_deref(), Some("IAS"));
        assert_eq!(argument("BlackBerry Router").as_deref(), Some("\"BlackBerry Router\""));
        assert_eq!(argument("MSSQL$SQLEXPRESS").as_deref(), Some("\"MSSQL$SQLEXPRESS\""));
    }

    #[test]
    fn refuses_what_could_act() {
        for name in
            ["", "a&b", "a\"b", "a|b", "%PATH%", "a;b", "a`b", "-a", "a\u{fffd}b", "a>b", " a", "é", "/y", "a^b", "a!b"]
        {
            assert_eq!(argument(name), None, "{name}");
        }
    }
}
