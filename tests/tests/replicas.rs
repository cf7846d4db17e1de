//! Several servers over one Postgres: what only one may do, whose streams are open, what each hears of the others.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use portreeve_server::db::leases;
use portreeve_server::lease;
use sqlx::PgPool;
use tests::agent::Agent;
use tests::balancer::Balancer;
use tests::database::Database;
use tests::doors::Doors;
use tests::receiver::{Answer, Receiver};
use tests::server::{Server, eventually, hears};
use tests::truth::{Life, stored};
use uuid::Uuid;

const LENGTH: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_lease_is_one_servers_until_it_ends() -> Result<()> {
    let doors = Doors::open().await?;
    let pool = &doors.database.db.pool;
    let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let (first, second) = tokio::join!(
        leases::take(pool, "sweep", one, Duration::from_mins(1)),
        leases::take(pool, "sweep", other, Duration::from_mins(1)),
    );
    let (first, second) = (first?, second?);
    assert!(first != second, "one of two has it");
    let (holder, waiting) = if first { (one, other) } else { (other, one) };
    assert!(leases::take(pool, "another sweep", waiting, LENGTH).await?, "another name is another lease");
    assert!(leases::take(pool, "sweep", holder, LENGTH).await?, "renewed, and shorter from now on");
    assert!(!leases::take(pool, "sweep", waiting, LENGTH).await?);
    eventually("taken over from one that is silent", Duration::from_secs(10), async || {
        Ok(leases::take(pool, "sweep", waiting, Duration::from_mins(1)).await?.then_some(()))
    })
    .await?;
    assert!(!leases::take(pool, "sweep", holder, LENGTH).await?, "it came back too late");
    leases::give_up(pool, "sweep", holder).await?;
    assert!(!leases::take(pool, "sweep", holder, LENGTH).await?, "nobody gives up what another holds");
    leases::give_up(pool, "sweep", waiting).await?;
    assert!(leases::take(pool, "sweep", holder, LENGTH).await?);
    Ok(())
}

#[tokio::test]
async fn work_runs_while_its_lease_is_held() -> Result<()> {
    let doors = Doors::open().await?;
    let (pool, app) = (&doors.database.db.pool, Arc::clone(&doors.app));
    let runs = Arc::new(AtomicUsize::new(0));
    let (holding, counted) = (Arc::clone(&app), Arc::clone(&runs));
    let task = tokio::spawn(async move {
        lease::hold(&holding, "sweep", || {
            counted.fetch_add(1, Ordering::Relaxed);
            std::future::pending()
        })
        .await;
    });
    eventually("it runs", Duration::from_secs(10), async || Ok((runs.load(Ordering::Relaxed) == 1).then_some(())))
        .await?;
    let other = Uuid::from_u128(2);
    assert!(!leases::take(pool, "sweep", other, LENGTH).await?);
    app.stopping.cancel();
    task.await?;
    assert!(leases::take(pool, "sweep", other, LENGTH).await?, "given up at the end");
    Ok(())
}

/// Two servers over one database, and an agent that reaches them through a balancer.
struct Pair {
    /// Holds the database until the servers are gone.
    _database: Database,
    superuser: PgPool,
    one: Server,
    other: Server,
    balancer: Balancer,
    agent: Agent,
}

impl Pair {
    /// The agent is enrolled, and not connected.
    async fn start() -> Result<Self> {
        let database = Database::fresh().await?;
        let url = database.url()?;
        let superuser = PgPool::connect(&url).await?;
        let mut one = Server::start_on(url).await?;
        one.sign_up().await?;
        let token = one.new_site("Contoso", 1).await?;
        let other = one.start_beside().await?;
        let balancer = Balancer::start(vec![one.agents(), other.agents()]).await?;
        let agent = Agent::enroll_behind(&one, "agent", &token, balancer.address().port()).await?;
        Ok(Self { _database: database, superuser, one, other, balancer, agent })
    }

    /// The agent lives this life.
    fn live(&mut self, life: Life) -> Result<()> {
        let facts = self.one.scratch().join("life.jsonl");
        std::fs::write(&facts, life.lines())?;
        self.agent.replay(&facts)
    }

    async fn reach(&self, step: i64) -> Result<()> {
        eventually("the stream goes on", Duration::from_mins(2), async || {
            let seq: Option<i64> =
                sqlx::query_scalar("select max(seq) from agent_stream").fetch_one(&self.superuser).await?;
            Ok(seq.filter(|&seq| seq > step).map(|_| ()))
        })
        .await
    }

    /// Where people reach the server at which the stream of the host is open.
    async fn connected_at(&self) -> Result<Option<String>> {
        let at = "select http from agent_stream join server_instance using (server_id) where connected_at is not null";
        Ok(sqlx::query_scalar(at).fetch_optional(&self.superuser).await?)
    }

