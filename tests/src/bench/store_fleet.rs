//! What it costs Postgres to keep the sockets of a fleet, against COPY of the same rows into a table without an index, in
//! one cluster and run. Reports go through the real door; only Postgres' own processor time and log are counted.

#![expect(clippy::cast_precision_loss, reason = "figures are far below 2^52")]

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use portreeve_server::clock;
use portreeve_server::ingest::Ingest;
use proto::fleet::v1::{Outcome, Report as Part};
use proto::wire::{Report, to_report_parts};
use rules::facts::{Facts, Section, Socket, SocketState};
use rules::ports::Protocol;
use rules::socket_key::{SocketKey, protocol_number, state_number};
use serde_json::{Value, json};
use sqlx::Connection as _;
use tokio::task::JoinSet;

use crate::bench::cost::{Tree, wal};
use crate::doors::Doors;
use crate::raw_agent::{RawAgent, changes, full, hello};
use crate::reporting_host::blocked;
use crate::server::eventually;

const ENROLLED_WITHIN: Duration = Duration::from_mins(1);

/// How large, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub hosts: usize,
    /// The hosts are spread over so many clients.
    pub clients: usize,
    pub rounds: usize,
}

/// What a step cost, and how many rows were up to date after it, changed or not.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    pub rows: f64,
    pub cpu: Duration,
    pub wal: f64,
    pub took: Duration,
}

/// One after the other, on the same hosts.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    pub copy: Spent,
    /// First reports, with services and updates.
    pub first: Spent,
    /// Rounds in which 2 % of the sockets of every host are others.
    pub delta: Spent,
}

impl Figures {
    pub fn cpu_ratio(&self) -> f64 {
        by_row(&self.delta, self.delta.cpu.as_secs_f64()) / by_row(&self.copy, self.copy.cpu.as_secs_f64())
    }

    pub fn wal_ratio(&self) -> f64 {
        by_row(&self.delta, self.delta.wal) / by_row(&self.copy, self.copy.wal)
    }

    pub fn first_ratio(&self) -> f64 {
        by_row(&self.copy, self.copy.took.as_secs_f64()) / by_row(&self.first, self.first.took.as_secs_f64())
    }
}

/// Of what was spent, the share of a row.
pub fn by_row(spent: &Spent, amount: f64) -> f64 {
    amount / spent.rows
}

/// Rows that COPY writes at the least: processor time is counted in hundredths of a second.
const COPIED: usize = 400_000;

pub async fn measure(size: Size) -> Result<Figures> {
    let doors = Doors::open_with(|app| Ingest::new(app).routes()).await?;
    let mut superuser = doors.database.superuser().await?;
    let postmaster: String =
        sqlx::query_scalar("select pg_read_file('postmaster.pid')").fetch_one(&mut superuser).await?;
    let meter = Meter {
        doors: &doors,
        postgres: Tree(postmaster.lines().next().context("postmaster.pid has lines")?.parse()?),
    };
    let mut hosts = connect(&doors, size).await?;

    let sockets: usize = hosts.iter().map(Host::sockets).sum();
    let copies = COPIED.div_ceil(sockets);
    let body = copied(hosts.iter().map(|host| &host.facts));
    sqlx::raw_sql(PLAIN).execute(&mut superuser).await?;
    let copy = meter
        .spent(sockets * copies, async {
            for _ in 0..copies {
                let mut copy = superuser.copy_in_raw("copy plain_socket from stdin (format binary)").await?;
                copy.send(body.as_slice()).await?;
                copy.finish().await?;
            }
            Ok(())
        })
        .await?;

    let rows = hosts.iter().map(Host::rows).sum();
    prepare(&mut hosts, Kind::First, 1)?;
    let first = meter.spent(rows, report(&mut hosts)).await?;
    // As after a while: statements are planned, statistics are there, and the pages have been written once.
    sqlx::raw_sql("analyze; checkpoint").execute(&mut superuser).await?;
    prepare(&mut hosts, Kind::Changed, 1 + size.rounds)?;
    report(&mut hosts).await?;
    let delta = meter
        .spent(sockets * size.rounds, async {
            for _ in 0..size.rounds {
                report(&mut hosts).await?;
            }
            Ok(())
        })
        .await?;
    let stored: i64 = sqlx::query_scalar("select count(*) from socket_now").fetch_one(&mut superuser).await?;
    ensure!(usize::try_from(stored)? == sockets, "{stored} sockets are stored of {sockets}");
    superuser.close().await?;
    Ok(Figures { copy, first, delta })
}

