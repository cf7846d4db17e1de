//! The past at size: what the questions of history cost beside a read by primary key, with the queries of the server
//! itself, as the role of the server, under row-level security.
//!
//! A fleet of 20 clients lives 30 days, written by SQL into the real tables in the order of time, as the server writes it.
//! Everything that is compared is read in a transaction of the same kind: the clients that one may see are set first.
//!
//! usage: make bench, or bench_history [--spans N] [--hosts N] [--explain]

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Parser;
use portreeve_server::clock;
use portreeve_server::db::read_past::HostAt;
use portreeve_server::db::read_past::held::{self, Within};
use portreeve_server::db::{Db, Scope, read_host_rows};
use rules::ports::Port;
use sqlx::{AssertSqlSafe, PgConnection};
use tests::bench::table::{Keep, Limit, Table};
use tests::database::Database;

const CLIENTS: i64 = 20;
const DAYS: i64 = 30;
#[derive(Debug, Parser)]
struct Arguments {
    /// Sockets that are gone.
    #[arg(long, default_value_t = 2_000_000)]
    spans: i64,
    #[arg(long, default_value_t = 2_000)]
    hosts: i64,
    /// Sockets of a host that are open.
    #[arg(long, default_value_t = 166)]
    open: i64,
    /// Askings of each question that count, after as many for warmth.
    #[arg(long, default_value_t = 2_000)]
    samples: u64,
    /// Print the plans of the two questions that look at spans by port.
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    keep: Keep,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { spans, hosts, open, samples, explain, keep } = Arguments::parse();
    let mut table = Table::new("history", format!("bench_history --spans {spans} --hosts {hosts} --open {open}"));
    let database = Database::fresh().await?;
    let mut superuser = database.superuser().await?;
    fill(&mut superuser, (spans, hosts, open)).await?;
    if explain {
        plans(&mut superuser).await?;
    }

    let scope = database.db.everything().await?;
    let bench = Bench { db: database.db.clone(), scope, hosts, samples, now: clock::now() };
    let udp: Port = "udp/1812".parse()?;
    let tcp: Port = "tcp/3101".parse()?;
    let bare = bench
        .ask(async |host, _| {
            read_host_rows::client_of(&bench.scope, &bench.db, host).await?.context("the host is there").map(drop)
        })
        .await?;
    let who = bench
        .ask(async |host, at| {
            held::holders(&bench.scope, &bench.db, (host, udp), Within::moment(at), None, 101).await?;
            Ok(())
        })
        .await?;
    let then = bench
        .ask(async |host, at| {
            let mut host = HostAt::of(&bench.scope, &bench.db, host, at).await?.context("the host is there")?;
            host.sections().await?;
            host.sockets().await?;
            Ok(())
        })
        .await?;
    let with_then = bench
        .ask(async |_, at| Ok(held::hosts_with(&bench.scope, &bench.db, (tcp, at), None, 101).await.map(drop)?))
        .await?;
    let with_now = bench
        .ask(async |_, _| Ok(held::hosts_with(&bench.scope, &bench.db, (tcp, bench.now), None, 101).await.map(drop)?))
        .await?;

    table.note("a read by primary key, p50", milliseconds(bare.p50), "ms");
    table.note("a read by primary key, p99", milliseconds(bare.p99), "ms");
    table.note("who held udp/1812 on a host at a moment, p50", milliseconds(who.p50), "ms");
    table.note("a host with its sockets at a moment, p50", milliseconds(then.p50), "ms");
    table.note("hosts with tcp/3101 at a moment, p50", milliseconds(with_then.p50), "ms");
    let ratio = |one: Duration| one.as_secs_f64() / bare.p99.as_secs_f64();
    table.hold("who held udp/1812 at a moment: p99 of a read by primary key", ratio(who.p99), "×", Limit::AtMost(5.0));
    table.hold("a host at a moment: p99 of a read by primary key", ratio(then.p99), "×", Limit::AtMost(10.0));
    table.hold("hosts with tcp/3101 now, first page, p99", milliseconds(with_now.p99), "ms", Limit::AtMost(10.0));
    table.hold("hosts with tcp/3101 then, first page, p99", milliseconds(with_then.p99), "ms", Limit::AtMost(10.0));
    table.finish(&keep)
}

struct Bench {
    db: Db,
    scope: Scope,
    hosts: i64,
    samples: u64,
    now: DateTime<Utc>,
}

struct Times {
    p50: Duration,
    p99: Duration,
}

impl Bench {
    /// Asks of hosts and moments that are the same in every run, after as many for warmth.
    async fn ask(&self, question: impl AsyncFn(i64, DateTime<Utc>) -> Result<()>) -> Result<Times> {
        let mut times = Vec::new();
        for sample in 0..self.samples * 2 {
            let drawn = i64::try_from(sample.wrapping_mul(2_654_435_761) % (1 << 31))?;
            let at = self.now - TimeDelta::seconds(drawn % (DAYS * 86_400));
            let start = Instant::now();
            question(drawn % self.hosts + 1, at).await?;
            if sample >= self.samples {
                times.push(start.elapsed());
            }
        }
        times.sort();
        let of = |share: usize| times.get(times.len() * share / 100).copied().context("there are samples");
        Ok(Times { p50: of(50)?, p99: of(99)? })
    }
}

