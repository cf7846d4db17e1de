//! Registry values alone, as `regedit` and `reg import` read them. What it cannot do stands in it as a remark.

use std::collections::BTreeMap;

use super::{Lines, head, one_line, whole_key};
use crate::plan::{Deed, Plan};
use crate::ports::PortRange;
use crate::remedy::{Data, command};

pub(super) fn text(plan: &Plan) -> String {
    let mut lines = Lines::default();
    lines.add("Windows Registry Editor Version 5.00");
    lines.add("");
    let mut remark = |text: &str| lines.add(format!("; {}", one_line(text)));
    for line in head(plan) {
        remark(&line);
    }
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for step in plan.steps.iter().chain(&plan.after_restart) {
        match value(&step.deed) {
            Some((key, line)) => {
                values.entry(key).or_default().push(line);
                remark(&format!("In this file: {}", step.text));
                step.precondition.iter().for_each(|text| remark(&format!("  Only if: {text}")));
                step.undo.iter().for_each(|text| remark(&format!("  Undo: {text}")));
            }
            None => remark(&format!("Not in this file: {}", step.text)),
        }
    }
    if values.is_empty() && plan.has_changes() {
        remark("The plan changes no value of the registry that could be written here.");
    }
    for (key, values) in values {
        lines.add("");
        lines.add(format!("[{key}]"));
        for value in values {
            lines.add(value);
        }
    }
    lines.0
}

/// The key and the line. `None`: it is no registry value, or what it holds was not read.
fn value(deed: &Deed) -> Option<(String, String)> {
    match deed {
        Deed::AddRanges { list, added, former } => {
            let all = Deed::all_ranges(added, former.as_deref())?;
            Some((whole_key(list.key()), format!("{}={}", quoted(list.value()), multi_string(&all))))
        }
        Deed::SetValue { key, name, data, .. } => {
            let data = match data {
                Data::Dword(number) => format!("dword:{number:08x}"),
                Data::String(text) => quoted(text),
            };
            Some((whole_key(key), format!("{}={data}", quoted(name))))
        }
        _ => None,
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", one_line(text).replace('\\', r"\\").replace('"', "\\\""))
}

/// `hex(7):` with the lines in UTF-16, each ended by a zero, and one more at the end.
fn multi_string(ranges: &[PortRange]) -> String {
    let text: String = ranges.iter().map(|range| command::line(*range) + "\0").collect::<String>() + "\0";
    let bytes: Vec<String> = text.encode_utf16().flat_map(u16::to_le_bytes).map(|byte| format!("{byte:02x}")).collect();
    // As regedit breaks its lines.
    let rows: Vec<String> = bytes.chunks(20).map(|row| row.join(",")).collect();
    format!("hex(7):{}", rows.join(",\\\r\n  "))
}
