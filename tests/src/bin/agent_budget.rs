//! What the agent costs, against its budgets; fails when one is exceeded. The agent's own code runs in the profile of the
//! agent that is shipped, over tables of a domain controller that is made up: reading Windows itself is not part of it.
//! With `--compare` a Zabbix agent 2 of this machine is asked for the same facts at the same interval.
//!
//! usage: make bench-agent

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::Value;
use tests::agent::Agent;
use tests::meter::{CountingDoor, Process};
use tests::server::{Server, eventually};
use tests::windows_host::WindowsHost;
use tests::wine::{agent_exe, target_folder};
use tests::zabbix::ZabbixServer;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
/// Sockets of dns.exe on the domain controller, as MS08-037 makes them for two address families.
const POOL: u16 = 5_000;
/// UDP sockets of a host without DNS.
const TYPICAL: u16 = 60;
/// Looks over which the processor time is taken.
const LOOKS: u32 = 60;
/// The time between two looks at a host with more than 2,000 sockets that has nothing to tell.
const IDLE_INTERVAL: Duration = Duration::from_secs(15);
/// The server asks for a sign of life once a minute of silence.
const HEARTBEAT: Duration = Duration::from_mins(1);
/// How long the other agent is watched.
const COMPARED: Duration = Duration::from_secs(90);

#[derive(Parser)]
struct Arguments {
    /// Measure Zabbix agent 2 beside ours.
    #[arg(long)]
    compare: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut table = Table::default();
    table.add("portreeve-agent.exe, stripped", fs::metadata(agent_exe()?)?.len(), 3 * MIB, bytes);

    let mut server = Server::start().await?;
    server.sign_up().await?;
    let token = server.new_site("Bench", 3).await?;
    let (threads, notices) = threads(&server, &token).await?;
    table.add("threads of portreeve-agent.exe", threads.saturating_sub(notices), 8, |count| count.to_string());
    table.note(format!("{threads} threads under Wine, which waits for each of {notices} services in one of its own"));

    let mut typical = Measured::start(&server, &token, "typical", TYPICAL).await?;
    typical.look("sockets", LOOKS).await?;
    table.add("private memory, typical host", typical.process.private_memory()?, 12 * MIB, bytes);
    typical.end().await?;

    let mut controller = Measured::start(&server, &token, "controller", POOL).await?;
    table.add("first sync, sent with TLS", controller.door.settled().await, 60 * KIB, bytes);
    let cpu = controller.cpu_of_a_look().await?;
    table.add("private memory, 5,000 UDP sockets", controller.process.private_memory()?, 20 * MIB, bytes);
    let percent_of_hundredths = u64::try_from(cpu.as_nanos() * 10_000 / IDLE_INTERVAL.as_nanos())?;
    table.add("processor, 5,000 UDP sockets, idle interval", percent_of_hundredths, 50, hundredths_of_percent);
    table.note(format!("a look takes {:.1} ms of processor time", cpu.as_secs_f64() * 1e3));
    let day = Day::of(&mut controller).await?;
    table.add("a day in steady state, sent with TLS", day.bytes(), 500_000, bytes);
    table.note(day.explained());
    controller.end().await?;

    table.print();
    if arguments.compare {
        compare(&server, cpu).await?;
    }
    table.verdict()
}

/// An agent that reports the made-up host through a door that counts.
struct Measured {
    door: CountingDoor,
    process: Process,
    child: Child,
    looks: ChildStdin,
    /// A line for each look that was taken.
    looked: Lines<BufReader<ChildStdout>>,
}

