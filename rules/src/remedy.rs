//! How to mend a finding on the generation of the system at hand: steps with commands, risk, undo and proof. Shown and
//! downloaded, never executed by us.
//!
//! Invariant: a command holds no text of the host but names and numbers that [`command`] has found safe. Where a name
//! is not, the step is given in words only.

pub(crate) mod ahead;
mod change;
pub(crate) mod command;
mod port;

mod dynamic_range;
mod exclude;
mod exclusion;
pub(crate) mod fixed_port;
mod lsass;
mod reserve;

mod server;
mod service;
mod suspect;
mod update;

pub(crate) use ahead::of_running;
pub(crate) use change::excluded_port_range;
pub use change::{Change, Data, Former, RangeList, Removal};
pub(crate) use exclusion::missing;
pub(crate) use port::{Conflict, of_port};
pub(crate) use server::{of_block_mode, of_exhaustion};
pub(crate) use service::of_failure;
pub(crate) use suspect::{Exposure, of_suspect};
pub(crate) use update::of_update;
