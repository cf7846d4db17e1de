//! Facts in, findings out. Pure: no files, no clock, no network, no randomness; the same input gives the same output.
//!
//! Read in this order: [`text`], [`ports`], [`facts`], [`socket_key`], [`delta`], [`forecast`],
//! [`finding`], [`history`], [`suspect`], [`catalog`], [`judge`], [`overrides`], [`remedy`], [`plan`], [`needs`], [`check`].

pub mod text;

pub mod ports;

pub mod facts;

pub mod socket_key;

pub mod events;

pub mod delta;

pub mod changes;

pub mod forecast;

pub mod finding;

pub mod problem;

pub mod history;

pub mod suspect;

pub mod last_good;

pub mod version;

pub mod catalog;

mod words;

mod view;

mod evidence;

mod failures;

mod drawn;

mod dns_pool;

mod conditions;

mod blocked;

mod degraded;

mod at_risk;

mod by_design;

mod exhaustion;

mod block_mode;

mod bad_update;

mod failed;

pub mod remedy;

pub mod plan;

pub mod kinds;

pub mod needs;

mod judge;
pub use judge::judge;

pub mod overrides;

pub mod check;
