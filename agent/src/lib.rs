//! The agent: collects facts of this host and streams them to the server. Read in this order.
//!
//! It uses the facts and their changes of `rules`, never its judgement: rules run on the server only, so that bad content
//! can never harm a monitored host.

pub mod collect;

pub mod capture;

pub mod stream;

pub mod spool;

mod reporter;

pub mod run;

mod transport;

mod tls;

pub mod proxy;

pub mod enroll;

pub mod identity;

pub mod fingerprint;

mod private;

pub mod token;

#[cfg(windows)]
mod descriptor;

pub(crate) mod service;

mod logging;

mod place;

pub mod selftest;

pub mod cli;

pub mod clock;
