//! The private cluster survives kills on either side, and says what keeps it from starting.

use std::{os::unix::fs::PermissionsExt as _, path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use portreeve_server::{
    db::bootstrap::{Access, DATABASE},
    identity::{Identity, seal::Sealer},
    postgres::{Cluster, postmaster::Postmaster},
};
use sqlx::{AssertSqlSafe, Connection as _};
use tests::database::{Database, cluster_folder};
use tokio_util::sync::CancellationToken;

fn running(folder: &Path) -> Option<Postmaster> {
    Postmaster::running(&folder.join("postgres"))
}

#[tokio::test]
async fn a_cluster_is_adopted_restarted_and_stopped() -> Result<()> {
    let scratch = cluster_folder()?;
    let folder = scratch.path().join("data");
    let first = Cluster::own(&folder).await?;
    let access = Access::private(&first.options(), DATABASE).await?;
    access.migrate().await?;
    let started = running(&folder).context("it runs")?;

    // A subcommand joins, and leaves it running.
    let guest = Cluster::join(&folder).await?;
    guest.stop().await?;
    assert_eq!(running(&folder), Some(started.clone()));

    // A killed server: its lock is gone, its Postgres is not.
    drop(first);
    let second = Arc::new(Cluster::own(&folder).await?);
    assert_eq!(running(&folder).context("it runs")?.pid, started.pid);
    let access = Access::private(&second.options(), DATABASE).await?;
    assert_eq!(access.pending().await?, 0);
    let db = access.connect().await?;

    // A killed Postgres: nobody but the server notices.
    let stop = CancellationToken::new();
    let keeper = tokio::spawn({
        let (cluster, stop) = (Arc::clone(&second), stop.clone());
        async move { cluster.keep_running(stop).await }
    });
    kill(started.pid, Signal::SIGKILL)?;
    let answered = tokio::time::timeout(Duration::from_mins(1), async {
        loop {
            let is_new = running(&folder).is_some_and(|now| now.pid != started.pid);
            if is_new && db.everything().await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    });
    answered.await.context("Postgres did not come back")?;

    stop.cancel();
    keeper.await?;
    let socket_folder = running(&folder).context("it runs")?.socket_folder;
    assert_eq!(std::fs::metadata(&socket_folder)?.permissions().mode() & 0o777, 0o700);
    db.pool.close().await;
    second.stop().await?;
    assert_eq!(running(&folder), None);
    assert!(!socket_folder.exists());
    Ok(())
}

#[tokio::test]
async fn a_folder_that_postgres_cannot_reach_is_named() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        // Only root drops Postgres to another account; any other account reaches its own folders.
        return Ok(());
    }
    let scratch = cluster_folder()?;
    let closed = scratch.path().join("closed");
    std::fs::create_dir(&closed)?;
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700))?;
    let error = Cluster::own(&closed.join("deep/data")).await.unwrap_err().to_string();
    let closed = closed.canonicalize()?;
    assert!(error.contains(&format!("may not enter {}", closed.display())), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_sealed_authority_demands_its_own_master_key() -> Result<()> {
    let database = Database::fresh().await?;
    let now = portreeve_server::clock::now();
    let first = Identity::load(&database.db, &Sealer::new(&[1; 32]), now).await?;
    let again = Identity::load(&database.db, &Sealer::new(&[1; 32]), now).await?;
    assert_eq!(first.authority.pin(), again.authority.pin());
    let error = Identity::load(&database.db, &Sealer::new(&[2; 32]), now).await.unwrap_err();
    assert!(error.to_string().contains("master.key"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_given_database_gets_its_roles_or_says_what_to_run() -> Result<()> {
    let database = Database::fresh().await?;
    let mut superuser = database.superuser().await?;
    let name = format!("given_{}", std::process::id());
    for statement in [
        format!("create role {name}_stranger login"),
        format!("create role {name}_member login in role portreeve_owner, portreeve_app"),
        format!("create database {name} owner portreeve_owner"),
    ] {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut superuser).await?;
    }
    let socket = database.access.app.get_socket().context("the cluster has a socket")?.display().to_string();
    let url = |role: &str| format!("postgres://{name}_{role}@{}:5432/{name}", socket.replace('/', "%2F"));

    let refused = Access::given(&url("stranger")).await.unwrap_err().to_string();
    assert!(refused.contains("grant portreeve_owner, portreeve_app"), "{refused}");

    let access = Access::given(&url("member")).await?;
    access.migrate().await?;
    assert_eq!(access.pending().await?, 0);
    let db = access.connect().await?;
    let (user, owner): (String, String) =
        sqlx::query_as("select current_user::text, (select tableowner::text from pg_tables where tablename = 'host')")
            .fetch_one(&db.pool)
            .await?;
    assert_eq!((user.as_str(), owner.as_str()), ("portreeve_app", "portreeve_owner"));
    superuser.close().await?;
    Ok(())
}

#[tokio::test]
async fn a_mighty_application_role_is_refused() -> Result<()> {
    let database = Database::fresh().await?;
    let superuser = database.superuser().await?;
    let access =
        Access { owner: database.access.owner.clone(), app: database.access.app.clone().username("portreeve_admin") };
    let error = access.connect().await.unwrap_err().to_string();
    assert!(error.contains("superuser"), "{error}");
    superuser.close().await?;
    Ok(())
}
