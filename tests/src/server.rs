//! A real `portreeve-server` process with its own data folder, its own Postgres and free ports.
//!
//! Invariant: whatever a test starts here is gone when the test ends, also when it fails.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

/// Receivers of webhooks in tests are on loopback.
const EGRESS: &str = "127.0.0.0/8";
/// All hosts of a test come from one address.
const ENROLL_BURST: &str = "20000";

/// The folder that holds the binaries of this build: that of the running one, or above it, where tests lie in `deps`.
pub fn binaries() -> Result<PathBuf> {
    let running = std::env::current_exe()?;
    let folder = running.parent().context("a program lies in a folder")?;
    let above = folder.parent().filter(|_| folder.ends_with("deps"));
    Ok(above.unwrap_or(folder).to_owned())
}

/// Path of one of our programs; says how to build it when it is missing.
pub fn binary(name: &str) -> Result<PathBuf> {
    let path = binaries()?.join(name);
    ensure!(path.exists(), "{} is missing: run `cargo build --workspace`, or `make test`, which does", path.display());
    Ok(path)
}

/// Asks `probe` until it gives a value, for at most `limit`.
pub async fn eventually<T, F: Future<Output = Result<Option<T>>>>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> F,
) -> Result<T> {
    let start = Instant::now();
    let mut last_error = None;
    loop {
        match probe().await {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => {}
            Err(error) => last_error = Some(error),
        }
        if start.elapsed() > limit {
            let reason = last_error.map_or_else(String::new, |error| format!(" (last error: {error:#})"));
            bail!("after {limit:?} still not true: {what}{reason}");
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// A server that was configured, and, most of the time, runs.
#[derive(Debug)]
pub struct Server {
    folder: tempfile::TempDir,
    http: SocketAddr,
    agents: SocketAddr,
    enroll: SocketAddr,
    subcommand: &'static str,
    /// `None`: a Postgres of its own.
    database_url: Option<String>,
    /// `None`: pages are read where everything is.
    read_database_url: Option<String>,
    process: Option<Child>,
    token: Option<String>,
    client: reqwest::Client,
}

impl Server {
    /// Starts a server on an empty data folder and waits until it says that it is ready.
    pub async fn start() -> Result<Self> {
        Self::start_as("run", None).await
    }

    /// Starts a server on a Postgres that is there.
    pub async fn start_on(database_url: String) -> Result<Self> {
        Self::start_as("run", Some(database_url)).await
    }

    /// As [`Server::start_on`], with a replica of that Postgres for what pages read.
    pub async fn start_reading(database_url: String, replica_url: String) -> Result<Self> {
        let mut server = Self::new("run", Some(database_url))?;
        server.read_database_url = Some(replica_url);
        server.run().await?;
        Ok(server)
    }

    /// As [`Server::start`], with the demonstration fleet.
    pub async fn demo() -> Result<Self> {
        Self::start_as("demo", None).await
    }

    /// Starts another one over the database of this one, with its master key and token.
    pub async fn start_beside(&self) -> Result<Self> {
        let mut server = self.beside()?;
        std::fs::create_dir(server.data_dir())?;
        std::fs::copy(self.data_dir().join("master.key"), server.data_dir().join("master.key"))?;
        server.run().await?;
        Ok(server)
    }

    /// As [`Server::start_beside`], without the key, and not started.
    pub fn beside(&self) -> Result<Self> {
        let mut server = Self::new("run", self.database_url.clone())?;
        server.token.clone_from(&self.token);
        Ok(server)
    }

    async fn start_as(subcommand: &'static str, database_url: Option<String>) -> Result<Self> {
        let mut server = Self::new(subcommand, database_url)?;
        server.run().await?;
        Ok(server)
    }

    fn new(subcommand: &'static str, database_url: Option<String>) -> Result<Self> {
        let server = Self {
            folder: tempfile::Builder::new().prefix("portreeve-test-").tempdir()?,
            http: free_address()?,
            agents: free_address()?,
            enroll: free_address()?,
            subcommand,
            database_url,
            read_database_url: None,
            process: None,
            token: None,
            client: plain_client()?,
        };
        make_traversable(server.folder.path())?;
        Ok(server)
    }

    /// Starts the process again, on the same data and ports.
    pub async fn run(&mut self) -> Result<()> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log_path())?;
        let mut process = Command::new(binary("portreeve-server")?)
            .arg(self.subcommand)
            .arg("--data-dir")
            .arg(self.data_dir())
            .args(["--http", &self.http.to_string()])
            .args(["--agents", &self.agents.to_string()])
            .args(["--enroll", &self.enroll.to_string()])
            .env("PORTREEVE_EGRESS_ALLOW", EGRESS)
            .env("PORTREEVE_ENROLL_BURST", ENROLL_BURST)
            .envs(self.database_url.as_ref().map(|url| ("DATABASE_URL", url)))
            .envs(self.read_database_url.as_ref().map(|url| ("PORTREEVE_READ_DATABASE_URL", url)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let stdout = process.stdout.take().context("stdout is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let ready = async {
            while let Some(line) = lines.next_line().await? {
                if line.starts_with("Portreeve is ready: ") {
                    return Ok(true);
                }
            }
            anyhow::Ok(false)
        };
        let is_ready =
            tokio::time::timeout(Duration::from_mins(1), ready).await.context("60 s without being ready")??;
        ensure!(is_ready, "the server ended before it was ready:\n{}", self.log());
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        self.process = Some(process);
        Ok(())
    }

    /// SIGKILL: no chance to tidy up. Its Postgres lives on, to be adopted.
    pub async fn kill(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the server runs")?;
        process.kill().await?;
        Ok(())
    }

    /// SIGTERM, and waits for the end.
    pub async fn stop(&mut self) -> Result<()> {
        let mut process = self.process.take().context("the server runs")?;
        let pid = i32::try_from(process.id().context("the server runs")?)?;
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM)?;
        let status = tokio::time::timeout(Duration::from_secs(30), process.wait()).await??;
        ensure!(status.success(), "the server ended with {status}:\n{}", self.log());
        Ok(())
    }

    /// Runs a subcommand beside the running server; its standard output, trimmed.
    pub async fn command(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command_with_input(arguments, "").await?;
        ensure!(
            output.status.success(),
            "`portreeve-server {}` ended with {}:\n{}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    pub async fn command_with_input(&self, arguments: &[&str], input: &str) -> Result<Output> {
        let mut process = Command::new(binary("portreeve-server")?)
            .args(arguments)
            .env("PORTREEVE_DATA_DIR", self.data_dir())
            .env("PORTREEVE_EGRESS_ALLOW", EGRESS)
            .envs(self.database_url.as_ref().map(|url| ("DATABASE_URL", url)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut stdin = process.stdin.take().context("stdin is piped")?;
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        Ok(tokio::time::timeout(Duration::from_mins(1), process.wait_with_output()).await??)
    }

    /// Makes an administrator, and keeps a bearer token of theirs for [`Server::get`]. Gives name and password.
    pub async fn sign_up(&mut self) -> Result<(String, String)> {
        let (name, password) = ("e2e", "correct horse battery staple");
        let output =
            self.command_with_input(&["operator", "create", "--name", name, "--role", "admin"], password).await?;
        ensure!(output.status.success(), "operator create: {}", String::from_utf8_lossy(&output.stderr));
        self.token = Some(self.command(&["api-token", "create", "--operator", name, "--name", "tests"]).await?);
        Ok((name.to_owned(), password.to_owned()))
    }

    /// GET of an API path as the administrator; an error unless it is answered with success.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let token = self.token.as_deref().context("sign_up comes first")?;
        let response = self.client.get(format!("{}{path}", self.url())).bearer_auth(token).send().await?;
        let status = response.status();
        let body = response.text().await?;
        ensure!(status.is_success(), "GET {path}: {status} {body}");
        serde_json::from_str(&body).with_context(|| format!("GET {path}: {body}"))
    }

    /// POST of an API path as the administrator, without a body; status and answer.
    pub async fn post(&self, path: &str) -> Result<(u16, Value)> {
        self.post_body(path, "").await
    }

    /// The same with a body of JSON.
    pub async fn post_json(&self, path: &str, body: &Value) -> Result<(u16, Value)> {
        self.post_body(path, body.to_string()).await
    }

    async fn post_body(&self, path: &str, body: impl Into<reqwest::Body>) -> Result<(u16, Value)> {
        let token = self.token.as_deref().context("sign_up comes first")?;
        let request = self.client.post(format!("{}{path}", self.url())).bearer_auth(token);
        let response = request.header("content-type", "application/json").body(body).send().await?;
        let status = response.status().as_u16();
        Ok((status, serde_json::from_str(&response.text().await?).unwrap_or_default()))
    }

    /// An open answer of an API path, for reading a stream of events.
    pub async fn open(&self, path: &str) -> Result<reqwest::Response> {
        let token = self.token.as_deref().context("sign_up comes first")?;
        Ok(self.client.get(format!("{}{path}", self.url())).bearer_auth(token).send().await?.error_for_status()?)
    }

    /// A client with one site, and a token that enrolls `uses` hosts there.
    pub async fn new_site(&self, client: &str, uses: u32) -> Result<String> {
        let client_id = self.command(&["client", "create", "--name", client]).await?;
        let site_id = self.command(&["site", "create", "--client", &client_id, "--name", "Head office"]).await?;
        let uses = uses.to_string();
        self.command(&["enroll-token", "create", "--client", &client_id, "--site", &site_id, "--uses", &uses]).await
    }

    /// Id of a client by its name.
    pub async fn client_id(&self, name: &str) -> Result<String> {
        let clients = self.get("/api/v1/clients").await?;
        let items = clients["items"].as_array().or(clients.as_array()).context("a list of clients")?;
        let client = items.iter().find(|client| client["name"] == name).with_context(|| format!("no client {name}"))?;
        Ok(client["id"].to_string())
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.http)
    }

    pub fn agents(&self) -> SocketAddr {
        self.agents
    }

    pub fn enroll(&self) -> SocketAddr {
        self.enroll
    }

    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A folder of this test's own, beside the server's data.
    pub fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// Number of its process.
    pub fn process(&self) -> Result<u32> {
        self.process.as_ref().and_then(Child::id).context("the server runs")
    }

    /// What the server logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// First line of the postmaster's pid file.
    pub fn postmaster(&self) -> Result<nix::unistd::Pid> {
        let path = self.data_dir().join("postgres/postmaster.pid");
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(nix::unistd::Pid::from_raw(text.lines().next().context("the pid file is empty")?.trim().parse()?))
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }
}

impl Drop for Server {
    /// A killed server leaves its Postgres behind for the next one to adopt: here there is no next one.
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.start_kill();
        }
        if let Ok(postmaster) = self.postmaster() {
            let _ = nix::sys::signal::kill(postmaster, nix::sys::signal::Signal::SIGQUIT);
        }
        if std::thread::panicking() {
            eprintln!("--- log of the server ---\n{}", self.log());
        }
    }
}

/// Reads an answer of events until one of them holds `text`.
pub async fn hears(events: &mut reqwest::Response, text: &str) -> Result<()> {
    let heard = async {
        let mut said = String::new();
        while let Some(bytes) = events.chunk().await? {
            said.push_str(&String::from_utf8_lossy(&bytes));
            if said.contains(text) {
                return Ok(());
            }
        }
        bail!("the events ended: {said}")
    };
    tokio::time::timeout(Duration::from_secs(30), heard)
        .await
        .with_context(|| format!("nothing was heard of {text}"))?
}

/// An address on loopback that was free a moment ago. Its port lies below those that the system draws for outgoing
/// connections, one of which could take it meanwhile.
pub fn free_address() -> Result<SocketAddr> {
    const FIRST: u16 = 10_000;
    const PORTS: u16 = 22_000;
    let [high, low, ..] = uuid::Uuid::new_v4().into_bytes();
    let start = u16::from_be_bytes([high, low]) % PORTS;
    let free = |step| TcpListener::bind((Ipv4Addr::LOCALHOST, FIRST + (start + step) % PORTS)).ok()?.local_addr().ok();
    (0..PORTS).find_map(free).context("no port is free")
}

/// Straight to loopback: no proxy of the environment, no TLS.
fn plain_client() -> Result<reqwest::Client> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    #[expect(clippy::disallowed_methods, reason = "a test speaks to its own server, not to the world")]
    Ok(reqwest::Client::builder().no_proxy().build()?)
}

/// Postgres runs under its own account, which must be able to reach its folder.
fn make_traversable(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?)
}
