//! Who held a port: on one host over time, and on every host at one moment.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use rules::facts::Socket;
use rules::ports::Port;
use rules::socket_key::protocol_number;

use crate::db::read::Plans;
use crate::db::read_host_rows::begin_with;
use crate::db::read_hosts::UNHEARD_AFTER_END;
use crate::db::{Db, Scope, read};

use crate::db::facts::rows::socket_of;

/// A time of which any part counts; one moment where both ends are it.
#[derive(Clone, Copy, Debug)]
pub struct Within {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
}

impl Within {
    pub fn moment(at: DateTime<Utc>) -> Self {
        Self { from: at, to: at }
    }
}

/// A socket of a port, and when it was seen.
#[derive(Clone, Debug)]
pub struct HeldRow {
    pub socket: Socket,
    pub valid_from: DateTime<Utc>,
    /// When it was gone at the latest: no longer told, or the host booted. `None`: it is still open, as far as is known.
    pub valid_to: Option<DateTime<Utc>>,
    key: i64,
}

/// Where a page starts: behind this row.
pub type HeldKey = (DateTime<Utc>, i64);

impl HeldRow {
    pub fn key(&self) -> HeldKey {
        (self.valid_from, self.key)
    }
}

/// Who held `port` on a host, the newest first. `None`: no such host in `scope`.
pub async fn holders(
    scope: &Scope,
    db: &Db,
    (host_id, port): (i64, Port),
    within: Within,
    after: Option<HeldKey>,
    limit: i64,
) -> sqlx::Result<Option<Vec<HeldRow>>> {
    let Some((mut transaction, client_id)) = begin_with(scope, db, host_id, Plans::Once).await? else {
        return Ok(None);
    };
    let (before, key) = after.unzip();
    let rows = sqlx::query!(
        r#"
        select held.key as "key!", bound_at, process_started_at, pid, image.path as "path?", port as "port!",
          scope as "scope!", protocol as "protocol!", state as "state!", specific_port, address as "address!: IpAddr",
          service_list.names as "services!", valid_from as "valid_from!", ended.at as "valid_to?"
        from (
          select key, bound_at, process_started_at, pid, image_id, port, scope, protocol, state, specific_port, address,
            service_list_id, valid_from, null::timestamptz as valid_to
          from socket_now
          where client_id = $1 and host_id = $2 and port = $3 and protocol = $4 and valid_from <= $6
          union all
          select key, bound_at, process_started_at, pid, image_id, port, scope, protocol, state, specific_port, address,
            service_list_id, valid_from, valid_to
          from socket_span
          where client_id = $1 and host_id = $2 and port = $3 and protocol = $4 and valid_to > $5 and valid_from <= $6
        ) as held
        -- No socket outlives a boot, whenever it was told.
        cross join lateral (
          select
            case when valid_to is not null then least(valid_to, min(booted_at)) end as at
          from boot
          where client_id = $1 and host_id = $2 and booted_at > coalesce(bound_at, valid_from)
        ) as ended
        left join image using (image_id)
        join service_list using (service_list_id)
        where (ended.at is null or ended.at > $5)
          and ($7::timestamptz is null or (valid_from, held.key) < ($7, $8))
        order by valid_from desc, held.key desc
        limit $9
        "#,
        client_id,
        host_id,
        i32::from(port.number),
        i16::from(protocol_number(port.protocol)),
        within.from,
        within.to,
        before,
        key,
        limit,
    )
    .fetch_all(&mut *transaction)
    .await?;
    let held = rows.into_iter().map(|row| HeldRow {
        key: row.key,
        valid_from: row.valid_from,
        valid_to: row.valid_to,
        socket: socket_of!(row),
    });
    Ok(Some(held.collect()))
}

/// A host that had a port at a moment.
#[derive(Clone, Debug)]
pub struct HostWithRow {
    pub host_id: i64,
    pub host_name: String,
    pub site_id: i64,
    pub site_name: String,
    pub client_id: i32,
    pub client_name: String,
    /// Why its sockets were not known then: `sockets` are those known last. `None`: they were.
    pub unknown_reason: Option<String>,
    /// Since when it was not heard of then. `None`: it was.
    pub silent_since: Option<DateTime<Utc>>,
    pub sockets: Vec<Socket>,
}

/// Where a page starts: behind this host.
pub type HostWithKey = (String, i64);

impl HostWithRow {
    pub fn key(&self) -> HostWithKey {
        (self.host_name.clone(), self.host_id)
    }
}

