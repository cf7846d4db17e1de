//! Sends deliveries: claims what is due with a lease, posts outside any transaction, records each attempt. Several
//! workers (replicas) may run over one database; a lease that ends with its worker frees the delivery.
//!
//! Invariant: one endpoint holds at most [`PER_ENDPOINT`] sends of a worker, so a receiver that never answers delays
//! its own deliveries only.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use rand::RngExt;
use rules::text::Text;
use standardwebhooks::{HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};
use uuid::Uuid;

use crate::alerts::egress::{Answer, Egress, EgressFault};
use crate::alerts::schedule;
use crate::clock;
use crate::db::Db;
use crate::db::deliveries::{self, Attempt, ClaimLimits, Claimed, UnderWay, Verdict};
use crate::identity::seal::{Purpose, Sealer};
use crate::live::{Bus, Hint, HintKind};

/// Sends of one worker at one endpoint at a time.
pub const PER_ENDPOINT: i32 = 4;
/// Sends of one worker at a time.
const TOTAL: usize = 64;
/// Longer than a send can take, so that a lease ends only with its worker.
const LEASE: TimeDelta = TimeDelta::seconds(60);
/// Looks for work at least this often, for what another process committed.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);
/// Characters of an answer that are kept for people.
const EXCERPT: usize = 1024;

/// Cheap to clone: each send has one.
#[derive(Clone, Debug)]
pub struct Worker {
    db: Db,
    bus: Bus,
    sealer: Sealer,
    egress: Egress,
}

/// The clock that a pass reads; tests own time.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

impl Worker {
    pub fn new(db: Db, bus: Bus, sealer: Sealer, egress: Egress) -> Self {
        Self { db, bus, sealer, egress }
    }

