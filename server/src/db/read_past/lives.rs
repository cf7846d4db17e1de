//! What became of one thing over time: a service of a host, a KB over the fleet, and when a host changed at all.

use chrono::{DateTime, Utc};
use rules::facts::Service;

use crate::db::read::Plans;
use crate::db::read_host_rows::begin_with;
use crate::db::{Db, Scope, read};

use crate::db::facts::rows::ServiceRow;

/// A service as it was for a time.
#[derive(Clone, Debug)]
pub struct ServiceSpan {
    pub service: Service,
    pub valid_from: DateTime<Utc>,
    /// `None`: it is so.
    pub valid_to: Option<DateTime<Utc>>,
}

/// A service of a host, the newest first. `None`: no such host in `scope`.
pub async fn service(
    scope: &Scope,
    db: &Db,
    (host_id, name): (i64, &str),
    after: Option<DateTime<Utc>>,
    limit: i64,
) -> sqlx::Result<Option<Vec<ServiceSpan>>> {
    let Some((mut transaction, client_id)) = begin_with(scope, db, host_id, Plans::Once).await? else {
        return Ok(None);
    };
    let rows = sqlx::query!(
        r#"
        select name as "name!", display_name as "display_name!", state as "state!", start, delayed, trigger_start, pid,
          exit_code, service_exit_code, image_path, account, depends_on as "depends_on!", state_since, recovery,
          valid_from as "valid_from!", valid_to
        from (
          select name, display_name, state, start, delayed, trigger_start, pid, exit_code, service_exit_code, image_path,
            account, depends_on, state_since, recovery, valid_from, null::timestamptz as valid_to
          from service_now
          where client_id = $1 and host_id = $2 and key = $3
          union all
          select name, display_name, state, start, delayed, trigger_start, pid, exit_code, service_exit_code, image_path,
            account, depends_on, state_since, recovery, valid_from, valid_to
          from service_span
          where client_id = $1 and host_id = $2 and key = $3
        ) as life
        where $4::timestamptz is null or valid_from < $4
        order by valid_from desc
        limit $5
        "#,
        client_id,
        host_id,
        name.to_lowercase(),
        after,
        limit,
    )
    .fetch_all(&mut *transaction)
    .await?;
    let spans = rows.into_iter().filter_map(|row| {
        let service = ServiceRow {
            name: row.name,
            display_name: row.display_name,
            state: row.state,
            start: row.start,
            delayed: row.delayed,
            trigger_start: row.trigger_start,
            pid: row.pid,
            exit_code: row.exit_code,
            service_exit_code: row.service_exit_code,
            image_path: row.image_path,
            account: row.account,
            depends_on: row.depends_on,
            state_since: row.state_since,
            recovery: row.recovery,
        };
        Some(ServiceSpan { service: service.service()?, valid_from: row.valid_from, valid_to: row.valid_to })
    });
    Ok(Some(spans.collect()))
}

/// When a KB was on a host.
#[derive(Clone, Debug)]
pub struct UpdateLifeRow {
    pub host_id: i64,
    pub host_name: String,
    pub site_id: i64,
    pub site_name: String,
    pub client_id: i32,
    pub client_name: String,
    /// When it was first listed in any state.
    pub listed_from: DateTime<Utc>,
    /// When it was first listed as installed. `None`: never.
    pub installed_from: Option<DateTime<Utc>>,
    /// When it was last listed as installed, and is not. `None`: it is, or never was.
    pub installed_to: Option<DateTime<Utc>>,
    /// The time that a list says.
    pub installed_at: Option<DateTime<Utc>>,
    /// Whether it was there already when the updates of the host were first known.
    pub is_older: bool,
}

/// Where a page starts: behind this host.
pub type UpdateLifeKey = (String, i64);

impl UpdateLifeRow {
    pub fn key(&self) -> UpdateLifeKey {
        (self.host_name.clone(), self.host_id)
    }
}

