//! For the command prompt, as Server 2003 and 2008 have it. What it calls stands in `prelude.cmd`; labels instead of
//! blocks, so that no parenthesis of a text can end one.

use super::{Lines, head, is_whole};
use crate::plan::{Deed, Plan, PlanStep};
use crate::ports::PortRange;
use crate::remedy::{Data, Former, command};

/// findstr takes no longer pattern.
const PATTERN_MAX: usize = 200;

pub(super) fn text(plan: &Plan) -> String {
    let mut script = Script { lines: Lines::default(), label: 0 };
    script.line("@echo off");
    for line in head(plan) {
        script.line(&format!("rem {}", remark(&line)));
    }
    script.line(
        "rem Read it, then run it in an elevated command prompt. After the restart run it again with after-restart.",
    );
    script.line("rem With undo it takes back what it did.");
    script.line("setlocal EnableExtensions DisableDelayedExpansion");
    let (Some(os), true) = (&plan.os, plan.has_changes()) else {
        script.line("echo Nothing is to be done by this script.");
        script.line("exit /b 0");
        return script.lines.0;
    };
    script.line("set \"HERE=%~dp0\"");
    script.line("call :place");
    script.line("if errorlevel 1 exit /b 1");
    // The name that the system knows itself by has 15 characters.
    let name: String = plan.host.chars().take(15).collect();
    if !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        script.line(&format!("if /i not \"%COMPUTERNAME%\"==\"{name}\" echo This plan is for {name}."));
        script.line(&format!("if /i not \"%COMPUTERNAME%\"==\"{name}\" exit /b 1"));
    }
    let version = format!("{}.{}.{}", os.major, os.minor, os.build);
    script.line(&format!("ver | findstr /L /C:\" {version}\" >nul"));
    script.line(&format!("if errorlevel 1 echo This plan is for Windows {version}. Download the plan anew."));
    script.line("if errorlevel 1 exit /b 1");
    script.line("if \"%~1\"==\"\" goto now");
    script.line("if /i \"%~1\"==\"after-restart\" goto after_restart");
    script.line("if /i \"%~1\"==\"undo\" goto undo");
    script.line("echo Arguments: none, after-restart, or undo.");
    script.line("exit /b 2");
    script.part("now", &plan.steps);
    script.part("after_restart", &plan.after_restart);
    script.line("");
    script.line(":undo");
    for step in &plan.undo {
        script.line(&format!("echo {}", remark(&step.text)));
        match &step.deed {
            Some(deed) => script.deed(deed),
            None => script.line("echo   By hand."),
        }
    }
    script.line("exit /b 0");
    script.failures(plan);
    script.line("");
    script.lines.add_all(include_str!("prelude.cmd"));
    script.lines.0
}

struct Script {
    lines: Lines,
    /// The last one that was used.
    label: u32,
}

impl Script {
    fn line(&mut self, line: &str) {
        self.lines.add(line);
    }

    fn part(&mut self, label: &str, steps: &[PlanStep]) {
        self.line("");
        self.line(&format!(":{label}"));
        for step in steps {
            self.line(&format!("echo {}", remark(&step.text)));
            self.deed(&step.deed);
        }
        self.line("echo Done. The next report shows it.");
        self.line("exit /b 0");
    }

    /// Whatever happened: what ran before runs afterwards.
    fn failures(&mut self, plan: &Plan) {
        self.line("");
        self.line(":changed");
        self.line("echo   It is not what it was in the last report. Wait for the next one and download the plan anew.");
        self.line(":failed");
        self.line("echo That failed; nothing after it was done. What was stopped is started again.");
        for step in &plan.steps {
            if let Deed::Stop { service } = &step.deed
                && let Some(name) = argument(service)
            {
                self.line(&format!("call :start {name}"));
            }
        }
        self.line("exit /b 1");
    }

