//! The services behind the ports that the kernel holds for HTTP.sys: netsh alone tells the processes of its queues.
//!
//! It is asked when the kernel's ports changed, and every six hours.

use chrono::{DateTime, Utc};
use rules::facts::Socket;
use rules::ports::Protocol;

use super::processes::{Processes, SYSTEM_PID};
use super::{Kept, policy};
use crate::collect::capability::Capability;
use crate::collect::http_queues::{HttpQueues, http_queues};
use crate::collect::reading::Unreadable;

#[derive(Debug, Default)]
pub(super) struct Queues {
    /// The kernel's ports when the queues were read.
    ports: Vec<u16>,
    queues: Kept<Result<HttpQueues, Unreadable>>,
}

impl Queues {
    /// Names the services of the processes that serve the kernel's ports: candidates, as they may share a port.
    pub(super) fn name_services(
        &mut self,
        sockets: &mut [Socket],
        processes: &mut Processes,
        now: DateTime<Utc>,
    ) -> Capability {
        let is_of_kernel = |socket: &Socket| socket.pid == Some(SYSTEM_PID) && socket.protocol == Protocol::Tcp;
        let mut ports: Vec<u16> =
            sockets.iter().filter(|socket| is_of_kernel(socket)).map(|socket| socket.port).collect();
        ports.sort_unstable();
        ports.dedup();
        if ports != self.ports {
            self.ports = ports;
            self.queues.forget();
        }
        let queues = self.queues.get(now, || {
            http_queues(&policy::ask_netsh(["http", "show", "servicestate", "view=requestq", "verbose=no"])?)
        });
        let queues = match queues {
            Ok(queues) => queues,
            Err(reason) => return Capability::Unavailable(reason.to_string()),
        };
        for socket in sockets.iter_mut().filter(|socket| is_of_kernel(socket)) {
            for process in queues.get(&socket.port).into_iter().flatten() {
                socket.services.extend(processes.get(*process).services.iter().cloned());
            }
            socket.services.sort_unstable();
            socket.services.dedup();
        }
        Capability::Ok
    }
}
