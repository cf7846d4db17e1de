//! The state of 200 services on many hosts, kept by us (server and Postgres, rules and history on) and scraped by
//! Prometheus: processor time by the fact that is up to date after a round. Prometheus knows no owner, no process and no
//! history of who; it is the cheapest of its field. Ours is held against the least that a scrape can cost: one page that
//! tells of all hosts. Beside that stands what Prometheus takes when every host is a target of its own over mutual TLS, as
//! our agents are.
//!
//! usage: make bench, or bench_prometheus [--hosts N] [--rounds N] with Debian's prometheus

#![expect(clippy::cast_precision_loss, reason = "figures are far below 2^52")]

use anyhow::Result;
use clap::Parser;
use tests::bench::cost::microseconds;
use tests::bench::prometheus_scrape::{self, Targets};
use tests::bench::service_fleet::ServiceFleet;
use tests::bench::table::{Keep, Limit, Table};

#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long, default_value_t = 250)]
    hosts: usize,
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    #[command(flatten)]
    keep: Keep,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { hosts, rounds, keep } = Arguments::parse();
    let mut table = Table::new("prometheus", format!("bench_prometheus --hosts {hosts} --rounds {rounds}"));
    let mut fleet = ServiceFleet::connect(hosts).await?;
    let ours = fleet.measure(rounds).await?;
    fleet.server.stop().await?;
    let hosts_scraped = prometheus_scrape::measure(Targets::Hosts, hosts, rounds).await?;
    let page_scraped = prometheus_scrape::measure(Targets::OnePage, hosts, rounds).await?;
    let our_server = microseconds(ours.server_cpu) / ours.values;
    let our_postgres = microseconds(ours.postgres_cpu) / ours.values;
    let [of_hosts, of_page] = [hosts_scraped, page_scraped].map(|scraped| microseconds(scraped.cpu) / scraped.samples);
    table.note("Portreeve: server's processor time by fact", our_server, "µs");
    table.note("Portreeve: Postgres' processor time by fact", our_postgres, "µs");
    table.note("Prometheus, a target for each host: processor time by fact", of_hosts, "µs");
    table.note("Prometheus, a target for each host: memory", hosts_scraped.memory as f64 / 1e6, "MB");
    table.note("Prometheus, one page of all hosts: processor time by fact", of_page, "µs");
    table.note("Prometheus, one page of all hosts: memory", page_scraped.memory as f64 / 1e6, "MB");
    let ours = our_server + our_postgres;
    let of_one_page = "processor time by fact, of Prometheus' with one page of all hosts";
    table.hold(of_one_page, ours / of_page, "x", Limit::AtMost(1.0));
    table.note("processor time by fact, of Prometheus' with a target for each host", ours / of_hosts, "x");
    table.finish(&keep)
}
