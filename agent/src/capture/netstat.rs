//! `netstat`: rows `TCP address:port address:port STATE PID`, and below a row, with `-b`, who owns it.
//!
//! No word of it is read, as each language has its own: a socket that listens is known by a foreign address that is
//! nobody's. No I/O.

use std::net::IpAddr;

use rules::facts::SocketState;
use rules::ports::Protocol;
use rules::text::Text;

use super::page::{Page, What};

#[derive(Clone, Debug, PartialEq)]
pub(super) struct SocketRow {
    pub(super) protocol: Protocol,
    pub(super) address: IpAddr,
    pub(super) scope: u32,
    pub(super) port: u16,
    pub(super) state: SocketState,
    pub(super) pid: Option<u32>,
    /// Of an owner line or of TCPVcon.
    pub(super) image: Option<Text>,
    /// What netstat calls the component that owns the socket: the service, where the image is a service host.
    pub(super) component: Option<Text>,
}

/// Most lines that name the components of one socket: Server 2003 lists every library of the call.
const MOST_COMPONENTS: usize = 64;

/// Takes the rows of a page. Each has the index of its line, for the owner lines that are read later.
pub(super) fn rows(page: &mut Page) -> Vec<(usize, SocketRow)> {
    let mut rows: Vec<(usize, SocketRow)> = Vec::new();
    for index in 0..page.lines.len() {
        if !page.lines[index].is_free() {
            continue;
        }
        match parse(&page.lines[index].text) {
            Parsed::Other => {}
            Parsed::Unusable(why) => page.refuse(index, why),
            Parsed::Row { row, is_cut } => {
                let row = if is_cut { joined(page, index).unwrap_or(row) } else { row };
                if rows.is_empty() {
                    page.take_headings(index, 2);
                }
                page.take(index, What::Netstat);
                rows.push((index, row));
            }
        }
    }
    rows
}

enum Parsed {
    Other,
    Unusable(&'static str),
    Row {
        row: SocketRow,
        /// No PID follows: the row may go on in the next line.
        is_cut: bool,
    },
}

/// The row whose state and PID a narrow window wrapped into the next line.
fn joined(page: &mut Page, index: usize) -> Option<SocketRow> {
    let rest = page.lines.get(index + 1).filter(|line| line.is_free())?.text.trim().to_owned();
    let words: Vec<&str> = rest.split_whitespace().collect();
    let is_rest = (1..=3).contains(&words.len())
        && words.last()?.parse::<u32>().is_ok()
        && words[..words.len() - 1].iter().all(|word| word.chars().all(|c| c.is_alphabetic() || c == '_'));
    if !is_rest {
        return None;
    }
    match parse(&format!("{} {rest}", page.lines[index].text)) {
        Parsed::Row { row, .. } => {
            page.take(index + 1, What::Netstat);
            Some(row)
        }
        Parsed::Other | Parsed::Unusable(_) => None,
    }
}

fn parse(line: &str) -> Parsed {
    let mut words = line.split_whitespace();
    let Some(protocol) = words.next().and_then(protocol) else { return Parsed::Other };
    let (Some(local), Some(foreign)) = (words.next(), words.next()) else { return Parsed::Other };
    if !local.contains(':') || !foreign.contains(':') {
        return Parsed::Other;
    }
    let Some((address, scope, port)) = endpoint(local) else {
        return Parsed::Unusable("it names the local address or port instead of giving numbers (netstat without -n)");
    };
    let rest: Vec<&str> = words.collect();
    let last = rest.last().copied().unwrap_or_default();
    // With -t another word stands behind the PID.
    let pid = rest.iter().rev().take(2).find_map(|word| word.parse::<u32>().ok());
    if pid.is_none() && !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Parsed::Unusable("the PID is no number that a process can have");
    }
    let state = match protocol {
        Protocol::Udp => SocketState::Bound,
        Protocol::Tcp if rest.first() == Some(&"BOUND") => SocketState::Bound,
        Protocol::Tcp if is_nobody(foreign) => SocketState::Listen,
        Protocol::Tcp => SocketState::Connected,
    };
    let row = SocketRow { protocol, address, scope, port, state, pid, image: None, component: None };
    Parsed::Row { row, is_cut: pid.is_none() }
}