    /// Until `stop`; sends under way are finished, no new ones begin.
    pub async fn run(self, stop: CancellationToken) {
        let clock: Clock = Arc::new(clock::now);
        let mut hints = self.bus.subscribe();
        let mut sends: JoinSet<Uuid> = JoinSet::new();
        let mut under_way: HashMap<Uuid, i32> = HashMap::new();
        while !stop.is_cancelled() {
            let sleep = match self.start_due(&clock, &mut sends, &mut under_way).await {
                Ok(sleep) => sleep,
                Err(error) => {
                    warn!(%error, "Could not look for due deliveries; trying again soon");
                    LONGEST_SLEEP
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(sleep) => {}
                () = hints.something_of(HintKind::Delivery) => {}
                Some(done) = sends.join_next() => finished(done, &mut under_way),
            }
        }
        while let Some(done) = sends.join_next().await {
            finished(done, &mut under_way);
        }
    }

    /// Sends everything that is due by `clock`, and what becomes due while it does. Returns the number of attempts.
    pub async fn deliver_due(&self, clock: &Clock) -> sqlx::Result<usize> {
        let mut sends = JoinSet::new();
        let mut under_way = HashMap::new();
        let mut attempts = 0;
        loop {
            self.start_due(clock, &mut sends, &mut under_way).await?;
            let Some(done) = sends.join_next().await else { return Ok(attempts) };
            finished(done, &mut under_way);
            attempts += 1;
        }
    }

    /// Claims what is due and starts sending it; returns how long nothing else will be due.
    async fn start_due(
        &self,
        clock: &Clock,
        sends: &mut JoinSet<Uuid>,
        under_way: &mut HashMap<Uuid, i32>,
    ) -> sqlx::Result<Duration> {
        let room = TOTAL.saturating_sub(sends.len());
        if room == 0 {
            return Ok(LONGEST_SLEEP);
        }
        let scope = self.db.everything().await?;
        let now = clock();
        let busy: Vec<UnderWay> =
            under_way.iter().map(|(&endpoint_id, &count)| UnderWay { endpoint_id, count }).collect();
        let limits = ClaimLimits { total: i64::try_from(room).unwrap_or(i64::MAX), per_endpoint: PER_ENDPOINT };
        let claimed = deliveries::claim(&self.db, &scope, &busy, limits, Uuid::new_v4(), now + LEASE, now).await?;
        for claimed in claimed {
            *under_way.entry(claimed.endpoint_id).or_default() += 1;
            let (worker, clock) = (self.clone(), clock.clone());
            sends.spawn(async move {
                let endpoint_id = claimed.endpoint_id;
                worker.send(claimed, &clock).await;
                endpoint_id
            });
        }
        let next = deliveries::next_due(&self.db, &scope, now).await?;
        let until = next.and_then(|next| (next - now).to_std().ok());
        // What is due and not claimed waits for a send to finish, which wakes the loop.
        Ok(until.map_or(LONGEST_SLEEP, |until| until.min(LONGEST_SLEEP)))
    }

    async fn send(&self, claimed: Claimed, clock: &Clock) {
        let at = clock();
        let started = tokio::time::Instant::now();
        let answer = self.post(&claimed, at).await;
        let duration_ms = i32::try_from(started.elapsed().as_millis()).unwrap_or(i32::MAX);
        metrics::histogram!("portreeve_delivery_seconds").record(started.elapsed().as_secs_f64());
        let verdict = verdict(&answer, claimed.attempts, rand::rng().random(), at);
        let attempt = attempt(&answer, at, duration_ms);
        let outcome = match verdict {
            Verdict::Delivered => "delivered",
            Verdict::RetryAt(_) => "retry",
            Verdict::Dead | Verdict::Gone => "dead",
        };
        metrics::counter!("portreeve_delivery_attempts_total", "outcome" => outcome).increment(1);
        match deliveries::record(&self.db, &claimed, &attempt, verdict, clock()).await {
            Ok(true) => {}
            Ok(false) => {
                warn!(delivery.id = %claimed.delivery_id, "A delivery took longer than its lease; another worker has it");
            }
            // The lease ends by itself and the event is sent again under the same id.
            Err(error) => warn!(%error, delivery.id = %claimed.delivery_id, "Could not record a delivery attempt"),
        }
        self.tell(&claimed, &attempt, verdict);
        if verdict == Verdict::Gone {
            self.disable(claimed.endpoint_id, clock()).await;
        }
    }

    async fn post(&self, claimed: &Claimed, at: DateTime<Utc>) -> Result<Answer, SendFault> {
        let secret = self.sealer.open(Purpose::EndpointSecret, &claimed.secret_sealed)?;
        let secret = String::from_utf8_lossy(&secret);
        let headers = signed_headers(&secret, claimed.delivery_id, at.timestamp(), &claimed.body)?;
        Ok(self.egress.post(&claimed.url, headers, claimed.body.clone()).await?)
    }

    fn tell(&self, claimed: &Claimed, attempt: &Attempt, verdict: Verdict) {
        let status = attempt.status;
        let error = attempt.error.as_deref();
        let number = claimed.attempts + 1;
        match verdict {
            Verdict::Delivered => {
                info!(delivery.id = %claimed.delivery_id, status, "Delivered a webhook at attempt {number}");
            }
            Verdict::RetryAt(next) => {
                debug!(delivery.id = %claimed.delivery_id, status, error, %next, "A webhook was not taken at attempt {number}");
            }
            Verdict::Dead => {
                error!(delivery.id = %claimed.delivery_id, endpoint.id = %claimed.endpoint_id, status, error, "Gave a webhook up after attempt {number}");
            }
            Verdict::Gone => {
                error!(delivery.id = %claimed.delivery_id, endpoint.id = %claimed.endpoint_id, "A receiver wants no more webhooks (410); its endpoint is disabled");
            }
        }
        let id = claimed.delivery_id.to_string();
        self.bus.publish(Hint { client_id: claimed.client_id, kind: HintKind::Delivery, id });
    }

    async fn disable(&self, endpoint_id: Uuid, now: DateTime<Utc>) {
        let reason = "The receiver answered 410 Gone.";
        let disabled = match self.db.everything().await {
            Ok(scope) => deliveries::disable_endpoint(&self.db, &scope, endpoint_id, reason, now).await,
            Err(error) => Err(error),
        };
        if let Err(error) = disabled {
            warn!(%error, endpoint.id = %endpoint_id, "Could not disable an endpoint; its next 410 will");
        }
    }
}

/// Why nothing was sent, or no answer came.
#[derive(Debug, thiserror::Error)]
enum SendFault {
    #[error("the signing secret cannot be read: {0}")]
    Secret(#[from] crate::identity::seal::NotOurs),
    #[error("the body cannot be signed: {0}")]
    Signature(#[from] standardwebhooks::WebhookError),
    #[error(transparent)]
    Egress(#[from] EgressFault),
}

fn verdict(answer: &Result<Answer, SendFault>, attempts: i32, jitter: f64, now: DateTime<Utc>) -> Verdict {
    let asked = match answer {
        Ok(answer) if answer.status.is_success() => return Verdict::Delivered,
        Ok(answer) if answer.status == StatusCode::GONE => return Verdict::Gone,
        Ok(answer) => answer.retry_after,
        Err(_) => None,
    };
    let failed = u32::try_from(attempts).unwrap_or(0) + 1;
    match schedule::wait_after(failed, jitter, asked).and_then(|wait| TimeDelta::from_std(wait).ok()) {
        Some(wait) => Verdict::RetryAt(now + wait),
        None => Verdict::Dead,
    }
}

fn attempt(answer: &Result<Answer, SendFault>, at: DateTime<Utc>, duration_ms: i32) -> Attempt {
    let (status, error, excerpt) = match answer {
        Ok(answer) => {
            let error = (!answer.status.is_success()).then(|| format!("the receiver answered {}", answer.status));
            (Some(i32::from(answer.status.as_u16())), error, Some(excerpt(&answer.text)))
        }
        Err(fault) => (None, Some(excerpt(&fault.to_string())), None),
    };
    Attempt { at, duration_ms, status, error, response_excerpt: excerpt }
}

/// A receiver's words are as hostile as a host's, and at most 1 KiB of them is kept.
fn excerpt(text: &str) -> String {
    let clean = Text::new(text).into_string();
    let end = (0..=EXCERPT.min(clean.len())).rev().find(|&end| clean.is_char_boundary(end)).unwrap_or(0);
    clean[..end].to_owned()
}

fn signed_headers(
    secret: &str,
    id: Uuid,
    timestamp: i64,
    body: &str,
) -> Result<HeaderMap, standardwebhooks::WebhookError> {
    let id = id.to_string();
    let signature = Webhook::new(secret)?.sign(&id, timestamp, body.as_bytes())?;
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (HEADER_WEBHOOK_ID, id),
        (HEADER_WEBHOOK_TIMESTAMP, timestamp.to_string()),
        (HEADER_WEBHOOK_SIGNATURE, signature),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    Ok(headers)
}

fn finished(done: Result<Uuid, tokio::task::JoinError>, under_way: &mut HashMap<Uuid, i32>) {
    match done {
        Ok(endpoint_id) => {
            if let Some(count) = under_way.get_mut(&endpoint_id) {
                *count -= 1;
            }
            under_way.retain(|_, count| *count > 0);
        }
        Err(error) => {
            // Which endpoint it was is not known: count anew. Leases still keep a delivery from being sent twice.
            error!(%error, "A delivery task ended in a panic");
            under_way.clear();
        }
    }
}