impl Measured {
    async fn start(server: &Server, token: &str, name: &str, pool: u16) -> Result<Self> {
        let door = CountingDoor::to(server.agents()).await?;
        let agent = Agent::enroll_behind(server, name, token, door.address().port()).await?;
        let mut child = Command::new(example("report_domain_controller")?)
            .arg(agent.state_dir())
            .arg(pool.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let looked = BufReader::new(child.stdout.take().context("standard output is piped")?).lines();
        let looks = child.stdin.take().context("standard input is piped")?;
        let process = Process(child.id().context("it runs")?);
        eventually("the first report went out", Duration::from_secs(30), async || {
            Ok((door.bytes() > 8 * KIB).then_some(()))
        })
        .await?;
        door.settled().await;
        Ok(Self { door, process, child, looks, looked })
    }

    /// `times` looks, each with a change of this kind, one after the other as fast as they go.
    async fn look(&mut self, change: &str, times: u32) -> Result<()> {
        for _ in 0..times {
            self.looks.write_all(format!("{change}\n").as_bytes()).await?;
            self.looked.next_line().await?.context("the agent ended")?;
        }
        self.door.settled().await;
        Ok(())
    }

    async fn cpu_of_a_look(&mut self) -> Result<Duration> {
        let before = self.process.cpu()?;
        self.look("sockets", LOOKS).await?;
        Ok(self.process.cpu()?.saturating_sub(before) / LOOKS)
    }

    /// Bytes that the agent sends for one change of this kind, with what TLS and HTTP/2 add.
    async fn bytes_of(&mut self, change: &str) -> Result<u64> {
        let before = self.door.settled().await;
        self.look(change, 1).await?;
        Ok(self.door.settled().await - before)
    }

    async fn end(mut self) -> Result<()> {
        drop(self.looks);
        ensure!(self.child.wait().await?.success(), "the agent failed");
        Ok(())
    }
}

/// What the agent sends in a day, by kind: how often, and how much each time.
struct Day {
    kinds: [(&'static str, u64, u64); 5],
}

impl Day {
    /// How often things happen is an assumption: two socket rows a minute; six services, events and counts of connections an
    /// hour; and a heartbeat in every second minute, as reports leave few minutes silent.
    async fn of(host: &mut Measured) -> Result<Self> {
        Ok(Self {
            kinds: [
                ("two socket rows", 1_440, host.bytes_of("sockets").await?),
                ("service", 144, host.bytes_of("service").await?),
                ("event", 144, host.bytes_of("event").await?),
                ("connections", 144, host.bytes_of("connections").await?),
                ("heartbeat", 86_400 / HEARTBEAT.as_secs() / 2, heartbeat(host).await?),
            ],
        })
    }

    fn bytes(&self) -> u64 {
        self.kinds.iter().map(|(_, times, bytes)| times * bytes).sum()
    }

    fn explained(&self) -> String {
        let kinds: Vec<_> =
            self.kinds.iter().map(|(kind, times, each)| format!("{times} × {kind} of {each} B")).collect();
        kinds.join(", ")
    }
}

/// The silence of the agent ends with one.
async fn heartbeat(host: &Measured) -> Result<u64> {
    let before = host.door.settled().await;
    eventually("a heartbeat goes out", HEARTBEAT * 2, async || Ok((host.door.bytes() > before).then_some(()))).await?;
    Ok(host.door.settled().await - before)
}

/// Threads of the real agent while it reports what Wine shows, and how many services it wants notices of.
async fn threads(server: &Server, token: &str) -> Result<(u64, u64)> {
    let _host = WindowsHost::start(server, token)?;
    let process = eventually("the Windows agent runs", Duration::from_secs(30), async || {
        Ok(Process::running(&["portreeve-agent.exe", "run"])?.first().copied())
    })
    .await?;
    let services = eventually("it reports", Duration::from_mins(1), async || {
        let hosts = server.get("/api/v1/hosts?state=reporting").await?;
        let Some(id) = hosts["items"][0]["id"].as_i64() else { return Ok(None) };
        let services = server.get(&format!("/api/v1/hosts/{id}/services")).await?;
        Ok(services["items"].as_array().filter(|services| !services.is_empty()).cloned())
    })
    .await?;
    let is_watched = |service: &&Value| service["start"] == "auto" || service["state"] != "stopped";
    let notices = services.iter().filter(is_watched).count();
    Ok((process.threads()? as u64, notices as u64))
}

/// Zabbix agent 2 has no list of ports: it is asked port by port, and only for the ports that services need. The pool is
/// there, as it is on a domain controller, and it is not asked for it, which is in its favour.
async fn compare(server: &Server, ours: Duration) -> Result<()> {
    let _pool = hold_pool()?;
    let mut keys: Vec<String> = (0..250).map(|index| format!("net.tcp.listen[{}]", 88 + index * 13)).collect();
    keys.extend((0..200).map(|index| format!("proc.num[service{index:03}]")));
    keys.push("system.sw.packages".to_owned());
    let asked = keys.len();
    let seconds = u32::try_from(IDLE_INTERVAL.as_secs())?;
    let zabbix = ZabbixServer::start(keys, seconds).await?;
    let configuration = server.scratch().join("zabbix_agent2.conf");
    fs::write(
        &configuration,
        format!(
            "ServerActive={}\nHostname=bench\nLogType=console\nControlSocket={}\nPluginSocket={}\n",
            zabbix.address(),
            server.scratch().join("zabbix.sock").display(),
            server.scratch().join("zabbix-plugins.sock").display(),
        ),
    )?;
    let program = Path::new("/usr/sbin/zabbix_agent2");
    ensure!(program.exists(), "zabbix_agent2 is missing: apt-get install zabbix-agent2");
    let child = Command::new(program)
        .args(["-f", "-c"])
        .arg(&configuration)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let process = Process(child.id().context("it runs")?);
    let wanted = u64::try_from(asked)?;
    eventually("it sends values", COMPARED * 2, async || Ok((zabbix.values() >= wanted).then_some(()))).await?;
    let (cpu, sent, values, start) = (process.cpu()?, zabbix.bytes(), zabbix.values(), Instant::now());
    tokio::time::sleep(COMPARED).await;
    let rounds = start.elapsed().as_secs_f64() / IDLE_INTERVAL.as_secs_f64();
    let a_round = process.cpu()?.saturating_sub(cpu).as_secs_f64() / rounds;
    let executable = fs::metadata(program)?.len();
    println!("\nZabbix agent 2 ({asked} items every {seconds} s), beside {POOL} UDP sockets it is not asked for");
    println!("  executable            {:>12}", bytes(executable));
    println!("  private memory        {:>12}", bytes(process.private_memory()?));
    println!("  threads               {:>12}", process.threads()?);
    println!("  processor an interval {:>9.1} ms ({:.1} × ours)", a_round * 1e3, a_round / ours.as_secs_f64());
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a figure to be read"
    )]
    let a_day = ((zabbix.bytes() - sent) as f64 / start.elapsed().as_secs_f64() * 86_400.0) as u64;
    println!(
        "  bytes a day           {:>12} without TLS ({} values while watched)",
        bytes(a_day),
        zabbix.values() - values
    );
    Ok(())
}

/// As many UDP sockets as the pool of a domain controller has.
fn hold_pool() -> Result<Vec<UdpSocket>> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    (0..POOL).map(|index| Ok(UdpSocket::bind(if index % 2 == 0 { "0.0.0.0:0" } else { "[::]:0" })?)).collect()
}

