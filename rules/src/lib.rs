//! Facts in, findings out. Pure: no files, no clock, no network, no randomness; the same input gives the same output.
//!
//! Read in this order: [`text`], [`ports`], [`facts`], [`delta`], [`finding`].

pub mod text;

pub mod ports;

pub mod facts;

pub mod delta;

pub mod finding;
