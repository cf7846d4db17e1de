//! Opens the installation for a subcommand, beside a running server or without one.

use std::path::PathBuf;

use anyhow::Context as _;
use chrono::{DateTime, Utc};

use crate::{
    config::Place,
    db::{self, Db, bootstrap::Access, bootstrap::DATABASE},
    identity::{Identity, seal::Sealer},
    postgres::{Cluster, prepare_data_dir},
};

/// A database that is ready, and the private cluster under it if there is one.
#[derive(Debug)]
pub struct Opened {
    pub data_dir: PathBuf,
    /// `None`: the database was named by `DATABASE_URL`.
    pub cluster: Option<Cluster>,
    pub access: Access,
    pub db: Db,
}

impl Opened {
    /// For subcommands: joins what runs, or starts it for the time of the command.
    pub async fn open(place: &Place) -> anyhow::Result<Self> {
        let data_dir = prepare_data_dir(&place.data_dir)?;
        match &place.database_url {
            Some(url) => Self::finish(data_dir, None, Access::given(&url.0).await?).await,
            None => Self::on(Cluster::join(&place.data_dir).await?, data_dir).await,
        }
    }

    /// For `run`: owns the private cluster.
    pub async fn own(place: &Place) -> anyhow::Result<Self> {
        let data_dir = prepare_data_dir(&place.data_dir)?;
        match &place.database_url {
            Some(url) => Self::finish(data_dir, None, Access::given(&url.0).await?).await,
            None => Self::on(Cluster::own(&place.data_dir).await?, data_dir).await,
        }
    }

    /// The master key of this folder; made when the database is new, and never beside one that was sealed with another.
    pub async fn sealer(&self) -> anyhow::Result<Sealer> {
        match db::installation::read(&self.db).await? {
            None => Sealer::load_or_create(&self.data_dir),
            Some(_) => Sealer::load(&self.data_dir.join("master.key")).context(
                "a server over this database needs a copy of the master.key under which its authority was sealed",
            ),
        }
    }

    /// The authority of this installation; founded on first use.
    pub async fn identity(&self, now: DateTime<Utc>) -> anyhow::Result<Identity> {
        Identity::load(&self.db, &self.sealer().await?, now).await
    }

    /// Disconnects, and stops a cluster that this process started.
    pub async fn close(self) -> anyhow::Result<()> {
        self.db.pool.close().await;
        match self.cluster {
            Some(cluster) => cluster.stop().await,
            None => Ok(()),
        }
    }

    async fn on(cluster: Cluster, data_dir: PathBuf) -> anyhow::Result<Self> {
        let access = Access::private(&cluster.options(), DATABASE).await;
        let opened = match access {
            Ok(access) => Self::finish(data_dir, None, access).await,
            Err(error) => Err(error),
        };
        match opened {
            Ok(opened) => Ok(Self { cluster: Some(cluster), ..opened }),
            Err(error) => {
                // What failed matters more than whether the cluster stops.
                drop(cluster.stop().await);
                Err(error)
            }
        }
    }

    async fn finish(data_dir: PathBuf, cluster: Option<Cluster>, access: Access) -> anyhow::Result<Self> {
        let applied = access.migrate().await?;
        if applied > 0 {
            tracing::info!(migrations = applied, "Brought the database up to date");
        }
        let db = access.connect().await?;
        Ok(Self { data_dir, cluster, access, db })
    }
}
