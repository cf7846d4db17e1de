//! Services: one that changed is the same row with other values, and a span with those before. Said again unchanged, it
//! is not written.

use chrono::{DateTime, Utc};
use rules::delta::Row;
use sqlx::PgConnection;

use crate::db::facts::write::string;
use crate::db::facts::{HostChange, joined, word};

/// Takes away what is gone and keeps it as spans.
pub(super) async fn end(
    connection: &mut PgConnection,
    client_id: i32,
    changes: &[HostChange<'_>],
) -> sqlx::Result<u64> {
    let gone: Vec<_> =
        changes.iter().flat_map(|change| change.rows.services_gone.iter().map(move |key| (change, key))).collect();
    if gone.is_empty() {
        return Ok(0);
    }
    let done = sqlx::query!(
        r#"
        with gone as (
          delete from service_now
          using unnest($2::int8[], $3::text[], $4::timestamptz[]) as said (host_id, key, at)
          where service_now.client_id = $1 and service_now.host_id = said.host_id and service_now.key = said.key
          returning service_now.host_id, service_now.key, valid_from, said.at as valid_to, name, display_name, state,
            start, delayed, trigger_start, pid, exit_code, service_exit_code, image_path, account, depends_on,
            recovery, state_since, learned_at
        )
        insert into service_span (client_id, host_id, key, valid_from, valid_to, name, display_name, state, start,
          delayed, trigger_start, pid, exit_code, service_exit_code, image_path, account, depends_on, recovery,
          state_since, learned_at)
        select $1, host_id, key, valid_from, valid_to, name, display_name, state, start, delayed, trigger_start, pid,
          exit_code, service_exit_code, image_path, account, depends_on, recovery, state_since, learned_at
        from gone
        where valid_from < valid_to
        "#,
        client_id,
        &gone.iter().map(|(change, _)| change.host_id).collect::<Vec<i64>>(),
        &gone.iter().map(|(_, key)| (*key).clone()).collect::<Vec<String>>(),
        &gone.iter().map(|(change, _)| change.at).collect::<Vec<DateTime<Utc>>>(),
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

pub(super) async fn set(
    connection: &mut PgConnection,
    client_id: i32,
    changes: &[HostChange<'_>],
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let set: Vec<_> =
        changes.iter().flat_map(|change| change.rows.services_set.iter().map(move |row| (change, row))).collect();
    if set.is_empty() {
        return Ok(0);
    }
    let host_ids: Vec<i64> = set.iter().map(|(change, _)| change.host_id).collect();
    let times: Vec<DateTime<Utc>> = set.iter().map(|(change, _)| change.at).collect();
    let column = set.iter().map(|(_, service)| *service);
    let keys: Vec<String> = column.clone().map(Row::key).collect();
    let names: Vec<String> = column.clone().map(|service| service.name.to_string()).collect();
    let display_names: Vec<String> = column.clone().map(|service| service.display_name.to_string()).collect();
    let states: Vec<String> = column.clone().map(|service| word(service.state)).collect();
    let starts: Vec<Option<String>> = column.clone().map(|service| service.start.map(word)).collect();
    let delayed: Vec<Option<bool>> = column.clone().map(|service| service.delayed).collect();
    let triggers: Vec<Option<bool>> = column.clone().map(|service| service.trigger_start).collect();
    let pids: Vec<Option<i64>> = column.clone().map(|service| service.pid.map(i64::from)).collect();
    let exit_codes: Vec<Option<i64>> = column.clone().map(|service| service.exit_code.map(i64::from)).collect();
    let own_codes: Vec<Option<i64>> = column.clone().map(|service| service.service_exit_code.map(i64::from)).collect();
    let images: Vec<Option<String>> = column.clone().map(|service| string(service.image_path.as_ref())).collect();
    let accounts: Vec<Option<String>> = column.clone().map(|service| string(service.account.as_ref())).collect();
    let depends_on: Vec<String> = column.clone().map(|service| joined(&service.depends_on)).collect();
    let since: Vec<Option<DateTime<Utc>>> = column.clone().map(|service| service.state_since).collect();
    let recovery: Vec<Option<serde_json::Value>> = column
        .map(|service| service.recovery.as_ref().and_then(|recovery| serde_json::to_value(recovery).ok()))
        .collect();
    let written = sqlx::query_scalar!(
        r#"
        with said as (
          select host_id, at, key, name, display_name, state, start, delayed, trigger_start, pid, exit_code,
            service_exit_code, image_path, account, string_to_array(depends_on, U&'\001f') as depends_on, state_since,
            recovery
          from unnest($3::int8[], $4::timestamptz[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
            $10::bool[], $11::bool[], $12::int8[], $13::int8[], $14::int8[], $15::text[], $16::text[], $17::text[],
            $18::timestamptz[], $19::jsonb[])
            as said (host_id, at, key, name, display_name, state, start, delayed, trigger_start, pid, exit_code,
              service_exit_code, image_path, account, depends_on, state_since, recovery)
        ), matched as (
          select said.*, held.place, held.is_other
          from said
          left join lateral (
            select ctid as place,
              (name, display_name, state, start, delayed, trigger_start, pid, exit_code, service_exit_code, image_path,
                account, depends_on, state_since, recovery)
              is distinct from (said.name, said.display_name, said.state, said.start, said.delayed,
                said.trigger_start, said.pid, said.exit_code, said.service_exit_code, said.image_path, said.account,
                said.depends_on, said.state_since, said.recovery) as is_other
            from service_now
            where client_id = $1 and host_id = said.host_id and key = said.key
            limit 1) as held on true
        ), ended as (
          insert into service_span (client_id, host_id, key, valid_from, valid_to, name, display_name, state, start,
            delayed, trigger_start, pid, exit_code, service_exit_code, image_path, account, depends_on, recovery,
            state_since, learned_at)
          select $1, held.host_id, held.key, held.valid_from, matched.at, held.name, held.display_name, held.state,
            held.start, held.delayed, held.trigger_start, held.pid, held.exit_code, held.service_exit_code,
            held.image_path, held.account, held.depends_on, held.recovery, held.state_since, held.learned_at
          from matched
          join service_now as held on held.client_id = $1 and held.ctid = matched.place
          where matched.is_other and held.valid_from < matched.at
        ), changed as (
          update service_now
          set learned_at = $2, valid_from = matched.at, name = matched.name, display_name = matched.display_name,
            state = matched.state, start = matched.start, delayed = matched.delayed,
            trigger_start = matched.trigger_start, pid = matched.pid, exit_code = matched.exit_code,
            service_exit_code = matched.service_exit_code, image_path = matched.image_path,
            account = matched.account, depends_on = matched.depends_on, state_since = matched.state_since,
            recovery = matched.recovery
          from matched
          where service_now.client_id = $1 and service_now.ctid = matched.place and matched.is_other
          returning service_now.key
        ), added as (
          insert into service_now (client_id, learned_at, host_id, valid_from, key, name, display_name, state, start,
            delayed, trigger_start, pid, exit_code, service_exit_code, image_path, account, depends_on, state_since,
            recovery)
          select $1, $2, host_id, at, key, name, display_name, state, start, delayed, trigger_start, pid, exit_code,
            service_exit_code, image_path, account, depends_on, state_since, recovery
          from matched
          where place is null
          returning key
        )
        select (select count(*) from changed) + (select count(*) from added) as "written!"
        "#,
        client_id,
        now,
        &host_ids,
        &times,
        &keys,
        &names,
        &display_names,
        &states,
        &starts as &[Option<String>],
        &delayed as &[Option<bool>],
        &triggers as &[Option<bool>],
        &pids as &[Option<i64>],
        &exit_codes as &[Option<i64>],
        &own_codes as &[Option<i64>],
        &images as &[Option<String>],
        &accounts as &[Option<String>],
        &depends_on,
        &since as &[Option<DateTime<Utc>>],
        &recovery as &[Option<serde_json::Value>],
    )
    .fetch_one(connection)
    .await?;
    Ok(written.unsigned_abs())
}