    fn deed(&mut self, deed: &Deed) {
        match deed {
            Deed::Stop { service } => self.call("stop", argument(service).as_deref()),
            Deed::Start { service } => self.call("start", argument(service).as_deref()),
            Deed::AddRanges { list, added, former } => {
                let Some(all) = Deed::all_ranges(added, former.as_deref()) else {
                    return self.line("echo   By hand: what the value holds was not read, and must be kept.");
                };
                let query = format!("reg query \"{}\" /v {} 2>nul", list.key(), list.value());
                let done = self.next_label();
                self.line(&format!("{query} | {} >nul", find_ranges(&all)));
                self.line(&format!("if not errorlevel 1 goto {done}"));
                match former.as_deref().unwrap_or_default() {
                    [] => {
                        self.line(&format!("{query} | findstr /R /C:\"REG_MULTI_SZ.*[1-9]\" >nul"));
                        self.line("if not errorlevel 1 goto changed");
                    }
                    former if pattern(former).len() <= PATTERN_MAX => {
                        self.line(&format!("{query} | {} >nul", find_ranges(former)));
                        self.line("if errorlevel 1 goto changed");
                    }
                    _ => self.line("echo   Whether the list is as in the last report is not checked: it is too long."),
                }
                self.save(list.key());
                self.line(&command::set_ranges(*list, &all));
                self.line("if errorlevel 1 goto failed");
                self.line(&format!(":{done}"));
            }
            Deed::SetRanges { .. } | Deed::MoveRange { .. } => self.commands(deed),
            Deed::Exclude { protocol, family, range } | Deed::Include { protocol, family, range } => {
                let label = if matches!(deed, Deed::Exclude { .. }) { "exclude" } else { "include" };
                self.line(&format!(
                    "call :{label} {} {protocol} {} {} {}",
                    family.as_str(),
                    range.start(),
                    range.end(),
                    range.count()
                ));
                self.line("if errorlevel 1 goto failed");
            }
            Deed::SetValue { key, name, data, former } => {
                let query = format!("reg query \"{key}\" /v \"{name}\" 2>nul");
                let done = self.next_label();
                if let Data::Dword(number) = data {
                    self.line(&format!("{query} | {} >nul", find_number(*number)));
                    self.line(&format!("if not errorlevel 1 goto {done}"));
                }
                match former {
                    Former::Absent => {
                        self.line(&format!("{query} >nul"));
                        self.line("if not errorlevel 1 goto changed");
                    }
                    Former::Was(Data::Dword(number)) => {
                        self.line(&format!("{query} | {} >nul", find_number(*number)));
                        self.line("if errorlevel 1 goto changed");
                    }
                    Former::Was(Data::String(_)) | Former::Unread => {}
                }
                self.save(key);
                self.commands(deed);
                self.line(&format!(":{done}"));
            }
            Deed::DeleteValue { key, name } => {
                self.line(&format!("reg query \"{key}\" /v \"{name}\" >nul 2>&1"));
                let done = self.next_label();
                self.line(&format!("if errorlevel 1 goto {done}"));
                self.commands(deed);
                self.line(&format!(":{done}"));
            }
            Deed::Uninstall { .. } => {
                for command in deed.commands() {
                    let command = command.strip_prefix("start /w ").unwrap_or(&command).to_owned();
                    self.line(&format!("start \"\" /w {command}"));
                }
                self.line("call :removed %ERRORLEVEL%");
                self.line("if errorlevel 1 goto failed");
            }
            Deed::RestartServer => self.line("echo   This script does not do that. When it suits: shutdown /r /t 0"),
        }
    }

    fn call(&mut self, label: &str, name: Option<&str>) {
        match name {
            Some(name) => {
                self.line(&format!("call :{label} {name}"));
                self.line("if errorlevel 1 goto failed");
            }
            None => self.line("echo   By hand: the name of this service is not safe in a command."),
        }
    }

    fn commands(&mut self, deed: &Deed) {
        for command in deed.commands() {
            self.line(&command);
            self.line("if errorlevel 1 goto failed");
        }
    }

    fn save(&mut self, key: &str) {
        self.line(&format!("call :save \"{key}\" {}", self.label));
    }

    fn next_label(&mut self) -> String {
        self.label += 1;
        format!("step{}", self.label)
    }
}

fn argument(service: &str) -> Option<String> {
    command::argument(service).filter(|_| is_whole(service))
}

/// A list as reg.exe prints it: `\0` between the lines, and at the end none, one or two of them (2003). A single port may
/// stand as `4500` or `4500-4500`.
fn pattern(ranges: &[PortRange]) -> String {
    let lines = ranges.iter().map(|range| match range.count() {
        1 => format!("{}[-0-9]*", range.start()),
        _ => command::line(*range),
    });
    format!("REG_MULTI_SZ[^0-9]*{}", lines.collect::<Vec<_>>().join(".0"))
}

fn find_ranges(ranges: &[PortRange]) -> String {
    let pattern = pattern(ranges);
    format!("findstr /R /C:\"{pattern}$\" /C:\"{pattern}.0$\" /C:\"{pattern}.0.0$\"")
}

fn find_number(number: u32) -> String {
    format!("findstr /R /I /C:\"REG_DWORD[^0-9]*0x{number:x}$\"")
}

/// Text that stays text after `rem` and `echo`: letters, digits and what no command line acts on.
fn remark(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " .,:;-_/\\()[]'=+#$*@".contains(c);
    let plain: String = text.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    // `echo.`, `echo /?` and a caret at the end are words of the prompt.
    plain.trim_start_matches(['.', '/', ':', ',', ';', '=', '(', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::{argument, remark};

    #[test]
    fn a_remark_does_nothing() {
        for (text, plain) in [
            ("x & del *", "x _ del *"),
            ("%PATH% ^", "_PATH_ _"),
            ("a\r\ncalc", "a__calc"),
            ("/? | more", "_ _ more"),
            ("\"x\" > y!", "_x_ _ y_"),
        ] {
            assert_eq!(remark(text), plain);
        }
    }

    #[test]
    fn a_damaged_name_is_no_argument() {
        assert_eq!(argument("a\u{fffd}b"), None);
        assert_eq!(argument("BlackBerry Router").as_deref(), Some("\"BlackBerry Router\""));
    }
}