/// Every host on which something had `port` at a moment, by name.
pub async fn hosts_with(
    scope: &Scope,
    db: &Db,
    (port, at): (Port, DateTime<Utc>),
    after: Option<HostWithKey>,
    limit: i64,
) -> sqlx::Result<Vec<HostWithRow>> {
    let mut transaction = read::begin_with(scope, db, Plans::Once).await?;
    let (name, host_id) = after.unzip();
    let (number, protocol) = (i32::from(port.number), i16::from(protocol_number(port.protocol)));
    let mut hosts: Vec<HostWithRow> = sqlx::query!(
        r#"
        select host.host_id, host.name as host_name, host.site_id, site.name as site_name, host.client_id,
          client.name as client_name
        from (
          -- Holders are read once; only a page of hosts is joined.
          select client_id, host_id, site_id, name
          from host
          where client_id = any ($1)
            and (client_id, host_id) in (
              select client_id, host_id
              from socket_now
              where client_id = any ($1) and port = $2 and protocol = $3 and valid_from <= $4
              union all
              select client_id, host_id
              from socket_span
              where client_id = any ($1) and port = $2 and protocol = $3 and valid_to > $4 and valid_from <= $4
            )
            and ($5::text is null or (name, host_id) > ($5, $6))
          order by name, host_id
          limit $7
        ) as host
        join client using (client_id)
        join site using (client_id, site_id)
        order by host.name, host.host_id
        "#,
        &scope.0,
        number,
        protocol,
        at,
        name,
        host_id,
        limit,
    )
    .fetch_all(&mut *transaction)
    .await?
    .into_iter()
    .map(|row| HostWithRow {
        host_id: row.host_id,
        host_name: row.host_name,
        site_id: row.site_id,
        site_name: row.site_name,
        client_id: row.client_id,
        client_name: row.client_name,
        unknown_reason: None,
        silent_since: None,
        sockets: Vec::new(),
    })
    .collect();
    let client_ids: Vec<i32> = hosts.iter().map(|host| host.client_id).collect();
    let host_ids: Vec<i64> = hosts.iter().map(|host| host.host_id).collect();
    let sockets = sqlx::query!(
        r#"
        with wanted as (
          select client_id, host_id, number
          from unnest($1::int[], $2::int8[]) with ordinality as wanted (client_id, host_id, number)
        ), gone as materialized (
          -- Once for all hosts: of a busy week as much would be read for each of them.
          select client_id, host_id, bound_at, process_started_at, pid, image_id, port, scope, protocol, state,
            specific_port, address, service_list_id
          from socket_span
          where client_id = any ($1) and port = $3 and protocol = $4 and valid_to > $5 and valid_from <= $5
        )
        select held.number as "number!", bound_at, process_started_at, pid, image.path as "path?", port as "port!",
          scope as "scope!", protocol as "protocol!", state as "state!", specific_port, address as "address!: IpAddr",
          service_list.names as "services!"
        from (
          select number, bound_at, process_started_at, pid, image_id, port, scope, protocol, state, specific_port,
            address, service_list_id
          from wanted
          cross join lateral (
            select bound_at, process_started_at, pid, image_id, port, scope, protocol, state, specific_port, address,
              service_list_id
            from socket_now
            where client_id = wanted.client_id and host_id = wanted.host_id and port = $3 and protocol = $4
              and valid_from <= $5
            -- Looked up host by host.
            offset 0
          ) as present
          union all
          select number, bound_at, process_started_at, pid, image_id, port, scope, protocol, state, specific_port,
            address, service_list_id
          from wanted
          join gone using (client_id, host_id)
        ) as held
        left join image using (image_id)
        join service_list using (service_list_id)
        "#,
        &client_ids,
        &host_ids,
        number,
        protocol,
        at,
    )
    .fetch_all(&mut *transaction)
    .await?;
    for row in sockets {
        let Some(host) = place(&mut hosts, row.number) else { continue };
        host.sockets.push(socket_of!(row));
    }
    let standing = sqlx::query!(
        r#"
        select wanted.number as "number!", known.unknown_reason as "unknown_reason?",
          coalesce(silence.from_at, stream.last_seen_at) as silent_since
        from unnest($1::int[], $2::int8[]) with ordinality as wanted (client_id, host_id, number)
        left join lateral (
          select unknown_reason
          from host_section
          where client_id = wanted.client_id and host_id = wanted.host_id and section = 'sockets' and valid_from <= $3
          union all
          select unknown_reason
          from section_span
          where client_id = wanted.client_id and host_id = wanted.host_id and section = 'sockets'
            and valid_to > $3 and valid_from <= $3
        ) as known on true
        left join host_silence as silence
          on silence.client_id = wanted.client_id and silence.host_id = wanted.host_id
            and silence.from_at <= $3 and silence.until_at > $3
        left join agent_stream as stream
          on stream.client_id = wanted.client_id and stream.host_id = wanted.host_id and stream.last_seen_at < $4
        "#,
        &client_ids,
        &host_ids,
        at,
        at - UNHEARD_AFTER_END,
    )
    .fetch_all(&mut *transaction)
    .await?;
    for row in standing {
        let Some(host) = place(&mut hosts, row.number) else { continue };
        host.unknown_reason = row.unknown_reason;
        host.silent_since = row.silent_since;
    }
    Ok(hosts)
}

/// `number` counts from 1.
fn place(hosts: &mut [HostWithRow], number: i64) -> Option<&mut HostWithRow> {
    hosts.get_mut(usize::try_from(number).ok()?.checked_sub(1)?)
}

/// Of how many hosts nobody knew then which ports they had open.
pub async fn hosts_unknown(scope: &Scope, db: &Db, at: DateTime<Utc>) -> sqlx::Result<i64> {
    let mut transaction = read::begin_with(scope, db, Plans::Once).await?;
    sqlx::query_scalar!(
        r#"
        select count(*) as "count!"
        from host
        where client_id = any ($1)
          and not exists (
            select
            from host_section as known
            where known.client_id = host.client_id and known.host_id = host.host_id and section = 'sockets'
              and unknown_reason is null and valid_from <= $2
          )
          and not exists (
            select
            from section_span as known
            where known.client_id = host.client_id and known.host_id = host.host_id and section = 'sockets'
              and unknown_reason is null and valid_to > $2 and valid_from <= $2
          )
        "#,
        &scope.0,
        at,
    )
    .fetch_one(&mut *transaction)
    .await
}
