//! What is learned of suspect updates: the stories of all hosts, read; what the fleet suspects, written, and read for the
//! rules. Stories are read over all clients, by the server alone.

use chrono::{DateTime, TimeDelta, Utc};
use rules::suspect::{Outcome, Suspect, Untold};
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::db::{Db, Scope, catalog};

/// What happened before does not count: roles and systems were others then.
const LOOK_BACK: TimeDelta = TimeDelta::days(120);

/// Rows of all hosts, from which [`crate::suspects`] makes stories.
#[derive(Clone, Debug, Default)]
pub struct Stories {
    pub hosts: Vec<HostRow>,
    pub boots: Vec<BootRow>,
    pub updates: Vec<UpdateRow>,
    pub services: Vec<ServiceRow>,
    pub troubles: Vec<TroubleRow>,
}

/// Client and host.
pub type HostId = (i32, i64);

#[derive(Clone, Debug)]
pub struct HostRow {
    pub client_id: i32,
    pub host_id: i64,
    pub os_generation: Option<String>,
    /// Dotted, with the revision.
    pub os_build: Option<String>,
    /// `None`: not known.
    pub roles: Option<Value>,
    /// Since its first boot that is kept began to be seen.
    pub seen_from: DateTime<Utc>,
    pub seen_until: DateTime<Utc>,
}

#[derive(Clone, Debug)]
pub struct BootRow {
    pub client_id: i32,
    pub host_id: i64,
    pub booted_at: DateTime<Utc>,
}

/// A KB over all lists of a host.
#[derive(Clone, Debug)]
pub struct UpdateRow {
    pub client_id: i32,
    pub host_id: i64,
    pub kb: String,
    /// The latest that a list says. `None`: none says, or one says that it was removed.
    pub installed_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Debug)]
pub struct ServiceRow {
    pub client_id: i32,
    pub host_id: i64,
    /// In lower case.
    pub key: String,
    pub name: String,
}

#[derive(Clone, Debug)]
pub struct TroubleRow {
    pub client_id: i32,
    pub host_id: i64,
    /// In lower case.
    pub service: String,
    pub at: DateTime<Utc>,
    pub until: DateTime<Utc>,
}

/// Whether the next look is the caller's: at most one process has it, and none within an hour after another.
pub async fn begin_look(pool: &PgPool, now: DateTime<Utc>, every: TimeDelta) -> sqlx::Result<bool> {
    let begun = sqlx::query!("update suspect_look set begun_at = $1 where begun_at <= $2", now, now - every)
        .execute(pool)
        .await?;
    Ok(begun.rows_affected() > 0)
}

/// The stories of all hosts of the scope.
pub async fn stories(scope: &Scope, db: &Db, now: DateTime<Utc>) -> sqlx::Result<Stories> {
    let mut transaction = db.begin(scope).await?;
    // Ten thousand hosts take longer than a page may.
    sqlx::query!(
        "
        select
          set_config('statement_timeout', '120s', true) as timeout,
          set_config('transaction_read_only', 'on', true) as read_only
        "
    )
    .fetch_one(&mut *transaction)
    .await?;
    let from = now - LOOK_BACK;
    let hosts = hosts(scope, &mut transaction).await?;
    let boots = boots(scope, &mut transaction).await?;
    let updates = updates(scope, &mut transaction, from).await?;
    let mut troubles = failures(scope, &mut transaction, from).await?;
    troubles.extend(lost_ports(scope, &mut transaction, from).await?);
    let mut names: Vec<String> = troubles.iter().map(|trouble| trouble.service.clone()).collect();
    names.sort_unstable();
    names.dedup();
    let services = services(scope, &mut transaction, &names).await?;
    Ok(Stories { hosts, boots, updates, services, troubles })
}