/// Where a KB is and was, by the name of the host; of one host or of all.
pub async fn update(
    scope: &Scope,
    db: &Db,
    (kb, host_id): (&str, Option<i64>),
    after: Option<UpdateLifeKey>,
    limit: i64,
) -> sqlx::Result<Vec<UpdateLifeRow>> {
    let mut transaction = read::begin_with(scope, db, Plans::Once).await?;
    let (after_name, after_id) = after.unzip();
    sqlx::query_as!(
        UpdateLifeRow,
        r#"
        select host.host_id, host.name as host_name, host.site_id, site.name as site_name, host.client_id,
          client.name as client_name, life.listed_from as "listed_from!", life.installed_from,
          case when life.is_installed then null else life.installed_to end as installed_to, life.installed_at,
          life.listed_from <= known.first_at as "is_older!"
        from (
          select client_id, host_id, min(valid_from) as listed_from,
            min(valid_from) filter (where state in ('installed', 'uninstall_pending')) as installed_from,
            max(valid_to) filter (where state in ('installed', 'uninstall_pending')) as installed_to,
            bool_or(valid_to is null and state in ('installed', 'uninstall_pending')) as is_installed,
            min(installed_at) as installed_at
          from (
            select client_id, host_id, state, valid_from, null::timestamptz as valid_to, installed_at
            from update_now
            where client_id = any ($1) and kb = $2
            union all
            select client_id, host_id, state, valid_from, valid_to, installed_at
            from update_span
            where client_id = any ($1) and kb = $2
          ) as listed
          where $3::int8 is null or host_id = $3
          group by client_id, host_id
        ) as life
        join host using (client_id, host_id)
        join client using (client_id)
        join site using (client_id, site_id)
        cross join lateral (
          select min(valid_from) as first_at
          from (
            select valid_from
            from host_section
            where client_id = host.client_id and host_id = host.host_id and section = 'updates'
              and unknown_reason is null
            union all
            select valid_from
            from section_span
            where client_id = host.client_id and host_id = host.host_id and section = 'updates'
              and unknown_reason is null
          ) as section
        ) as known
        where $4::text is null or (host.name, host.host_id) > ($4, $5)
        order by host.name, host.host_id
        limit $6
        "#,
        &scope.0,
        kb,
        host_id,
        after_name,
        after_id,
        limit,
    )
    .fetch_all(&mut *transaction)
    .await
}

/// The changes of a host next to a moment.
#[derive(Clone, Copy, Debug)]
pub struct Neighbours {
    pub previous: Option<DateTime<Utc>>,
    pub next: Option<DateTime<Utc>>,
}

/// When a service, an update, a document or a listening TCP port changed last before `at`, and first after it. Other
/// sockets come and go all the time. `None`: no such host in `scope`.
pub async fn neighbours(scope: &Scope, db: &Db, host_id: i64, at: DateTime<Utc>) -> sqlx::Result<Option<Neighbours>> {
    let Some((mut transaction, client_id)) = begin_with(scope, db, host_id, Plans::Once).await? else {
        return Ok(None);
    };
    sqlx::query_as!(
        Neighbours,
        r#"
        select max(change) filter (where change < $3) as previous, min(change) filter (where change > $3) as next
        from (
          select valid_from as change from service_now where client_id = $1 and host_id = $2
          union all
          select unnest(array[valid_from, valid_to]) from service_span where client_id = $1 and host_id = $2
          union all
          select valid_from from update_now where client_id = $1 and host_id = $2
          union all
          select unnest(array[valid_from, valid_to]) from update_span where client_id = $1 and host_id = $2
          union all
          select valid_from from host_section where client_id = $1 and host_id = $2
          union all
          select unnest(array[valid_from, valid_to]) from section_span where client_id = $1 and host_id = $2
          union all
          select valid_from from socket_now where client_id = $1 and host_id = $2 and state = 1
          union all
          select unnest(array[valid_from, valid_to]) from socket_span
          where client_id = $1 and host_id = $2 and state = 1
        ) as changes
        "#,
        client_id,
        host_id,
        at,
    )
    .fetch_one(&mut *transaction)
    .await
    .map(Some)
}
