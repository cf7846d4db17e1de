//! Who may speak: our own certificate authority, enrollment, renewal and revocation.
//!
//! A stream is identified by its client certificate alone: serial → (client, host).

use std::sync::Arc;

use crate::identity::{revocations::Revocations, seal::Sealer};

pub mod seal;

pub mod revocations;

/// Shared by the listeners, the enrollment service and the streams.
#[derive(Debug, Clone)]
pub struct Identity {
    pub sealer: Sealer,
    pub revocations: Arc<Revocations>,
}
