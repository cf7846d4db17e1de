//! TCPVcon: blocks `[TCP] image` with their fields below, and with `-c` lines of comma-separated values. It prints English
//! everywhere. Later versions print no ports, and without `-n` names stand in place of addresses: such lines tell only
//! which process a PID is. No I/O.

use rules::facts::SocketState;
use rules::text::Text;

use super::netstat::{SocketRow, endpoint, is_nobody, protocol};
use super::page::{Page, What};
use super::tasklist::ProcessRow;

const NO_PORT: &str = "it gives no number of a port or names an address (TCPVcon without -n)";

/// Takes the rows of a page: sockets, and processes.
pub(super) fn rows(page: &mut Page) -> (Vec<SocketRow>, Vec<ProcessRow>) {
    let (mut sockets, mut processes) = (Vec::new(), Vec::new());
    for index in 0..page.lines.len() {
        if !page.lines[index].is_free() {
            continue;
        }
        let (lines, entry) = match comma_separated(page.lines[index].text.trim()) {
            Some(entry) => (vec![index], entry),
            None => match block(page, index) {
                Some(found) => found,
                None => continue,
            },
        };
        if sockets.is_empty() && processes.is_empty() {
            banner(page, index);
        }
        let socket = entry.socket();
        for line in lines {
            match socket {
                Some(_) => page.take(line, What::Tcpvcon),
                None => page.refuse(line, NO_PORT),
            }
        }
        sockets.extend(socket);
        processes.extend(entry.process());
    }
    (sockets, processes)
}

/// The program names itself and its authors above the rows.
fn banner(page: &mut Page, index: usize) {
    for at in index.saturating_sub(6)..index {
        let text = page.lines[at].text.to_lowercase();
        if page.lines[at].is_free()
            && ["tcpv", "sysinternals", "copyright", "russinovich"].iter().any(|word| text.contains(word))
        {
            page.take(at, What::Heading);
        }
    }
}

struct Entry {
    protocol: rules::ports::Protocol,
    image: String,
    pid: u32,
    local: String,
    remote: String,
}

impl Entry {
    fn socket(&self) -> Option<SocketRow> {
        let (address, scope, port) = endpoint(&self.local)?;
        let state = match self.protocol {
            rules::ports::Protocol::Udp => SocketState::Bound,
            rules::ports::Protocol::Tcp if is_nobody(&self.remote) => SocketState::Listen,
            rules::ports::Protocol::Tcp => SocketState::Connected,
        };
        let image = self.image();
        Some(SocketRow {
            protocol: self.protocol,
            address,
            scope,
            port,
            state,
            pid: Some(self.pid),
            image,
            component: None,
        })
    }

    fn process(&self) -> Option<ProcessRow> {
        Some(ProcessRow { pid: self.pid, image: self.image()?, services: None })
    }

    /// `[System Process]` and `<non-existent>` name no program.
    fn image(&self) -> Option<Text> {
        (self.pid != 0 && !self.image.starts_with(['[', '<'])).then(|| Text::new(&self.image))
    }
}

/// `TCP,C:\WINDOWS\system32\dns.exe,1420,LISTENING,0.0.0.0:53,0.0.0.0:0`, or ports in fields of their own.
fn comma_separated(line: &str) -> Option<Entry> {
    let fields: Vec<&str> = line.split(',').map(|field| field.trim().trim_matches('"')).collect();
    let protocol = protocol(fields.first()?)?;
    let pid = fields.get(2)?.parse().ok()?;
    let (local, remote) = match fields[..] {
        [_, _, _, _, local, remote] => (local.to_owned(), remote.to_owned()),
        [_, _, _, _, local, local_port, remote, remote_port, ..] => {
            let bracketed =
                |address: &str| if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
            (format!("{}:{local_port}", bracketed(local)), format!("{}:{remote_port}", bracketed(remote)))
        }
        _ => return None,
    };
    Some(Entry { protocol, image: fields[1].to_owned(), pid, local, remote })
}

/// `[TCP] dns.exe`, then PID, State, Local and Remote.
fn block(page: &Page, index: usize) -> Option<(Vec<usize>, Entry)> {
    let (word, image) = page.lines[index].text.trim().strip_prefix('[')?.split_once("] ")?;
    let protocol = protocol(word)?;
    let mut lines = vec![index];
    let mut field = |name: &str| {
        let below = page.lines.iter().enumerate().skip(index + 1).take(8);
        let mut own = below.take_while(|(_, line)| !line.text.trim_start().starts_with('['));
        let (at, value) = own.find_map(|(at, line)| {
            let value = line.text.trim().strip_prefix(name).filter(|_| line.is_free())?.strip_prefix(':')?;
            Some((at, value.trim().to_owned()))
        })?;
        lines.push(at);
        Some(value)
    };
    let pid = field("PID")?.parse().ok()?;
    let state = field("State");
    let (local, remote) = (field("Local")?, field("Remote").unwrap_or_default());
    drop(state);
    Some((lines, Entry { protocol, image: image.trim().to_owned(), pid, local, remote }))
}