struct Meter<'a> {
    doors: &'a Doors,
    postgres: Tree,
}

impl Meter<'_> {
    async fn spent(&self, rows: usize, step: impl Future<Output = Result<()>>) -> Result<Spent> {
        let pool = &self.doors.database.db.pool;
        let (cpu, log, started) = (self.postgres.cpu()?, wal(pool).await?, Instant::now());
        step.await?;
        Ok(Spent {
            rows: rows as f64,
            took: started.elapsed(),
            cpu: self.postgres.cpu()?.saturating_sub(cpu),
            wal: (wal(pool).await? - log) as f64,
        })
    }
}

struct Host {
    agent: RawAgent,
    facts: Facts,
    seq: u64,
    at: DateTime<Utc>,
    /// Reports that are to be told, each with its number. What an agent spends to make one is not measured here.
    prepared: VecDeque<(u64, Vec<Part>)>,
}

#[derive(Clone, Copy)]
enum Kind {
    First,
    Changed,
}

impl Host {
    fn sockets(&self) -> usize {
        self.facts.sockets.known().map_or(0, Vec::len)
    }

    fn rows(&self) -> usize {
        let services = self.facts.services.known().map_or(0, Vec::len);
        self.sockets() + services + self.facts.updates.known().map_or(0, Vec::len)
    }

    fn prepare(&mut self, kind: Kind) -> Result<()> {
        self.seq += 1;
        self.at += TimeDelta::seconds(1);
        let report = match kind {
            Kind::First => full(self.seq, &self.facts),
            Kind::Changed => {
                let before = self.facts.clone();
                churn(&mut self.facts, self.seq);
                changes(self.seq, &before, &self.facts)
            }
        };
        let parts = to_report_parts(&Report { wall_clock: Some(self.at), ..report })?;
        self.prepared.push_back((self.seq, parts));
        Ok(())
    }

    /// Tells the next of what is prepared.
    async fn report(mut self) -> Result<Self> {
        let (seq, parts) = self.prepared.pop_front().context("a report is prepared")?;
        for part in parts {
            self.agent.say_part(&part).await?;
        }
        ensure!(self.agent.acknowledged(seq).await? == Outcome::Applied, "a report was refused");
        Ok(self)
    }
}

fn prepare(hosts: &mut [Host], kind: Kind, rounds: usize) -> Result<()> {
    for host in hosts {
        for _ in 0..rounds {
            host.prepare(kind)?;
        }
    }
    Ok(())
}

/// Every host once, all at the same time.
async fn report(hosts: &mut Vec<Host>) -> Result<()> {
    let mut told = JoinSet::new();
    for host in hosts.drain(..) {
        told.spawn(host.report());
    }
    while let Some(host) = told.join_next().await {
        hosts.push(host??);
    }
    Ok(())
}

async fn connect(doors: &Doors, size: Size) -> Result<Vec<Host>> {
    let mut hosts = Vec::with_capacity(size.hosts);
    for client in 0..size.clients {
        let place = doors.site(&format!("Client {client}")).await?;
        let of_it = size.hosts / size.clients + usize::from(client < size.hosts % size.clients);
        let token = doors.token(place, i32::try_from(of_it)?.max(1), TimeDelta::hours(1)).await?;
        for _ in 0..of_it {
            let number = hosts.len();
            // The door lets in so many a second.
            let credentials = eventually("the host is enrolled", ENROLLED_WITHIN, async || {
                Ok(doors.enroll(&token, &format!("SRV{number}")).await.ok())
            })
            .await?;
            let agent = RawAgent::connect(doors, &credentials, &hello(number as u128 + 1)).await?;
            let at = clock::now() - TimeDelta::hours(1);
            hosts.push(Host { agent, facts: facts(number)?, seq: 0, at, prepared: VecDeque::new() });
        }
    }
    Ok(hosts)
}

