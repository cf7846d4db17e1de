//! A database for each test, on one private cluster for each test binary.
//!
//! The cluster is our own (`portreeve_server::postgres`), made once; a migrated template is cloned for every test.
//! Invariant: when the test binary ends, however it ends, the cluster and its folder go with it.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context as _, Result};
use portreeve_server::{
    db::{Db, bootstrap::Access},
    postgres::Cluster,
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::{
    process::{Child, Command},
    sync::OnceCell,
};

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
        let options = shared.cluster.options();
        let folder = options.get_socket().context("the cluster listens on a socket")?;
        let name = self.access.app.get_database().context("the database has a name")?;
        let (user, port) = (options.get_username(), options.get_port());
        Ok(format!("postgres://{user}@localhost:{port}/{name}?host={}", folder.display()))
    }

    /// A connection as superuser, who sees past every policy.
    pub async fn superuser(&self) -> Result<PgConnection> {
        let shared = CLUSTER.get().context("a database was made, so the cluster runs")?;
        let name = self.access.app.get_database().context("the database has a name")?;
        Ok(PgConnection::connect_with(&shared.cluster.options().database(name)).await?)
    }
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
