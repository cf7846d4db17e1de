//! For Windows PowerShell. What it calls stands in `prelude.ps1`; a plan is calls of that with quoted arguments.

use super::{Lines, head, is_whole, one_line, whole_key};
use crate::plan::{Deed, Plan};
use crate::ports::PortRange;
use crate::remedy::{Data, Former, Removal, command};

pub(super) fn text(plan: &Plan) -> String {
    let mut lines = Lines::default();
    for line in head(plan) {
        lines.add(format!("# {}", one_line(&line)));
    }
    lines.add("# Read it, then run it as administrator. After the restart run it again with -AfterRestart; -Undo takes it back.");
    lines.add("param([switch] $AfterRestart, [switch] $Undo)");
    lines.add_all(include_str!("prelude.ps1"));
    lines.add("");
    let build = plan.os.as_ref().map(|os| os.build);
    let (Some(build), true) = (build, plan.has_changes()) else {
        lines.add("Write-Host 'Nothing is to be done by this script.'");
        return lines.0;
    };
    let name = if is_whole(&plan.host) { plan.host.as_str() } else { "" };
    lines.add(format!("Assert-Place {} {}", quoted(name), quoted(&build.to_string())));
    lines.add("try {");
    lines.add("    if ($Undo) {");
    for step in &plan.undo {
        match &step.deed {
            Some(deed) => add(&mut lines, &step.text, deed),
            None => lines.add(format!("        Write-Warning {}", quoted(&format!("By hand: {}", step.text)))),
        }
    }
    lines.add("    } elseif ($AfterRestart) {");
    for step in &plan.after_restart {
        add(&mut lines, &step.text, &step.deed);
    }
    lines.add("        Write-Host 'Done. The next report shows it.'");
    lines.add("    } else {");
    let mut keys: Vec<&str> = plan.steps.iter().filter_map(|step| key_of(&step.deed)).collect();
    keys.sort_unstable();
    keys.dedup();
    for (index, key) in keys.iter().enumerate() {
        lines.add(format!("        Save-Key {} {}", quoted(&whole_key(key)), index + 1));
    }
    for step in &plan.steps {
        add(&mut lines, &step.text, &step.deed);
    }
    lines.add("        Write-Host 'Done. The next report shows it.'");
    lines.add("    }");
    lines.add("} finally {");
    lines.add("    Start-Stopped");
    lines.add("}");
    lines.0
}

fn key_of(deed: &Deed) -> Option<&str> {
    match deed {
        Deed::AddRanges { list, .. } => Some(list.key()),
        Deed::SetValue { key, .. } => Some(key),
        _ => None,
    }
}

fn add(lines: &mut Lines, text: &str, deed: &Deed) {
    lines.add(format!("        Write-Host {}", quoted(text)));
    lines.add(format!("        {}", call(deed)));
}

fn call(deed: &Deed) -> String {
    match deed {
        Deed::Stop { service } | Deed::Start { service } if !is_whole(service) => {
            "Write-Warning 'By hand: the name of this service holds characters that were replaced.'".to_owned()
        }
        Deed::Stop { service } => format!("Stop-ByName {}", quoted(service)),
        Deed::Start { service } => format!("Start-ByName {}", quoted(service)),
        Deed::AddRanges { list, added, .. } => {
            format!("Add-Ranges {} {} {}", quoted(&whole_key(list.key())), quoted(list.value()), array(added))
        }
        Deed::SetRanges { list, ranges } => {
            format!("Set-Ranges {} {} {}", quoted(&whole_key(list.key())), quoted(list.value()), array(ranges))
        }
        Deed::Exclude { protocol, family, range } => {
            format!("Add-Exclusion {} {protocol} {} {}", family.as_str(), range.start(), range.end())
        }
        Deed::Include { protocol, family, range } => {
            format!("Remove-Exclusion {} {protocol} {} {}", family.as_str(), range.start(), range.end())
        }
        Deed::MoveRange { protocol, family, range, .. } => {
            format!("Set-DynamicRange {} {protocol} {} {}", family.as_str(), range.start(), range.count())
        }
        Deed::SetValue { key, name, data, former } => {
            let (data, kind) = value(data);
            let (was, former) = match former {
                Former::Absent => ("absent", "$null".to_owned()),
                Former::Was(former) => ("known", value(former).0),
                Former::Unread => ("unread", "$null".to_owned()),
            };
            format!("Set-Value {} {} {data} {kind} {was} {former}", quoted(&whole_key(key)), quoted(name))
        }
        Deed::DeleteValue { key, name } => format!("Remove-Value {} {}", quoted(&whole_key(key)), quoted(name)),
        Deed::Uninstall { kb, removal } => remove(kb, removal),
        Deed::RestartServer => {
            "Write-Host '  This script does not do that. When it suits: shutdown /r /t 0' -ForegroundColor Yellow"
                .to_owned()
        }
    }
}

fn remove(kb: &str, removal: &Removal) -> String {
    let system = |program: &str| format!(r"(Join-Path $env:SystemRoot 'System32\{program}')");
    match removal {
        Removal::Spuninst => {
            let path = quoted(&format!(r"$NtUninstall{kb}$\spuninst\spuninst.exe"));
            format!("Remove-Update (Join-Path $env:SystemRoot {path}) '/norestart'")
        }
        Removal::Pkgmgr(package) => {
            format!("Remove-Update {} {}", system("pkgmgr.exe"), quoted(&format!("/up:{package} /norestart")))
        }
        Removal::Dism(package) => {
            let arguments = format!("/online /remove-package /packagename:{package} /norestart");
            format!("Remove-Update {} {}", system("dism.exe"), quoted(&arguments))
        }
        Removal::Wusa => {
            let arguments = format!("/uninstall /kb:{} /norestart", kb.trim_start_matches("KB"));
            format!("Remove-Update {} {}", system("wusa.exe"), quoted(&arguments))
        }
    }
}

/// The argument, and the kind of the value. A DWORD is a signed number there.
fn value(data: &Data) -> (String, &'static str) {
    match data {
        Data::Dword(number) => (format!("({})", number.cast_signed()), "DWord"),
        Data::String(text) => (quoted(text), "String"),
    }
}

fn array(ranges: &[PortRange]) -> String {
    let lines: Vec<String> = ranges.iter().map(|range| quoted(&command::line(*range))).collect();
    format!("@({})", lines.join(", "))
}

/// A literal: nothing in it is expanded, and its only special character, the quote, stands twice. PowerShell takes four
/// further characters for that quote.
fn quoted(text: &str) -> String {
    let mut literal = String::from("'");
    for c in one_line(text).chars() {
        if matches!(c, '\'' | '\u{2018}'..='\u{201b}') {
            literal.push(c);
        }
        literal.push(c);
    }
    literal.push('\'');
    literal
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_literal_ends_where_it_should() {
        for (text, literal) in [
            ("IAS", "'IAS'"),
            ("x' ; calc '", "'x'' ; calc '''"),
            ("x\u{2019}; calc", "'x\u{2019}\u{2019}; calc'"),
            ("$(calc) `calc` %PATH%", "'$(calc) `calc` %PATH%'"),
            ("a\r\ncalc", "'a  calc'"),
        ] {
            assert_eq!(quoted(text), literal);
        }
    }
}