    async fn connects_to(&self, server: &str) -> Result<()> {
        eventually("the agent is connected there", Duration::from_mins(1), async || {
            Ok((self.connected_at().await?.as_deref() == Some(server)).then_some(()))
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_moves_between_servers_and_nothing_is_lost_or_doubled() -> Result<()> {
    const LIFE: Life = Life { steps: 45, step_ms: 150 };
    let mut pair = Pair::start().await?;
    let receiver = Receiver::answering([Answer::Status(204)]).await?;
    pair.one.command(&["endpoint", "create", "--name", "tickets", "--url", &receiver.url()]).await?;
    // What comes in at one server is heard at the other.
    let mut events = pair.other.open("/api/v1/live").await?;
    pair.live(LIFE)?;
    pair.connects_to(&pair.one.url()).await?;
    hears(&mut events, r#""kind":"finding""#).await?;

    // Cut, and back through the balancer to the other server.
    pair.balancer.prefer(vec![pair.other.agents(), pair.one.agents()]);
    pair.balancer.cut();
    pair.connects_to(&pair.other.url()).await?;
    pair.reach(20).await?;
    // A server dies, and its agents find the one that lives.
    pair.other.kill().await?;
    pair.connects_to(&pair.one.url()).await?;

    let truth = LIFE.truth()?;
    eventually("the tables hold the last moment", Duration::from_mins(2), async || {
        Ok((stored(&pair.superuser).await? == truth).then_some(()))
    })
    .await?;
    let count = "select count(*) from finding_event where transition in ('opened', 'resolved', 'reopened')";
    let transitions: i64 = sqlx::query_scalar(count).fetch_one(&pair.superuser).await?;
    assert_eq!(usize::try_from(transitions)?, LIFE.transitions(), "each finding opens and resolves once");
    let due = "select count(*) from delivery where state <> 'delivered'";
    eventually("all is delivered", Duration::from_mins(2), async || {
        let left: i64 = sqlx::query_scalar(due).fetch_one(&pair.superuser).await?;
        Ok((left == 0).then_some(()))
    })
    .await?;
    // A delivery whose server was killed in its midst comes again under its id.
    let ids: BTreeSet<String> = receiver.received().iter().map(|one| one.id().to_owned()).collect();
    assert_eq!(ids.len(), LIFE.transitions());
    assert!(receiver.received().len() <= LIFE.transitions() + 4, "{} webhooks", receiver.received().len());
    eventually("the dead server is buried", Duration::from_mins(1), async || {
        let left: i64 = sqlx::query_scalar("select count(*) from server_instance").fetch_one(&pair.superuser).await?;
        Ok((left == 1).then_some(()))
    })
    .await?;
    let leases: i64 = sqlx::query_scalar(
        "select count(*) from lease where until > now() and holder <> (select server_id from server_instance)",
    )
    .fetch_one(&pair.superuser)
    .await?;
    assert_eq!(leases, 0, "what it did, the other one does");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_answers_at_whichever_server_it_is_asked() -> Result<()> {
    let mut pair = Pair::start().await?;
    pair.live(Life { steps: 2, step_ms: 10 })?;
    pair.connects_to(&pair.one.url()).await?;
    pair.reach(0).await?;
    let host: i64 = sqlx::query_scalar("select host_id from host").fetch_one(&pair.superuser).await?;
    let path = format!("/api/v1/hosts/{host}/connections");
    let (here, there) = (pair.one.post(&path).await?, pair.other.post(&path).await?);
    assert_eq!((here.0, there.0), (200, 200), "{here:?} {there:?}");
    assert_eq!(here.1, there.1);
    let left: i64 = sqlx::query_scalar("select count(*) from question").fetch_one(&pair.superuser).await?;
    assert_eq!(left, 0, "nothing of it is kept");
    pair.agent.kill().await?;
    eventually("nobody is connected", Duration::from_secs(30), async || {
        Ok(pair.connected_at().await?.is_none().then_some(()))
    })
    .await?;
    assert_eq!(pair.other.post(&path).await?.1["code"], "host.not-connected");
    Ok(())
}

/// Both streams of one agent are open for a while: the older one ends, though nobody cut it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_at_another_server_ends_the_older_one() -> Result<()> {
    let mut pair = Pair::start().await?;
    pair.live(Life { steps: 2, step_ms: 10 })?;
    pair.connects_to(&pair.one.url()).await?;
    pair.reach(0).await?;
    // As if another server had taken the cursor over.
    let others =
        "update agent_stream set session_id = $1, server_id = (select server_id from server_instance where http = $2)";
    sqlx::query(others).bind(Uuid::from_u128(9)).bind(pair.other.url()).execute(&pair.superuser).await?;
    pair.balancer.prefer(vec![pair.other.agents()]);
    let bulletin = "select pg_notify('portreeve_hints', json_build_object('from', $1::uuid, 'number', 1, \
                    'opened', json_build_array(json_build_array(client_id, host_id)))::text) from host";
    sqlx::query(bulletin).bind(Uuid::from_u128(8)).execute(&pair.superuser).await?;
    eventually("the older stream was ended", Duration::from_secs(10), async || {
        Ok(pair.one.log().contains("stream.fenced").then_some(()))
    })
    .await?;
    pair.connects_to(&pair.other.url()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_the_master_key_refuses_to_start() -> Result<()> {
    let database = Database::fresh().await?;
    let one = Server::start_on(database.url()?).await?;
    let mut other = one.beside()?;
    let refused = other.run().await.expect_err("it has no key").to_string();
    assert!(refused.contains("master.key"), "{refused}");
    assert!(!other.data_dir().join("master.key").exists(), "no key was made that is not the one");
    std::fs::write(other.data_dir().join("master.key"), [7; 32])?;
    std::fs::set_permissions(other.data_dir().join("master.key"), std::fs::Permissions::from_mode(0o600))?;
    let refused = other.run().await.expect_err("it has another key").to_string();
    assert!(refused.contains("is not the one under which"), "{refused}");
    Ok(())
}
