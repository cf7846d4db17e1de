//! The boot ledger, written: in the transaction of the report that it comes from. The cursor of the host's stream is
//! locked by then, so that no two reports of a host write here at the same time.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use chrono::{DateTime, Utc};
use rules::socket_key::protocol_number;
use sqlx::PgConnection;

use crate::db::facts::{Numbers, joined};
use crate::ingest::ledger::{Extent, LedgerChange, ShutdownKind};

/// Boots that are kept of a host.
const KEPT_BOOTS: i32 = 60;
/// Entries that are kept of a boot; further ones are counted.
const KEPT_ENTRIES: i32 = 2_000;
/// Events that are kept of a host, beside those that it still reports.
const KEPT_EVENTS: i64 = 100_000;

/// Of hosts of one client, each with its id and in the order of hosts. `numbers` has every image in `changes`.
pub async fn write(
    connection: &mut PgConnection,
    client_id: i32,
    changes: &[(i64, &LedgerChange)],
    numbers: &Numbers,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    note_gone(connection, client_id, changes).await?;
    note_seen(connection, client_id, changes, now).await?;
    let adding: Vec<_> = changes.iter().copied().filter(|(_, change)| change.adds()).collect();
    let mut known = known(connection, client_id, &adding).await?;
    let mut boots = Vec::with_capacity(adding.len());
    for (host_id, change) in adding {
        let host = (client_id, host_id);
        let boot = match known.remove(&host_id) {
            Some(boot) => boot,
            None => begin(connection, host, change, now).await?,
        };
        note_ends(connection, host, boot.number, change).await?;
        boots.push((host_id, boot, change));
    }
    add(connection, client_id, &boots, numbers, now).await
}

