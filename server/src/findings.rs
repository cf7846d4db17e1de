//! Findings over time: what the rules say of a host now, against what is stored of it. [`plan`] decides, pure;
//! [`reconcile`] reads, plans and writes inside the transaction of the report.
//!
//! Invariant: unknown neither opens nor resolves. A stored finding that the judgement does not repeat resolves only
//! when no `CannotTell` covers it.

pub mod plan;

use chrono::{DateTime, Utc};
use rules::finding::Judgement;
use sqlx::PgConnection;

pub use plan::{FindingChange, Transition};

use crate::db::{findings, problems};

/// Brings the stored findings of hosts of one client in line with the judgement of each, which stands on a basis; returns
/// for each host what changed, in the order of its judgement.
pub async fn reconcile(
    connection: &mut PgConnection,
    client_id: i32,
    judged: &[(i64, &Judgement, &str)],
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<Vec<FindingChange>>> {
    let named: Vec<_> = judged.iter().map(|(host_id, judgement, _)| (*host_id, *judgement)).collect();
    let mut stored = findings::of_hosts(connection, client_id, &named).await?;
    let mut changed = Vec::with_capacity(judged.len());
    for (host_id, judgement) in named {
        let plan = plan::plan(client_id, host_id, judgement, stored.remove(&host_id).unwrap_or_default(), now);
        findings::write(connection, client_id, host_id, &plan, now).await?;
        problems::write(connection, client_id, host_id, &plan.changes, now).await?;
        changed.push(plan.changes);
    }
    findings::write_judgements(connection, client_id, judged, now).await?;
    Ok(changed)
}

/// Ends all open findings of a host that is watched no longer, and forgets what could not be told of it.
pub async fn end(
    connection: &mut PgConnection,
    (client_id, host_id): (i32, i64),
    because: &'static str,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<FindingChange>> {
    let stored = findings::of_host(connection, client_id, host_id, &Judgement::default()).await?;
    let plan = plan::end_all(stored, because);
    findings::write(connection, client_id, host_id, &plan, now).await?;
    problems::write(connection, client_id, host_id, &plan.changes, now).await?;
    findings::delete_judgement(connection, (client_id, host_id)).await?;
    Ok(plan.changes)
}
