//! Members of problems, written in the transaction of the report that opened, resolved or moved their findings.
//!
//! Invariant: no row here belongs to more than one host, so that reports of a problem's hosts never wait for each other.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::findings::{FindingChange, Transition};

/// Brings memberships in line with the findings that changed: an open finding is a member of the problem that it names,
/// a resolved one of none. Said again, it changes nothing.
pub async fn write(
    connection: &mut PgConnection,
    client_id: i32,
    host_id: i64,
    changes: &[FindingChange],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = changes.iter().map(|change| change.id).collect();
    let problems: Vec<String> = changes.iter().map(problem_after).collect();
    sqlx::query!(
        r#"
        update problem_member
        set left_at = greatest($4, joined_at)
        from unnest($2::uuid[], $3::text[]) as said (finding_id, problem)
        where problem_member.client_id = $1 and problem_member.finding_id = said.finding_id
          and problem_member.left_at is null and problem_member.problem <> said.problem
        "#,
        client_id,
        &ids,
        &problems,
        now,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        r#"
        insert into problem_member (client_id, problem, finding_id, joined_at, host_id)
        select $1, problem, finding_id, $5, $4
        from unnest($2::uuid[], $3::text[]) as said (finding_id, problem)
        where problem <> ''
        on conflict do nothing
        "#,
        client_id,
        &ids,
        &problems,
        host_id,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Empty: a member of none.
fn problem_after(change: &FindingChange) -> String {
    match change.transition {
        Transition::Resolved => String::new(),
        Transition::Opened | Transition::Reopened | Transition::Changed => change.finding.problem.clone(),
    }
}