/// Boots of which a stream reports for the first time were seen now.
async fn note_seen(
    connection: &mut PgConnection,
    client_id: i32,
    changes: &[(i64, &LedgerChange)],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let opening: Vec<_> =
        changes.iter().filter_map(|(id, change)| Some((id, *change, change.opens.as_ref()?))).collect();
    if opening.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        r#"
        update boot
        set last_seen_at = $2, derived_by = said.derived_by
        from unnest($3::int8[], $4::text[], $5::text[]) as said (host_id, boot_id, derived_by)
        where boot.client_id = $1 and boot.host_id = said.host_id and boot.boot_id = said.boot_id
        "#,
        client_id,
        now,
        &opening.iter().map(|(host_id, ..)| **host_id).collect::<Vec<_>>(),
        &opening.iter().map(|(_, change, _)| change.boot_id.to_string()).collect::<Vec<_>>(),
        &opening.iter().map(|(.., derived_by)| derived_by.to_string()).collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A boot that entries are added to.
#[derive(Clone, Copy, Debug)]
struct Boot {
    number: i32,
    /// For how many entries more.
    room: i32,
    /// None is stored of it, so that none is looked for.
    is_empty: bool,
}

impl Boot {
    fn new(number: i32, kept: i32) -> Self {
        Self { number, room: (KEPT_ENTRIES - kept).max(0), is_empty: kept == 0 }
    }
}

/// Most sockets that go are in no ledger, and most reports say no more than that: one statement looks them all up.
async fn note_gone(
    connection: &mut PgConnection,
    client_id: i32,
    changes: &[(i64, &LedgerChange)],
) -> sqlx::Result<()> {
    let gone: Vec<_> = changes
        .iter()
        .flat_map(|(host_id, change)| change.gone.iter().map(move |it| (*host_id, *change, it)))
        .collect();
    if gone.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        r#"
        with held as (
          select entry.row_at, said.at
          from unnest($2::int8[], $3::int8[], $4::int8[], $5::timestamptz[], $6::text[])
            as said (host_id, key, socket_key, at, boot_id)
          cross join lateral (
            select number
            from boot
            where client_id = $1 and host_id = said.host_id and boot_id = said.boot_id
            limit 1) as boot
          cross join lateral (
            select ctid as row_at
            from boot_entry
            where client_id = $1 and host_id = said.host_id and number = boot.number and key = said.key
              and socket_key = said.socket_key and gone_at is null
            limit 1) as entry
        )
        update boot_entry
        set gone_at = held.at
        from held
        where boot_entry.client_id = $1 and boot_entry.ctid = held.row_at
        "#,
        client_id,
        &gone.iter().map(|(host_id, ..)| *host_id).collect::<Vec<_>>(),
        &gone.iter().map(|(_, _, gone)| gone.entry).collect::<Vec<_>>(),
        &gone.iter().map(|(_, _, gone)| gone.socket.0).collect::<Vec<_>>(),
        &gone.iter().map(|(_, change, _)| change.seen_at).collect::<Vec<_>>(),
        &gone.iter().map(|(_, change, _)| change.boot_id.to_string()).collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Boots of which all is told already that a change says of them as wholes, by host.
async fn known(
    connection: &mut PgConnection,
    client_id: i32,
    changes: &[(i64, &LedgerChange)],
) -> sqlx::Result<HashMap<i64, Boot>> {
    if changes.is_empty() {
        return Ok(HashMap::new());
    }
    let column = changes.iter().map(|(_, change)| change);
    let rows = sqlx::query!(
        r#"
        select said.host_id as "host_id!", boot.number, boot.kept
        from unnest($2::int8[], $3::text[], $4::bool[], $5::bool[], $6::bool[])
          as said (host_id, boot_id, is_dated, sockets_seen, services_seen)
        cross join lateral (
          select number, kept, booted_at, sockets_seen, services_seen
          from boot
          where client_id = $1 and host_id = said.host_id and boot_id = said.boot_id
          limit 1) as boot
        where (boot.booted_at is not null or not said.is_dated)
          and (boot.sockets_seen or not said.sockets_seen) and (boot.services_seen or not said.services_seen)
        "#,
        client_id,
        &changes.iter().map(|(host_id, _)| *host_id).collect::<Vec<_>>(),
        &column.clone().map(|change| change.boot_id.to_string()).collect::<Vec<_>>(),
        &column.clone().map(|change| change.booted_at.is_some()).collect::<Vec<_>>(),
        &column.clone().map(|change| change.sockets_seen).collect::<Vec<_>>(),
        &column.map(|change| change.services_seen).collect::<Vec<_>>(),
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (row.host_id, Boot::new(row.number, row.kept))).collect())
}

/// Of a boot that is new, or of which something more is known now.
async fn begin(
    connection: &mut PgConnection,
    (client_id, host_id): (i32, i64),
    change: &LedgerChange,
    now: DateTime<Utc>,
) -> sqlx::Result<Boot> {
    let boot = sqlx::query!(
        r#"
        insert into boot (client_id, host_id, number, boot_id, booted_at, first_seen_at, last_seen_at, sockets_seen,
          services_seen, derived_by)
        select $1, $2, coalesce(max(number), 0) + 1, $3, $4, $5, $5, $6, $7, $8
        from boot
        where client_id = $1 and host_id = $2
        on conflict (client_id, host_id, boot_id) do update
        set booted_at = coalesce(boot.booted_at, excluded.booted_at), last_seen_at = excluded.last_seen_at,
          sockets_seen = boot.sockets_seen or excluded.sockets_seen,
          services_seen = boot.services_seen or excluded.services_seen,
          derived_by = coalesce(excluded.derived_by, boot.derived_by)
        returning number, kept, first_seen_at = last_seen_at and kept = 0 as "is_new!"
        "#,
        client_id,
        host_id,
        change.boot_id.as_str(),
        change.booted_at,
        now,
        change.sockets_seen,
        change.services_seen,
        change.opens.as_deref(),
    )
    .fetch_one(&mut *connection)
    .await?;
    if boot.is_new {
        end_before(connection, (client_id, host_id), boot.number, change.booted_at).await?;
        forget(connection, (client_id, host_id), boot.number - KEPT_BOOTS).await?;
    }
    Ok(Boot::new(boot.number, boot.kept))
}

/// A Hello follows: when the host was last heard of was in the boot that was the newest until then.
pub async fn note_last_seen(connection: &mut PgConnection, client_id: i32, host_id: i64) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        update boot
        set last_seen_at = greatest(boot.last_seen_at, agent_stream.last_seen_at)
        from agent_stream
        where boot.client_id = $1 and boot.host_id = $2
          and agent_stream.client_id = $1 and agent_stream.host_id = $2
          and boot.number = (select max(number) from boot where client_id = $1 and host_id = $2)
        "#,
        client_id,
        host_id,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Keeps the newest events of a host.
pub async fn prune_events(connection: &mut PgConnection, client_id: i32, host_id: i64) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        delete from event
        where client_id = $1 and host_id = $2 and not in_window
          and coalesce(at, learned_at) < (
            select coalesce(at, learned_at)
            from event
            where client_id = $1 and host_id = $2
            order by coalesce(at, learned_at) desc
            offset $3
            limit 1)
        "#,
        client_id,
        host_id,
        KEPT_EVENTS,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The boot before ended when this one began, at the latest.
async fn end_before(
    connection: &mut PgConnection,
    (client_id, host_id): (i32, i64),
    number: i32,
    booted_at: Option<DateTime<Utc>>,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        update boot
        set last_seen_at = greatest(first_seen_at, least(last_seen_at, $4))
        where client_id = $1 and host_id = $2 and number = $3 - 1
        "#,
        client_id,
        host_id,
        number,
        booted_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Boots up to `number` go, with their entries and the events from before the oldest that stays.
async fn forget(connection: &mut PgConnection, (client_id, host_id): (i32, i64), number: i32) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from boot_entry where client_id = $1 and host_id = $2 and number <= $3",
        client_id,
        host_id,
        number,
    )
    .execute(&mut *connection)
    .await?;
    let forgotten = sqlx::query!(
        "delete from boot where client_id = $1 and host_id = $2 and number <= $3",
        client_id,
        host_id,
        number,
    )
    .execute(&mut *connection)
    .await?;
    if forgotten.rows_affected() > 0 {
        sqlx::query!(
            r#"
            delete from event
            where client_id = $1 and host_id = $2 and not in_window
              and coalesce(at, learned_at) < (
                select coalesce(booted_at, first_seen_at)
                from boot
                where client_id = $1 and host_id = $2
                order by number
                limit 1)
            "#,
            client_id,
            host_id,
        )
        .execute(&mut *connection)
        .await?;
    }
    prune_events(connection, client_id, host_id).await
}

