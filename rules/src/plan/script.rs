//! A plan as a file: for PowerShell, for the command prompt of old systems, and its registry values alone.
//!
//! Invariant: text that came from a host stands in a file as a quoted name or as a remark, never as a word that a program
//! acts on. A name that cannot be quoted, or was damaged on its way here, leaves its step to a person.

mod cmd;
mod ps1;
mod reg;

use super::{ByHand, Plan};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Windows PowerShell 2 and later: Server 2008 R2 and later as they come.
    PowerShell,
    /// The command prompt, also of Server 2003 and 2008.
    Command,
    /// Registry values alone, for `reg import`.
    Registry,
}

impl Format {
    /// Without a dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::PowerShell => "ps1",
            Self::Command => "cmd",
            Self::Registry => "reg",
        }
    }
}

/// The bytes of the file, in the encoding that its reader asks for.
pub fn write(plan: &Plan, format: Format) -> Vec<u8> {
    match format {
        // Without the mark, Windows PowerShell takes it for the code page of the system.
        Format::PowerShell => format!("\u{feff}{}", ps1::text(plan)).into_bytes(),
        Format::Command => cmd::text(plan).into_bytes(),
        Format::Registry => format!("\u{feff}{}", reg::text(plan)).encode_utf16().flat_map(u16::to_le_bytes).collect(),
    }
}

/// Lines with the line ends of Windows.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, line: impl AsRef<str>) {
        self.0.push_str(line.as_ref());
        self.0.push_str("\r\n");
    }

    fn add_all(&mut self, text: &str) {
        for line in text.lines() {
            self.add(line);
        }
    }
}

/// What stands above every plan: for whom it is, what it leaves to a person, how it is used.
fn head(plan: &Plan) -> Vec<String> {
    let host = if plan.host.is_empty() { "a host whose name is not known" } else { &plan.host };
    let mut lines = vec![format!("Plan for {host}, {}.", plan.generation().label())];
    lines.extend(plan.collected_at.map(|at| format!("Made from the report of {} UTC.", at.format("%Y-%m-%d %H:%M"))));
    if plan.is_empty() {
        lines.push("Nothing is to be done.".to_owned());
    } else if !plan.has_changes() {
        lines.push("Nothing is left to a script.".to_owned());
    }
    for ByHand { title, steps, .. } in &plan.by_hand {
        lines.push(format!("By hand: {title}"));
        lines.extend(steps.iter().map(|step| format!("- {}", step.text)));
    }
    lines
}

/// Text for a remark or a message: one line, no control characters.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c }).collect()
}

/// A name that reached us undamaged: whatever was replaced on the way shows as U+FFFD.
fn is_whole(name: &str) -> bool {
    !name.is_empty() && !name.contains(char::REPLACEMENT_CHARACTER) && !name.contains(char::is_control)
}

/// `HKEY_LOCAL_MACHINE\…` for `HKLM\…`.
fn whole_key(key: &str) -> String {
    match key.split_once('\\') {
        Some(("HKLM", rest)) => format!(r"HKEY_LOCAL_MACHINE\{rest}"),
        Some(("HKCU", rest)) => format!(r"HKEY_CURRENT_USER\{rest}"),
        _ => key.to_owned(),
    }
}
