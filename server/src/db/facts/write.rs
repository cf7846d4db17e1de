//! Changed rows of a host, in few statements: what is gone first, then what came or changed. Lists go as arrays and are
//! unnested; lists inside a row go as one text with a separator that no [`rules::text::Text`] can hold.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use proto::fleet::v1::Section;
use rules::delta::Row;
use rules::facts::{CollectedBy, Event, Host, Service, Socket, Update};
use rules::socket_key::{SocketKey, protocol_number, state_number};
use rules::text::Text;
use sqlx::PgConnection;

use crate::db::facts::images::ImageIds;
use crate::db::facts::{section_name, word};
use crate::ingest::state::RowChanges;

/// U+001F; texts of hosts hold no control characters.
const SEPARATOR: &str = "\u{1f}";

/// `images` has the id of every image in `changes`.
pub async fn write_rows(
    connection: &mut PgConnection,
    client_id: i32,
    host_id: i64,
    changes: &RowChanges,
    images: &ImageIds,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    if !changes.sockets_gone.is_empty() {
        sqlx::query!(
            "delete from socket_now where client_id = $1 and host_id = $2 and key = any($3)",
            client_id,
            host_id,
            &changes.sockets_gone.iter().map(|key| key.0).collect::<Vec<_>>(),
        )
        .execute(&mut *connection)
        .await?;
    }
    if !changes.sockets_new.is_empty() {
        insert_sockets(connection, client_id, host_id, &changes.sockets_new, images, now).await?;
    }
    if !changes.services_gone.is_empty() {
        sqlx::query!(
            "delete from service_now where client_id = $1 and host_id = $2 and key = any($3)",
            client_id,
            host_id,
            &changes.services_gone,
        )
        .execute(&mut *connection)
        .await?;
    }
    if !changes.services_set.is_empty() {
        upsert_services(connection, client_id, host_id, &changes.services_set, now).await?;
    }
    if !changes.updates_gone.is_empty() {
        let (sources, ids): (Vec<String>, Vec<String>) =
            changes.updates_gone.iter().map(|(source, id)| (word(source), id.to_string())).unzip();
        sqlx::query!(
            r#"
            delete from update_now
            where client_id = $1 and host_id = $2
              and (source, id) in (select * from unnest($3::text[], $4::text[]))
            "#,
            client_id,
            host_id,
            &sources,
            &ids,
        )
        .execute(&mut *connection)
        .await?;
    }
    if !changes.updates_set.is_empty() {
        upsert_updates(connection, client_id, host_id, &changes.updates_set, now).await?;
    }
    if !changes.events_gone.is_empty() {
        leave_window(connection, client_id, host_id, &changes.events_gone).await?;
    }
    if !changes.events_set.is_empty() {
        upsert_events(connection, client_id, host_id, &changes.events_set, now).await?;
    }
    Ok(())
}

