//! Sockets: a changed one is another one, so that rows come and go and are never rewritten.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use rules::socket_key::{protocol_number, state_number};
use sqlx::PgConnection;

use crate::db::facts::HostChange;
use crate::db::facts::dictionaries::Numbers;

/// Takes away what is gone and keeps it as spans.
pub(super) async fn end(
    connection: &mut PgConnection,
    client_id: i32,
    changes: &[HostChange<'_>],
) -> sqlx::Result<u64> {
    let gone: Vec<_> = changes
        .iter()
        .flat_map(|change| change.rows.sockets_gone.iter().map(move |(key, _)| (change, key.0)))
        .collect();
    if gone.is_empty() {
        return Ok(0);
    }
    let done = sqlx::query!(
        r#"
        with gone as (
          delete from socket_now
          using unnest($2::int8[], $3::int8[], $4::timestamptz[]) as said (host_id, key, at)
          where socket_now.client_id = $1 and socket_now.host_id = said.host_id and socket_now.key = said.key
          returning socket_now.key, socket_now.host_id, valid_from, said.at as valid_to, bound_at, process_started_at,
            learned_at, pid, scope, image_id, service_list_id, port, protocol, state, specific_port, address
        )
        insert into socket_span (client_id, key, host_id, valid_from, valid_to, bound_at, process_started_at,
          learned_at, pid, scope, image_id, service_list_id, port, protocol, state, specific_port, address)
        select $1, key, host_id, valid_from, valid_to, bound_at, process_started_at, learned_at, pid, scope, image_id,
          service_list_id, port, protocol, state, specific_port, address
        from gone
        where valid_from < valid_to
        "#,
        client_id,
        &gone.iter().map(|(change, _)| change.host_id).collect::<Vec<i64>>(),
        &gone.iter().map(|(_, key)| *key).collect::<Vec<i64>>(),
        &gone.iter().map(|(change, _)| change.at).collect::<Vec<DateTime<Utc>>>(),
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

pub(super) async fn begin(
    connection: &mut PgConnection,
    client_id: i32,
    changes: &[HostChange<'_>],
    numbers: &Numbers,
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let new: Vec<_> =
        changes.iter().flat_map(|change| change.rows.sockets_new.iter().map(move |new| (change, new))).collect();
    if new.is_empty() {
        return Ok(0);
    }
    let host_ids: Vec<i64> = new.iter().map(|(change, _)| change.host_id).collect();
    let times: Vec<DateTime<Utc>> = new.iter().map(|(change, _)| change.at).collect();
    let keys: Vec<i64> = new.iter().map(|(_, (key, _))| key.0).collect();
    let column = new.iter().map(|(_, (_, socket))| socket);
    let bound: Vec<Option<DateTime<Utc>>> = column.clone().map(|socket| socket.bound_at).collect();
    let started: Vec<Option<DateTime<Utc>>> = column.clone().map(|socket| socket.process_started_at).collect();
    let pids: Vec<Option<i64>> = column.clone().map(|socket| socket.pid.map(i64::from)).collect();
    let images: Vec<Option<i32>> = column.clone().map(|socket| numbers.image(socket.image.as_ref())).collect();
    let services: Vec<Option<i32>> = column.clone().map(|socket| numbers.services(&socket.services)).collect();
    let ports: Vec<i32> = column.clone().map(|socket| i32::from(socket.port)).collect();
    let scopes: Vec<i64> = column.clone().map(|socket| i64::from(socket.scope)).collect();
    let protocols: Vec<i16> = column.clone().map(|socket| i16::from(protocol_number(socket.protocol))).collect();
    let states: Vec<i16> = column.clone().map(|socket| i16::from(state_number(socket.state))).collect();
    let specific: Vec<Option<bool>> = column.clone().map(|socket| socket.specific_port).collect();
    let addresses: Vec<IpAddr> = column.map(|socket| socket.address).collect();
    let done = sqlx::query!(
        r#"
        insert into socket_now (client_id, learned_at, host_id, valid_from, key, bound_at, process_started_at, pid,
          image_id, service_list_id, port, scope, protocol, state, specific_port, address)
        select $1, $2, host_id, valid_from, key, bound_at, process_started_at, pid, image_id, service_list_id, port,
          scope, protocol, state, specific_port, address
        from unnest($3::int8[], $4::timestamptz[], $5::int8[], $6::timestamptz[], $7::timestamptz[], $8::int8[],
          $9::int[], $10::int[], $11::int[], $12::int8[], $13::int2[], $14::int2[], $15::bool[], $16::inet[])
          as said (host_id, valid_from, key, bound_at, process_started_at, pid, image_id, service_list_id, port, scope,
            protocol, state, specific_port, address)
        "#,
        client_id,
        now,
        &host_ids,
        &times,
        &keys,
        &bound as &[Option<DateTime<Utc>>],
        &started as &[Option<DateTime<Utc>>],
        &pids as &[Option<i64>],
        &images as &[Option<i32>],
        &services as &[Option<i32>],
        &ports,
        &scopes,
        &protocols,
        &states,
        &specific as &[Option<bool>],
        &addresses as &[IpAddr],
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}
