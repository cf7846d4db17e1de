//! What was decided about entries for single clients.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rules::overrides::{Decision, Override};
use uuid::Uuid;

use crate::db::findings::{severity_number, severity_of};
use crate::db::{Db, Scope, catalog, read};

/// A decision that is to be kept.
#[derive(Clone, Debug)]
pub struct NewOverride {
    /// The same for all clients that it is made for at once.
    pub override_id: Uuid,
    pub decided: Override,
}

/// A decision as a page shows it.
#[derive(Clone, Debug)]
pub struct OverrideRow {
    pub override_id: Uuid,
    pub client_id: i32,
    pub client_name: String,
    pub entry_id: String,
    /// `None`: the entry does not apply.
    pub severity: Option<i16>,
    pub reason: String,
    pub decided_by: String,
    pub decided_at: DateTime<Utc>,
    pub until: DateTime<Utc>,
}

/// Of every client, in the order in which they were decided. Those that have ended are among them: when is for the rules
/// to say.
pub async fn in_force(db: &Db) -> sqlx::Result<BTreeMap<i32, Vec<Override>>> {
    let scope = db.everything().await?;
    let mut transaction = db.begin(&scope).await?;
    let rows = sqlx::query!(
        "
        select client_id, entry_id, severity, reason, decided_by, until
        from catalog_override
        where client_id = any ($1)
        order by client_id, decided_at, override_id
        ",
        &scope.0,
    )
    .fetch_all(&mut *transaction)
    .await?;
    let mut by_client: BTreeMap<i32, Vec<Override>> = BTreeMap::new();
    for row in rows {
        let decision = row.severity.map_or(Decision::NotApplicable, |number| Decision::Severity(severity_of(number)));
        by_client.entry(row.client_id).or_default().push(Override {
            entry: row.entry_id,
            decision,
            reason: row.reason,
            by: row.decided_by,
            until: row.until,
        });
    }
    Ok(by_client)
}

/// By client and entry, also those that have ended.
pub async fn list(scope: &Scope, db: &Db) -> sqlx::Result<Vec<OverrideRow>> {
    let mut transaction = read::begin(scope, db).await?;
    sqlx::query_as!(
        OverrideRow,
        "
        select override_id, client_id, client.name as client_name, entry_id, severity, reason, decided_by, decided_at,
          until
        from catalog_override
        join client using (client_id)
        where client_id = any ($1)
        order by client.name, entry_id
        ",
        &scope.0,
    )
    .fetch_all(&mut *transaction)
    .await
}

/// For each client of `scope`; one that was made before for the same entry ends with it.
pub async fn put(scope: &Scope, db: &Db, new: &NewOverride, now: DateTime<Utc>) -> sqlx::Result<()> {
    let decided = &new.decided;
    let severity = match decided.decision {
        Decision::Severity(severity) => Some(severity_number(severity)),
        Decision::NotApplicable => None,
    };
    let mut transaction = db.begin(scope).await?;
    catalog::change(&mut transaction).await?;
    sqlx::query!(
        "
        insert into catalog_override (client_id, override_id, entry_id, severity, reason, decided_by, decided_at, until)
        select client_id, $2, $3, $4, $5, $6, $7, $8
        from unnest($1::int[]) as client_id
        on conflict (client_id, entry_id) do update
        set override_id = excluded.override_id, severity = excluded.severity, reason = excluded.reason,
          decided_by = excluded.decided_by, decided_at = excluded.decided_at, until = excluded.until
        ",
        &scope.0,
        new.override_id,
        decided.entry,
        severity,
        decided.reason,
        decided.by,
        now,
        decided.until,
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

/// For each client of `scope` that it was made for. `false`: for none.
pub async fn remove(scope: &Scope, db: &Db, override_id: Uuid) -> sqlx::Result<bool> {
    let mut transaction = db.begin(scope).await?;
    catalog::change(&mut transaction).await?;
    let removed = sqlx::query!(
        "delete from catalog_override where client_id = any ($1) and override_id = $2",
        &scope.0,
        override_id,
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(removed.rows_affected() > 0)
}
