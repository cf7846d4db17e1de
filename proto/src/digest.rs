//! A short name for the state of a section, so that two sides that agree send nothing.
//!
//! Only an agent computes it; the server stores what the agent sent and compares bytes, so that cleaning a value or not
//! knowing a newer field never looks like drift.

use std::collections::BTreeMap;

use prost::Message as _;
use rules::facts::Facts;
use sha2::{Digest as _, Sha256};

use crate::fleet::v1;
use crate::wire;

/// By section; a section that was not collected yet is absent.
pub type Digests = BTreeMap<v1::Section, Vec<u8>>;

/// Every section there is.
pub const SECTIONS: [v1::Section; 7] = [
    v1::Section::Host,
    v1::Section::Sockets,
    v1::Section::Services,
    v1::Section::Updates,
    v1::Section::PortPolicy,
    v1::Section::Events,
    v1::Section::Connections,
];

/// The first 16 bytes of SHA-256 over the section as it would be sent in full. `facts` are `wire::canonical`.
pub fn digest(section: v1::Section, facts: &Facts) -> Vec<u8> {
    let encoded = wire::full_section(section, facts).encode_to_vec();
    Sha256::digest(&encoded)[..16].to_vec()
}

/// The digests of all sections.
pub fn digests(facts: &Facts) -> Digests {
    SECTIONS.into_iter().map(|section| (section, digest(section, facts))).collect()
}
