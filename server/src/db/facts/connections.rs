//! Counts of connections: a document that is another one with nearly every report. Kept compressed and as it is now only.

use chrono::{DateTime, Utc};
use proto::fleet::v1::Section;
use serde_json::Value;
use sqlx::PgConnection;

use crate::db::facts::HostChange;

/// `None`: none was reported.
pub async fn connections(connection: &mut PgConnection, client_id: i32, host_id: i64) -> sqlx::Result<Option<Value>> {
    let body = sqlx::query_scalar!(
        "select body from connections_now where client_id = $1 and host_id = $2",
        client_id,
        host_id,
    )
    .fetch_optional(connection)
    .await?;
    let Some(body) = body else { return Ok(None) };
    let json = zstd::decode_all(body.as_slice()).map_err(|error| sqlx::Error::Decode(error.into()))?;
    serde_json::from_slice(&json).map(Some).map_err(|error| sqlx::Error::Decode(error.into()))
}

pub(super) async fn set(connection: &mut PgConnection, client_id: i32, changes: &[HostChange<'_>]) -> sqlx::Result<()> {
    let (mut host_ids, mut times, mut bodies) = (Vec::new(), Vec::new(), Vec::new());
    for change in changes {
        let section = change.sections.iter().find(|row| row.section == Section::Connections);
        if let Some(document) = section.and_then(|row| row.facts.as_ref()) {
            host_ids.push(change.host_id);
            times.push(change.at);
            bodies.push(compressed(document)?);
        }
    }
    if host_ids.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        r#"
        insert into connections_now (client_id, host_id, at, body)
        select $1, host_id, at, body
        from unnest($2::int8[], $3::timestamptz[], $4::bytea[]) as said (host_id, at, body)
        on conflict (client_id, host_id) do update
        set at = excluded.at, body = excluded.body
        "#,
        client_id,
        &host_ids,
        &times as &[DateTime<Utc>],
        &bodies,
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn compressed(document: &Value) -> sqlx::Result<Vec<u8>> {
    zstd::encode_all(document.to_string().as_bytes(), 0).map_err(|error| sqlx::Error::Encode(error.into()))
}
