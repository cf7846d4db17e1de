//! What the benches share: [`table`] holds figures against their limits, [`cost`] reads what processes and Postgres spent,
//! [`service_fleet`] is a fleet of services that report through the real door.

pub mod cost;

pub mod prometheus_scrape;

pub mod service_fleet;

pub mod table;

pub mod zabbix_trapper;
