//! A fleet that behaves: hosts of several roles that boot, draw ports, flap, fail, get updates and fall silent, as a
//! function of seed, host and time ([`fleet`], [`host`]); and their play through the agent's own library and the real
//! doors ([`player`]), in real or compressed time ([`warp`]).
//!
//! Invariant: what a host shows depends on its seed, its number and the time, and on nothing else. Services, ports and
//! updates are those of the catalog and of the files beside this one; none is invented.

mod calendar;

mod chance;

pub mod fleet;

pub mod host;

mod knowledge;

pub mod player;

mod services;

mod sockets;

mod updates;

pub mod warp;

pub use fleet::Fleet;
