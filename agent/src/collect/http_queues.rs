//! Which processes serve the ports that the kernel holds for HTTP.sys, as `netsh http show servicestate view=requestq`
//! tells. Its words are in the language of the system, so only its shape is read: a queue starts at a line without
//! indentation, its URLs name a port, and its processes are a number alone on a line (up to Server 2012 R2) or a number
//! followed by a comma (later).
//!
//! Invariant: what is not clear is left out; no answer is [`Unreadable`], never "no queues". No I/O.

use std::collections::{BTreeMap, BTreeSet};

use super::reading::Unreadable;

/// Processes of a port beyond which nothing is said.
const MOST_PROCESSES: usize = 16;

/// Processes by port.
pub type HttpQueues = BTreeMap<u16, BTreeSet<u32>>;

pub fn http_queues(answer: &str) -> Result<HttpQueues, Unreadable> {
    if !answer.lines().any(|line| line.trim_start().starts_with("---")) {
        let first = answer.lines().map(str::trim).find(|line| !line.is_empty());
        return Err(Unreadable::new(match first {
            None => "netsh answered nothing".to_owned(),
            Some(line) => format!("netsh answered “{line}”"),
        }));
    }
    let mut queues = HttpQueues::new();
    let mut queue = Queue::default();
    for line in answer.lines() {
        if line.starts_with(|c: char| !c.is_whitespace()) {
            std::mem::take(&mut queue).close(&mut queues);
        }
        queue.read(line.trim());
    }
    queue.close(&mut queues);
    queues.retain(|_, processes| processes.len() <= MOST_PROCESSES);
    Ok(queues)
}

#[derive(Default)]
struct Queue {
    ports: BTreeSet<u16>,
    processes: BTreeSet<u32>,
}

impl Queue {
    fn read(&mut self, line: &str) {
        if let Some(port) = port(line) {
            self.ports.insert(port);
        } else if let Some(process) = process(line) {
            self.processes.insert(process);
        }
    }

    fn close(self, queues: &mut HttpQueues) {
        if self.processes.is_empty() {
            return;
        }
        for port in self.ports {
            queues.entry(port).or_default().extend(&self.processes);
        }
    }
}

/// Of `HTTP://+:5985/WSMAN/`, `HTTPS://[::1]:443:10.0.0.1/`.
fn port(line: &str) -> Option<u16> {
    let (scheme, rest) = line.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let authority = rest.split('/').next()?;
    let after_host = match authority.strip_prefix('[') {
        Some(address) => address.split_once(']')?.1.strip_prefix(':')?,
        None => authority.split_once(':')?.1,
    };
    after_host.split(':').next()?.parse().ok().filter(|port| *port != 0)
}

/// Of `1080`, or `ID: 1080, image: …`.
fn process(line: &str) -> Option<u32> {
    let number = match line.split_once(',') {
        Some((before, _)) => before.split_once(':')?.1.trim(),
        None => line,
    };
    number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok())?.filter(|process| *process != 0)
}

#[cfg(test)]
mod tests {
    use super::http_queues;

    /// Server 2008 R2 and 2012.
    const ENGLISH: &str = "\r
Snapshot of HTTP service state (Request Queue View): \r
-----------------------------------------------------\r
\r
Request queue name: Request queue is unnamed.\r
    Version: 1.0\r
    State: Active\r
    Request queue 503 verbosity level: Basic\r
    Max requests: 1000\r
    Number of active processes attached: 1\r
    Process IDs:\r
        944\r
    URL groups:\r
    URL group ID: FE00000040000001\r
        State: Active\r
        Request queue name: Request queue is unnamed.\r
        Properties: \r
            Max bandwidth: 4294967295\r
            Timeouts:\r
                Entity body timeout (secs): 120\r
            Number of registered URLs: 2\r
            Registered URLs:\r
                HTTP://+:5985/WSMAN/\r
                HTTP://+:47001/WSMAN/\r
\r
Request queue name: DefaultAppPool\r
    Version: 2.0\r
    Max requests: 1000\r
    Number of active processes attached: 0\r
    Controller process ID: 3408\r
    Process IDs:\r
    URL groups:\r
        Registered URLs:\r
            HTTP://*:80/\r
\r
Request queue name: Request queue is unnamed.\r
    Process IDs:\r
        1200\r
        1300\r
    URL groups:\r
        Registered URLs:\r
            HTTPS://+:443/SSTP_SSL/\r
            HTTP://[::1]:8000:127.0.0.1/PATH:9000/\r
            HTTP://+:5985/WSMAN2/\r
";

    /// Server 2019; the bytes of the code page that are not UTF-8 are lost.
    const GERMAN: &str = "
Momentaufnahme des HTTP-Dienststatus (Anforderungswarteschlangenansicht):
-----------------------------------------------------------------------

Name der Anforderungswarteschlange: Anforderungswarteschlange ist unbenannt.
    Version: 2.0
    Status: Aktiv
    Ausf\u{fffd}hrlichkeitsgrad f\u{fffd}r 503-Fehler: Standard
    Max. Anforderungen: 1000
    Anzahl der zugeordneten aktiven Prozesse: 1
    Prozesse:
        ID: 2688, Image: C:\\Windows\\System32\\svchost.exe
        Dienste: WinRM
        Dienst mit Tag: WinRM
    Registrierte URLs:
        HTTP://+:5985/WSMAN/
        HTTP://+:47001/WSMAN/
";

    fn ports(answer: &str) -> Vec<(u16, Vec<u32>)> {
        let queues = http_queues(answer).unwrap();
        queues.into_iter().map(|(port, processes)| (port, processes.into_iter().collect())).collect()
    }

    #[test]
    fn reads_processes_by_port_in_any_language() {
        let both = vec![1200, 1300];
        let english = [(443, both.clone()), (5985, vec![944, 1200, 1300]), (8000, both), (47001, vec![944])];
        assert_eq!(ports(ENGLISH), english, "the pool without a process says nothing of port 80");
        assert_eq!(ports(GERMAN), [(5985, vec![2688]), (47001, vec![2688])]);
    }

    #[test]
    fn no_answer_is_not_an_empty_one() {
        assert_eq!(http_queues("\r\n").unwrap_err().to_string(), "netsh answered nothing");
        let refused = http_queues("The following command was not found: http show.\r\n").unwrap_err();
        assert!(refused.to_string().contains("was not found"));
        assert!(ports("Snapshot\n--------\n").is_empty());
    }

    #[test]
    fn what_is_not_clear_is_left_out() {
        let crowd = (1..=17).map(|process| format!("        {process}\n")).collect::<Vec<_>>().concat();
        assert!(ports(&format!("---\nQueue\n{crowd}    HTTP://+:80/\n")).is_empty());
        assert!(ports("---\nQueue\n    12\n    FTP://+:21/\n    HTTP://+:0/\n    HTTP://+/\n").is_empty());
    }
}