/// Of ten hosts seven are small, two are application servers and one is a DNS server.
fn facts(number: usize) -> Result<Facts> {
    let (sockets, image) = match number % 10 {
        0..=6 => (300, r"C:\Windows\System32\svchost.exe"),
        7 | 8 => (600, r"C:\Program Files\Contoso\Application Server\server.exe"),
        _ => (2_900, r"C:\Windows\System32\dns.exe"),
    };
    let service = |number: usize| {
        let (name, pid) = (format!("service{number}"), 1_000 + 4 * number);
        json!({ "name": name, "display_name": format!("Service {number} of this server"), "state": "running",
            "start": "auto", "pid": pid, "exit_code": 0, "account": "LocalSystem",
            "image_path": format!(r"C:\Windows\System32\svchost.exe -k {name}"),
            "state_since": "2026-03-02T03:02:11Z" })
    };
    let update = |number: usize| {
        let kb = format!("KB{}", 5_000_000 + number);
        json!({ "source": "component_package", "id": format!("Package_for_{kb}~31bf3856ad364e35~amd64~~10.0.1.{number}"),
            "kb": kb, "title": format!("Security Update for Microsoft Windows ({kb})"), "state": "installed",
            "installed_at": "2026-02-11T03:02:11Z" })
    };
    let rows = |rows: Vec<Value>| json!({ "known": rows });
    Ok(Facts {
        sockets: Section::Known((0..sockets).map(|number| socket(number, image)).collect()),
        services: serde_json::from_value(rows((0..200).map(service).collect()))?,
        updates: serde_json::from_value(rows((0..150).map(update).collect()))?,
        ..blocked()
    })
}

/// Drawn by the system, as those are that come and go.
fn socket(number: u16, image: &str) -> Socket {
    Socket {
        protocol: Protocol::Udp,
        address: IpAddr::from([0, 0, 0, 0]),
        scope: 0,
        port: 49_152 + number,
        state: SocketState::Bound,
        pid: Some(1_420),
        image: Some(image.into()),
        process_started_at: DateTime::from_timestamp(1_772_420_480, 0),
        services: vec![image.rsplit('\\').next().unwrap_or(image).into()],
        specific_port: Some(false),
        bound_at: DateTime::from_timestamp_millis(1_772_420_481_000 + i64::from(number)),
    }
}

/// Every fiftieth socket, another fiftieth each time, is bound anew.
fn churn(facts: &mut Facts, round: u64) {
    let Section::Known(sockets) = &mut facts.sockets else { return };
    for (number, socket) in sockets.iter_mut().enumerate() {
        if number as u64 % 50 == round % 50 {
            socket.bound_at = socket.bound_at.map(|at| at + TimeDelta::minutes(1));
        }
    }
}

const PLAIN: &str = "create table plain_socket (key bigint not null, host_id bigint not null, bound_at timestamptz,
    process_started_at timestamptz, pid bigint, client_id int not null, port int not null, protocol smallint not null,
    state smallint not null, address inet not null, image text, services text)";

/// The sockets as COPY takes them: <https://www.postgresql.org/docs/15/sql-copy.html>, "Binary Format".
fn copied<'a>(hosts: impl Iterator<Item = &'a Facts>) -> Vec<u8> {
    let mut body = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    for (host, facts) in hosts.enumerate() {
        for socket in facts.sockets.known().into_iter().flatten() {
            body.extend(12_i16.to_be_bytes());
            field(&mut body, &SocketKey::of(socket).0.to_be_bytes());
            field(&mut body, &(host as u64).to_be_bytes());
            field(&mut body, &microseconds(socket.bound_at));
            field(&mut body, &microseconds(socket.process_started_at));
            field(&mut body, &i64::from(socket.pid.unwrap_or_default()).to_be_bytes());
            field(&mut body, &1_i32.to_be_bytes());
            field(&mut body, &i32::from(socket.port).to_be_bytes());
            field(&mut body, &i16::from(protocol_number(socket.protocol)).to_be_bytes());
            field(&mut body, &i16::from(state_number(socket.state)).to_be_bytes());
            // Family, bits of the net, no cidr, bytes of the address.
            field(&mut body, &[2, 32, 0, 4, 0, 0, 0, 0]);
            field(&mut body, socket.image.as_deref().unwrap_or_default().as_bytes());
            field(&mut body, socket.services.iter().map(rules::text::Text::as_str).collect::<String>().as_bytes());
        }
    }
    body.extend((-1_i16).to_be_bytes());
    body
}

fn field(body: &mut Vec<u8>, value: &[u8]) {
    body.extend(i32::try_from(value.len()).unwrap_or_default().to_be_bytes());
    body.extend(value);
}

/// Since 2000, as Postgres counts.
fn microseconds(time: Option<DateTime<Utc>>) -> [u8; 8] {
    (time.unwrap_or_default().timestamp_micros() - 946_684_800_000_000).to_be_bytes()
}
