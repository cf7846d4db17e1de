//! Stored rows as the state of a host.

use std::collections::HashMap;
use std::net::IpAddr;

use proto::{Digests, SECTIONS};
use rules::facts::{Connections, Event, Facts, Host, PortPolicy, Section, Service, Socket, Update};
use rules::socket_key::SocketKey;
use rules::text::Text;
use sqlx::PgConnection;

use crate::db::facts::rows::{ServiceRow, UpdateRow, socket_of};
use crate::db::facts::{connections, section_name};
use crate::ingest::state::{HostState, Stale};

/// Digest of each section that was ever reported, for comparison with what the agent holds.
pub async fn digests(connection: &mut PgConnection, client_id: i32, host_id: i64) -> sqlx::Result<Digests> {
    let rows = sqlx::query!(
        "select section, digest from host_section where client_id = $1 and host_id = $2",
        client_id,
        host_id,
    )
    .fetch_all(connection)
    .await?;
    let by_name: HashMap<String, Vec<u8>> = rows.into_iter().map(|row| (row.section, row.digest)).collect();
    let digest = |section| Some((section, by_name.get(section_name(section))?.clone()));
    Ok(SECTIONS.into_iter().filter_map(digest).collect())
}

/// Everything that is stored of a host. A section that was never reported is unknown.
pub async fn load(connection: &mut PgConnection, client_id: i32, host_id: i64) -> sqlx::Result<HostState> {
    let mut facts = Facts::default();
    let (sockets, socket_keys) = sockets(connection, client_id, host_id).await?;
    let services = services(connection, client_id, host_id).await?;
    let updates = updates(connection, client_id, host_id).await?;
    let events = events_in_window(connection, client_id, host_id).await?;
    let sections = sqlx::query!(
        r#"
        select section, unknown_reason, facts
        from host_section
        where client_id = $1 and host_id = $2
        "#,
        client_id,
        host_id,
    )
    .fetch_all(&mut *connection)
    .await?;
    let connections = connections(connection, client_id, host_id).await?;
    let mut stale = Stale { sockets, services, updates, events };
    for section in sections {
        let unknown = section.unknown_reason.map(Text::from);
        match (section.section.as_str(), section.facts) {
            ("host", stored) => facts.host = document::<Host>(unknown, stored),
            ("port_policy", stored) => facts.port_policy = document::<PortPolicy>(unknown, stored),
            ("sockets", _) => facts.sockets = rows(unknown, &mut stale.sockets),
            ("services", _) => facts.services = rows(unknown, &mut stale.services),
            ("updates", _) => facts.updates = rows(unknown, &mut stale.updates),
            ("events", _) => facts.events = rows(unknown, &mut stale.events),
            ("connections", _) => facts.connections = document::<Connections>(unknown, connections.clone()),
            _ => {}
        }
    }
    Ok(HostState::stored(facts, stale, socket_keys))
}

/// Takes the rows of a known section; those of an unknown one stay behind and are stale.
fn rows<T>(unknown: Option<Text>, stored: &mut Vec<T>) -> Section<Vec<T>> {
    match unknown {
        Some(reason) => Section::Unknown(reason),
        None => Section::Known(std::mem::take(stored)),
    }
}

fn document<T: serde::de::DeserializeOwned>(unknown: Option<Text>, stored: Option<serde_json::Value>) -> Section<T> {
    if let Some(reason) = unknown {
        return Section::Unknown(reason);
    }
    match serde_json::from_value(stored.unwrap_or_default()) {
        Ok(document) => Section::Known(document),
        Err(error) => Section::Unknown(Text::from(format!("what is stored cannot be read: {error}"))),
    }
}

/// Rows of the section, whether it is known now or not, and their keys.
pub async fn sockets(
    connection: &mut PgConnection,
    client_id: i32,
    host_id: i64,
) -> sqlx::Result<(Vec<Socket>, Vec<SocketKey>)> {
    let rows = sqlx::query!(
        r#"
        select key, bound_at, process_started_at, pid, image.path as "path?", port, scope, protocol, state,
          specific_port, address as "address: IpAddr", service_list.names as services
        from socket_now
        join service_list using (service_list_id)
        left join image using (image_id)
        where client_id = $1 and host_id = $2
        "#,
        client_id,
        host_id,
    )
    .fetch_all(connection)
    .await?;
    let socket_and_key = rows.into_iter().map(|row| {
        let key = SocketKey(row.key);
        (socket_of!(row), key)
    });
    Ok(socket_and_key.unzip())
}

/// Rows of the section, whether it is known now or not.
pub async fn services(connection: &mut PgConnection, client_id: i32, host_id: i64) -> sqlx::Result<Vec<Service>> {
    let rows = sqlx::query_as!(
        ServiceRow,
        r#"
        select name, display_name, state, start, delayed, trigger_start, pid, exit_code, service_exit_code, image_path,
          account, depends_on, state_since, recovery
        from service_now
        where client_id = $1 and host_id = $2
        "#,
        client_id,
        host_id,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().filter_map(ServiceRow::service).collect())
}

/// Rows of the section, whether it is known now or not.
pub async fn updates(connection: &mut PgConnection, client_id: i32, host_id: i64) -> sqlx::Result<Vec<Update>> {
    let rows = sqlx::query_as!(
        UpdateRow,
        r#"
        select source, id, kb, title, state, installed_at, removable, version, aliases, installed_by
        from update_now
        where client_id = $1 and host_id = $2
        "#,
        client_id,
        host_id,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().filter_map(UpdateRow::update).collect())
}

/// Entries that the host still reports, whether the section is known now or not.
async fn events_in_window(connection: &mut PgConnection, client_id: i32, host_id: i64) -> sqlx::Result<Vec<Event>> {
    let rows = sqlx::query!(
        r#"
        select log, record_id, at, provider, id, service, data
        from event
        where client_id = $1 and host_id = $2 and in_window
        "#,
        client_id,
        host_id,
    )
    .fetch_all(connection)
    .await?;
    let events = rows.into_iter().filter_map(|row| {
        Some(Event {
            log: row.log.into(),
            record_id: u64::try_from(row.record_id).ok()?,
            at: row.at,
            provider: row.provider.into(),
            id: u32::try_from(row.id).ok()?,
            service: row.service.map(Text::from),
            data: serde_json::from_value(row.data).ok()?,
        })
    });
    Ok(events.collect())
}
