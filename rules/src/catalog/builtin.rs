//! The files of `rules/catalog`, built into the program. A test checks that none is missing here.

pub(super) const FILES: &[(&str, &str)] = &[];
