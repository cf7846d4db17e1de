//! The private Postgres cluster in DIR/postgres: made on first use, started, adopted when a killed server left it
//! running, restarted when it dies, and stopped at the end.
//!
//! Invariants: it listens on a Unix socket in a folder of mode 0700 only; it is never touched by two servers (DIR/lock);
//! everything here can be repeated at any point, since a kill may come between any two steps.

use std::{
    ffi::OsString,
    fs::File,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    sys::signal::{Signal, kill},
};
use rand::Rng;
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tokio::{process::Command, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::postgres::{account::Account, binaries::Binaries, postmaster::Postmaster};

pub mod account;

pub mod archive;

pub mod binaries;

mod memory;

pub mod postmaster;

/// Superuser of the private cluster; the server itself speaks as `portreeve_app`.
const SUPERUSER: &str = "portreeve_admin";

/// Only a part of the socket's name: the cluster has no TCP port.
const PORT: u16 = 5432;

const START_LIMIT: Duration = Duration::from_mins(3);
const STOP_LIMIT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);

/// A running cluster, and what is needed to run it again.
#[derive(Debug)]
pub struct Cluster {
    data: PathBuf,
    socket_folder: PathBuf,
    account: Option<Account>,
    binaries: Binaries,
    /// Held while we may start and stop the cluster; `None`: another process of ours does, and we are a guest.
    lock: Option<Flock<File>>,
}

/// Makes DIR when it is missing, and lets Postgres' account pass through it (never read it).
pub fn prepare_data_dir(data_dir: &Path) -> anyhow::Result<PathBuf> {
    let account = Account::for_postgres()?;
    if !data_dir.exists() {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(data_dir)
            .with_context(|| format!("cannot make the data folder {}", data_dir.display()))?;
    }
    let folder = data_dir.canonicalize().with_context(|| format!("cannot use {}", data_dir.display()))?;
    if let Some(account) = &account
        && !account.may_enter(&std::fs::metadata(&folder)?)
    {
        let mode = std::fs::metadata(&folder)?.permissions().mode();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode | 0o011))?;
    }
    Ok(folder)
}

impl Cluster {
    /// For `run`: makes, adopts or starts the cluster, and owns it until [`Cluster::stop`].
    pub async fn own(data_dir: &Path) -> anyhow::Result<Self> {
        let folder = prepare_data_dir(data_dir)?;
        // A subcommand may hold the lock for the moment of its work.
        let deadline = Instant::now() + Duration::from_secs(10);
        let lock = loop {
            match try_lock(&folder)? {
                Some(lock) => break lock,
                None if Instant::now() > deadline => {
                    bail!("another server already runs on {}; stop it, or choose another --data-dir", folder.display())
                }
                None => tokio::time::sleep(POLL).await,
            }
        };
        Self::open(&folder, Some(lock)).await
    }

    /// For other subcommands: joins the cluster of a running server, or starts it for the time of the command.
    pub async fn join(data_dir: &Path) -> anyhow::Result<Self> {
        let folder = prepare_data_dir(data_dir)?;
        let lock = try_lock(&folder)?;
        Self::open(&folder, lock).await
    }

    async fn open(folder: &Path, lock: Option<Flock<File>>) -> anyhow::Result<Self> {
        let data = folder.join("postgres");
        let account = Account::for_data_of(&data)?;
        let binaries = Binaries::find(&data).await?;
        let mut cluster = Self { data, socket_folder: PathBuf::new(), account, binaries, lock };

        if cluster.lock.is_none() {
            // The other process may be in the middle of its own start.
            cluster.socket_folder = cluster.wait_until_ready(START_LIMIT).await?.socket_folder;
            return Ok(cluster);
        }
        if let Some(left) = Postmaster::running(&cluster.data) {
            info!(postgres.pid = left.pid.as_raw(), "Adopting the Postgres that an earlier server left running");
            cluster.socket_folder = cluster.wait_until_ready(START_LIMIT).await?.socket_folder;
            return Ok(cluster);
        }
        cluster.check_the_way_in(folder)?;
        if !cluster.data.join("PG_VERSION").exists() {
            cluster.initialise(folder).await?;
        }
        cluster.socket_folder = make_socket_folder(cluster.account.as_ref())?;
        cluster.start().await?;
        Ok(cluster)
    }

