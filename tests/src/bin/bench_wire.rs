//! Bytes on the wire by host and interval at 2 % churn: our report of what changed, against the tables that it keeps current
//! as osquery logs them (snapshots as JSON, <https://osquery.readthedocs.io/en/stable/deployment/logging/>), plain and
//! compressed with zstd. gRPC's five bytes of framing are counted at our side; HTTP and TLS at neither.
//!
//! usage: make bench, or bench_wire

#![expect(clippy::cast_precision_loss, reason = "figures are far below 2^52")]

use anyhow::{Context as _, Result};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Parser;
use prost::Message as _;
use proto::wire::{Report, to_report_parts};
use rules::check::parse_facts;
use rules::facts::{Facts, Section};
use serde_json::{Value, json};
use tests::bench::table::{Keep, Limit, Table};
use tests::raw_agent::{changes, full};

const SERVICES: usize = 200;
const UPDATES: usize = 150;
/// Of a hundred sockets that close in an interval; as many open.
const CHURN: usize = 2;
/// A length and a flag before each message. <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>
const FRAME: usize = 5;
/// osquery has no compression by default; this is the level that zstd itself takes.
const LEVEL: i32 = 3;

#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    keep: Keep,
}

fn main() -> Result<()> {
    let Arguments { keep } = Arguments::parse();
    let mut table = Table::new("wire", "bench_wire");
    for (name, listeners, pool) in
        [("300 sockets", 300, 0), ("600 sockets", 600, 0), ("2,900 sockets, 2,500 of dns.exe", 400, 2_500)]
    {
        let host = Host { listeners, pool };
        let (before, after) = (host.facts(0)?, host.facts(1)?);
        let report = sent(&changes(2, &before, &after))?;
        let first = sent(&full(1, &before))?;
        let json = osquery(&after).into_bytes();
        let packed = zstd::bulk::compress(&json, LEVEL)?.len();
        table.note(format!("{name}: what changed"), report as f64, "B");
        table.note(format!("{name}: everything, once"), first as f64, "B");
        table.note(format!("{name}: JSON"), json.len() as f64, "B");
        table.note(format!("{name}: JSON with zstd"), packed as f64, "B");
        let ratio = report as f64 / json.len() as f64;
        table.hold(format!("{name}: what changed, of JSON"), ratio, "x", Limit::AtMost(1.0 / 250.0));
        let ratio = report as f64 / packed as f64;
        table.hold(format!("{name}: what changed, of JSON with zstd"), ratio, "x", Limit::AtMost(1.0 / 10.0));
    }
    table.finish(&keep)
}

fn sent(report: &Report) -> Result<usize> {
    Ok(to_report_parts(report)?.iter().map(|part| part.encoded_len() + FRAME).sum())
}

/// Sockets of services, and those of the pool of a DNS server.
#[derive(Clone, Copy, Debug)]
struct Host {
    listeners: usize,
    pool: usize,
}