/// As `cargo build --profile agent` left it.
fn example(name: &str) -> Result<PathBuf> {
    let path = target_folder()?.join("agent/examples").join(name);
    ensure!(path.exists(), "{} is missing: run `make bench-agent`, which builds it", path.display());
    Ok(path)
}

#[derive(Default)]
struct Table {
    rows: Vec<(String, String, String, bool)>,
    notes: Vec<String>,
}

impl Table {
    fn add(&mut self, what: &str, measured: u64, limit: u64, unit: fn(u64) -> String) {
        self.rows.push((what.to_owned(), unit(measured), unit(limit), measured <= limit));
    }

    /// Below the rows.
    fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    fn print(&self) {
        println!("{:<46} {:>14} {:>14}", "", "measured", "budget");
        for (what, measured, limit, holds) in &self.rows {
            println!("{what:<46} {measured:>14} {limit:>14}{}", if *holds { "" } else { "  EXCEEDED" });
        }
        for note in &self.notes {
            println!("({note})");
        }
    }

    fn verdict(&self) -> Result<()> {
        let exceeded: Vec<_> = self.rows.iter().filter(|row| !row.3).map(|row| row.0.as_str()).collect();
        if !exceeded.is_empty() {
            bail!("over budget: {}", exceeded.join("; "));
        }
        Ok(())
    }
}

fn bytes(count: u64) -> String {
    let text = count.to_string();
    let digits = text.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    format!("{} B", digits.collect::<Vec<_>>().join(","))
}

fn hundredths_of_percent(count: u64) -> String {
    format!("{}.{:02} %", count / 100, count % 100)
}
