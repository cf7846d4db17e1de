//! From a report to a webhook at a receiver that checks the signature; and what happens when the receiver fails, moves,
//! wants no more, never answers, or should not be reached.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use chrono::{DateTime, TimeDelta, Utc};
use portreeve_server::alerts::egress::{Egress, EgressFault};
use portreeve_server::alerts::endpoint::{self, CreatedEndpoint};
use portreeve_server::alerts::worker::{Clock, Worker};
use portreeve_server::alerts::{EndpointFault, NewEndpoint};
use portreeve_server::clock;
use portreeve_server::db::Scope;
use portreeve_server::db::deliveries::{self, Attempt, ClaimLimits, Verdict};
use rules::finding::Severity;
use tests::raw_agent::{RawAgent, changes, full, hello};
use tests::receiver::{Answer, Receiver};
use tests::reporting_host::{Host, blocked, mended};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// A host whose findings go to a receiver.
struct Fixture {
    host: Host,
    agent: RawAgent,
    receiver: Receiver,
    endpoint: CreatedEndpoint,
    worker: Worker,
    time: Arc<Mutex<DateTime<Utc>>>,
}

fn loopback() -> Result<Egress> {
    Egress::new(&["127.0.0.0/8".parse()?])
}

fn worker(host: &Host, egress: Egress) -> Worker {
    let app = &host.doors.app;
    Worker::new(app.db.clone(), app.bus.clone(), app.sealer.clone(), egress)
}

async fn add_endpoint(host: &Host, name: &str, url: String) -> Result<CreatedEndpoint> {
    let new = NewEndpoint {
        name: name.to_owned(),
        url,
        client_id: None,
        min_severity: Severity::Info,
        silence: portreeve_server::alerts::Silence::Kept,
    };
    let app = &host.doors.app;
    Ok(endpoint::create(&app.db, &app.sealer, &loopback()?, &new, clock::now()).await?)
}

impl Fixture {
    async fn new(answers: impl IntoIterator<Item = Answer>) -> Result<Self> {
        let host = Host::new("SRV1").await?;
        let receiver = Receiver::answering(answers).await?;
        let endpoint = add_endpoint(&host, "tickets", receiver.url()).await?;
        let agent = host.connect(&hello(1)).await?;
        let worker = worker(&host, loopback()?);
        let time = Arc::new(Mutex::new(clock::now()));
        Ok(Self { host, agent, receiver, endpoint, worker, time })
    }

