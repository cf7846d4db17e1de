//! The agent as a Windows service. Read in this order: what it was told (`order`), how it lives by that (`life`), how
//! Windows starts and stops it (`dispatch`), how it is set up and removed (`setup`), and where it says what it does
//! (`event_log`, `log_file`).
//!
//! What does not need Windows is tested on any system.

#[cfg(any(windows, test))]
mod order;

#[cfg(windows)]
mod life;

#[cfg(windows)]
mod dispatch;

#[cfg(windows)]
mod setup;

#[cfg(any(windows, test))]
mod command_line;

#[cfg(windows)]
mod registry;

#[cfg(windows)]
mod event_log;

#[cfg(any(windows, test))]
mod log_file;

#[cfg(windows)]
pub(crate) use self::dispatch::dispatch;
#[cfg(windows)]
pub(crate) use self::order::Order;
#[cfg(windows)]
pub(crate) use self::setup::{install, start, uninstall};

/// The key name of the service.
#[cfg(windows)]
pub(crate) const NAME: &str = "portreeve-agent";
