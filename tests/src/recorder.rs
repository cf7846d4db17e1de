//! What simulated hosts told and when, and what the tables say of the past, in one shape to be compared.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use portreeve_server::simulate::player::Told;
use rules::facts::{Facts, Section};
use rules::ports::Protocol;
use serde_json::{Value, to_value};
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{AssertSqlSafe, Row as _};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::server::Server;

/// A host at a moment. `None`: the section was unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// protocol, address, port, pid
    pub sockets: Option<BTreeSet<(i16, IpAddr, i32, i64)>>,
    /// key, state, pid, exit code
    pub services: Option<BTreeSet<(String, String, i64, i64)>>,
    /// source, id, state
    pub updates: Option<BTreeSet<(String, String, String)>>,
}

/// One read of a host.
#[derive(Clone, Debug)]
pub struct Moment {
    pub at: DateTime<Utc>,
    /// Its agent had just begun: what it reads until it is connected is told together.
    pub is_first: bool,
    pub seen: Seen,
}

/// What a host told, in order.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    pub name: String,
    /// How far its clock is ahead.
    pub skew: TimeDelta,
    pub moments: Vec<Moment>,
}

impl Recorded {
    /// The index of the last read at `time` or before it.
    pub fn last_at(&self, time: DateTime<Utc>) -> Option<usize> {
        self.moments.partition_point(|moment| moment.at <= time).checked_sub(1)
    }
}

/// Everything that `hosts` hosts told, when all of them have ended.
pub async fn record(mut told: UnboundedReceiver<Told>, hosts: usize) -> Vec<Recorded> {
    let mut recorded = vec![Recorded::default(); hosts];
    while let Some(Told { host, facts, skew, is_first }) = told.recv().await {
        let one = &mut recorded[host];
        one.skew = skew;
        if let Section::Known(host) = &facts.host {
            one.name = host.name.to_string();
        }
        // By the true clock, which is what the tables hold.
        let at = facts.collected_at.unwrap_or_default() - skew;
        one.moments.push(Moment { at, is_first, seen: Seen::of(&facts) });
    }
    recorded
}

impl Seen {
    pub fn of(facts: &Facts) -> Self {
        let number = |value: Option<u32>| value.map_or(-1, i64::from);
        let sockets = facts.sockets.known().map(|rows| {
            let row = |row: &rules::facts::Socket| {
                let protocol = if row.protocol == Protocol::Tcp { 6 } else { 17 };
                (protocol, row.address, i32::from(row.port), number(row.pid))
            };
            rows.iter().map(row).collect()
        });
        let services = facts.services.known().map(|rows| {
            rows.iter()
                .map(|row| (row.name.to_lowercase(), word(to_value(row.state)), number(row.pid), number(row.exit_code)))
                .collect()
        });
        let updates = facts.updates.known().map(|rows| {
            rows.iter().map(|row| (word(to_value(row.source)), row.id.to_string(), word(to_value(row.state)))).collect()
        });
        Self { sockets, services, updates }
    }

    /// As the API tells it.
    pub fn counted(&self) -> Answered {
        let sockets = self.sockets.as_ref().map(|rows| {
            let mut counts = BTreeMap::new();
            for (protocol, address, _, pid) in rows {
                *counts.entry((*protocol, *address, *pid)).or_default() += 1;
            }
            counts
        });
        Answered { sockets, services: self.services.clone(), updates: self.updates.clone() }
    }
}

/// What the API answers about a host at a moment. Of sockets it tells runs of ports: how many each process holds is
/// compared, see [`Seen::counted`].
#[derive(Debug, PartialEq, Eq)]
pub struct Answered {
    /// By protocol, address and pid.
    pub sockets: Option<BTreeMap<(i16, IpAddr, i64), usize>>,
    pub services: Option<BTreeSet<(String, String, i64, i64)>>,
    pub updates: Option<BTreeSet<(String, String, String)>>,
}

impl Answered {
    pub async fn at(server: &Server, host_id: i64, time: DateTime<Utc>) -> Result<Self> {
        let at = time.to_rfc3339_opts(SecondsFormat::Micros, true);
        let ask = async |what: &str| server.get(&format!("/api/v1/hosts/{host_id}/{what}?at={at}")).await;
        let (ports, services, updates) = (ask("ports").await?, ask("services").await?, ask("updates").await?);
        let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let number = |row: &Value, name: &str| row[name].as_i64().unwrap_or(-1);
        let mut counts = BTreeMap::new();
        for row in items(&ports)? {
            let protocol = if row["protocol"] == "tcp" { 6 } else { 17 };
            let owner = (protocol, text(row, "address").parse()?, number(row, "pid"));
            *counts.entry(owner).or_default() += usize::try_from(number(row, "count"))?;
        }
        let service =
            |row| (text(row, "name").to_lowercase(), text(row, "state"), number(row, "pid"), number(row, "exit_code"));
        let update = |row| (text(row, "source"), text(row, "id"), text(row, "state"));
        let is_known = |answer: &Value, section: &str| answer[section]["reason"].is_null();
        Ok(Self {
            sockets: is_known(&ports, "sockets").then_some(counts),
            services: is_known(&services, "services").then_some(items(&services)?.iter().map(service).collect()),
            updates: is_known(&updates, "updates").then_some(items(&updates)?.iter().map(update).collect()),
        })
    }
}

fn items(answer: &Value) -> Result<&Vec<Value>> {
    answer["items"].as_array().context("a list of rows")
}