async fn fill(superuser: &mut PgConnection, (spans, hosts, open): (i64, i64, i64)) -> Result<()> {
    let sql = format!(
        r"
        select keep_span_partitions(now() - week * interval '1 week') from generate_series(0, 6) as week;
        insert into client (client_id, name, created_at) overriding system value
        select number, 'Client ' || number, now() from generate_series(1, {CLIENTS}) as number;
        insert into site (client_id, site_id, name, created_at) overriding system value
        select number, number, 'Site', now() from generate_series(1, {CLIENTS}) as number;
        insert into host (client_id, host_id, site_id, name, enrolled_at) overriding system value
        select number % {CLIENTS} + 1, number, number % {CLIENTS} + 1, 'HOST' || number, now() - interval '31 days'
        from generate_series(1, {hosts}) as number;
        insert into image (path) select 'C:\Program Files\Vendor\program' || number || '.exe' from generate_series(1, 300) as number;
        insert into service_list (names) select array['Service' || number] from generate_series(1, 300) as number;
        insert into host_section (client_id, host_id, section, digest, learned_at, valid_from)
        select client_id, host_id, section, '\x01', now(), now() - interval '31 days'
        from host, unnest(array['host', 'sockets', 'services', 'updates', 'port_policy', 'events']) as section;
        insert into section_span (client_id, host_id, section, valid_from, valid_to, unknown_reason)
        select client_id, host_id, 'sockets', to_at - interval '10 minutes', to_at, 'access denied'
        from host, lateral (select now() - host_id * interval '1 minute' - day * interval '1 day' as to_at from generate_series(1, 5) as day) as denied;

        insert into socket_now (client_id, host_id, key, valid_from, bound_at, learned_at, pid, image_id, service_list_id,
          port, scope, protocol, state, address)
        select client_id, host_id, number, now() - random() * interval '30 days', now() - interval '30 days', now(),
          1000 + number, 1 + (host_id + number) % 300, 1 + (host_id + number) % 300,
          case number when 1 then 3101 when 2 then 3101 when 3 then 1812 else 1024 + (random() * 64000)::int end, 0,
          case when number in (1, 2) or (number > 3 and number % 2 = 0) then 6 else 17 end, 1,
          case number when 2 then '::'::inet else '0.0.0.0'::inet end
        from host, generate_series(1, {open}) as number
        where number <> 2 or host_id % 2 = 0;

        insert into socket_span (client_id, host_id, key, valid_from, valid_to, bound_at, learned_at, pid, image_id,
          service_list_id, port, scope, protocol, state, address)
        select host_id % {CLIENTS} + 1, host_id, number, valid_to - random() * interval '12 hours', valid_to, valid_to - interval '12 hours',
          valid_to, 1000 + number % 9000, 1 + number % 300, 1 + number % 300,
          case number % 50 when 1 then 3101 when 2 then 1812 else 1024 + (random() * 64000)::int end, 0,
          case when number % 50 = 1 or (number % 50 > 2 and number % 2 = 0) then 6 else 17 end, 1, '0.0.0.0'
        from (
          select number, 1 + number % {hosts} as host_id, now() - random() * interval '{DAYS} days' as valid_to
          from generate_series(1, {spans}) as number
        ) as gone
        order by valid_to;
        ",
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *superuser).await?;
    for one in ["host", "host_section", "section_span", "socket_now", "socket_span", "image", "service_list", "client"]
    {
        sqlx::raw_sql(AssertSqlSafe(format!("vacuum analyze {one}"))).execute(&mut *superuser).await?;
    }
    Ok(())
}

/// As the server's role, with a plan that knows no values: what a prepared statement comes to.
async fn plans(superuser: &mut PgConnection) -> Result<()> {
    let sql = r"
        set role portreeve_app;
        set plan_cache_mode = force_generic_plan;
        select set_config('app.clients', '{1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20}', false);
        prepare who (int, int8, timestamptz) as
          select pid from socket_span
          where client_id = $1 and host_id = $2 and port = 1812 and protocol = 17 and valid_to > $3 and valid_from <= $3;
        prepare hosts (int[], timestamptz) as
          select host_id from socket_span
          where client_id = any ($1) and port = 3101 and protocol = 6 and valid_to > $2 and valid_from <= $2;
    ";
    sqlx::raw_sql(sql).execute(&mut *superuser).await?;
    let clients: Vec<String> = (1..=CLIENTS).map(|client| client.to_string()).collect();
    for asked in [
        "who (8, 7, now() - interval '10 days')".to_owned(),
        format!("hosts ('{{{}}}', now() - interval '10 days')", clients.join(",")),
    ] {
        let explain = format!("explain (analyze, buffers, costs off) execute {asked}");
        let lines: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(explain)).persistent(false).fetch_all(&mut *superuser).await?;
        println!("{}\n", lines.join("\n"));
    }
    sqlx::raw_sql("reset role; reset plan_cache_mode").execute(superuser).await?;
    Ok(())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