async fn hosts(scope: &Scope, transaction: &mut Transaction<'_, Postgres>) -> sqlx::Result<Vec<HostRow>> {
    sqlx::query_as!(
        HostRow,
        r#"
        select
          host.client_id,
          host.host_id,
          host.os_generation,
          host.os_build,
          host_section.facts -> 'roles' -> 'known' as roles,
          seen.first_seen_at as "seen_from!",
          greatest(seen.last_seen_at, agent_stream.last_seen_at) as "seen_until!"
        from host
        join (
          select client_id, host_id, min(first_seen_at) as first_seen_at, max(last_seen_at) as last_seen_at
          from boot
          where client_id = any ($1)
          group by client_id, host_id
        ) as seen using (client_id, host_id)
        left join agent_stream using (client_id, host_id)
        left join host_section
          on host_section.client_id = host.client_id
          and host_section.host_id = host.host_id
          and host_section.section = 'host'
          and host_section.unknown_reason is null
        where host.client_id = any ($1)
          and host.retired_at is null
        order by host.client_id, host.host_id
        "#,
        &scope.0,
    )
    .fetch_all(&mut **transaction)
    .await
}

async fn boots(scope: &Scope, transaction: &mut Transaction<'_, Postgres>) -> sqlx::Result<Vec<BootRow>> {
    sqlx::query_as!(
        BootRow,
        r#"
        select client_id, host_id, coalesce(booted_at, first_seen_at) as "booted_at!"
        from boot
        where client_id = any ($1)
        "#,
        &scope.0,
    )
    .fetch_all(&mut **transaction)
    .await
}

/// Of KBs that some host got since `from`. A row that says what was offered, staged or failed to install is none.
async fn updates(
    scope: &Scope,
    transaction: &mut Transaction<'_, Postgres>,
    from: DateTime<Utc>,
) -> sqlx::Result<Vec<UpdateRow>> {
    sqlx::query_as!(
        UpdateRow,
        r#"
        select
          client_id,
          host_id,
          kb as "kb!",
          case when not bool_or(state = 'absent')
            then max(installed_at) filter (where state in ('installed', 'superseded', 'uninstall_pending'))
          end as installed_at
        from update_now
        where client_id = any ($1)
          and state in ('installed', 'superseded', 'uninstall_pending', 'absent')
          and kb in (
            select kb
            from update_now
            where client_id = any ($1)
              and kb is not null
              and installed_at >= $2
          )
        group by client_id, host_id, kb
        "#,
        &scope.0,
        from,
    )
    .fetch_all(&mut **transaction)
    .await
}

/// A service is in trouble from its failure until it runs again in that boot, or the boot ends.
async fn failures(
    scope: &Scope,
    transaction: &mut Transaction<'_, Postgres>,
    from: DateTime<Utc>,
) -> sqlx::Result<Vec<TroubleRow>> {
    sqlx::query_as!(
        TroubleRow,
        r#"
        select
          failure.client_id,
          failure.host_id,
          lower(failure.services[1]) as "service!",
          failure.at,
          greatest(failure.at, coalesce(
            (
              select min(runs.at)
              from boot_entry as runs
              where runs.client_id = failure.client_id
                and runs.host_id = failure.host_id
                and runs.number = failure.number
                and runs.kind = 3
                and lower(runs.services[1]) = lower(failure.services[1])
                and runs.at >= failure.at
            ),
            boot.last_seen_at
          )) as "until!"
        from boot_entry as failure
        join boot using (client_id, host_id, number)
        where failure.client_id = any ($1)
          and failure.kind = 5
          and failure.services <> '{}'
          and failure.at >= $2
        "#,
        &scope.0,
        from,
    )
    .fetch_all(&mut **transaction)
    .await
}

/// A port that services held, and none of them in the next boot in which somebody held it.
async fn lost_ports(
    scope: &Scope,
    transaction: &mut Transaction<'_, Postgres>,
    from: DateTime<Utc>,
) -> sqlx::Result<Vec<TroubleRow>> {
    sqlx::query_as!(
        TroubleRow,
        r#"
        with held as (
          select client_id, host_id, protocol, port, number, min(at) as at, array_agg(distinct lower(service)) as services
          from boot_entry, unnest(services) as service
          where client_id = any ($1)
            and kind = 1
            and at >= $2
          group by client_id, host_id, protocol, port, number
        ),
        followed as (
          select *, lag(services) over (partition by client_id, host_id, protocol, port order by number) as before
          from held
        )
        select followed.client_id, followed.host_id, lost as "service!", followed.at as "at!", boot.last_seen_at as "until!"
        from followed
        join boot using (client_id, host_id, number)
        cross join unnest(before) as lost
        where not before && services
        "#,
        &scope.0,
        from,
    )
    .fetch_all(&mut **transaction)
    .await
}

