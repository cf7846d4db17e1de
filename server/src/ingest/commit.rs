//! What a report changes, in a transaction: facts, findings and deliveries commit together or not at all. The
//! acknowledgement and the hints follow the commit. [`Store`] is the part that does not care who brought the report: a
//! stream, by its [writer](crate::ingest::writer), or a person with a capture.

use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use proto::Digests;
use proto::fleet::v1::Section;
use rules::finding::Judgement;
use rules::text::Text;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::alerts;
use crate::db::facts::{self, Dictionaries, HostChange, Numbers, SectionRow, Words};
use crate::db::forecasts;
use crate::db::stream::{self, Rejected, Session, Step};
use crate::db::{Db, Scope, refuses};
use crate::findings::{self, FindingChange};
use crate::ingest::Ingest;
use crate::ingest::state::{HostState, RowChanges};
use crate::live::{Bus, Hint, HintKind};

/// What every report needs to be stored. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pub db: Db,
    bus: Bus,
    dictionaries: Dictionaries,
    /// Where operators reach the dashboard, without a slash at its end; for links in webhooks.
    public_url: Arc<str>,
}

/// A report as it changes what is known of a host: (client, host), when it was made as `agent_stream.told_at` says, its
/// state after the report, and the rows that differ.
#[derive(Clone, Copy, Debug)]
pub struct Changed<'a> {
    pub host: (i32, i64),
    pub at: DateTime<Utc>,
    pub state: &'a HostState,
    pub rows: &'a RowChanges,
    /// Sections that the report says something of, with digests for the next Hello.
    pub digests: &'a Digests,
}

/// What a transaction changed beside facts.
#[derive(Debug, Default)]
pub struct Outcome {
    pub changes: Vec<FindingChange>,
    deliveries: Vec<Uuid>,
}

/// Why nothing was committed.
#[derive(Debug)]
pub(super) enum CommitFault {
    /// Another stream of the agent owns the cursor.
    Fenced,
    /// Postgres refuses what this very report holds: it would refuse it for ever.
    Unstorable(String),
    /// The database is away or out of something: the same report may be stored later.
    Unavailable(Arc<sqlx::Error>),
}

impl From<sqlx::Error> for CommitFault {
    fn from(error: sqlx::Error) -> Self {
        if refuses(&error) { Self::Unstorable(error.to_string()) } else { Self::Unavailable(Arc::new(error)) }
    }
}

/// What becomes of events beyond those that are kept of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Events {
    Keep,
    Prune,
}

/// A report that is kept for people instead.
#[derive(Debug)]
pub(super) struct Refused<'a> {
    pub(super) step: Step,
    pub(super) rejected: Rejected<'a>,
    pub(super) sections: &'a [Section],
    pub(super) reason: &'a Text,
}

/// What is judged of the host now, and whether the findings must be brought in line.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    pub judgement: &'a Judgement,
    /// As [`crate::rulebook::Rulebook::basis`] says.
    pub basis: &'a str,
    /// What this stream reconciled last; `None`: nothing yet.
    pub before: Option<&'a Judgement>,
}

impl Ingest {
    pub(super) async fn quarantine(
        &self,
        session: &Session,
        refused: &Refused<'_>,
        judged: Judged<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), CommitFault> {
        let (client_id, host_id) = (session.client_id, session.host_id);
        let mut transaction = self.app.db.begin(&Scope::of(client_id)).await?;
        let at = advance(&mut transaction, session, refused.step, now).await?;
        stream::quarantine(&mut transaction, session, &refused.rejected, now).await?;
        let change = HostChange {
            host_id,
            at,
            collected_at: None,
            rows: &RowChanges::default(),
            sections: &facts::rejected(refused.sections, refused.reason),
            host: None,
        };
        facts::write(&mut transaction, client_id, &[change], &Numbers::default(), now).await?;
        let outcome = self.app.store.reconcile_one(&mut transaction, (client_id, host_id), judged, now).await?;
        commit(transaction).await?;
        self.app.store.hint((client_id, host_id), &outcome);
        Ok(())
    }
}

impl Store {
    pub fn new(db: Db, bus: Bus, public_url: &str) -> Self {
        Self { db, bus, dictionaries: Dictionaries::default(), public_url: public_url.trim_end_matches('/').into() }
    }

    /// The same with other connections.
    pub(super) fn at(&self, db: &Db) -> Self {
        Self { db: db.clone(), ..self.clone() }
    }

    /// To be asked for before the transaction of the report begins.
    pub async fn numbers(&self, words: &Words) -> sqlx::Result<Numbers> {
        self.dictionaries.numbers(&self.db, words).await
    }

    /// Everything that a report changes, into a transaction that the caller commits.
    pub async fn write(
        &self,
        connection: &mut PgConnection,
        changed: &Changed<'_>,
        numbers: &Numbers,
        judged: Judged<'_>,
        now: DateTime<Utc>,
    ) -> sqlx::Result<Outcome> {
        let (client_id, host_id) = changed.host;
        let facts = changed.state.facts();
        let change = HostChange {
            host_id,
            at: changed.at,
            collected_at: facts.collected_at,
            rows: changed.rows,
            sections: &section_rows(changed.state, changed.digests),
            host: facts.host.known().filter(|_| changed.digests.contains_key(&Section::Host)),
        };
        facts::write(connection, client_id, &[change], numbers, now).await?;
        self.reconcile_one(connection, changed.host, judged, now).await
    }

