//! A host of mean size in two states, 2 % of its sockets and 1 % of its services apart: what an interval changes.

use anyhow::Result;
use rules::check::parse_facts;
use rules::facts::Facts;
use serde_json::{Value, json};

/// What a mean host has beside its sockets.
const SERVICES: usize = 200;
const UPDATES: usize = 150;
/// Sockets of a mean host.
pub const SOCKETS: usize = 620;

/// Both states.
pub fn states(sockets: usize) -> Result<[Facts; 2]> {
    Ok([facts(sockets, 0)?, facts(sockets, 1)?])
}

fn facts(count: usize, state: usize) -> Result<Facts> {
    let sockets: Vec<Value> = (0..count)
        .map(|index| {
            let is_other = state == 1 && index % 50 == 0;
            let port = 1_100 + 7 * index + usize::from(is_other);
            json!({
                "protocol": if index % 3 == 0 { "tcp" } else { "udp" }, "address": "0.0.0.0", "port": port,
                "state": if index % 3 == 0 { "listen" } else { "bound" }, "pid": 1_000 + 4 * (index % 60),
                "image": format!(r"C:\Program Files\Contoso\Server {}\bin\server.exe", index % 60),
                "services": [format!("Contoso{}", index % 60)], "bound_at": "2026-11-01T03:02:00Z",
            })
        })
        .collect();
    let services: Vec<Value> = (0..SERVICES)
        .map(|index| {
            let is_other = state == 1 && index % 100 == 0;
            json!({
                "name": format!("Contoso{index}"), "display_name": format!("Contoso Service {index}"), "start": "manual",
                "state": if is_other { "stopped" } else { "running" },
                "pid": if is_other { Value::Null } else { json!(1_000 + 4 * index) },
                "exit_code": 0, "service_exit_code": 0, "account": "LocalSystem",
                "image_path": format!(r"C:\Windows\System32\svchost.exe -k contoso{index}"),
            })
        })
        .collect();
    let updates: Vec<Value> = (0..UPDATES)
        .map(|index| {
            json!({
                "source": "component_package", "id": format!("Package_{index}_for_KB90{index:05}~31bf3856ad364e35~amd64"),
                "title": format!("Update for Windows (KB90{index:05})"), "state": "installed",
            })
        })
        .collect();
    let facts = json!({
        "schema": "portreeve.facts/1",
        "host": { "known": {
            "name": "LIGHT", "os": { "name": "Windows Server 2019 Standard", "major": 10, "minor": 0, "build": 17763 },
            "boot_id": "3f0c6f53-0000-0000-0000-000000000001", "booted_at": "2026-11-01T03:01:12Z",
            "products": { "known": [] }, "roles": { "known": [] },
        } },
        "sockets": { "known": sockets }, "services": { "known": services }, "updates": { "known": updates },
    });
    parse_facts(facts.to_string().as_bytes()).map_err(anyhow::Error::msg)
}
