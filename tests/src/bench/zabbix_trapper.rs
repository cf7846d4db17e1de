//! Zabbix 6.0 of Debian as a yardstick: a server on the same Postgres, hosts with trapper items, and values sent by its own
//! `zabbix_sender`. <https://www.zabbix.com/documentation/6.0/en/manual/config/items/itemtypes/trapper>

#![expect(clippy::cast_precision_loss, reason = "figures are far below 2^52")]

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use flate2::read::MultiGzDecoder;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::bench::cost::{Tree, checkpoint, wal};
use crate::bench::service_fleet::{SERVICES, ServiceFleet, Spent};
use crate::server::{eventually, free_address};

const SERVER: &str = "/usr/sbin/zabbix_server";
const SENDER: &str = "/usr/bin/zabbix_sender";
/// Loads the schema into an empty database, in this order.
const SQL: [&str; 3] = ["schema.sql.gz", "images.sql.gz", "data.sql.gz"];
/// That send at the same time, each its share of the hosts.
const SENDERS: usize = 4;
const PATIENCE: Duration = Duration::from_mins(5);

/// Gives Zabbix every value of every round, and tells what it cost. `fleet` is only where its Postgres is.
pub async fn measure(fleet: &ServiceFleet, hosts: usize, rounds: usize) -> Result<Spent> {
    let pool = database(&fleet.pool, hosts).await?;
    let folder = tempfile::Builder::new().prefix("portreeve-bench-").tempdir()?;
    // Zabbix refuses ports above 32,767; these lie below.
    let port = free_address()?.port();
    let mut server = start(folder.path(), &fleet.pool.connect_options(), port)?;
    let tree = Tree(server.id().context("the server runs")?);
    // A round that is not counted: items and caches are there after it.
    send(folder.path(), port, hosts, 0).await?;
    are_stored(&pool, hosts, 1).await?;
    checkpoint(&pool).await?;
    let postgres = fleet.postgres()?;
    let before = (tree.cpu()?, postgres.cpu()?, wal(&pool).await?);
    for round in 1..=rounds {
        send(folder.path(), port, hosts, round).await?;
    }
    are_stored(&pool, hosts, rounds + 1).await?;
    let spent = Spent {
        values: (hosts * SERVICES * rounds) as f64,
        server_cpu: tree.cpu()?.saturating_sub(before.0),
        postgres_cpu: postgres.cpu()?.saturating_sub(before.1),
        wal: wal(&pool).await? - before.2,
        server_memory: tree.memory()?,
    };
    // Killed, it would leave the processes that it started.
    kill(Pid::from_raw(i32::try_from(server.id().context("Zabbix runs")?)?), Signal::SIGTERM)?;
    server.wait().await?;
    pool.close().await;
    Ok(spent)
}

/// A database with Zabbix' schema and the hosts.
async fn database(beside: &PgPool, hosts: usize) -> Result<PgPool> {
    sqlx::query("create database zabbix template template0 encoding 'UTF8'").execute(beside).await?;
    let options = PgConnectOptions::clone(&beside.connect_options()).database("zabbix");
    let mut connection = PgConnection::connect_with(&options).await?;
    for name in SQL {
        let path = Path::new("/usr/share/zabbix-server-pgsql").join(name);
        let mut sql = String::new();
        let file = File::open(&path).with_context(|| format!("{} comes with zabbix-server-pgsql", path.display()))?;
        MultiGzDecoder::new(file).read_to_string(&mut sql)?;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.with_context(|| format!("loading {name}"))?;
    }
    // What came with the schema is not monitored: only the hosts of the bench are.
    let rows = format!(
        "update hosts set status = 1 where status = 0;
         insert into hosts (hostid, host, name, name_upper)
         select 900000 + host, 'BENCH' || host, 'BENCH' || host, 'BENCH' || host from generate_series(0, {last_host}) host;
         insert into items (itemid, type, hostid, name, key_, value_type, trends)
         select 9000000 + host * {SERVICES} + service, 2, 900000 + host, 'service ' || service, 'service[' || service || ']', 3, '0'
         from generate_series(0, {last_host}) host, generate_series(0, {last_service}) service;
         insert into item_rtdata (itemid) select itemid from items where itemid >= 9000000;",
        last_host = hosts - 1,
        last_service = SERVICES - 1,
    );
    sqlx::raw_sql(AssertSqlSafe(rows)).execute(&mut connection).await?;
    connection.close().await?;
    Ok(PgPoolOptions::new().max_connections(2).connect_with(options).await?)
}

fn start(folder: &Path, at: &PgConnectOptions, port: u16) -> Result<Child> {
    let socket = at.get_host();
    let configuration = format!(
        "ListenPort={port}\nListenIP=127.0.0.1\nDBHost={}\nDBPort={}\nDBName=zabbix\nDBUser={}\nLogFile={log}\nPidFile={pid}\n\
         SocketDir={folder}\nAllowRoot=1\nCacheSize=256M\nHistoryCacheSize=64M\nHistoryIndexCacheSize=64M\nValueCacheSize=32M\n\
         StartTrappers=5\nHousekeepingFrequency=0\n",
        socket,
        at.get_port(),
        at.get_username(),
        log = folder.join("server.log").display(),
        pid = folder.join("server.pid").display(),
        folder = folder.display(),
    );
    let path = folder.join("server.conf");
    std::fs::write(&path, configuration)?;
    Ok(Command::new(SERVER).arg("-c").arg(path).arg("-f").stdout(Stdio::null()).kill_on_drop(true).spawn()?)
}

/// The values of one round, until the server has taken all of them.
async fn send(folder: &Path, port: u16, hosts: usize, round: usize) -> Result<()> {
    let mut files = vec![String::new(); SENDERS];
    for host in 0..hosts {
        let Some(file) = files.get_mut(host % SENDERS) else { continue };
        for service in 0..SERVICES {
            // The clock tells the rounds apart.
            writeln!(
                file,
                "BENCH{host} service[{service}] {} {}",
                1_790_000_000 + round,
                u8::from((host + service + round).is_multiple_of(2))
            )?;
        }
    }
    let mut sending = JoinSet::new();
    for (index, values) in files.into_iter().enumerate() {
        let path = folder.join(format!("values-{index}"));
        std::fs::write(&path, values)?;
        sending.spawn(sent(path, port));
    }
    while let Some(sent) = sending.join_next().await {
        sent??;
    }
    Ok(())
}

/// Right after its start the server does not listen yet.
async fn sent(path: PathBuf, port: u16) -> Result<()> {
    eventually("Zabbix takes the values", PATIENCE, async || {
        let output = Command::new(SENDER)
            .args(["-z", "127.0.0.1", "-p", &port.to_string(), "--with-timestamps", "--input-file"])
            .arg(&path)
            .output()
            .await?;
        Ok(output.status.success().then_some(()))
    })
    .await
}

async fn are_stored(pool: &PgPool, hosts: usize, rounds: usize) -> Result<()> {
    let expected = i64::try_from(hosts * SERVICES * rounds)?;
    let stored = eventually("Zabbix has stored every value", PATIENCE, async || {
        let stored: i64 = sqlx::query_scalar("select count(*) from history_uint").fetch_one(pool).await?;
        Ok((stored >= expected).then_some(stored))
    })
    .await?;
    ensure!(stored == expected, "{stored} values where {expected} were sent");
    Ok(())
}