/// As facts files write it, which is also how the tables do.
fn word(value: serde_json::Result<Value>) -> String {
    value.ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Every interval that the tables hold of one host.
#[derive(Debug)]
pub struct Stored {
    sockets: Vec<Interval<(i16, IpAddr, i32, i64)>>,
    services: Vec<Interval<(String, String, i64, i64)>>,
    updates: Vec<Interval<(String, String, String)>>,
    /// Section, and whether it was known.
    sections: Vec<Interval<(String, bool)>>,
}

#[derive(Debug)]
struct Interval<T> {
    from: DateTime<Utc>,
    /// `None`: it holds still.
    to: Option<DateTime<Utc>>,
    /// What may not be twice at a time.
    key: String,
    row: T,
}

impl<T> Interval<T> {
    fn holds(&self, time: DateTime<Utc>) -> bool {
        self.from <= time && self.to.is_none_or(|to| time < to)
    }
}

impl Stored {
    /// Looks behind row-level security.
    pub async fn of(pool: &PgPool, host: &str) -> Result<Self> {
        let socket = |row: &PgRow| {
            let address = row.get::<String, _>("address").parse().unwrap_or(IpAddr::from([0; 16]));
            (row.get("protocol"), address, row.get("port"), row.get::<Option<i64>, _>("pid").unwrap_or(-1))
        };
        let service = |row: &PgRow| {
            let number = |name: &str| row.get::<Option<i64>, _>(name).unwrap_or(-1);
            (row.get("key"), row.get("state"), number("pid"), number("exit_code"))
        };
        let columns = "key::text as row_key, protocol, host(address) as address, port, pid";
        let sockets = intervals(pool, host, "socket", columns, socket).await?;
        let columns = "key as row_key, key, state, pid, exit_code";
        let services = intervals(pool, host, "service", columns, service).await?;
        let columns = "source || ' ' || id as row_key, source, id, state";
        let update = |row: &PgRow| (row.get("source"), row.get("id"), row.get("state"));
        let updates = intervals(pool, host, "update", columns, update).await?;
        let section = |row: &PgRow| (row.get("section"), row.get::<Option<String>, _>("unknown_reason").is_none());
        let sql = "
            select section as row_key, section, unknown_reason, valid_from, null::timestamptz as valid_to
            from host_section join host using (client_id, host_id) where host.name = $1
            union all
            select section, section, unknown_reason, valid_from, valid_to
            from section_span join host using (client_id, host_id) where host.name = $1";
        let sections = sqlx::query(sql).bind(host).fetch_all(pool).await?;
        let sections = sections.iter().map(|row| interval(row, section)).collect();
        Ok(Self { sockets, services, updates, sections })
    }

    /// The host at a time.
    pub fn at(&self, time: DateTime<Utc>) -> Seen {
        let is_known = |name: &str| {
            self.sections.iter().any(|section| section.holds(time) && section.row == (name.to_owned(), true))
        };
        Seen {
            sockets: is_known("sockets").then(|| rows_at(&self.sockets, time)),
            services: is_known("services").then(|| rows_at(&self.services, time)),
            updates: is_known("updates").then(|| rows_at(&self.updates, time)),
        }
    }

    /// Every moment at which something began or ended, in order.
    pub fn turns(&self) -> BTreeSet<DateTime<Utc>> {
        fn ends<T>(intervals: &[Interval<T>]) -> impl Iterator<Item = DateTime<Utc>> {
            intervals.iter().flat_map(|interval| std::iter::once(interval.from).chain(interval.to))
        }
        ends(&self.sockets).chain(ends(&self.services)).chain(ends(&self.updates)).chain(ends(&self.sections)).collect()
    }

    /// No key has two rows at a time, and no row ends before it begins.
    pub fn has_no_overlap(&self) -> Result<()> {
        apart(&self.sockets)?;
        apart(&self.services)?;
        apart(&self.updates)?;
        apart(&self.sections)
    }
}

fn rows_at<T: Clone + Ord>(intervals: &[Interval<T>], time: DateTime<Utc>) -> BTreeSet<T> {
    intervals.iter().filter(|interval| interval.holds(time)).map(|interval| interval.row.clone()).collect()
}

fn apart<T: std::fmt::Debug>(intervals: &[Interval<T>]) -> Result<()> {
    let mut sorted: Vec<&Interval<T>> = intervals.iter().collect();
    sorted.sort_by(|a, b| (&a.key, a.from).cmp(&(&b.key, b.from)));
    for interval in &sorted {
        ensure!(interval.to.is_none_or(|to| to > interval.from), "ends before it begins: {interval:?}");
    }
    for pair in sorted.windows(2) {
        let [first, second] = pair else { continue };
        let is_apart = first.key != second.key || first.to.is_some_and(|to| to <= second.from);
        ensure!(is_apart, "two at a time: {first:?} and {second:?}");
    }
    Ok(())
}

async fn intervals<T>(
    pool: &PgPool,
    host: &str,
    kind: &str,
    columns: &str,
    read: impl Fn(&PgRow) -> T + Copy,
) -> Result<Vec<Interval<T>>> {
    let part = |table: &str, valid_to: &str| {
        format!(
            "select {columns}, valid_from, {valid_to} as valid_to from {table}
             where (client_id, host_id) = (select client_id, host_id from host where name = $1)"
        )
    };
    let now = part(&format!("{kind}_now"), "null::timestamptz");
    let sql = format!("{now} union all {}", part(&format!("{kind}_span"), "valid_to"));
    let rows = sqlx::query(AssertSqlSafe(sql)).bind(host).fetch_all(pool).await;
    Ok(rows.with_context(|| format!("{kind}s of {host}"))?.iter().map(|row| interval(row, read)).collect())
}

fn interval<T>(row: &PgRow, read: impl Fn(&PgRow) -> T) -> Interval<T> {
    Interval { from: row.get("valid_from"), to: row.get("valid_to"), key: row.get("row_key"), row: read(row) }
}
