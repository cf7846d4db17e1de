//! Pages read from a streaming replica: what it may answer, and when the primary answers instead.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tests::database::{Database, Replica};
use tests::server::{Server, eventually, hears};

const SOON: Duration = Duration::from_secs(30);
const CLIENTS: &str = "/api/v1/clients";

struct Fleet {
    replica: Replica,
    server: Server,
}

impl Fleet {
    /// A server that reads pages from the replica.
    async fn start() -> Result<Self> {
        let database = Database::fresh().await?;
        let replica = database.replica().await?;
        let mut server = Server::start_reading(database.url()?, replica.url()?).await?;
        server.sign_up().await?;
        // Who may see no client reads no row.
        server.command(&["client", "create", "--name", "Contoso"]).await?;
        let fleet = Self { replica, server };
        fleet.is_read_from_the_replica().await?;
        Ok(fleet)
    }

    /// Pages are, soon: each Postgres counts for itself how often a table was read there.
    async fn is_read_from_the_replica(&self) -> Result<()> {
        let scans =
            "select coalesce(sum(seq_scan + idx_scan), 0)::bigint from pg_stat_user_tables where relname = 'client'";
        let count = async || -> Result<i64> {
            Ok(sqlx::query_scalar(scans).fetch_one(&mut self.replica.superuser().await?).await?)
        };
        let before = count().await?;
        eventually("the replica is read", SOON, async || {
            self.server.get(CLIENTS).await?;
            Ok((count().await? > before).then_some(()))
        })
        .await
        .with_context(|| self.server.log())
    }

    async fn shows_client(&self, name: &str) -> Result<bool> {
        let clients = self.server.get(CLIENTS).await?;
        Ok(clients["items"].as_array().context("a page")?.iter().any(|client| client["name"] == name))
    }

    /// What the server says of the replica: seconds, or infinite.
    async fn lag(&self) -> Result<f64> {
        let figures = self.server.open("/metrics").await?.text().await?;
        let lag = figures.lines().find_map(|line| line.strip_prefix("portreeve_read_replica_lag_seconds "));
        Ok(lag.context("the lag is shown")?.parse()?)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_over_the_api_is_read_back_though_the_replica_lacks_it() -> Result<()> {
    let fleet = Fleet::start().await?;
    fleet.replica.pause().await?;
    let endpoint = json!({ "name": "tickets", "url": "http://127.0.0.1:9/" });
    let (status, body) = fleet.server.post_json("/api/v1/endpoints", &endpoint).await?;
    assert_eq!(status, 201, "{body}");
    let listed = fleet.server.get("/api/v1/endpoints").await?;
    assert_eq!(listed["items"][0]["name"], "tickets", "{listed}");
    let lacks: bool = sqlx::query_scalar("select not exists (select from endpoint)")
        .fetch_one(&mut fleet.replica.superuser().await?)
        .await?;
    ensure!(lacks, "the replica was paused");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_late_or_away_is_not_read() -> Result<()> {
    let mut fleet = Fleet::start().await?;
    ensure!(fleet.lag().await? < 2.0, "it is read, so it is hardly behind");

    fleet.replica.pause().await?;
    fleet.server.command(&["client", "create", "--name", "Paused"]).await?;
    eventually("the primary answers for a late replica", SOON, async || {
        Ok(fleet.shows_client("Paused").await?.then_some(()))
    })
    .await?;
    eventually("the lag is out of bounds", SOON, async || Ok(fleet.lag().await?.is_infinite().then_some(()))).await?;

    fleet.replica.resume().await?;
    fleet.is_read_from_the_replica().await?;
    ensure!(fleet.shows_client("Paused").await?, "it is read again only when it has caught up");

    fleet.replica.stop().await?;
    fleet.server.get(CLIENTS).await.context("nobody notices that the replica is gone")?;
    fleet.server.command(&["client", "create", "--name", "Stopped"]).await?;
    ensure!(fleet.shows_client("Stopped").await?, "the primary answers for a replica that is away");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_comes_when_what_it_tells_of_can_be_read() -> Result<()> {
    let fleet = Fleet::start().await?;
    let mut events = fleet.server.open("/api/v1/live").await?;
    hears(&mut events, "resync").await?;

    fleet.replica.pause().await?;
    // Not over the API: the server does not know that anything changed until it hears the hint.
    let entry = ["catalog", "override", "dotnet20sp2-exchange2007-autodiscover", "--client", "Contoso"];
    let decision = ["--not-applicable", "--reason", "Known", "--for", "90d"];
    fleet.server.command(&[&entry[..], &decision].concat()).await?;
    hears(&mut events, r#""kind":"catalog""#).await?;
    let listed = fleet.server.get("/api/v1/catalog/overrides").await?;
    assert_eq!(listed[0]["reason"], "Known", "{listed}");
    Ok(())
}
