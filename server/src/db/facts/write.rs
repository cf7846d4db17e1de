//! Changed rows of hosts of one client, in few statements: what is gone first, then what came or changed. What ends
//! becomes a span in the same statement. Rows go as arrays in the order of the hosts and are unnested; lists inside a
//! row go as one text with a separator that no [`rules::text::Text`] can hold. What is stored of a service, an
//! update or a section is looked up by `lateral (… limit 1)`, which is by its key whatever Postgres thinks that a table
//! holds: while that was empty at the last look, a join would read all rows of the client instead.
//!
//! Invariant: a span is written once, when it ends, and no span is empty.

mod events;
mod sections;
mod services;
mod sockets;
mod updates;

use chrono::{DateTime, Utc};
use rules::facts::{CollectedBy, Host};
use rules::text::Text;
use sqlx::PgConnection;

use crate::db::facts::dictionaries::Numbers;
use crate::db::facts::{connections, word};
use crate::ingest::state::RowChanges;

pub use sections::{SectionRow, rejected};

/// What a report changes of one host.
#[derive(Clone, Copy, Debug)]
pub struct HostChange<'a> {
    pub host_id: i64,
    /// When it was made, as `agent_stream.told_at` says: what ends and what begins does so here.
    pub at: DateTime<Utc>,
    /// By the host's clock, corrected by its skew. `None`: not said, or not credible.
    pub collected_at: Option<DateTime<Utc>>,
    pub rows: &'a RowChanges,
    /// Sections that the report says something of.
    pub sections: &'a [SectionRow],
    /// `None`: not said anew.
    pub host: Option<&'a Host>,
}

/// Rows written, by table. `numbers` has every image and list of services in `changes`, which name each host once and are in the order of hosts.
pub async fn write(
    connection: &mut PgConnection,
    client_id: i32,
    changes: &[HostChange<'_>],
    numbers: &Numbers,
    now: DateTime<Utc>,
) -> sqlx::Result<[(&'static str, u64); 7]> {
    events::leave_window(connection, client_id, changes).await?;
    let written = [
        ("socket_span", sockets::end(connection, client_id, changes).await?),
        ("socket_now", sockets::begin(connection, client_id, changes, numbers, now).await?),
        ("service_span", services::end(connection, client_id, changes).await?),
        ("service_now", services::set(connection, client_id, changes, now).await?),
        ("update_span", updates::end(connection, client_id, changes).await?),
        ("update_now", updates::set(connection, client_id, changes, now).await?),
        ("event", events::set(connection, client_id, changes, now).await?),
    ];
    sections::set(connection, client_id, changes, now).await?;
    connections::set(connection, client_id, changes).await?;
    for change in changes {
        if let Some(host) = change.host {
            write_host(connection, (client_id, change.host_id), host).await?;
        }
    }
    Ok(written)
}

/// The slow facts that lists show.
async fn write_host(connection: &mut PgConnection, (client_id, host_id): (i32, i64), host: &Host) -> sqlx::Result<()> {
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