    /// How to connect as the superuser.
    pub fn options(&self) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.socket_folder)
            .port(PORT)
            .username(SUPERUSER)
            .database("postgres")
            .application_name("portreeve-server")
    }

    /// Starts the cluster again whenever it has died, until `stop`. Meanwhile callers get errors, and recover.
    pub async fn keep_running(&self, stop: CancellationToken) {
        let mut pause = POLL;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = Duration::from_millis(250);
            if Postmaster::running(&self.data).is_some() {
                continue;
            }
            warn!("Postgres is gone; starting it again");
            // While an orphaned backend still ends, Postgres refuses to start: that passes.
            match self.start().await {
                Ok(()) => info!("Postgres runs again"),
                Err(error) => {
                    warn!(error = format!("{error:#}"), "Postgres did not start; trying again");
                    pause = Duration::from_secs(1);
                }
            }
        }
    }

    /// Ends the cluster, unless it belongs to another process. Open transactions are rolled back.
    pub async fn stop(&self) -> anyhow::Result<()> {
        if self.lock.is_none() {
            return Ok(());
        }
        let Some(postmaster) = Postmaster::running(&self.data) else { return Ok(()) };
        // SIGINT is Postgres' "fast" shutdown.
        match kill(postmaster.pid, Signal::SIGINT) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => bail!("cannot stop Postgres (process {}): {error}", postmaster.pid),
        }
        let deadline = Instant::now() + STOP_LIMIT;
        while Postmaster::running(&self.data).is_some() {
            ensure!(Instant::now() < deadline, "Postgres (process {}) has not ended in a minute", postmaster.pid);
            tokio::time::sleep(POLL).await;
        }
        // Best effort: an empty folder under /tmp hurts nobody.
        drop(std::fs::remove_dir_all(&self.socket_folder));
        Ok(())
    }

    /// Says which parent folder keeps Postgres' account out.
    fn check_the_way_in(&self, folder: &Path) -> anyhow::Result<()> {
        let Some(account) = &self.account else { return Ok(()) };
        for parent in folder.ancestors().collect::<Vec<_>>().into_iter().rev() {
            let metadata = std::fs::metadata(parent).with_context(|| format!("cannot read {}", parent.display()))?;
            ensure!(
                account.may_enter(&metadata),
                "Postgres refuses to run as root, so it runs as account {name}, which may not enter {parent}: \
                 choose another --data-dir (such as /var/lib/portreeve), or allow it with `chmod o+x {parent}`",
                name = account.name,
                parent = parent.display(),
            );
        }
        Ok(())
    }

    async fn initialise(&self, folder: &Path) -> anyhow::Result<()> {
        info!(folder = %self.data.display(), "Making a private Postgres {} cluster", self.binaries.major);
        // Made under another name: a kill in the middle leaves nothing that looks finished.
        let unfinished = folder.join("postgres.unfinished");
        if unfinished.exists() {
            std::fs::remove_dir_all(&unfinished)?;
        }
        std::fs::DirBuilder::new().mode(0o700).create(&unfinished)?;
        if let Some(account) = &self.account {
            std::os::unix::fs::chown(&unfinished, Some(account.uid), Some(account.gid))?;
        }
        let output = self
            .command("initdb")
            .arg("-D")
            .arg(&unfinished)
            .args(["-U", SUPERUSER, "--auth-local=trust", "--auth-host=reject"])
            .args(["--encoding=UTF8", "--locale=C.UTF-8", "--lc-messages=C", "--no-instructions"])
            .stdin(Stdio::null())
            .output()
            .await
            .context("cannot run initdb")?;
        ensure!(
            output.status.success(),
            "initdb failed ({}):\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        std::fs::rename(&unfinished, &self.data)?;
        Ok(())
    }

    async fn start(&self) -> anyhow::Result<()> {
        let mut arguments: Vec<OsString> = vec!["-D".into(), self.data.clone().into()];
        let mut setting = |name: &str, value: &str| {
            arguments.push("-c".into());
            arguments.push(format!("{name}={value}").into());
        };
        setting("listen_addresses", "");
        setting("port", &PORT.to_string());
        setting("unix_socket_directories", &self.socket_folder.to_string_lossy());
        setting("unix_socket_permissions", "0700");
        setting("max_connections", "100");
        setting("shared_buffers", &format!("{}MB", memory::shared_buffers_mib()));
        // Full-page images are most of what is written: fewer checkpoints, and compressed.
        setting("checkpoint_timeout", "15min");
        setting("max_wal_size", "4GB");
        // Segments that are kept to be written again: making one keeps every commit waiting meanwhile.
        setting("min_wal_size", "1GB");
        setting("wal_compression", if self.knows_lz4().await { "lz4" } else { "on" });
        // One log file for each day of the week: bounded without housekeeping.
        setting("logging_collector", "on");
        setting("log_directory", "log");
        setting("log_filename", "%a.log");
        setting("log_truncate_on_rotation", "on");
        setting("log_rotation_age", "1d");

        let output_path = self.data.join("start.log");
        let output = File::create(&output_path)?;
        let mut child = self
            .command("postgres")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            // Its own group: Ctrl-C in a terminal reaches us alone, and Postgres outlives what is being drained.
            .process_group(0)
            .spawn()
            .context("cannot run postgres")?;

        let ready = self.wait_until_ready(START_LIMIT);
        tokio::select! {
            status = child.wait() => {
                let said = std::fs::read_to_string(&output_path).unwrap_or_default();
                bail!("Postgres ended at once ({}):\n{}", status?, said.trim_end());
            }
            // The child is not ours to wait for later: tokio reaps it, and its pid file tells whether it lives.
            postmaster = ready => postmaster.map(drop),
        }
    }

    /// Waits until a connection succeeds; recovery after a crash may take a while.
    async fn wait_until_ready(&self, limit: Duration) -> anyhow::Result<Postmaster> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(postmaster) = Postmaster::running(&self.data)
                && postmaster.is_ready
            {
                let options = self.options().socket(&postmaster.socket_folder);
                if let Ok(connection) = PgConnection::connect_with(&options).await {
                    connection.close().await?;
                    return Ok(postmaster);
                }
            }
            ensure!(
                Instant::now() < deadline,
                "Postgres in {} is not ready after {limit:?}; see {}",
                self.data.display(),
                self.data.join("log").display()
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Debian's Postgres is built with lz4; others may not be.
    async fn knows_lz4(&self) -> bool {
        self.command("postgres")
            .arg("-D")
            .arg(&self.data)
            .args(["-c", "wal_compression=lz4", "-C", "wal_compression"])
            .stdin(Stdio::null())
            .output()
            .await
            .is_ok_and(|output| output.status.success())
    }

    /// A program of Postgres, as its account and without the caller's PG… variables.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.path(program));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        command.env("LC_ALL", "C.UTF-8").current_dir("/");
        if let Some(account) = &self.account {
            command.uid(account.uid).gid(account.gid);
        }
        command
    }
}

/// `None`: another process holds it.
fn try_lock(folder: &Path) -> anyhow::Result<Option<Flock<File>>> {
    let path = folder.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// A new folder under /tmp: socket names are limited to 107 bytes, and a data folder may lie deep. A random name, made
/// by us: nobody can have put a folder of theirs in its place.
fn make_socket_folder(account: Option<&Account>) -> anyhow::Result<PathBuf> {
    let mut name = [0_u8; 6];
    rand::rng().fill_bytes(&mut name);
    let folder = PathBuf::from(format!("/tmp/portreeve-{}", hex::encode(name)));
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    if let Some(account) = account {
        std::os::unix::fs::chown(&folder, Some(account.uid), Some(account.gid))?;
    }
    Ok(folder)
}
