//! What agents and the server say to each other: the generated types of `fleet/v1/*.proto` and the one bridge between
//! them and `rules::facts`.
//!
//! Invariant: nothing outside [`wire`] reads or writes rows of a message. No I/O, no clock.

pub mod wire;

mod digest;
pub use digest::{Digests, SECTIONS, digest, digests};

pub mod codec;

/// Generated code, committed; `make gen` writes it and `tests/generated.rs` fails when it is stale.
pub mod fleet {
    #[expect(
        clippy::large_enum_variant,
        clippy::pedantic,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        reason = "written by tonic-prost-build"
    )]
    #[rustfmt::skip]
    pub mod v1 {
        include!("generated/fleet.v1.rs");
    }
}
