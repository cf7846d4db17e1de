//! A database for each test, on one private cluster for each test binary.
//!
//! The cluster is our own (`portreeve_server::postgres`), made once; a migrated template is cloned for every test.
//! Invariant: when the test binary ends, however it ends, the cluster and its folder go with it.

use std::{
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use portreeve_server::{
    db::{Db, bootstrap::Access},
    postgres::{Cluster, account::Account, binaries::Binaries},
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::{
    process::{Child, Command},
    sync::OnceCell,
};

use crate::server::eventually;

static CLUSTER: OnceCell<Shared> = OnceCell::const_new();
static NAMES: AtomicU32 = AtomicU32::new(1);

const TEMPLATE: &str = "template_migrated";

#[derive(Debug)]
struct Shared {
    cluster: Cluster,
    /// Ends the cluster when our end of its standard input closes, which the kernel does whatever happens to us.
    _undertaker: Child,
}

/// An empty database of this test's own, with every migration applied.
#[derive(Debug)]
pub struct Database {
    pub access: Access,
    pub db: Db,
}

impl Database {
    pub async fn fresh() -> Result<Self> {
        let shared = CLUSTER.get_or_try_init(start).await?;
        let name = format!("test_{}", NAMES.fetch_add(1, Ordering::Relaxed));
        let superuser = shared.cluster.options();
        let mut connection = PgConnection::connect_with(&superuser).await?;
        let create = format!("create database {name} template {TEMPLATE} owner portreeve_owner");
        sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut connection).await?;
        connection.close().await?;
        let access = Access::private(&superuser, &name).await?;
        let db = access.connect().await?;
        Ok(Self { access, db })
    }

    /// As `DATABASE_URL` takes it: an account that may speak as both roles.
    pub fn url(&self) -> Result<String> {
        let shared = CLUSTER.get().context("a database was made, so the cluster runs")?;
        url_of(&shared.cluster.options().database(self.name()?))
    }

    fn name(&self) -> Result<&str> {
        self.access.app.get_database().context("the database has a name")
    }

    /// A streaming replica of the cluster, and so of this database.
    pub async fn replica(&self) -> Result<Replica> {
        let shared = CLUSTER.get().context("a database was made, so the cluster runs")?;
        let primary = shared.cluster.options();
        let socket = primary.get_socket().context("the cluster listens on a socket")?;
        let (account, programs) = (Account::for_postgres()?, Binaries::find(Path::new("")).await?);
        let folder = cluster_folder()?.keep();
        let (data, sockets) = (folder.join("postgres"), folder.join("sockets"));
        for path in [&data, &sockets] {
            std::fs::DirBuilder::new().mode(0o700).create(path)?;
            if let Some(account) = &account {
                std::os::unix::fs::chown(path, Some(account.uid), Some(account.gid))?;
            }
        }
        let command = |program: &str| {
            let mut command = Command::new(programs.path(program));
            command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
            if let Some(account) = &account {
                command.uid(account.uid).gid(account.gid);
            }
            command
        };
        let copied = command("pg_basebackup")
            .arg("--pgdata")
            .arg(&data)
            .arg("--host")
            .arg(socket)
            .args(["--port", &primary.get_port().to_string(), "--username", primary.get_username()])
            .args(["--checkpoint=fast", "--write-recovery-conf", "--no-sync"])
            .output()
            .await?;
        ensure!(copied.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&copied.stderr));
        let postmaster = command("postgres")
            .arg("-D")
            .arg(&data)
            .args(["-c", "listen_addresses=", "-c", &format!("port={}", primary.get_port())])
            .args(["-c", &format!("unix_socket_directories={}", sockets.display())])
            .stderr(Stdio::null())
            .spawn()?;
        let undertaker = undertaker(&folder)?;
        let options = primary.socket(sockets).database(self.name()?);
        let replica = Replica { options, postmaster, _undertaker: undertaker };
        eventually("the replica answers", Duration::from_mins(1), async || Ok(Some(replica.superuser().await?)))
            .await?
            .close()
            .await?;
        Ok(replica)
    }

    /// A connection as superuser, who sees past every policy.
    pub async fn superuser(&self) -> Result<PgConnection> {
        let shared = CLUSTER.get().context("a database was made, so the cluster runs")?;
        Ok(PgConnection::connect_with(&shared.cluster.options().database(self.name()?)).await?)
    }
}

