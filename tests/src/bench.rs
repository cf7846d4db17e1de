//! What the benches share: [`table`] holds figures against their limits, [`report`] tells them, [`cost`] reads what
//! processes and Postgres spent, [`service_fleet`] is a fleet of services that report through the real door,
//! [`light_fleet`] one of ten thousand connections, [`store_fleet`] one of sockets.

pub mod cost;

pub mod prometheus_scrape;

pub mod report;

pub mod service_fleet;

pub mod store_fleet;

pub mod table;

pub mod zabbix_trapper;

pub mod light_fleet;

pub mod mean_host;