impl Host {
    /// In each interval the oldest sockets are gone and as many are new.
    fn facts(self, interval: usize) -> Result<Facts> {
        let began = "2026-11-01T03:01:12Z".parse::<DateTime<Utc>>()?;
        let bound = |index: usize| began + TimeDelta::milliseconds(i64::try_from(index).unwrap_or(i64::MAX) * 731);
        let moved = |count: usize| count * CHURN / 100 * interval;
        let listeners = (moved(self.listeners)..moved(self.listeners) + self.listeners).map(|index| {
            let owner = index % 40;
            json!({
                "protocol": if index % 2 == 0 { "tcp" } else { "udp" },
                "state": if index % 2 == 0 { "listen" } else { "bound" },
                "address": if index % 3 == 0 { "::" } else { "0.0.0.0" }, "port": 1_024 + index * 7 % 48_000, "pid": 600 + owner * 4,
                "image": format!(r"C:\Program Files\Product {owner}\Service\product{owner}.exe"),
                "services": [format!("Product{owner}")],
                "process_started_at": bound(owner), "bound_at": bound(index),
            })
        });
        let pool = (moved(self.pool)..moved(self.pool) + self.pool).map(|index| {
            json!({
                "protocol": "udp", "state": "bound", "address": "0.0.0.0", "port": 49_152 + index * 5 % 16_384, "pid": 1_420,
                "image": r"C:\Windows\System32\dns.exe", "services": ["DNS"], "specific_port": false,
                "process_started_at": bound(1), "bound_at": bound(index),
            })
        });
        let services = (0..SERVICES).map(|index| {
            json!({
                "name": format!("Product{index}"), "display_name": format!("Service of product {index}"), "state": "running",
                "start": "auto", "pid": 600 + index * 4, "exit_code": 0, "service_exit_code": 0, "account": "LocalSystem",
                "image_path": format!(r"C:\Program Files\Product {index}\Service\product{index}.exe -service"),
            })
        });
        let updates = (0..UPDATES).map(|index| {
            let package = format!("Package_for_KB{}~31bf3856ad364e35~amd64~~10.0.1.{index}", 4_000_000 + index * 911);
            json!({
                "source": "component_package", "id": package, "kb": format!("KB{}", 4_000_000 + index * 911),
                "title": "Security Update for Microsoft Windows", "state": "installed", "installed_at": bound(index),
            })
        });
        let facts = json!({
            "schema": "portreeve.facts/1",
            "host": { "known": {
                "name": "WIRE1", "os": { "name": "Windows Server 2019 Standard", "major": 10, "minor": 0, "build": 17763 },
                "boot_id": "3f0c6f53-0000-0000-0000-000000000001", "booted_at": began,
                "products": { "known": [] }, "roles": { "known": [] },
            } },
            "sockets": { "known": listeners.chain(pool).collect::<Vec<Value>>() },
            "services": { "known": services.collect::<Vec<Value>>() },
            "updates": { "known": updates.collect::<Vec<Value>>() },
        });
        parse_facts(facts.to_string().as_bytes()).map_err(anyhow::Error::msg).context("made-up facts are well-formed")
    }
}

/// The tables `listening_ports`, `services` and `patches` as osquery's logger writes snapshots: every value is text.
fn osquery(facts: &Facts) -> String {
    let sockets = known(&facts.sockets).iter().map(|socket| {
        json!({
            "pid": socket.pid.unwrap_or_default().to_string(), "port": socket.port.to_string(),
            "protocol": if socket.protocol == rules::ports::Protocol::Tcp { "6" } else { "17" },
            "family": if socket.address.is_ipv4() { "2" } else { "23" }, "address": socket.address.to_string(),
            "fd": "0", "socket": "0", "path": socket.image,
        })
    });
    let services = known(&facts.services).iter().map(|service| {
        json!({
            "name": service.name, "service_type": "OWN_PROCESS", "display_name": service.display_name,
            "status": "RUNNING", "pid": service.pid.unwrap_or_default().to_string(), "start_type": "AUTO_START",
            "win32_exit_code": "0", "service_exit_code": "0", "path": service.image_path, "module_path": "",
            "description": service.display_name, "user_account": service.account,
        })
    });
    let updates = known(&facts.updates).iter().map(|update| {
        json!({
            "csname": "WIRE1", "hotfix_id": update.kb, "caption": "https://support.microsoft.com/", "description": "Security Update",
            "fix_comments": "", "installed_by": r"NT AUTHORITY\SYSTEM", "install_date": "", "installed_on": "11/1/2026",
        })
    });
    let mut text = String::new();
    for (name, rows) in [
        ("listening_ports", sockets.collect::<Vec<Value>>()),
        ("services", services.collect()),
        ("patches", updates.collect()),
    ] {
        let line = json!({
            "snapshot": rows, "action": "snapshot", "name": format!("pack_portreeve_{name}"), "hostIdentifier": "WIRE1",
            "calendarTime": "Sun Nov  1 03:01:12 2026 UTC", "unixTime": 1_793_502_072, "epoch": 0, "counter": 0, "numerics": false,
        });
        text.push_str(&line.to_string());
        text.push('\n');
    }
    text
}

fn known<T>(section: &Section<Vec<T>>) -> &[T] {
    section.known().map(Vec::as_slice).unwrap_or_default()
}