async fn note_ends(
    connection: &mut PgConnection,
    (client_id, host_id): (i32, i64),
    number: i32,
    change: &LedgerChange,
) -> sqlx::Result<()> {
    if let Some(shutdown) = change.shutdown {
        let kind = match shutdown.kind {
            ShutdownKind::Asked => "asked",
            ShutdownKind::Clean => "clean",
        };
        // Who asked for it says more than that it came to pass.
        sqlx::query!(
            r#"
            update boot
            set shutdown = case when shutdown = 'asked' then shutdown else $4 end, shutdown_at = $5
            where client_id = $1 and host_id = $2 and number = $3
            "#,
            client_id,
            host_id,
            number,
            kind,
            shutdown.at,
        )
        .execute(&mut *connection)
        .await?;
    }
    if change.ended_unexpectedly_before {
        sqlx::query!(
            r#"
            update boot
            set shutdown = 'unexpected', shutdown_at = null
            where client_id = $1 and host_id = $2 and number = $3 - 1 and shutdown is distinct from 'unexpected'
            "#,
            client_id,
            host_id,
            number,
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Entries of boots, of all hosts in one statement. Told again, one learns whose it is and that its port is not gone; its
/// time stays the first that was told, and one that says nothing new is not touched. What there is no room for is counted.
async fn add(
    connection: &mut PgConnection,
    client_id: i32,
    boots: &[(i64, Boot, &LedgerChange)],
    numbers: &Numbers,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let mut entries = Vec::new();
    for (host_id, boot, change) in boots {
        let mut seen = HashSet::new();
        let of_boot = change.entries.iter().filter(|entry| seen.insert(entry.key));
        entries.extend(of_boot.map(|entry| (*host_id, *boot, change.extent == Extent::Whole, entry)));
    }
    if entries.is_empty() {
        return Ok(());
    }
    let host_ids: Vec<i64> = entries.iter().map(|(host_id, ..)| *host_id).collect();
    let boot_numbers: Vec<i32> = entries.iter().map(|(_, boot, ..)| boot.number).collect();
    let rooms: Vec<i32> = entries.iter().map(|(_, boot, ..)| boot.room).collect();
    let wholes: Vec<bool> = entries.iter().map(|(_, _, is_whole, _)| *is_whole).collect();
    let firsts: Vec<bool> = entries.iter().map(|(_, boot, ..)| boot.is_empty).collect();
    let column = entries.iter().map(|(.., entry)| *entry);
    let keys: Vec<i64> = column.clone().map(|entry| entry.key).collect();
    let kinds: Vec<i16> = column.clone().map(|entry| entry.kind as i16).collect();
    let bases: Vec<i16> = column.clone().map(|entry| entry.basis as i16).collect();
    let times: Vec<DateTime<Utc>> = column.clone().map(|entry| entry.at).collect();
    let ports = column.clone().map(|entry| entry.ports.as_ref());
    let protocols: Vec<Option<i16>> =
        ports.clone().map(|ports| ports.map(|ports| i16::from(protocol_number(ports.protocol)))).collect();
    let addresses: Vec<Option<IpAddr>> = ports.clone().map(|ports| ports.map(|ports| ports.address)).collect();
    let first: Vec<Option<i32>> = ports.clone().map(|ports| ports.map(|ports| i32::from(ports.first))).collect();
    let last: Vec<Option<i32>> = ports.clone().map(|ports| ports.map(|ports| i32::from(ports.last))).collect();
    let counts: Vec<Option<i32>> = ports.clone().map(|ports| ports.map(|ports| i32::from(ports.count))).collect();
    let sockets: Vec<Option<i64>> = ports.map(|ports| ports.and_then(|ports| Some(ports.socket?.0))).collect();
    let pids: Vec<Option<i64>> = column.clone().map(|entry| entry.pid.map(i64::from)).collect();
    let image_ids: Vec<Option<i32>> = column.clone().map(|entry| numbers.image(entry.image.as_ref())).collect();
    let services: Vec<String> = column.clone().map(|entry| joined(&entry.services)).collect();
    let exit_codes: Vec<Option<i64>> = column.clone().map(|entry| entry.exit_code.map(i64::from)).collect();
    let own_codes: Vec<Option<i64>> = column.clone().map(|entry| entry.service_exit_code.map(i64::from)).collect();
    let logs: Vec<Option<String>> =
        column.clone().map(|entry| entry.event.as_ref().map(|(log, _)| log.to_string())).collect();
    let records: Vec<Option<i64>> =
        column.map(|entry| entry.event.as_ref().and_then(|(_, record)| i64::try_from(*record).ok())).collect();
    sqlx::query!(
        r#"
        with said as (
          select host_id, number, room, is_whole, is_first, key, kind, basis, at, protocol, address, port, last_port,
            port_count, socket_key, pid, image_id, string_to_array(services, U&'\001f') as services, exit_code,
            service_exit_code, log, record_id, place
          from unnest($3::int8[], $4::int[], $5::int[], $6::bool[], $7::int8[], $8::int2[], $9::int2[],
            $10::timestamptz[], $11::int2[], $12::inet[], $13::int[], $14::int[], $15::int[], $16::int8[], $17::int8[],
            $18::int[], $19::text[], $20::int8[], $21::int8[], $22::text[], $23::int8[], $24::bool[]) with ordinality
            as said (host_id, number, room, is_whole, key, kind, basis, at, protocol, address, port, last_port,
              port_count, socket_key, pid, image_id, services, exit_code, service_exit_code, log, record_id, is_first,
              place)
        ), news as (
          select said.*, held.row_at, held.key is null as is_new,
            row_number() over (partition by said.host_id, held.key is null order by said.place) as rank
          from said
          left join lateral (
            select ctid as row_at, key, gone_at, socket_key, image_id, services, port_count
            from boot_entry
            where client_id = $1 and host_id = said.host_id and number = said.number and key = said.key
              and not said.is_first
            limit 1) as held on true
          where held.key is null or held.gone_at is not null or held.socket_key is distinct from said.socket_key
            or held.image_id is null and said.image_id is not null
            or held.services <> said.services and said.services <> '{}' or held.port_count < said.port_count
        ), counted as (
          update boot
          set kept = boot.kept + least(told.added, told.room)::int,
            omitted = case when told.is_whole then greatest(boot.omitted, told.added - told.room)
              else boot.omitted + greatest(0, told.added - told.room) end
          from (
            select host_id, number, room, is_whole, count(*) as added
            from news
            where is_new
            group by host_id, number, room, is_whole) as told
          -- The list bounds what is read where a client has many hosts and few tell something.
          where boot.client_id = $1 and boot.host_id = any($3) and boot.host_id = told.host_id
            and boot.number = told.number
        ), told_again as (
          update boot_entry
          set gone_at = null, socket_key = news.socket_key, image_id = coalesce(news.image_id, boot_entry.image_id),
            services = case when news.services = '{}' then boot_entry.services else news.services end,
            port = least(boot_entry.port, news.port), last_port = greatest(boot_entry.last_port, news.last_port),
            port_count = greatest(boot_entry.port_count, news.port_count)
          from news
          where boot_entry.client_id = $1 and boot_entry.ctid = news.row_at
        )
        insert into boot_entry (client_id, learned_at, host_id, number, key, kind, basis, at, protocol, address, port,
          last_port, port_count, socket_key, pid, image_id, services, exit_code, service_exit_code, log, record_id)
        select $1, $2, host_id, number, key, kind, basis, at, protocol, address, port, last_port, port_count,
          socket_key, pid, image_id, services, exit_code, service_exit_code, log, record_id
        from news
        where is_new and rank <= room
        "#,
        client_id,
        now,
        &host_ids,
        &boot_numbers,
        &rooms,
        &wholes,
        &keys,
        &kinds,
        &bases,
        &times,
        &protocols as &[Option<i16>],
        &addresses as &[Option<IpAddr>],
        &first as &[Option<i32>],
        &last as &[Option<i32>],
        &counts as &[Option<i32>],
        &sockets as &[Option<i64>],
        &pids as &[Option<i64>],
        &image_ids as &[Option<i32>],
        &services,
        &exit_codes as &[Option<i64>],
        &own_codes as &[Option<i64>],
        &logs as &[Option<String>],
        &records as &[Option<i64>],
        &firsts,
    )
    .execute(connection)
    .await?;
    Ok(())
}
