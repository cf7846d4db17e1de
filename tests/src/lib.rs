//! What the tests of the whole system share: each module opens one real door.

pub mod wine;
