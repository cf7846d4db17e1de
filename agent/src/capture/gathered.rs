//! What the readers took from all files of a capture, before it is joined to facts. No I/O.

use rules::text::Text;

use super::hotfixes::{self, Hotfix};
use super::netstat::{self, SocketRow};
use super::page::Page;
use super::port_ranges::{self, PortRanges};
use super::prompt::{self, Prompts};
use super::registry::Registry;
use super::service_control::{self, ServiceBlock};
use super::started;
use super::system_information::{self, SystemInformation};
use super::system_properties;
use super::tasklist::{self, ProcessRow};
use super::tcpvcon;

#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) sockets: Vec<SocketRow>,
    pub(super) processes: Vec<ProcessRow>,
    pub(super) services: Vec<ServiceBlock>,
    /// Display names of started services.
    pub(super) started: Vec<Text>,
    pub(super) registry: Registry,
    pub(super) hotfixes: Vec<Hotfix>,
    /// Id and title of the updates that `systeminfo` lists.
    pub(super) listed_updates: Vec<(Text, Text)>,
    pub(super) systems: Vec<SystemInformation>,
    pub(super) properties: Vec<(&'static str, String)>,
    /// Of `ver` and of the title of a console.
    pub(super) versions: Vec<[u32; 3]>,
    pub(super) host_names: Vec<String>,
    pub(super) ranges: PortRanges,
}

impl Gathered {
    /// Reads one page: shapes that nothing else has come first, those that are known by their surroundings last.
    pub(super) fn read(&mut self, page: &mut Page) {
        let prompts = Prompts::take(page);
        self.registry.take(page);
        let mut sockets = netstat::rows(page);
        self.hotfixes.extend(hotfixes::hotfixes(page));
        self.properties.extend(system_properties::take(page));
        let (systems, updates) = system_information::take(page);
        self.systems.extend(systems);
        self.listed_updates.extend(updates);
        self.processes.extend(tasklist::rows(page));
        let (endpoints, processes) = tcpvcon::rows(page);
        self.processes.extend(processes);
        self.ranges.extend(port_ranges::take(page, &prompts));
        self.versions.extend(prompt::versions(page));
        self.host_names.extend(prompt::host_names(page, &prompts));
        self.services.extend(service_control::blocks(page));
        self.started.extend(started::display_names(page));
        netstat::owners(page, &mut sockets);
        self.sockets.extend(sockets.into_iter().map(|(_, row)| row).chain(endpoints));
    }
}
