//! Entries of event logs: those that left the window of the agent stay stored.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::db::facts::HostChange;
use crate::db::facts::write::string;

pub(super) async fn leave_window(
    connection: &mut PgConnection,
    client_id: i32,
    changes: &[HostChange<'_>],
) -> sqlx::Result<()> {
    let gone: Vec<_> =
        changes.iter().flat_map(|change| change.rows.events_gone.iter().map(move |key| (change, key))).collect();
    if gone.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        r#"
        update event
        set in_window = false
        from unnest($2::int8[], $3::text[], $4::int8[]) as said (host_id, log, record_id)
        where event.client_id = $1 and event.host_id = said.host_id and event.log = said.log
          and event.record_id = said.record_id
        "#,
        client_id,
        &gone.iter().map(|(change, _)| change.host_id).collect::<Vec<i64>>(),
        &gone.iter().map(|(_, (log, _))| log.to_string()).collect::<Vec<String>>(),
        &gone.iter().map(|(_, (_, record_id))| number(*record_id)).collect::<Vec<i64>>(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn set(
    connection: &mut PgConnection,
    client_id: i32,
    changes: &[HostChange<'_>],
    now: DateTime<Utc>,
) -> sqlx::Result<u64> {
    let set: Vec<_> =
        changes.iter().flat_map(|change| change.rows.events_set.iter().map(move |row| (change, row))).collect();
    if set.is_empty() {
        return Ok(0);
    }
    let host_ids: Vec<i64> = set.iter().map(|(change, _)| change.host_id).collect();
    let column = set.iter().map(|(_, event)| *event);
    let logs: Vec<String> = column.clone().map(|event| event.log.to_string()).collect();
    let record_ids: Vec<i64> = column.clone().map(|event| number(event.record_id)).collect();
    let times: Vec<Option<DateTime<Utc>>> = column.clone().map(|event| event.at).collect();
    let providers: Vec<String> = column.clone().map(|event| event.provider.to_string()).collect();
    let ids: Vec<i64> = column.clone().map(|event| i64::from(event.id)).collect();
    let services: Vec<Option<String>> = column.clone().map(|event| string(event.service.as_ref())).collect();
    let data: Vec<serde_json::Value> =
        column.map(|event| serde_json::to_value(&event.data).unwrap_or_default()).collect();
    let done = sqlx::query!(
        r#"
        insert into event (client_id, learned_at, in_window, host_id, log, record_id, at, provider, id, service, data)
        select $1, $2, true, host_id, log, record_id, at, provider, id, service, data
        from unnest($3::int8[], $4::text[], $5::int8[], $6::timestamptz[], $7::text[], $8::int8[], $9::text[],
          $10::jsonb[])
          as said (host_id, log, record_id, at, provider, id, service, data)
        on conflict (client_id, host_id, log, record_id) do update
        set learned_at = case when event.at is distinct from excluded.at then excluded.learned_at
            else event.learned_at end,
          in_window = true, at = excluded.at, provider = excluded.provider, id = excluded.id,
          service = excluded.service, data = excluded.data
        "#,
        client_id,
        now,
        &host_ids,
        &logs,
        &record_ids,
        &times as &[Option<DateTime<Utc>>],
        &providers,
        &ids,
        &services as &[Option<String>],
        &data,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

fn number(record_id: u64) -> i64 {
    i64::try_from(record_id).unwrap_or(i64::MAX)
}
