//! What the readers took from all files of a capture, before it is joined to facts. No I/O.

use rules::text::Text;

use super::netstat;
use super::netstat::SocketRow;
use super::page::Page;
use super::service_control::{self, ServiceBlock};
use super::tasklist::{self, ProcessRow};

#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// Sockets by the file that shows them: each file is one look.
    pub(super) sockets: Vec<(Text, Vec<SocketRow>)>,
    pub(super) processes: Vec<ProcessRow>,
    pub(super) services: Vec<ServiceBlock>,
}

impl Gathered {
    /// Reads one page: shapes that nothing else has come first, those that are known by their surroundings last.
    pub(super) fn read(&mut self, page: &mut Page) {
        let mut sockets = netstat::rows(page);
        self.processes.extend(tasklist::rows(page));
        self.services.extend(service_control::blocks(page));
        netstat::owners(page, &mut sockets);
        if !sockets.is_empty() {
            self.sockets.push((page.file.clone(), sockets.into_iter().map(|(_, row)| row).collect()));
        }
    }
}