async fn insert_sockets(
    connection: &mut PgConnection,
    client_id: i32,
    host_id: i64,
    sockets: &[(SocketKey, Socket)],
    images: &ImageIds,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let column = sockets.iter().map(|(_, socket)| socket);
    let keys: Vec<i64> = sockets.iter().map(|(key, _)| key.0).collect();
    let bound: Vec<Option<DateTime<Utc>>> = column.clone().map(|socket| socket.bound_at).collect();
    let started: Vec<Option<DateTime<Utc>>> = column.clone().map(|socket| socket.process_started_at).collect();
    let pids: Vec<Option<i64>> = column.clone().map(|socket| socket.pid.map(i64::from)).collect();
    let image_ids: Vec<Option<i32>> = column.clone().map(|socket| images.of(socket.image.as_deref())).collect();
    let ports: Vec<i32> = column.clone().map(|socket| i32::from(socket.port)).collect();
    let scopes: Vec<i64> = column.clone().map(|socket| i64::from(socket.scope)).collect();
    let protocols: Vec<i16> = column.clone().map(|socket| i16::from(protocol_number(socket.protocol))).collect();
    let states: Vec<i16> = column.clone().map(|socket| i16::from(state_number(socket.state))).collect();
    let specific: Vec<Option<bool>> = column.clone().map(|socket| socket.specific_port).collect();
    let addresses: Vec<IpAddr> = column.clone().map(|socket| socket.address).collect();
    let services: Vec<String> = column.map(|socket| joined(&socket.services)).collect();
    sqlx::query!(
        r#"
        insert into socket_now (client_id, host_id, learned_at, key, bound_at, process_started_at, pid, image_id, port,
          scope, protocol, state, specific_port, address, services)
        select $1, $2, $3, key, bound_at, process_started_at, pid, image_id, port, scope, protocol, state,
          specific_port, address, string_to_array(services, U&'\001f')
        from unnest($4::int8[], $5::timestamptz[], $6::timestamptz[], $7::int8[], $8::int[], $9::int[], $10::int8[],
          $11::int2[], $12::int2[], $13::bool[], $14::inet[], $15::text[])
          as socket (key, bound_at, process_started_at, pid, image_id, port, scope, protocol, state, specific_port,
            address, services)
        "#,
        client_id,
        host_id,
        now,
        &keys,
        &bound as &[Option<DateTime<Utc>>],
        &started as &[Option<DateTime<Utc>>],
        &pids as &[Option<i64>],
        &image_ids as &[Option<i32>],
        &ports,
        &scopes,
        &protocols,
        &states,
        &specific as &[Option<bool>],
        &addresses as &[IpAddr],
        &services,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn upsert_services(
    connection: &mut PgConnection,
    client_id: i32,
    host_id: i64,
    services: &[Service],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let column = services.iter();
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
    sqlx::query!(
        r#"
        insert into service_now (client_id, host_id, learned_at, key, name, display_name, state, start, delayed,
          trigger_start, pid, exit_code, service_exit_code, image_path, account, depends_on, state_since, recovery)
        select $1, $2, $3, key, name, display_name, state, start, delayed, trigger_start, pid, exit_code,
          service_exit_code, image_path, account, string_to_array(depends_on, U&'\001f'), state_since,
          recovery
        from unnest($4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bool[], $10::bool[], $11::int8[],
          $12::int8[], $13::int8[], $14::text[], $15::text[], $16::text[], $17::timestamptz[], $18::jsonb[])
          as service (key, name, display_name, state, start, delayed, trigger_start, pid, exit_code,
            service_exit_code, image_path, account, depends_on, state_since, recovery)
        on conflict (client_id, host_id, key) do update
        set learned_at = excluded.learned_at, name = excluded.name, display_name = excluded.display_name,
          state = excluded.state, start = excluded.start, delayed = excluded.delayed,
          trigger_start = excluded.trigger_start, pid = excluded.pid, exit_code = excluded.exit_code,
          service_exit_code = excluded.service_exit_code, image_path = excluded.image_path,
          account = excluded.account, depends_on = excluded.depends_on, state_since = excluded.state_since,
          recovery = excluded.recovery
        "#,
        client_id,
        host_id,
        now,
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
    .execute(connection)
    .await?;
    Ok(())
}

async fn upsert_updates(
    connection: &mut PgConnection,
    client_id: i32,
    host_id: i64,
    updates: &[Update],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let column = updates.iter();
    let sources: Vec<String> = column.clone().map(|update| word(update.source)).collect();
    let ids: Vec<String> = column.clone().map(|update| update.id.to_string()).collect();
    let kbs: Vec<Option<String>> = column.clone().map(|update| string(update.kb.as_ref())).collect();
    let titles: Vec<String> = column.clone().map(|update| update.title.to_string()).collect();
    let states: Vec<String> = column.clone().map(|update| word(update.state)).collect();
    let installed: Vec<Option<DateTime<Utc>>> = column.clone().map(|update| update.installed_at).collect();
    let removable: Vec<Option<bool>> = column.clone().map(|update| update.removable).collect();
    let versions: Vec<Option<String>> = column.clone().map(|update| string(update.version.as_ref())).collect();
    let aliases: Vec<String> = column.clone().map(|update| joined(&update.aliases)).collect();
    let installers: Vec<Option<String>> = column.map(|update| string(update.installed_by.as_ref())).collect();
    sqlx::query!(
        r#"
        insert into update_now (client_id, host_id, learned_at, source, id, kb, title, state, installed_at, removable,
          version, aliases, installed_by)
        select $1, $2, $3, source, id, kb, title, state, installed_at, removable, version,
          string_to_array(aliases, U&'\001f'), installed_by
        from unnest($4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::timestamptz[], $10::bool[],
          $11::text[], $12::text[], $13::text[])
          as entry (source, id, kb, title, state, installed_at, removable, version, aliases, installed_by)
        on conflict (client_id, host_id, source, id) do update
        set learned_at = excluded.learned_at, kb = excluded.kb, title = excluded.title, state = excluded.state,
          installed_at = excluded.installed_at, removable = excluded.removable, version = excluded.version,
          aliases = excluded.aliases, installed_by = excluded.installed_by
        "#,
        client_id,
        host_id,
        now,
        &sources,
        &ids,
        &kbs as &[Option<String>],
        &titles,
        &states,
        &installed as &[Option<DateTime<Utc>>],
        &removable as &[Option<bool>],
        &versions as &[Option<String>],
        &aliases,
        &installers as &[Option<String>],
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What left the window stays stored.
async fn leave_window(
    connection: &mut PgConnection,
    client_id: i32,
    host_id: i64,
    gone: &[(Text, u64)],
) -> sqlx::Result<()> {
    let logs: Vec<String> = gone.iter().map(|(log, _)| log.to_string()).collect();
    let record_ids: Vec<i64> = gone.iter().map(|(_, id)| i64::try_from(*id).unwrap_or(i64::MAX)).collect();
    sqlx::query!(
        r#"
        update event
        set in_window = false
        where client_id = $1 and host_id = $2
          and (log, record_id) in (select * from unnest($3::text[], $4::int8[]))
        "#,
        client_id,
        host_id,
        &logs,
        &record_ids,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn upsert_events(
    connection: &mut PgConnection,
    client_id: i32,
    host_id: i64,
    events: &[Event],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let column = events.iter();
    let logs: Vec<String> = column.clone().map(|event| event.log.to_string()).collect();
    let record_ids: Vec<i64> = column.clone().map(|event| i64::try_from(event.record_id).unwrap_or(i64::MAX)).collect();
    let times: Vec<Option<DateTime<Utc>>> = column.clone().map(|event| event.at).collect();
    let providers: Vec<String> = column.clone().map(|event| event.provider.to_string()).collect();
    let ids: Vec<i64> = column.clone().map(|event| i64::from(event.id)).collect();
    let services: Vec<Option<String>> = column.clone().map(|event| string(event.service.as_ref())).collect();
    let data: Vec<serde_json::Value> =
        column.map(|event| serde_json::to_value(&event.data).unwrap_or_default()).collect();
    sqlx::query!(
        r#"
        insert into event (client_id, host_id, learned_at, in_window, log, record_id, at, provider, id, service, data)
        select $1, $2, $3, true, log, record_id, at, provider, id, service, data
        from unnest($4::text[], $5::int8[], $6::timestamptz[], $7::text[], $8::int8[], $9::text[], $10::jsonb[])
          as entry (log, record_id, at, provider, id, service, data)
        on conflict (client_id, host_id, log, record_id) do update
        set learned_at = case when event.at is distinct from excluded.at then excluded.learned_at
            else event.learned_at end,
          in_window = true, at = excluded.at, provider = excluded.provider, id = excluded.id,
          service = excluded.service, data = excluded.data
        "#,
        client_id,
        host_id,
        now,
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
    Ok(())
}

/// What a report says of a section as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct SectionRow {
    pub section: Section,
    /// `None`: known.
    pub unknown_reason: Option<String>,
    pub digest: Vec<u8>,
    /// The section itself where it is one document.
    pub facts: Option<serde_json::Value>,
}

/// What an unknown section said last stays, with the time it was read.
pub async fn write_sections(
    connection: &mut PgConnection,
    client_id: i32,
    host_id: i64,
    sections: &[SectionRow],
    collected_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let column = sections.iter();
    let names: Vec<String> = column.clone().map(|row| section_name(row.section).to_owned()).collect();
    let reasons: Vec<Option<String>> = column.clone().map(|row| row.unknown_reason.clone()).collect();
    let digests: Vec<Vec<u8>> = column.clone().map(|row| row.digest.clone()).collect();
    let facts: Vec<Option<serde_json::Value>> = column.map(|row| row.facts.clone()).collect();
    sqlx::query!(
        r#"
        insert into host_section (client_id, host_id, section, unknown_reason, digest, facts, collected_at, learned_at)
        select $1, $2, section, unknown_reason, digest, facts,
          case when unknown_reason is null then $7::timestamptz end, $8
        from unnest($3::text[], $4::text[], $5::bytea[], $6::jsonb[])
          as report (section, unknown_reason, digest, facts)
        on conflict (client_id, host_id, section) do update
        set unknown_reason = excluded.unknown_reason, digest = excluded.digest,
          facts = coalesce(excluded.facts, host_section.facts),
          collected_at = case when excluded.unknown_reason is null then excluded.collected_at
            else host_section.collected_at end,
          learned_at = excluded.learned_at
        "#,
        client_id,
        host_id,
        &names,
        &reasons as &[Option<String>],
        &digests,
        &facts as &[Option<serde_json::Value>],
        collected_at,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Sections whose report could not be applied: unknown, with no digest, so that the next Hello asks for them in full.
pub async fn mark_rejected(
    connection: &mut PgConnection,
    client_id: i32,
    host_id: i64,
    sections: &[Section],
    reason: &Text,
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let rows: Vec<SectionRow> = sections
        .iter()
        .map(|&section| SectionRow {
            section,
            unknown_reason: Some(reason.to_string()),
            digest: Vec::new(),
            facts: None,
        })
        .collect();
    write_sections(connection, client_id, host_id, &rows, None, now).await
}

/// The slow facts that lists show.
pub async fn write_host(connection: &mut PgConnection, client_id: i32, host_id: i64, host: &Host) -> sqlx::Result<()> {
    let os = &host.os;
    let revision = os.revision.map(|revision| format!(".{revision}")).unwrap_or_default();
    let collected_by = match host.collected_by {
        CollectedBy::Agent => "agent",
        CollectedBy::Capture => "capture",
    };
    sqlx::query!(
        r#"
        update host
        set name = coalesce(nullif($3, ''), name), os_name = $4, os_generation = $5, os_build = $6, booted_at = $7,
          collected_by = $8
        where client_id = $1 and host_id = $2
        "#,
        client_id,
        host_id,
        host.name.as_str(),
        os.name.as_str(),
        word(os.generation()),
        format!("{}.{}.{}{revision}", os.major, os.minor, os.build),
        host.booted_at,
        collected_by,
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn string(text: Option<&Text>) -> Option<String> {
    text.map(ToString::to_string)
}

/// As one text, which SQL takes apart again with `string_to_array(…, U&'\001f')`.
pub(crate) fn joined(texts: &[Text]) -> String {
    texts.iter().map(Text::as_str).collect::<Vec<_>>().join(SEPARATOR)
}
