//! Command lines for an elevated command prompt, and the names that may stand in them.

use crate::finding::Step;
use crate::ports::PortRange;

/// `name` as an argument: bare, or in quotes. `None`: it holds characters that a command line could act on.
pub(super) fn argument(name: &str) -> Option<String> {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '_' | '.' | '$' | '#' | '-');
    if name.is_empty() || name.starts_with('-') || name.trim() != name || !name.chars().all(safe) {
        return None;
    }
    let bare = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    Some(if bare { name.to_owned() } else { format!("\"{name}\"") })
}

pub(super) fn step(text: impl Into<String>, command: Option<String>) -> Step {
    Step { text: text.into(), command }
}

pub(super) fn by_hand(text: impl Into<String>) -> Step {
    step(text, None)
}

/// Starts a service.
pub(super) fn start(service: &str) -> Step {
    step(format!("Start {service}."), argument(service).map(|name| format!("net start {name}")))
}

/// Stops a service, and those that depend on it.
pub(super) fn stop(service: &str) -> Step {
    step(
        format!("Stop {service}. Services that depend on it stop too; start them again afterwards."),
        argument(service).map(|name| format!("net stop {name} /y")),
    )
}

pub(super) fn restart_service(service: &str) -> Step {
    let command = argument(service).map(|name| format!("net stop {name} /y & net start {name}"));
    step(format!("Restart {service}. Services that depend on it stop too; start them again afterwards."), command)
}

pub(super) fn restart_server() -> Step {
    step("Restart the server.", Some("shutdown /r /t 0".to_owned()))
}

/// Sets a REG_MULTI_SZ value of port ranges; an empty list deletes it. `key` and `value` are ours.
pub(super) fn set_ranges(text: String, key: &str, value: &str, ranges: &[PortRange]) -> Step {
    let command = if ranges.is_empty() {
        format!("reg delete \"{key}\" /v {value} /f")
    } else {
        // `\0` separates the lines of the value: the default separator of reg.exe. A single port is written as a range,
        // as KB812873 demands.
        let lines: Vec<String> = ranges.iter().map(|range| format!("{}-{}", range.start(), range.end())).collect();
        format!("reg add \"{key}\" /v {value} /t REG_MULTI_SZ /d \"{}\" /f", lines.join("\\0"))
    };
    step(text, Some(command))
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
