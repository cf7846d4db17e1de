//! The boot ledger and the events of a host, for people.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use rules::facts::Host;
use rules::ports::Port;
use rules::socket_key::protocol_number;
use serde_json::Value;
use sqlx::{Postgres, Transaction};

use crate::db::read_host_rows::begin;
use crate::db::read_hosts::{SectionRow, sections};
use crate::db::{Db, Scope};

/// A boot with what happened in it as numbers.
#[derive(Clone, Debug)]
pub struct BootRow {
    pub number: i32,
    pub booted_at: Option<DateTime<Utc>>,
    pub first_seen_at: DateTime<Utc>,
    pub last_seen_at: DateTime<Utc>,
    pub shutdown: Option<String>,
    pub shutdown_at: Option<DateTime<Utc>>,
    pub sockets_seen: bool,
    pub services_seen: bool,
    pub omitted: i32,
    /// Ports that were bound, each once.
    pub ports: i64,
    /// Services that failed, each once.
    pub failed_services: Vec<String>,
}

/// The boots that are kept of a host, the newest first. `None`: no such host in `scope`.
pub async fn boots(scope: &Scope, db: &Db, host_id: i64) -> sqlx::Result<Option<Vec<BootRow>>> {
    let Some((mut transaction, client_id)) = begin(scope, db, host_id).await? else { return Ok(None) };
    boot_rows(&mut transaction, (client_id, host_id), None).await.map(Some)
}

/// One thing that happened in a boot, as stored.
#[derive(Clone, Debug)]
pub struct EntryRow {
    pub kind: i16,
    pub basis: i16,
    pub at: DateTime<Utc>,
    pub learned_at: DateTime<Utc>,
    pub gone_at: Option<DateTime<Utc>>,
    pub protocol: Option<i16>,
    pub address: Option<IpAddr>,
    pub port: Option<i32>,
    pub last_port: Option<i32>,
    pub port_count: Option<i32>,
    pub pid: Option<i64>,
    pub image: Option<String>,
    pub services: Vec<String>,
    pub exit_code: Option<i64>,
    pub service_exit_code: Option<i64>,
    /// The event that it comes from, while that is kept.
    pub event: Option<EventRow>,
}

/// An entry of an event log, as stored.
#[derive(Clone, Debug)]
pub struct EventRow {
    pub log: String,
    pub record_id: i64,
    pub at: Option<DateTime<Utc>>,
    pub learned_at: DateTime<Utc>,
    pub provider: String,
    pub id: i64,
    pub service: Option<String>,
    pub data: Value,
}

/// A boot with its entries in the order of time, and the host as it is.
#[derive(Debug)]
pub struct BootDetail {
    pub boot: BootRow,
    pub entries: Vec<EntryRow>,
    pub host: Option<Host>,
}

/// `None`: no such host in `scope`, or no such boot of it.
pub async fn boot(scope: &Scope, db: &Db, host_id: i64, number: i32) -> sqlx::Result<Option<BootDetail>> {
    let Some((mut transaction, client_id)) = begin(scope, db, host_id).await? else { return Ok(None) };
    let Some(boot) = boot_rows(&mut transaction, (client_id, host_id), Some(number)).await?.pop() else {
        return Ok(None);
    };
    let rows = sqlx::query!(
        r#"
        select entry.kind, entry.basis, entry.at, entry.learned_at, entry.gone_at, entry.protocol,
          entry.address as "address: IpAddr", entry.port, entry.last_port, entry.port_count, entry.pid,
          image.path as "image?", entry.services, entry.exit_code, entry.service_exit_code,
          event.log as "log?", event.record_id as "record_id?", event.at as "event_at?",
          event.learned_at as "event_learned_at?", event.provider as "provider?", event.id as "id?", event.service,
          event.data as "data?"
        from boot_entry as entry
        left join image using (image_id)
        left join event on event.client_id = entry.client_id and event.host_id = entry.host_id
          and event.log = entry.log and event.record_id = entry.record_id
        where entry.client_id = $1 and entry.host_id = $2 and entry.number = $3
        order by entry.at, entry.kind, entry.protocol, entry.port, entry.key
        "#,
        client_id,
        host_id,
        number,
    )
    .fetch_all(&mut *transaction)
    .await?;
    let entries = rows
        .into_iter()
        .map(|row| EntryRow {
            kind: row.kind,
            basis: row.basis,
            at: row.at,
            learned_at: row.learned_at,
            gone_at: row.gone_at,
            protocol: row.protocol,
            address: row.address,
            port: row.port,
            last_port: row.last_port,
            port_count: row.port_count,
            pid: row.pid,
            image: row.image,
            services: row.services,
            exit_code: row.exit_code,
            service_exit_code: row.service_exit_code,
            event: row.log.zip(row.record_id).zip(row.event_learned_at).zip(row.provider).zip(row.id).map(
                |((((log, record_id), learned_at), provider), id)| EventRow {
                    log,
                    record_id,
                    at: row.event_at,
                    learned_at,
                    provider,
                    id,
                    service: row.service,
                    data: row.data.unwrap_or_default(),
                },
            ),
        })
        .collect();
    let host = sqlx::query_scalar!(
        "select facts from host_section where client_id = $1 and host_id = $2 and section = 'host'",
        client_id,
        host_id,
    )
    .fetch_optional(&mut *transaction)
    .await?
    .flatten();
    Ok(Some(BootDetail { boot, entries, host: host.and_then(|host| serde_json::from_value(host).ok()) }))
}

