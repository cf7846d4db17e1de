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

/// Brings the stored findings of a host in line with `judgement`, which stands on `basis`; returns what changed, in the order of the judgement.
pub async fn reconcile(
    connection: &mut PgConnection,
    client_id: i32,
    host_id: i64,
    judgement: &Judgement,
    basis: &str,
    now: DateTime<Utc>,
) -> sqlx::Result<Vec<FindingChange>> {
    let stored = findings::of_host(connection, client_id, host_id, judgement).await?;
    let plan = plan::plan(client_id, host_id, judgement, stored, now);
    findings::write(connection, client_id, host_id, &plan, now).await?;
    problems::write(connection, client_id, host_id, &plan.changes, now).await?;
    findings::write_judgement(connection, (client_id, host_id), &judgement.cannot_tell, basis, now).await?;
    Ok(plan.changes)
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
