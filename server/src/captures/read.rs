//! What the files of a capture say. Pure: bytes in, facts out.

use portreeve_agent::capture::{self, CaptureFile, TooMuch, UnreadLine, What};
use rules::check::{BadFacts, parse_facts};
use rules::facts::Facts;
use rules::text::Text;

/// What was read of the files of one host.
#[derive(Clone, Debug)]
pub struct Reading {
    /// A section without a source is Unknown.
    pub facts: Facts,
    /// In the order of the files.
    pub understood: Vec<Piece>,
    /// Lines that are not in the facts, in the order of the files.
    pub not_understood: Vec<UnreadLine>,
    /// How many more there are.
    pub not_listed: usize,
    /// Sentences, each about two statements that cannot both be true of one host at one moment.
    pub contradictions: Vec<Text>,
}

/// Lines of one file that were understood as one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub file: Text,
    /// Such as `sockets (netstat)`.
    pub what: &'static str,
    pub lines: usize,
}

/// Why files cannot be taken for a capture at all. A file that is merely not understood is no fault: its lines are listed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadFault {
    #[error(transparent)]
    TooMuch(#[from] TooMuch),
    #[error("{file}: {fault}")]
    BadFacts { file: Text, fault: BadFacts },
    #[error("{file} is a facts file, which tells of a whole host; import it alone")]
    NotAlone { file: Text },
}

impl Reading {
    /// Whether nothing is known after reading: then there is nothing to import.
    pub fn is_empty(&self) -> bool {
        let Facts { schema: _, collected_at: _, host, sockets, services, updates, port_policy, events, connections } =
            &self.facts;
        host.known().is_none()
            && sockets.known().is_none()
            && services.known().is_none()
            && updates.known().is_none()
            && port_policy.known().is_none()
            && events.known().is_none()
            && connections.known().is_none()
    }

    pub fn lines_not_understood(&self) -> usize {
        self.not_understood.len() + self.not_listed
    }
}

/// Reads the files of one host: outputs of commands, in any number and order, or one facts file.
pub fn read(files: &[CaptureFile]) -> Result<Reading, ReadFault> {
    let Some(document) = files.iter().find(|file| is_document(&file.bytes)) else { return read_outputs(files) };
    let file = Text::new(&document.name);
    if files.len() > 1 {
        return Err(ReadFault::NotAlone { file });
    }
    match parse_facts(&document.bytes) {
        Ok(facts) => Ok(of_document(file, &document.bytes, facts)),
        Err(fault) => Err(ReadFault::BadFacts { file, fault }),
    }
}

fn read_outputs(files: &[CaptureFile]) -> Result<Reading, ReadFault> {
    let capture = capture::read(files)?;
    let piece = |piece: capture::Piece| Some(Piece { file: piece.file, what: words(piece.what)?, lines: piece.lines });
    Ok(Reading {
        facts: capture.facts,
        understood: capture.understood.into_iter().filter_map(piece).collect(),
        not_understood: capture.not_understood,
        not_listed: capture.not_listed,
        contradictions: capture.contradictions,
    })
}

/// `None`: what surrounds outputs and says nothing by itself.
fn words(what: What) -> Option<&'static str> {
    Some(match what {
        What::Netstat => "sockets (netstat)",
        What::Tcpvcon => "sockets (TCPVcon)",
        What::Tasklist => "processes (tasklist)",
        What::ServiceControl => "services (sc)",
        What::StartedServices => "started services (net start)",
        What::Hotfixes => "updates (wmic qfe)",
        What::SystemProperties => "properties of the system (wmic)",
        What::SystemInformation => "the system (systeminfo)",
        What::Registry => "registry (reg query)",
        What::PortRanges => "port ranges (netsh)",
        What::Version => "version and name (ver, hostname)",
        What::Prompt | What::Heading => return None,
    })
}

/// No command prints a brace first.
fn is_document(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

fn of_document(file: Text, bytes: &[u8], facts: Facts) -> Reading {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    Reading {
        facts,
        understood: vec![Piece { file, what: "facts of a host (facts file)", lines }],
        not_understood: Vec::new(),
        not_listed: 0,
        contradictions: Vec::new(),
    }
}
