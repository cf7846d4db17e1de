//! Where facts come from: a live Windows host, or a recording. What its answers mean is told by pure files that are tested on any system.

pub mod cadence;
pub mod capability;
pub mod connections;
#[cfg(not(windows))]
mod elsewhere;
pub mod event_log;
pub mod http_queues;
pub mod live;
pub mod netsh;
pub mod port_values;
pub mod reading;
pub mod replay;
pub mod roles;
pub mod service_memory;
pub mod update_entries;
pub mod update_history;
#[cfg(windows)]
pub mod windows;
