//! A recorded host whose whole life is known beforehand, and what the tables must hold when it was told without loss.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, Row as _};

use crate::server::{Server, eventually};

/// A host that lives through `steps` moments. IAS loses udp/1812 in every sixth moment and gets it back three moments later; meanwhile
/// sockets come and go, a service flips, updates arrive.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    pub steps: u32,
    pub step_ms: u32,
}

/// What the tables must hold at the end.
#[derive(Debug, PartialEq)]
pub struct Truth {
    /// protocol, port, pid
    pub sockets: BTreeSet<(i16, i32, i64)>,
    /// key, state, exit code
    pub services: BTreeSet<(String, String, i64)>,
    /// id, state
    pub updates: BTreeSet<(String, String)>,
}

impl Life {
    /// Moments in which IAS is blocked.
    fn is_blocked(step: u32) -> bool {
        step % 6 >= 3
    }

    /// How often the finding opens over the whole life.
    pub fn episodes(self) -> i32 {
        let opened =
            (0..self.steps).filter(|&step| Self::is_blocked(step) && (step == 0 || !Self::is_blocked(step - 1)));
        i32::try_from(opened.count()).unwrap_or(i32::MAX)
    }

    /// How often it opens or resolves.
    pub fn transitions(self) -> usize {
        (1..self.steps).filter(|&step| Self::is_blocked(step) != Self::is_blocked(step - 1)).count()
    }

    /// Lines for `portreeve-agent replay`.
    pub fn lines(self) -> String {
        let mut lines = String::new();
        for step in 0..self.steps {
            let mut facts = Self::facts(step);
            facts["after_ms"] = json!(if step == 0 { 0 } else { self.step_ms });
            let _ = writeln!(lines, "{facts}");
        }
        lines
    }

    pub fn truth(self) -> Result<Truth> {
        let facts = Self::facts(self.steps - 1);
        let rows = |section: &str| facts[section]["known"].as_array().cloned().context("every section is known");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(Truth {
            sockets: rows("sockets")?
                .iter()
                .map(|row| {
                    let protocol = if row["protocol"] == "tcp" { 6 } else { 17 };
                    let port = i32::try_from(row["port"].as_i64().unwrap_or(-1)).unwrap_or(-1);
                    (protocol, port, row["pid"].as_i64().unwrap_or(-1))
                })
                .collect(),
            services: rows("services")?
                .iter()
                .map(|row| {
                    (text(&row["name"]).to_lowercase(), text(&row["state"]), row["exit_code"].as_i64().unwrap_or(-1))
                })
                .collect(),
            updates: rows("updates")?.iter().map(|row| (text(&row["id"]), text(&row["state"]))).collect(),
        })
    }

