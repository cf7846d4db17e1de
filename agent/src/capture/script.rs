//! The script that collects a capture on a host that cannot run the agent. No I/O.

/// A batch file for Windows 2000 and later: ASCII, CRLF. What it writes is what [`super::read`] understands.
pub const SCRIPT: &str = include_str!("capture.cmd");

#[cfg(test)]
mod tests {
    use super::SCRIPT;

    /// Old interpreters read bytes of their code page, and do not find labels in files with bare line feeds.
    #[test]
    fn is_what_the_oldest_interpreter_reads() {
        assert!(SCRIPT.is_ascii());
        assert_eq!(SCRIPT.matches('\n').count(), SCRIPT.matches("\r\n").count());
        // Longer lines are cut.
        assert!(SCRIPT.lines().all(|line| line.len() < 512));
    }

    #[test]
    fn jumps_only_to_labels_that_exist() {
        let labels: Vec<&str> = SCRIPT.lines().filter_map(|line| line.strip_prefix(':')).collect();
        for line in SCRIPT.lines() {
            let targets = ["goto ", "call :"].iter().filter_map(|jump| line.split_once(jump));
            for (_, target) in targets.filter(|_| !line.starts_with("rem ")) {
                let target = target.split_whitespace().next().unwrap_or_default();
                assert!(labels.contains(&target), "{line}");
            }
        }
    }

    /// It reads the host and changes nothing on it.
    #[test]
    fn runs_only_commands_that_read() {
        for line in SCRIPT.lines().filter_map(|line| line.split_once("call :run ").map(|(_, rest)| rest)) {
            let command = line.split_once(' ').map_or("", |(_, command)| command);
            let reads = ["netstat -", "tasklist", "sc query", "net start", "hostname", "ver", "systeminfo", "wmic "]
                .iter()
                .chain(&[
                    "netsh interface ipv4 show ",
                    "netsh interface ipv6 show ",
                    "reg query ",
                    "\"%HERE%tcpvcon.exe\" ",
                ])
                .any(|known| command.starts_with(known));
            assert!(reads, "{command}");
        }
    }
}
