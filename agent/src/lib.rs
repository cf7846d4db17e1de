//! The agent: collects facts of this host and streams them to the server.

pub mod collect;
