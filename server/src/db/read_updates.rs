//! Updates over the fleet: by KB, and the hosts of one KB.

use chrono::{DateTime, Utc};
use rules::facts::UpdateState;
use uuid::Uuid;

use crate::db::{Db, Scope, read};

/// Where a page starts: behind this KB. An unknown time sorts last, as the epoch.
pub type UpdateKey = (DateTime<Utc>, String);

/// A KB over all hosts on which it is installed.
#[derive(Clone, Debug)]
pub struct UpdateRow {
    pub kb: String,
    pub title: String,
    pub hosts: i64,
    pub first_installed_at: Option<DateTime<Utc>>,
    pub last_installed_at: Option<DateTime<Utc>>,
}

impl UpdateRow {
    pub fn key(&self) -> UpdateKey {
        (self.last_installed_at.unwrap_or(DateTime::UNIX_EPOCH), self.kb.clone())
    }
}

/// The most recently installed first.
pub async fn list(
    scope: &Scope,
    db: &Db,
    pattern: Option<&str>,
    after: Option<UpdateKey>,
    limit: i64,
) -> sqlx::Result<Vec<UpdateRow>> {
    let mut transaction = read::begin(scope, db).await?;
    let (last, kb) = after.unzip();
    sqlx::query_as!(
        UpdateRow,
        r#"
        select
          kb as "kb!",
          (array_agg(title order by length(title) desc, title))[1] as "title!",
          count(distinct host_id) as "hosts!",
          min(installed_at) as first_installed_at,
          max(installed_at) as last_installed_at
        from update_now
        join host using (client_id, host_id)
        where client_id = any ($1)
          and host.retired_at is null
          and kb is not null
          and state in ('installed', 'uninstall_pending')
        group by kb
        having ($2::text is null or kb ilike $2 or bool_or(title ilike $2))
          and ($3::timestamptz is null or (coalesce(max(installed_at), 'epoch'), kb) < ($3, $4))
        order by coalesce(max(installed_at), 'epoch') desc, kb desc
        limit $5
        "#,
        &scope.0,
        pattern,
        last,
        kb,
        limit,
    )
    .fetch_all(&mut *transaction)
    .await
}

/// Where a page starts: behind this host.
pub type UpdateHostKey = (String, i64);

/// A KB on one host.
#[derive(Clone, Debug)]
pub struct UpdateHostRow {
    pub host_id: i64,
    pub host_name: String,
    pub site_id: i64,
    pub site_name: String,
    pub client_id: i32,
    pub client_name: String,
    pub state: UpdateState,
    pub title: String,
    pub installed_at: Option<DateTime<Utc>>,
    pub removable: Option<bool>,
}

impl UpdateHostRow {
    pub fn key(&self) -> UpdateHostKey {
        (self.host_name.clone(), self.host_id)
    }
}

/// By name. Where several lists of a host name the KB, the one that says most of it counts: installed before others,
/// then with a time.
pub async fn hosts(
    scope: &Scope,
    db: &Db,
    kb: &str,
    after: Option<UpdateHostKey>,
    limit: i64,
) -> anyhow::Result<Vec<UpdateHostRow>> {
    let mut transaction = read::begin(scope, db).await?;
    let (name, host_id) = after.unzip();
    let rows = sqlx::query!(
        "
        select
          host.host_id,
          host.name as host_name,
          host.site_id,
          site.name as site_name,
          host.client_id,
          client.name as client_name,
          listed.state,
          listed.title,
          listed.installed_at,
          listed.removable
        from host
        join client using (client_id)
        join site using (client_id, site_id)
        join lateral (
          select state, title, installed_at, removable
          from update_now
          where update_now.client_id = host.client_id
            and update_now.host_id = host.host_id
            and update_now.kb = $2
          order by state = 'installed' desc, installed_at desc nulls last, source, id
          limit 1
        ) as listed on true
        where host.client_id = any ($1)
          and host.retired_at is null
          and ($3::text is null or (host.name, host.host_id) > ($3, $4))
        order by host.name, host.host_id
        limit $5
        ",
        &scope.0,
        kb,
        name,
        host_id,
        limit,
    )
    .fetch_all(&mut *transaction)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(UpdateHostRow {
                host_id: row.host_id,
                host_name: row.host_name,
                site_id: row.site_id,
                site_name: row.site_name,
                client_id: row.client_id,
                client_name: row.client_name,
                state: read::word(row.state)?,
                title: row.title,
                installed_at: row.installed_at,
                removable: row.removable,
            })
        })
        .collect()
}

/// An open finding against an update.
#[derive(Clone, Debug)]
pub struct UpdateFindingRow {
    pub finding_id: Uuid,
    pub host_id: i64,
    pub rule: String,
    pub confidence: i16,
}

/// Open findings of the family `bad-update`, of one host or of all.
pub async fn findings(scope: &Scope, db: &Db, host_id: Option<i64>) -> sqlx::Result<Vec<UpdateFindingRow>> {
    let mut transaction = read::begin(scope, db).await?;
    sqlx::query_as!(
        UpdateFindingRow,
        "
        select finding_id, host_id, rule, confidence
        from finding
        where client_id = any ($1)
          and state = 'open'
          and starts_with(rule, 'bad-update/')
          and ($2::bigint is null or host_id = $2)
        ",
        &scope.0,
        host_id,
    )
    .fetch_all(&mut *transaction)
    .await
}