    fn facts(step: u32) -> Value {
        let blocked = Self::is_blocked(step);
        let mut sockets: BTreeMap<(&str, u32), u32> =
            (0..400).map(|index| (("udp", 50_000 + index * 7 + step % 5), 1420)).collect();
        sockets.extend((0..20).map(|index| (("tcp", 10_000 + index + step), 2000 + index)));
        sockets.insert(("udp", 1812), if blocked { 1420 } else { 900 });
        let sockets: Vec<Value> = sockets
            .into_iter()
            .map(|((protocol, port), pid)| {
                json!({
                    "protocol": protocol, "address": "0.0.0.0", "port": port, "pid": pid,
                    "state": if protocol == "tcp" { "listen" } else { "bound" },
                    "image": if pid == 1420 { "C:\\Windows\\System32\\dns.exe" } else { "C:\\Windows\\System32\\svchost.exe" },
                    "services": if pid == 1420 { vec!["DNS"] } else if pid == 900 { vec!["IAS"] } else { vec![] },
                    "bound_at": "2026-11-01T03:01:40Z",
                })
            })
            .collect();
        let ias = if blocked {
            json!({ "name": "IAS", "display_name": "Network Policy Server", "state": "stopped", "start": "auto", "exit_code": 10048, "service_exit_code": 0, "state_since": "2026-11-01T03:02:11Z" })
        } else {
            json!({ "name": "IAS", "display_name": "Network Policy Server", "state": "running", "start": "auto", "pid": 900, "exit_code": 0, "service_exit_code": 0 })
        };
        let dns = json!({ "name": "DNS", "display_name": "DNS Server", "state": "running", "start": "auto", "pid": 1420, "exit_code": 0 });
        let flapping = json!({ "name": "Spooler", "display_name": "Print Spooler", "state": if step.is_multiple_of(2) { "running" } else { "stopped" }, "start": "auto", "exit_code": 0 });
        let updates: Vec<Value> = (0..=step)
            .map(|index| json!({ "source": "component_package", "id": format!("Package_for_Test_{index}"), "title": format!("Update {index}"), "state": if index % 3 == 1 { "superseded" } else { "installed" } }))
            .collect();
        json!({
            "schema": "portreeve.facts/1",
            "host": { "known": {
                "name": "TRUTH1", "os": { "name": "Windows Server 2008 R2 Standard", "major": 6, "minor": 1, "build": 7601 },
                "boot_id": "3f0c6f53-0000-0000-0000-000000000001", "booted_at": "2026-11-01T03:01:12Z",
                "products": { "known": [] }, "roles": { "known": ["dns-server", "nps"] },
            } },
            "sockets": { "known": sockets },
            "services": { "known": [ias, dns, flapping] },
            "updates": { "known": updates },
            "port_policy": { "known": {
                "dynamic_ranges": { "known": [{ "protocol": "udp", "family": "ipv4", "range": "1025-65535" }] },
                "exclusions": { "known": [] }, "persistent_exclusions": { "known": [] }, "reserved_ports": { "known": [] },
                "max_user_port": { "known": null },
                // In force from the next start of the DNS server on: nothing else than what is blocked now is found.
                "dns_socket_pool": { "known": { "size": 2500, "excluded": ["1645-1646", "1812-1813"] } }, "ntds_port": { "known": null },
            } },
        })
    }
}

/// A superuser's view of the server's own Postgres: tests look behind row-level security.
pub async fn database(server: &Server) -> Result<PgPool> {
    let path = server.data_dir().join("postgres/postmaster.pid");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let lines: Vec<&str> = text.lines().collect();
    ensure!(lines.len() >= 5, "the pid file has no socket folder yet");
    let options = PgConnectOptions::new()
        .host(lines[4].trim())
        .port(lines[3].trim().parse()?)
        .username("portreeve_admin")
        .database("portreeve");
    Ok(PgPoolOptions::new().max_connections(2).connect_with(options).await?)
}

async fn rows(pool: &PgPool, columns: &str, table: &str) -> sqlx::Result<Vec<PgRow>> {
    let host = "select client_id, host_id from host where name = 'TRUTH1'";
    let sql = format!("select {columns} from {table} where (client_id, host_id) = ({host})");
    sqlx::query(AssertSqlSafe(sql)).fetch_all(pool).await
}

/// Waits until the report of this moment is committed, so that what follows falls into the stream and not before it.
pub async fn reach(server: &Server, step: i64) -> Result<()> {
    eventually("the stream goes on", Duration::from_mins(1), async || {
        let pool = database(server).await?;
        let seq: Option<i64> = sqlx::query_scalar("select max(seq) from agent_stream").fetch_one(&pool).await?;
        Ok(seq.filter(|&seq| seq > step).map(|_| ()))
    })
    .await
}

/// What the tables hold of the host that lives this life.
pub async fn stored(pool: &PgPool) -> Result<Truth> {
    let sockets = rows(pool, "protocol, port, pid", "socket_now").await?;
    let services = rows(pool, "key, state, exit_code", "service_now").await?;
    let updates = rows(pool, "id, state", "update_now").await?;
    let truth = Truth {
        sockets: sockets
            .iter()
            .map(|row| (row.get(0), row.get(1), row.get::<Option<i64>, _>(2).unwrap_or(-1)))
            .collect(),
        services: services
            .iter()
            .map(|row| (row.get(0), row.get(1), row.get::<Option<i64>, _>(2).unwrap_or(-1)))
            .collect(),
        updates: updates.iter().map(|row| (row.get(0), row.get(1))).collect(),
    };
    ensure!(truth.sockets.len() == sockets.len(), "a socket is stored twice");
    Ok(truth)
}
