//! One report, one transaction: the cursor, changed rows, sections, findings and deliveries commit together or not at
//! all. The acknowledgement and the hints follow the commit.

use std::time::Instant;

use chrono::{DateTime, Utc};
use proto::Digests;
use proto::fleet::v1::Section;
use rules::finding::Judgement;
use rules::text::Text;
use sqlx::PgConnection;
use sqlx::error::DatabaseError;
use uuid::Uuid;

use crate::alerts;
use crate::db::Scope;
use crate::db::facts::{self, SectionRow};
use crate::db::stream::{self, Rejected, Session, Step};
use crate::findings::{self, FindingChange};
use crate::ingest::Ingest;
use crate::ingest::state::{HostState, RowChanges};
use crate::live::{Hint, HintKind};

/// Why nothing was committed.
#[derive(Debug)]
pub(super) enum CommitFault {
    /// Another stream of the agent owns the cursor.
    Fenced,
    /// Postgres refuses what this very report holds: it would refuse it for ever.
    Unstorable(String),
    /// The database is away or out of something: the same report may be stored later.
    Unavailable(sqlx::Error),
}

impl From<sqlx::Error> for CommitFault {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(DatabaseError::code);
        // 22 data exception, 23 integrity constraint violation, 54 program limit exceeded.
        let refuses =
            code.as_deref().is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class)));
        if refuses || matches!(error, sqlx::Error::Encode(_)) {
            return Self::Unstorable(error.to_string());
        }
        Self::Unavailable(error)
    }
}

/// A report that was applied to the state and is to be stored.
#[derive(Debug)]
pub(super) struct Applied<'a> {
    pub(super) step: Step,
    pub(super) rows: &'a RowChanges,
    /// Sections that the report says something of, with the agent's digests.
    pub(super) digests: &'a Digests,
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
#[derive(Debug)]
pub(super) struct Judged<'a> {
    pub(super) judgement: &'a Judgement,
    /// What this stream reconciled last; `None`: nothing yet.
    pub(super) before: Option<&'a Judgement>,
}

impl Ingest {
    pub(super) async fn store(
        &self,
        session: &Session,
        state: &HostState,
        applied: &Applied<'_>,
        judged: &Judged<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), CommitFault> {
        let (client_id, host_id) = (session.client_id, session.host_id);
        let paths = applied.rows.sockets_new.iter().filter_map(|(_, socket)| socket.image.as_deref());
        let images = self.images.ids(&self.app.db, paths).await?;
        let mut transaction = self.app.db.begin(&Scope::of(client_id)).await?;
        if !stream::advance(&mut transaction, session, &applied.step, now).await? {
            return Err(CommitFault::Fenced);
        }
        facts::write_rows(&mut transaction, client_id, host_id, applied.rows, &images, now).await?;
        let sections = section_rows(state, applied.digests);
        let collected_at = state.facts().collected_at;
        facts::write_sections(&mut transaction, client_id, host_id, &sections, collected_at, now).await?;
        if applied.digests.contains_key(&Section::Host)
            && let Some(host) = state.facts().host.known()
        {
            facts::write_host(&mut transaction, client_id, host_id, host).await?;
        }
        let outcome = self.reconcile(&mut transaction, session, judged, now).await?;
        commit(transaction).await?;
        self.hint(session, &outcome);
        Ok(())
    }

    pub(super) async fn quarantine(
        &self,
        session: &Session,
        refused: &Refused<'_>,
        judged: &Judged<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), CommitFault> {
        let (client_id, host_id) = (session.client_id, session.host_id);
        let mut transaction = self.app.db.begin(&Scope::of(client_id)).await?;
        if !stream::advance(&mut transaction, session, &refused.step, now).await? {
            return Err(CommitFault::Fenced);
        }
        stream::quarantine(&mut transaction, session, &refused.rejected, now).await?;
        facts::mark_rejected(&mut transaction, client_id, host_id, refused.sections, refused.reason, now).await?;
        let outcome = self.reconcile(&mut transaction, session, judged, now).await?;
        commit(transaction).await?;
        self.hint(session, &outcome);
        Ok(())
    }

    /// Nothing to do where the rules say what they said last: this stream alone may change the host's findings.
    async fn reconcile(
        &self,
        connection: &mut PgConnection,
        session: &Session,
        judged: &Judged<'_>,
        now: DateTime<Utc>,
    ) -> sqlx::Result<Outcome> {
        if judged.before == Some(judged.judgement) {
            return Ok(Outcome::default());
        }
        let (client_id, host_id) = (session.client_id, session.host_id);
        let changes = findings::reconcile(connection, client_id, host_id, judged.judgement, now).await?;
        let deliveries = alerts::enqueue(connection, client_id, host_id, &changes, &self.public_url, now).await?;
        Ok(Outcome { changes, deliveries })
    }

    fn hint(&self, session: &Session, outcome: &Outcome) {
        let client_id = session.client_id;
        let publish = |kind, id| self.app.bus.publish(Hint { client_id, kind, id });
        publish(HintKind::Host, session.host_id.to_string());
        for change in &outcome.changes {
            let transition = change.transition.as_str();
            metrics::counter!("portreeve_finding_transitions_total", "transition" => transition).increment(1);
            if change.is_news() {
                tracing::info!(host.id = session.host_id, finding.id = %change.id, rule = change.finding.rule, "A finding {transition}: {}", change.finding.title);
            }
            publish(HintKind::Finding, change.id.to_string());
        }
        for delivery in &outcome.deliveries {
            publish(HintKind::Delivery, delivery.to_string());
        }
    }
}

/// What a transaction changed beside facts.
#[derive(Debug, Default)]
struct Outcome {
    changes: Vec<FindingChange>,
    deliveries: Vec<Uuid>,
}

async fn commit(transaction: sqlx::Transaction<'static, sqlx::Postgres>) -> sqlx::Result<()> {
    let started = Instant::now();
    transaction.commit().await?;
    metrics::histogram!("portreeve_report_seconds", "stage" => "commit").record(started.elapsed().as_secs_f64());
    Ok(())
}

fn section_rows(state: &HostState, digests: &Digests) -> Vec<SectionRow> {
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
