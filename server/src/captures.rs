//! Captures: text of commands from hosts that cannot run the agent, and facts files, become hosts. [`read`] understands
//! the files; [`import`] stores what they say as one full report, with findings and deliveries, through the same
//! functions as a report of an agent.
//!
//! Invariant: what was not understood is told by line and never guessed. A capture is a full report of its moment: a
//! section that it does not hold is unknown from then on, with the reason. No host with an agent is written, and no
//! older capture over a newer one.

mod import;
mod read;

pub use import::{CapturedAt, ImportFault, Imported, Origin, Place, import};
pub use portreeve_agent::capture::{CaptureFile, MOST_FILES as MAX_FILES};
pub use read::{Piece, ReadFault, Reading, read};

/// Bytes of all files of one capture together: some fifty times a large host's.
pub const MAX_BYTES: usize = 32 * 1024 * 1024;