/// A second Postgres, which plays what the first one wrote.
#[derive(Debug)]
pub struct Replica {
    options: PgConnectOptions,
    postmaster: Child,
    _undertaker: Child,
}

impl Replica {
    /// As [`Database::url`].
    pub fn url(&self) -> Result<String> {
        url_of(&self.options)
    }

    /// A connection as superuser.
    pub async fn superuser(&self) -> Result<PgConnection> {
        Ok(PgConnection::connect_with(&self.options).await?)
    }

    /// From now on it shows nothing newer, until [`Replica::resume`].
    pub async fn pause(&self) -> Result<()> {
        let mut connection = self.superuser().await?;
        sqlx::raw_sql("select pg_wal_replay_pause()").execute(&mut connection).await?;
        eventually("the replica is paused", Duration::from_secs(10), async || {
            let mut connection = self.superuser().await?;
            let state = "select pg_get_wal_replay_pause_state() = 'paused'";
            let is_paused: bool = sqlx::query_scalar(state).fetch_one(&mut connection).await?;
            Ok(is_paused.then_some(()))
        })
        .await
    }

    pub async fn resume(&self) -> Result<()> {
        let mut connection = self.superuser().await?;
        sqlx::raw_sql("select pg_wal_replay_resume()").execute(&mut connection).await?;
        Ok(())
    }

    /// It ends, and so do the connections to it.
    pub async fn stop(&mut self) -> Result<()> {
        let pid = i32::try_from(self.postmaster.id().context("the replica runs")?)?;
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGINT)?;
        tokio::time::timeout(Duration::from_secs(30), self.postmaster.wait()).await??;
        Ok(())
    }
}

/// As `DATABASE_URL` takes it.
pub fn url_of(options: &PgConnectOptions) -> Result<String> {
    let folder = options.get_socket().context("the cluster listens on a socket")?;
    let name = options.get_database().context("the database has a name")?;
    let (user, port) = (options.get_username(), options.get_port());
    Ok(format!("postgres://{user}@localhost:{port}/{name}?host={}", folder.display()))
}

/// A folder for a cluster, which Postgres' account can reach when the tests run as root.
pub fn cluster_folder() -> Result<tempfile::TempDir> {
    let folder = tempfile::Builder::new().prefix("portreeve-test-").tempdir()?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711))?;
    Ok(folder)
}

async fn start() -> Result<Shared> {
    let folder = cluster_folder()?.keep();
    let cluster = Cluster::own(&folder).await?;
    let undertaker = undertaker(&folder)?;
    let superuser = cluster.options();
    let mut connection = PgConnection::connect_with(&superuser).await?;
    // Tests lose nothing in a power cut.
    sqlx::raw_sql("alter system set fsync = off").execute(&mut connection).await?;
    sqlx::raw_sql("select pg_reload_conf()").execute(&mut connection).await?;
    connection.close().await?;
    Access::private(&superuser, TEMPLATE).await?.migrate().await?;
    Ok(Shared { cluster, _undertaker: undertaker })
}

fn undertaker(folder: &Path) -> Result<Child> {
    let pid_file: PathBuf = folder.join("postgres/postmaster.pid");
    let script = r#"
        cat > /dev/null
        sockets=$(sed -n 5p "$1")
        kill -QUIT "$(head -n 1 "$1")"
        while [ -e "$1" ] && kill -0 "$(head -n 1 "$1")" 2> /dev/null; do sleep 0.1; done
        rm -rf "$2" "$sockets"
    "#;
    Ok(Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(pid_file)
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Its own group: Ctrl-C ends the tests, and the end of the tests ends the cluster.
        .process_group(0)
        .spawn()?)
}