    /// Sends what is due by the fixture's clock.
    async fn deliver(&self) -> Result<usize> {
        let time = Arc::clone(&self.time);
        let clock: Clock = Arc::new(move || *time.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(self.worker.deliver_due(&clock).await?)
    }

    fn set_time(&self, now: DateTime<Utc>) {
        *self.time.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    fn pass(&self, seconds: i64) {
        let now = *self.time.lock().unwrap_or_else(PoisonError::into_inner);
        self.set_time(now + TimeDelta::seconds(seconds));
    }

    /// Opens the finding; what was enqueued is due by the fixture's clock.
    async fn open(&mut self) -> Result<()> {
        self.agent.report(&full(1, &blocked())).await?;
        self.set_time(clock::now());
        Ok(())
    }

    async fn resolve(&mut self) -> Result<()> {
        self.agent.report(&changes(2, &blocked(), &mended())).await?;
        self.set_time(clock::now());
        Ok(())
    }

    /// `opened delivered 1`: transition, state and attempts of each delivery, the oldest first.
    async fn deliveries(&self) -> Result<Vec<String>> {
        let sql = "select concat_ws(' ', transition, state, attempts) from delivery order by created_at";
        self.host.texts(sql).await
    }
}

fn types(receiver: &Receiver) -> Vec<String> {
    receiver.received().iter().map(|one| one.json()["type"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn a_finding_arrives_signed_and_says_what_to_do() -> Result<()> {
    let mut fixture = Fixture::new([Answer::Status(204)]).await?;
    fixture.open().await?;
    assert_eq!(fixture.deliver().await?, 1);
    let received = fixture.receiver.received();
    let [webhook] = &received[..] else { panic!("one webhook, not {}", received.len()) };
    let verifier = standardwebhooks::Webhook::new(&fixture.endpoint.secret)?;
    verifier.verify(&webhook.body, &webhook.headers)?;
    let other = standardwebhooks::Webhook::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?;
    assert!(other.verify(&webhook.body, &webhook.headers).is_err());
    let body = webhook.json();
    assert_eq!((body["schema"].as_i64(), body["type"].as_str()), (Some(1), Some("finding.opened")));
    let data = &body["data"];
    assert_eq!(data["title"], "Zabbix Agent is stopped: tcp/10050 is held by other.exe");
    assert_eq!((data["client"]["name"].as_str(), data["host"]["name"].as_str()), (Some("Contoso"), Some("SRV1")));
    assert_eq!(data["remedy"]["steps"][1]["command"], "net stop OtherSvc /y");
    assert!(webhook.body.len() < 20_000);
    assert_eq!(fixture.deliveries().await?, ["opened delivered 1"]);
    let attempts = fixture.host.texts("select concat_ws(' ', status, response_excerpt) from delivery_attempt").await?;
    assert_eq!(attempts, ["204 "]);
    assert_eq!(fixture.deliver().await?, 0, "once is enough");
    Ok(())
}

#[tokio::test]
async fn a_receiver_that_fails_is_tried_again_with_the_same_id() -> Result<()> {
    let mut fixture = Fixture::new([Answer::Status(500), Answer::RetryAfter(429, 60), Answer::Status(200)]).await?;
    fixture.open().await?;
    assert_eq!(fixture.deliver().await?, 1);
    assert_eq!(fixture.deliveries().await?, ["opened pending 1"]);
    assert_eq!(fixture.deliver().await?, 0, "not before its time");
    fixture.pass(7);
    assert_eq!(fixture.deliver().await?, 1);
    fixture.pass(59);
    assert_eq!(fixture.deliver().await?, 0, "the receiver asked for a minute");
    fixture.pass(400);
    assert_eq!(fixture.deliver().await?, 1);
    assert_eq!(fixture.deliveries().await?, ["opened delivered 3"]);
    let received = fixture.receiver.received();
    assert!(received.iter().all(|one| one.id() == received[0].id() && one.body == received[0].body));
    let told = fixture.host.texts("select response_excerpt from delivery_attempt order by attempt").await?;
    assert_eq!(told[0], "\u{fffd}[31mas told", "a receiver's words are text");
    Ok(())
}

#[tokio::test]
async fn a_receiver_that_never_takes_it_leaves_it_dead_after_the_schedule() -> Result<()> {
    let mut fixture = Fixture::new([Answer::Status(503)]).await?;
    fixture.open().await?;
    let mut attempts = 0;
    while fixture.deliveries().await? != ["opened dead 10"] {
        attempts += fixture.deliver().await?;
        assert!(attempts <= 10, "{:?}", fixture.deliveries().await?);
        fixture.pass(25 * 3600 * 6 / 5);
    }
    assert_eq!(fixture.receiver.received().len(), 10);
    Ok(())
}

#[tokio::test]
async fn the_end_of_a_finding_never_overtakes_its_beginning() -> Result<()> {
    let mut fixture = Fixture::new([Answer::Status(500), Answer::Status(200)]).await?;
    fixture.open().await?;
    fixture.deliver().await?;
    fixture.resolve().await?;
    assert_eq!(fixture.deliver().await?, 0, "the beginning has not arrived");
    fixture.pass(7);
    assert_eq!(fixture.deliver().await?, 2);
    assert_eq!(types(&fixture.receiver), ["finding.opened", "finding.opened", "finding.resolved"]);
    let received = fixture.receiver.received();
    assert_eq!(received[0].json()["data"]["dedup_key"], received[2].json()["data"]["dedup_key"]);
    assert_ne!(received[0].id(), received[2].id());
    Ok(())
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() -> Result<()> {
    let mut fixture = Fixture::new([Answer::RedirectTo("/elsewhere"), Answer::Status(200)]).await?;
    fixture.open().await?;
    fixture.deliver().await?;
    assert_eq!(fixture.deliveries().await?, ["opened pending 1"]);
    let paths: Vec<String> = fixture.receiver.received().into_iter().map(|one| one.path).collect();
    assert_eq!(paths, ["/hook"]);
    Ok(())
}

#[tokio::test]
async fn a_private_address_is_refused_when_it_is_added_and_when_it_is_sent_to() -> Result<()> {
    let mut fixture = Fixture::new([Answer::Status(200)]).await?;
    fixture.open().await?;
    let app = &fixture.host.doors.app;
    let new = NewEndpoint {
        name: "inside".to_owned(),
        url: fixture.receiver.url(),
        client_id: None,
        min_severity: Severity::Info,
        silence: portreeve_server::alerts::Silence::Kept,
    };
    let strict = Egress::new(&[])?;
    let fault = endpoint::create(&app.db, &app.sealer, &strict, &new, clock::now()).await.unwrap_err();
    assert!(matches!(fault, EndpointFault::Egress(EgressFault::Refused(_))), "{fault:?}");
    let clock: Clock = Arc::new(clock::now);
    worker(&fixture.host, strict).deliver_due(&clock).await?;
    assert!(fixture.receiver.received().is_empty());
    let errors = fixture.host.texts("select error from delivery_attempt").await?;
    assert!(errors[0].contains("127.0.0.1 is not a public address"), "{errors:?}");
    Ok(())
}

#[tokio::test]
async fn a_receiver_that_wants_no_more_gets_no_more() -> Result<()> {
    let mut fixture = Fixture::new([Answer::Status(410)]).await?;
    fixture.open().await?;
    fixture.deliver().await?;
    fixture.resolve().await?;
    assert_eq!(fixture.deliver().await?, 0);
    assert_eq!(fixture.deliveries().await?, ["opened dead 1"]);
    let reasons = fixture.host.texts("select disabled_reason from endpoint").await?;
    assert_eq!(reasons, ["The receiver answered 410 Gone."]);
    Ok(())
}

#[tokio::test]
async fn a_worker_that_died_loses_its_lease_and_its_late_result() -> Result<()> {
    let mut fixture = Fixture::new([Answer::Status(200)]).await?;
    fixture.open().await?;
    let db = fixture.host.db();
    let scope = Scope::of(fixture.host.site.client_id);
    let limits = ClaimLimits { total: 10, per_endpoint: 4 };
    let now = clock::now();
    let claim = async |now: DateTime<Utc>| {
        deliveries::claim(db, &scope, &[], limits, Uuid::new_v4(), now + TimeDelta::seconds(60), now).await
    };
    let dead = claim(now).await?.pop().context("one is due")?;
    assert!(claim(now).await?.is_empty(), "it is leased");
    let later = now + TimeDelta::seconds(61);
    let alive = claim(later).await?.pop().context("the lease has ended")?;
    let attempt = Attempt { at: later, duration_ms: 1, status: Some(200), error: None, response_excerpt: None };
    assert!(!deliveries::record(db, &dead, &attempt, Verdict::Dead, later).await?);
    assert!(deliveries::record(db, &alive, &attempt, Verdict::Delivered, later).await?);
    assert_eq!(fixture.deliveries().await?, ["opened delivered 1"]);
    Ok(())
}

#[tokio::test]
async fn a_receiver_that_never_answers_delays_its_own_webhooks_only() -> Result<()> {
    let fixture = Fixture::new([Answer::Silence]).await?;
    let good = Receiver::answering([Answer::Status(200)]).await?;
    let good_endpoint = add_endpoint(&fixture.host, "good", good.url()).await?;
    // More for the silent one than a worker sends at a time, all of them due before the good one's.
    let client_id = fixture.host.site.client_id;
    let mut transaction = fixture.host.db().begin(&Scope::of(client_id)).await?;
    sqlx::query(
        "with made as (
           insert into finding (client_id, finding_id, host_id, rule, subject_key, subject, severity, confidence, title,
             cause, evidence, remedy, state, episode, first_opened_at, opened_at, updated_at, problem)
           select $1, gen_random_uuid(), $2, 'test', n::text, '{}', 3, 3, '', '', '[]', '{}', 'open', 1, now(), now(), now(), ''
           from generate_series(1, 100) as n
           returning finding_id)
         insert into delivery (client_id, delivery_id, endpoint_id, finding_id, episode, transition, body, state,
           next_attempt_at, created_at)
         select $1, gen_random_uuid(), endpoint.endpoint_id, finding_id, 1, 'opened', '{}', 'pending',
           now() - case when endpoint.endpoint_id = $3 then interval '1 s' else interval '1 h' end, now()
         from made cross join endpoint",
    )
    .bind(client_id)
    .bind(fixture.host.host_id)
    .bind(good_endpoint.endpoint_id)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    let stop = CancellationToken::new();
    let running = tokio::spawn(fixture.worker.clone().run(stop.clone()));
    let all = async {
        while good.received().len() < 100 {
            tokio::task::yield_now().await;
        }
    };
    // Less than the 15 s after which a send to the silent one ends and makes room.
    tokio::time::timeout(Duration::from_secs(12), all).await.context("the good receiver waits for the silent one")?;
    assert!(fixture.receiver.received().len() <= 4);
    stop.cancel();
    running.abort();
    Ok(())
}

#[tokio::test]
async fn a_running_worker_is_woken_by_the_commit() -> Result<()> {
    let fixture = Fixture::new([Answer::Status(200)]).await?;
    let stop = CancellationToken::new();
    let running = tokio::spawn(fixture.worker.clone().run(stop.clone()));
    let started = std::time::Instant::now();
    fixture.agent.say_report(&full(1, &blocked())).await?;
    let arrived = async {
        while fixture.receiver.received().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(4), arrived).await.context("polling alone would take up to 5 s")?;
    println!("from the report to the webhook at the receiver: {:?}", started.elapsed());
    stop.cancel();
    running.await?;
    Ok(())
}