pub(super) fn protocol(word: &str) -> Option<Protocol> {
    let is = |names: [&str; 3]| names.iter().any(|name| word.eq_ignore_ascii_case(name));
    if is(["TCP", "TCPv6", "TCP6"]) {
        return Some(Protocol::Tcp);
    }
    is(["UDP", "UDPv6", "UDP6"]).then_some(Protocol::Udp)
}

/// `0.0.0.0:135`, `[::]:135`, `[fe80::1%11]:546`. `None`: a name in place of a number.
pub(super) fn endpoint(text: &str) -> Option<(IpAddr, u32, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let (host, scope) = match host.split_once('%') {
        Some((host, scope)) => (host, scope.parse().ok()?),
        None => (host, 0),
    };
    Some((host.parse().ok()?, scope, port))
}

/// A peer that is none: `0.0.0.0:0`, `[::]:0`, `*:*`, `SERVER1:0`.
pub(super) fn is_nobody(foreign: &str) -> bool {
    foreign.ends_with(":0")
        || foreign == "*:*"
        || endpoint(foreign).is_some_and(|(address, ..)| address.is_unspecified())
}

/// Reads the lines below each row that tell its owner. To be called when all other readers have taken their lines.
pub(super) fn owners(page: &mut Page, rows: &mut [(usize, SocketRow)]) {
    for (index, row) in rows.iter_mut() {
        let owner = owner_below(page, *index);
        for line in owner.lines {
            page.take(line, What::Netstat);
        }
        (row.image, row.component) = (owner.image, owner.component);
    }
    if rows.iter().all(|(_, row)| row.image.is_none()) {
        return;
    }
    // "Can not obtain ownership information", in any language: the one line between two rows of such a list.
    for (index, row) in rows.iter() {
        let below = index + 1;
        let is_sentence = page.lines.get(below).is_some_and(|line| line.is_free() && is_sentence(line.text.trim()));
        let ends = page.lines.get(below + 1).is_none_or(|line| line.is_blank() || line.taken == Some(What::Netstat));
        if row.image.is_none() && is_sentence && ends {
            page.take(below, What::Netstat);
        }
    }
}

/// Some languages part no words.
fn is_sentence(text: &str) -> bool {
    text.contains(' ') || !text.is_ascii()
}

#[derive(Default)]
struct Owner {
    lines: Vec<usize>,
    image: Option<Text>,
    component: Option<Text>,
}

fn owner_below(page: &Page, index: usize) -> Owner {
    let mut owner = Owner::default();
    let mut components: Vec<(usize, &str)> = Vec::new();
    let (mut has_libraries, mut blanks) = (false, 0);
    let below = page.lines.iter().enumerate().skip(index + 1).take(MOST_COMPONENTS);
    for (at, line) in below {
        let text = line.text.trim();
        if text.is_empty() {
            blanks += 1;
            if blanks > 1 {
                break;
            }
            continue;
        }
        // Lines of other commands may stand between.
        if line.taken.is_some_and(|what| what != What::Netstat) {
            continue;
        }
        if !line.is_free() {
            break;
        }
        if let Some(image) = in_brackets(text) {
            owner.lines.extend(components.iter().map(|(at, _)| *at));
            owner.lines.push(at);
            owner.image = Some(Text::new(image));
            // A list of libraries names none of the services in the process.
            owner.component = match components.as_slice() {
                [(_, only)] if !has_libraries => Some(Text::new(only)),
                _ => None,
            };
            break;
        }
        let is_library = text.contains('\\') || text.starts_with("--");
        has_libraries |= is_library;
        if !is_library && (text.contains(char::is_whitespace) || text.contains(':')) {
            break;
        }
        components.push((at, text));
    }
    owner
}

/// `[svchost.exe]`.
fn in_brackets(text: &str) -> Option<&str> {
    let name = text.strip_prefix('[')?.strip_suffix(']')?;
    (!name.is_empty() && name.len() <= 260 && !name.contains(['[', ']', ':'])).then_some(name)
}
