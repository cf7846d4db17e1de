//! Judges hosts again that were judged by another catalog or other overrides: also those that report nothing at present.
//!
//! Invariant: findings of a host are never written by two at once. A host is judged under the lock that its reports take
//! (the cursor of its agent; of a host that is known by captures, its site), from what is stored then.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::{TryStreamExt as _, stream};

use crate::app::App;
use crate::db::{Scope, captures, departures, facts, rejudge as rows, stream as cursors};
use crate::ingest::{Judged, recall};

/// Hosts of one read.
const PAGE: i64 = 500;
/// Hosts at a time: the pool of connections is there for reports.
const AT_ONCE: usize = 4;

/// What passes have found, so that a client whose hosts are all up to date is not looked at again until something
/// changes.
#[derive(Debug, Default)]
pub struct Progress {
    by_client: BTreeMap<i32, Seen>,
}

#[derive(Debug)]
struct Seen {
    basis: Arc<str>,
    /// A pass found no host that stands on another basis. The first one does not count: a report that was judged before
    /// the change may commit after it.
    is_settled: bool,
}

/// Judges all hosts once that stand on another basis than the present one; returns how many.
pub async fn pass(app: &App, progress: &mut Progress, clock: fn() -> DateTime<Utc>) -> anyhow::Result<usize> {
    let mut judged = 0;
    for client_id in app.db.everything().await?.0 {
        let basis = app.rulebook.load().basis(client_id, clock());
        let seen = progress.by_client.get(&client_id).filter(|seen| seen.basis == basis);
        if seen.is_some_and(|seen| seen.is_settled) {
            continue;
        }
        let is_first = seen.is_none();
        let count = client(app, client_id, &basis, clock).await?;
        progress.by_client.insert(client_id, Seen { basis, is_settled: count == 0 && !is_first });
        judged += count;
    }
    if judged > 0 {
        tracing::info!(hosts = judged, "Judged hosts again, because the catalog or an override changed");
        metrics::counter!("portreeve_hosts_rejudged_total").increment(judged as u64);
    }
    Ok(judged)
}

async fn client(app: &App, client_id: i32, basis: &str, clock: fn() -> DateTime<Utc>) -> anyhow::Result<usize> {
    let (mut after, mut judged) = (0, 0);
    loop {
        let page = rows::hosts_on_other_basis(&app.db, client_id, basis, after, PAGE).await?;
        let Some(&last) = page.last() else { return Ok(judged) };
        judged += page.len();
        after = last;
        stream::iter(page.into_iter().map(Ok))
            .try_for_each_concurrent(AT_ONCE, |host_id| host(app, (client_id, host_id), clock))
            .await?;
        if app.stopping.is_cancelled() {
            return Ok(judged);
        }
    }
}

async fn host(app: &App, (client_id, host_id): (i32, i64), clock: fn() -> DateTime<Utc>) -> anyhow::Result<()> {
    let mut transaction = app.db.begin(&Scope::of(client_id)).await?;
    if cursors::lock_cursor(&mut transaction, client_id, host_id).await?.is_none()
        && let Some(site_id) = rows::site_of(&mut transaction, client_id, host_id).await?
    {
        captures::lock_site(&mut transaction, client_id, site_id).await?;
    }
    if departures::has_left(&mut transaction, (client_id, host_id)).await? {
        return Ok(());
    }
    let state = facts::load(&mut transaction, client_id, host_id).await?;
    let now = clock();
    let rulebook = app.rulebook.load_full();
    let mut memory = recall(&mut transaction, (client_id, host_id), state.facts(), &rulebook.catalog).await?;
    let judgement = rulebook.judge(client_id, state.facts(), memory.history(state.facts()), now);
    let judged = Judged { judgement: &judgement, basis: &rulebook.basis(client_id, now), before: None };
    let outcome = app.store.reconcile_one(&mut transaction, (client_id, host_id), judged, now).await?;
    transaction.commit().await?;
    if !outcome.changes.is_empty() {
        app.store.hint((client_id, host_id), &outcome);
    }
    Ok(())
}