/// Services of these names that are not disabled.
async fn services(
    scope: &Scope,
    transaction: &mut Transaction<'_, Postgres>,
    names: &[String],
) -> sqlx::Result<Vec<ServiceRow>> {
    sqlx::query_as!(
        ServiceRow,
        r#"
        select client_id, host_id, key, name
        from service_now
        where client_id = any ($1)
          and key = any ($2)
          and start is distinct from 'disabled'
        "#,
        &scope.0,
        names,
    )
    .fetch_all(&mut **transaction)
    .await
}

/// A suspect with the hosts behind it: which, and whether it failed.
#[derive(Clone, Debug)]
pub struct Named {
    pub id: Uuid,
    pub suspect: Suspect,
    pub hosts: Vec<(HostId, bool)>,
}

/// The end of a look.
#[derive(Clone, Debug)]
pub struct Look {
    pub suspects: Vec<Named>,
    pub untold: Vec<Untold>,
    pub tests: usize,
}

/// Writes what a look over `scope` found in the place of what the one before found. Where they differ, hosts are judged
/// again.
pub async fn write(scope: &Scope, db: &Db, look: &Look, now: DateTime<Utc>) -> sqlx::Result<()> {
    let before = of_fleet(scope, db).await?;
    let is_same = |named: &Named| before.iter().any(|stored| stored.says(named));
    let mut transaction = db.begin(scope).await?;
    if before.len() != look.suspects.len() || !look.suspects.iter().all(is_same) {
        catalog::change(&mut transaction).await?;
    }
    sqlx::query!("delete from suspect_host where client_id = any ($1)", &scope.0).execute(&mut *transaction).await?;
    let ids: Vec<Uuid> = look.suspects.iter().map(|named| named.id).collect();
    sqlx::query!("delete from suspect where suspect_id <> all ($1)", &ids).execute(&mut *transaction).await?;
    for named in &look.suspects {
        write_one(&mut transaction, named, now).await?;
    }
    sqlx::query!(
        "update suspect_look set ended_at = $1, tests = $2, untold = $3",
        now,
        i32::try_from(look.tests).unwrap_or(i32::MAX),
        Json(&look.untold) as _,
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

async fn write_one(connection: &mut PgConnection, named: &Named, now: DateTime<Utc>) -> sqlx::Result<()> {
    let suspect = &named.suspect;
    let count = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    sqlx::query!(
        "
        insert into suspect (suspect_id, kbs, service, exposed, exposed_failed, compared, compared_failed, clients,
          same_weeks, rise, odds_ratio_at_least, p, q, since)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
        on conflict (suspect_id) do update
        set exposed = excluded.exposed, exposed_failed = excluded.exposed_failed, compared = excluded.compared,
          compared_failed = excluded.compared_failed, clients = excluded.clients, same_weeks = excluded.same_weeks,
          rise = excluded.rise, odds_ratio_at_least = excluded.odds_ratio_at_least, p = excluded.p, q = excluded.q
        ",
        named.id,
        &suspect.kbs,
        suspect.service,
        count(suspect.exposed.hosts),
        count(suspect.exposed.failed),
        count(suspect.compared.hosts),
        count(suspect.compared.failed),
        count(suspect.clients),
        suspect.same_weeks,
        suspect.rise,
        suspect.odds_ratio_at_least,
        suspect.p,
        suspect.q,
        now,
    )
    .execute(&mut *connection)
    .await?;
    let clients: Vec<i32> = named.hosts.iter().map(|((client_id, _), _)| *client_id).collect();
    let hosts: Vec<i64> = named.hosts.iter().map(|((_, host_id), _)| *host_id).collect();
    let failed: Vec<bool> = named.hosts.iter().map(|(_, failed)| *failed).collect();
    sqlx::query!(
        "
        insert into suspect_host (client_id, suspect_id, host_id, failed)
        select client_id, $1, host_id, failed
        from unnest($2::int[], $3::bigint[], $4::boolean[]) as behind (client_id, host_id, failed)
        ",
        named.id,
        &clients,
        &hosts,
        &failed,
    )
    .execute(connection)
    .await
    .map(drop)
}

/// A suspect as it is stored, and the hosts of the scope behind it.
#[derive(Clone, Debug)]
pub struct Stored {
    pub suspect: Suspect,
    pub since: DateTime<Utc>,
    /// By name.
    pub hosts: Vec<StoredHost>,
}

#[derive(Clone, Debug)]
pub struct StoredHost {
    pub client_id: i32,
    pub client_name: String,
    pub host_id: i64,
    pub name: String,
    pub failed: bool,
}

impl Stored {
    /// As the hosts of one client are judged by it.
    pub fn for_client(&self, client_id: i32) -> Suspect {
        let failed = self.hosts.iter().filter(|host| host.failed && host.client_id == client_id);
        Suspect { hosts_here: failed.map(|host| host.name.as_str().into()).collect(), ..self.suspect.clone() }
    }

    /// As the hosts of a client are judged by it of which none failed.
    pub fn for_others(&self) -> Suspect {
        Suspect { hosts_here: Vec::new(), ..self.suspect.clone() }
    }

    /// The clients whose own hosts failed with it.
    pub fn clients_told(&self) -> impl Iterator<Item = i32> {
        self.hosts.iter().filter(|host| host.failed).map(|host| host.client_id)
    }

    fn says(&self, named: &Named) -> bool {
        let mut behind: Vec<_> = self.hosts.iter().map(|host| ((host.client_id, host.host_id), host.failed)).collect();
        let mut named_hosts = named.hosts.clone();
        behind.sort_unstable();
        named_hosts.sort_unstable();
        self.suspect == named.suspect && behind == named_hosts
    }
}

/// What the fleet suspects: counts over all clients, hosts of the scope. The least likely to be false first.
pub async fn of_fleet(scope: &Scope, db: &Db) -> sqlx::Result<Vec<Stored>> {
    let mut transaction = db.begin(scope).await?;
    let rows = sqlx::query!("select * from suspect order by q, kbs, service").fetch_all(&mut *transaction).await?;
    let hosts = sqlx::query!(
        "
        select suspect_host.suspect_id, host.client_id, client.name as client_name, host.host_id, host.name, failed
        from suspect_host
        join host using (client_id, host_id)
        join client using (client_id)
        where suspect_host.client_id = any ($1)
          and host.retired_at is null
        order by host.name, host.host_id
        ",
        &scope.0,
    )
    .fetch_all(&mut *transaction)
    .await?;
    let count = |count: i32| u32::try_from(count).unwrap_or_default();
    let stored = rows.into_iter().map(|row| {
        let behind = hosts.iter().filter(|host| host.suspect_id == row.suspect_id);
        let behind = behind.map(|host| StoredHost {
            client_id: host.client_id,
            client_name: host.client_name.clone(),
            host_id: host.host_id,
            name: host.name.clone(),
            failed: host.failed,
        });
        let hosts: Vec<StoredHost> = behind.collect();
        Stored {
            suspect: Suspect {
                kbs: row.kbs,
                service: row.service,
                exposed: Outcome { failed: count(row.exposed_failed), hosts: count(row.exposed) },
                compared: Outcome { failed: count(row.compared_failed), hosts: count(row.compared) },
                clients: count(row.clients),
                same_weeks: row.same_weeks,
                rise: row.rise,
                odds_ratio_at_least: row.odds_ratio_at_least,
                p: row.p,
                q: row.q,
                hosts_here: Vec::new(),
            },
            since: row.since,
            hosts,
        }
    });
    Ok(stored.collect())
}

/// The last look that came to its end.
#[derive(Clone, Debug)]
pub struct LastLook {
    /// `None`: none has.
    pub ended_at: Option<DateTime<Utc>>,
    pub tests: i32,
    pub untold: Vec<Untold>,
}

pub async fn last_look(pool: &PgPool) -> sqlx::Result<LastLook> {
    let row = sqlx::query!(r#"select ended_at, tests, untold as "untold: Json<Vec<Untold>>" from suspect_look"#)
        .fetch_one(pool)
        .await?;
    Ok(LastLook { ended_at: row.ended_at, tests: row.tests, untold: row.untold.0 })
}
