//! What another catalog would do to the findings of every host: the plan that its judgement would be carried out by,
//! made from what is stored and written down instead of carried out.

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use uuid::Uuid;

use crate::db::catalog::releases::{self, ShadowRow, Sums};
use crate::db::findings::severity_number;
use crate::db::{Db, Scope, facts, findings, rejudge};
use crate::findings::plan::{self, FindingChange, Transition};
use crate::ingest::recall;
use crate::rulebook::Rulebook;

const PAGE: i64 = 500;
const AT_ONCE: usize = 4;
/// Many times what a page takes.
pub const LEASE: TimeDelta = TimeDelta::minutes(2);

/// Judges every host with `candidate`, keeps what would change, and returns the sums. `None`: the release was
/// discarded meanwhile.
pub async fn run(
    db: &Db,
    candidate: &Rulebook,
    release_id: Uuid,
    clock: fn() -> DateTime<Utc>,
) -> anyhow::Result<Option<Sums>> {
    let mut sums = Sums::default();
    let clients = db.everything().await?;
    releases::clear_shadow(&clients, db, release_id).await?;
    for client_id in clients.0 {
        let mut after = 0;
        loop {
            let page = rejudge::judged_hosts(db, client_id, after, PAGE).await?;
            let Some(&last) = page.last() else { break };
            after = last;
            if !releases::extend(&db.pool, release_id, clock() + LEASE).await? {
                return Ok(None);
            }
            sums.hosts += i32::try_from(page.len()).unwrap_or(i32::MAX);
            let rows: Vec<Vec<ShadowRow>> = stream::iter(page)
                .map(|host_id| host(db, candidate, (client_id, host_id), clock()))
                .buffer_unordered(AT_ONCE)
                .try_collect()
                .await?;
            let rows: Vec<ShadowRow> = rows.into_iter().flatten().collect();
            for row in &rows {
                match row.transition.as_str() {
                    "opened" => sums.opens += 1,
                    "resolved" => sums.resolves += 1,
                    _ => sums.changes += 1,
                }
            }
            releases::write_shadow(db, client_id, release_id, &rows).await?;
        }
    }
    Ok(Some(sums))
}

async fn host(
    db: &Db,
    candidate: &Rulebook,
    (client_id, host_id): (i32, i64),
    now: DateTime<Utc>,
) -> anyhow::Result<Vec<ShadowRow>> {
    let mut transaction = db.begin(&Scope::of(client_id)).await?;
    let state = facts::load(&mut transaction, client_id, host_id).await?;
    let mut memory = recall(&mut transaction, (client_id, host_id), state.facts(), &candidate.catalog).await?;
    let judgement = candidate.judge(client_id, state.facts(), memory.history(state.facts()), now);
    let stored = findings::of_host(&mut transaction, client_id, host_id, &judgement).await?;
    let plan = plan::plan(client_id, host_id, &judgement, stored, now);
    Ok(plan
        .changes
        .into_iter()
        .filter(FindingChange::is_news)
        .map(|change| row((client_id, host_id), change))
        .collect())
}

fn row((client_id, host_id): (i32, i64), change: FindingChange) -> ShadowRow {
    let transition = match change.transition {
        Transition::Opened | Transition::Reopened => Transition::Opened,
        other => other,
    };
    ShadowRow {
        client_id,
        host_id,
        finding_id: change.id,
        rule: change.finding.rule,
        transition: transition.as_str().to_owned(),
        severity: severity_number(change.finding.severity),
        title: change.finding.title,
    }
}