/// Who held a port first in a boot.
#[derive(Clone, Debug)]
pub struct HolderRow {
    pub number: i32,
    pub booted_at: Option<DateTime<Utc>>,
    pub first_seen_at: DateTime<Utc>,
    pub sockets_seen: bool,
    pub omitted: i32,
    /// Whether a pool of the boot reaches over the port: then it may have held it.
    pub in_pool: bool,
    /// `None`: nobody was seen; the next ones are meaningless then.
    pub at: Option<DateTime<Utc>>,
    pub basis: Option<i16>,
    pub gone_at: Option<DateTime<Utc>>,
    pub pid: Option<i64>,
    pub image: Option<String>,
    pub services: Vec<String>,
}

/// Who held a port in each boot, the newest first, and what decides whether that is kept.
#[derive(Debug)]
pub struct Holders {
    pub boots: Vec<HolderRow>,
    pub sections: Vec<SectionRow>,
}

/// For each boot that is kept, who was the first to hold `port`. `None`: no such host in `scope`.
pub async fn holders(scope: &Scope, db: &Db, host_id: i64, port: Port) -> sqlx::Result<Option<Holders>> {
    let Some((mut transaction, client_id)) = begin(scope, db, host_id).await? else { return Ok(None) };
    let protocol = i16::from(protocol_number(port.protocol));
    let boots = sqlx::query_as!(
        HolderRow,
        r#"
        select boot.number, boot.booted_at, boot.first_seen_at, boot.sockets_seen, boot.omitted,
          exists (
            select
            from boot_entry as pool
            where pool.client_id = $1 and pool.host_id = $2 and pool.number = boot.number and pool.kind = 2
              and pool.protocol = $3 and $4 between pool.port and pool.last_port
          ) as "in_pool!",
          first.at as "at?", first.basis as "basis?", first.gone_at as "gone_at?", first.pid as "pid?",
          image.path as "image?", coalesce(first.services, '{}') as "services!"
        from boot
        left join lateral (
          select at, basis, gone_at, pid, image_id, services
          from boot_entry
          where client_id = $1 and host_id = $2 and number = boot.number and kind = 1 and protocol = $3 and port = $4
          order by at, key
          limit 1
        ) as first on true
        left join image on image.image_id = first.image_id
        where boot.client_id = $1 and boot.host_id = $2
        order by boot.number desc
        "#,
        client_id,
        host_id,
        protocol,
        i32::from(port.number),
    )
    .fetch_all(&mut *transaction)
    .await?;
    let sections = sections(client_id, host_id, &mut transaction).await?;
    Ok(Some(Holders { boots, sections }))
}

async fn boot_rows(
    transaction: &mut Transaction<'_, Postgres>,
    (client_id, host_id): (i32, i64),
    number: Option<i32>,
) -> sqlx::Result<Vec<BootRow>> {
    sqlx::query_as!(
        BootRow,
        r#"
        select boot.number, booted_at, first_seen_at,
          case when not exists (
                select
                from boot as later
                where later.client_id = $1 and later.host_id = $2 and later.number > boot.number
              )
            then greatest(boot.last_seen_at, agent_stream.last_seen_at)
            else boot.last_seen_at
          end as "last_seen_at!",
          shutdown, shutdown_at, sockets_seen, services_seen, omitted, counted.ports as "ports!",
          counted.failed_services as "failed_services!"
        from boot
        left join agent_stream using (client_id, host_id)
        cross join lateral (
          select count(distinct (protocol, port)) filter (where kind = 1) as ports,
            coalesce(array_agg(distinct services[1]) filter (where kind = 5 and services <> '{}'), '{}')
              as failed_services
          from boot_entry
          where client_id = $1 and host_id = $2 and number = boot.number and kind in (1, 5)
        ) as counted
        where boot.client_id = $1 and boot.host_id = $2 and ($3::int is null or boot.number = $3)
        order by boot.number desc
        "#,
        client_id,
        host_id,
        number,
    )
    .fetch_all(&mut **transaction)
    .await
}

/// Which events of a host. `None` does not restrict.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    pub id: Option<i64>,
    /// SCM key name, in any case.
    pub service: Option<String>,
    pub before: Option<DateTime<Utc>>,
}

/// Where a page starts: behind this event.
pub type EventKey = (DateTime<Utc>, String, i64);

impl EventRow {
    pub fn key(&self) -> EventKey {
        (self.at.unwrap_or(self.learned_at), self.log.clone(), self.record_id)
    }
}

/// The newest first; one whose time is not known stands where it was learned. `None`: no such host in `scope`.
pub async fn events(
    scope: &Scope,
    db: &Db,
    host_id: i64,
    filter: &EventFilter,
    after: Option<EventKey>,
    limit: i64,
) -> sqlx::Result<Option<Vec<EventRow>>> {
    let Some((mut transaction, client_id)) = begin(scope, db, host_id).await? else { return Ok(None) };
    let (at, log, record_id) =
        after.map_or((None, None, None), |(at, log, record)| (Some(at), Some(log), Some(record)));
    let rows = sqlx::query_as!(
        EventRow,
        r#"
        select log, record_id, at, learned_at, provider, id, service, data
        from event
        where client_id = $1 and host_id = $2
          and ($3::int8 is null or id = $3)
          and ($4::text is null or lower(service) = lower($4))
          and ($5::timestamptz is null or coalesce(at, learned_at) < $5)
          and ($6::timestamptz is null or (coalesce(at, learned_at), log, record_id) < ($6, $7, $8))
        order by coalesce(at, learned_at) desc, log desc, record_id desc
        limit $9
        "#,
        client_id,
        host_id,
        filter.id,
        filter.service,
        filter.before,
        at,
        log,
        record_id,
        limit,
    )
    .fetch_all(&mut *transaction)
    .await?;
    Ok(Some(rows))
}
