//! Revoked certificates, in memory: checked at every stream's start and awaited by every live stream.
//!
//! Read from Postgres every second, so that a revocation made by another process counts within two; a stream awaits
//! [`Revocations::revoked`] beside its other work and ends when it returns.

use std::{collections::HashSet, sync::Arc};

use tokio::sync::watch;

/// Serial number of a certificate, as its bytes stand in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Serial(pub Arc<[u8]>);

impl std::fmt::Display for Serial {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&hex::encode(&self.0))
    }
}

/// The set as this process knows it.
#[derive(Debug)]
pub struct Revocations(watch::Sender<HashSet<Serial>>);

impl Revocations {
    pub fn new() -> Self {
        Self(watch::Sender::new(HashSet::new()))
    }

    pub fn is_revoked(&self, serial: &Serial) -> bool {
        self.0.borrow().contains(serial)
    }

    /// Returns when the certificate is revoked; for most, never.
    pub async fn revoked(&self, serial: &Serial) {
        let mut changes = self.0.subscribe();
        while !self.is_revoked(serial) {
            // The sender is `self`, which this borrow keeps alive, so waiting cannot fail.
            let _ = changes.changed().await;
        }
    }

    /// Replaces the set by what the database says; listeners wake only when it differs.
    pub fn replace(&self, serials: HashSet<Serial>) {
        self.0.send_if_modified(|present| {
            let differs = *present != serials;
            *present = serials;
            differs
        });
    }
}

impl Default for Revocations {
    fn default() -> Self {
        Self::new()
    }
}
