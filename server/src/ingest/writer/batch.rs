//! One transaction for the reports of several hosts of one client: the cursors, changed rows, ledgers, findings and
//! deliveries commit together or not at all. A host whose cursor is another's is left out.

use std::time::Instant;

use chrono::{DateTime, Utc};

use crate::db::facts::{self, HostChange, Words};
use crate::db::{Scope, boots, history, stream};
use crate::ingest::commit::{Events, Judged, Outcome, Store, commit, took};
use crate::ingest::writer::Job;

/// For each job what it changed beside facts. `None`: another stream of the agent owns the cursor. `jobs` are of one
/// client, in the order of hosts.
pub(super) async fn write(store: &Store, jobs: &[Job], now: DateTime<Utc>) -> sqlx::Result<Vec<Option<Outcome>>> {
    let Some(client_id) = jobs.first().map(|job| job.session.client_id) else { return Ok(Vec::new()) };
    let mut words = Words::default();
    for job in jobs {
        words.append(job.words());
    }
    let numbers = store.numbers(&words).await?;

    let mut transaction = store.db.begin_planned(&Scope::of(client_id)).await?;
    let steps: Vec<_> = jobs.iter().map(|job| (job.session, job.step)).collect();
    let told = stream::advance(&mut transaction, client_id, &steps, now).await?;
    let own = || jobs.iter().zip(&told).filter_map(|(job, at)| Some((job, (*at)?)));
    let changes: Vec<HostChange<'_>> = own().map(|(job, at)| change(job, at)).collect();
    let started = Instant::now();
    let written = facts::write(&mut transaction, client_id, &changes, &numbers, now).await?;
    took("facts", started);
    let ledgers: Vec<_> = own().filter_map(|(job, _)| Some((job.session.host_id, job.ledger.as_ref()?))).collect();
    let started = Instant::now();
    boots::write(&mut transaction, client_id, &ledgers, &numbers, now).await?;
    took("ledger", started);
    for (job, _) in own() {
        let host = (client_id, job.session.host_id);
        if let Some(noted) = &job.noted {
            history::note(&mut transaction, host, noted).await?;
        }
        if job.events == Events::Prune {
            boots::prune_events(&mut transaction, client_id, job.session.host_id).await?;
        }
    }
    let judged: Vec<_> = own().map(|(job, _)| (job.session.host_id, judged(job))).collect();
    let started = Instant::now();
    let mut outcomes = store.reconcile(&mut transaction, client_id, &judged, now).await?.into_iter();
    took("findings", started);
    commit(transaction).await?;
    for (kind, rows) in written {
        metrics::counter!("portreeve_rows_written_total", "kind" => kind).increment(rows);
    }
    Ok(told.iter().map(|told| told.and_then(|_| outcomes.next())).collect())
}

fn judged(job: &Job) -> Judged<'_> {
    Judged { judgement: &job.judgement, basis: &job.basis, before: job.before.as_deref() }
}

fn change(job: &Job, at: DateTime<Utc>) -> HostChange<'_> {
    HostChange {
        host_id: job.session.host_id,
        at,
        collected_at: job.collected_at,
        rows: &job.rows,
        sections: &job.sections,
        host: job.host.as_ref(),
    }
}
