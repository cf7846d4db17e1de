//! What the tests of the whole system share: each module opens one real door. Real processes, real Postgres, real TLS;
//! nothing here is part of the product.

pub mod balancer;

pub mod bench;

pub mod connect_proxy;

pub mod cost_model;
pub mod database;

pub mod distribution;

pub mod doors;

pub mod raw_agent;

pub mod receiver;

pub mod recorder;

pub mod reporting_host;

pub mod http_door;

pub mod server;

pub mod simulation;

pub mod agent;

pub mod truth;

pub mod wine;

pub mod windows_host;

pub mod msi;

pub mod meter;

pub mod zabbix;
