//! The whole system through its real doors: real processes, real Postgres, real TLS. Helpers for the tests beside this
//! crate; nothing here is part of the product.

pub mod database;

pub mod doors;

pub mod raw_agent;

pub mod receiver;

pub mod reporting_host;

pub mod http_door;

pub mod wine;