    /// For each host of one client what changed. Nothing to do where the rules say what they said last: who else changes
    /// findings of the host has the same rules with a newer catalog.
    pub async fn reconcile(
        &self,
        connection: &mut PgConnection,
        client_id: i32,
        judged: &[(i64, Judged<'_>)],
        now: DateTime<Utc>,
    ) -> sqlx::Result<Vec<Outcome>> {
        let mut outcomes: Vec<Outcome> = judged.iter().map(|_| Outcome::default()).collect();
        let others = judged.iter().zip(&mut outcomes).filter(|((_, it), _)| it.before != Some(it.judgement));
        let others: Vec<_> = others.map(|((host_id, it), outcome)| (*host_id, it, outcome)).collect();
        if others.is_empty() {
            return Ok(outcomes);
        }
        let said: Vec<_> = others.iter().map(|(host_id, it, _)| (*host_id, it.judgement, it.basis)).collect();
        let transitions = findings::reconcile(connection, client_id, &said, now).await?;
        let may_come: Vec<_> = others
            .iter()
            .filter(|(_, it, _)| it.before.is_none_or(|before| before.forecasts != it.judgement.forecasts))
            .map(|(host_id, it, _)| (*host_id, it.judgement.forecasts.as_slice()))
            .collect();
        forecasts::write(connection, client_id, &may_come, now).await?;
        for ((host_id, _, outcome), changes) in others.into_iter().zip(transitions) {
            let deliveries = alerts::enqueue(connection, client_id, host_id, &changes, &self.public_url, now).await?;
            *outcome = Outcome { changes, deliveries };
        }
        Ok(outcomes)
    }

    /// As [`Self::reconcile`], of one host.
    pub async fn reconcile_one(
        &self,
        connection: &mut PgConnection,
        (client_id, host_id): (i32, i64),
        judged: Judged<'_>,
        now: DateTime<Utc>,
    ) -> sqlx::Result<Outcome> {
        let outcomes = self.reconcile(connection, client_id, &[(host_id, judged)], now).await?;
        Ok(outcomes.into_iter().next().unwrap_or_default())
    }

    /// Ends all findings of a host that is watched no longer, as its last report would.
    pub async fn end_findings(
        &self,
        connection: &mut PgConnection,
        (client_id, host_id): (i32, i64),
        because: &'static str,
        now: DateTime<Utc>,
    ) -> sqlx::Result<Outcome> {
        let changes = findings::end(connection, (client_id, host_id), because, now).await?;
        forecasts::write(connection, client_id, &[(host_id, &[])], now).await?;
        let deliveries = alerts::enqueue(connection, client_id, host_id, &changes, &self.public_url, now).await?;
        Ok(Outcome { changes, deliveries })
    }

    /// Where operators reach the dashboard, without a slash at its end.
    pub fn public_url(&self) -> &str {
        &self.public_url
    }

    pub fn publish(&self, hint: Hint) {
        self.bus.publish(hint);
    }

    /// Tells whoever listens what was committed.
    pub fn hint(&self, (client_id, host_id): (i32, i64), outcome: &Outcome) {
        let publish = |kind, id| self.bus.publish(Hint { client_id, kind, id });
        publish(HintKind::Host, host_id.to_string());
        for change in &outcome.changes {
            let transition = change.transition.as_str();
            metrics::counter!("portreeve_finding_transitions_total", "transition" => transition).increment(1);
            if change.is_news() {
                tracing::info!(host.id = host_id, finding.id = %change.id, rule = change.finding.rule, "A finding {transition}: {}", change.finding.title);
            }
            publish(HintKind::Finding, change.id.to_string());
        }
        for delivery in &outcome.deliveries {
            publish(HintKind::Delivery, delivery.to_string());
        }
    }
}

async fn advance(
    connection: &mut PgConnection,
    session: &Session,
    step: Step,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, CommitFault> {
    let told = stream::advance(connection, session.client_id, &[(*session, step)], now).await?;
    told.into_iter().flatten().next().ok_or(CommitFault::Fenced)
}

pub(super) async fn commit(transaction: sqlx::Transaction<'static, sqlx::Postgres>) -> sqlx::Result<()> {
    let started = Instant::now();
    transaction.commit().await?;
    took("commit", started);
    Ok(())
}

/// A stage of a report, or of a batch of them, is done.
pub(super) fn took(stage: &'static str, since: Instant) {
    metrics::histogram!("portreeve_report_seconds", "stage" => stage).record(since.elapsed().as_secs_f64());
}

/// What of these rows is written by its number.
pub(super) fn words(rows: &RowChanges) -> Words {
    let mut words = Words::default();
    for (_, socket) in &rows.sockets_new {
        words.add_image(socket.image.as_ref());
        words.add_services(&socket.services);
    }
    words
}

pub(super) fn section_rows(state: &HostState, digests: &Digests) -> Vec<SectionRow> {
    let facts = state.facts();
    let row = |(&section, digest): (&Section, &Vec<u8>)| {
        let (unknown_reason, document) = match section {
            Section::Unspecified => (None, None),
            Section::Host => (facts.host.unknown(), facts.host.known().map(serde_json::to_value)),
            Section::PortPolicy => (facts.port_policy.unknown(), facts.port_policy.known().map(serde_json::to_value)),
            Section::Connections => (facts.connections.unknown(), facts.connections.known().map(serde_json::to_value)),
            Section::Events => (facts.events.unknown(), None),
            Section::Sockets => (facts.sockets.unknown(), None),
            Section::Services => (facts.services.unknown(), None),
            Section::Updates => (facts.updates.unknown(), None),
        };
        SectionRow {
            section,
            unknown_reason: unknown_reason.map(ToString::to_string),
            digest: digest.clone(),
            facts: document.and_then(Result::ok),
        }
    };
    digests.iter().map(row).collect()
}
