//! The sections of a host that are made of rows, as facts.

use rules::facts::{OsGeneration, Service, Socket, SocketState, Update};
use rules::ports::Protocol;
use rules::text::Text;
use sqlx::{Postgres, Transaction};

use crate::db::read_hosts::{SectionRow, sections};
use crate::db::{Db, Scope, read};

/// Rows of one section, with the state of all sections.
#[derive(Debug)]
pub struct Rows<T> {
    pub sections: Vec<SectionRow>,
    pub items: Vec<T>,
}

/// What the page of services is made of.
#[derive(Debug)]
pub struct ServiceRows {
    pub sections: Vec<SectionRow>,
    pub os: Option<OsGeneration>,
    pub services: Vec<Service>,
    pub sockets: Vec<Socket>,
}

/// `None`: no such host in `scope`.
pub async fn services(scope: &Scope, db: &Db, host_id: i64) -> anyhow::Result<Option<ServiceRows>> {
    let Some((mut transaction, client_id, os)) = begin(scope, db, host_id).await? else { return Ok(None) };
    let sections = sections(client_id, host_id, &mut transaction).await?;
    let sockets = select_sockets(client_id, host_id, &mut transaction).await?;
    let rows = sqlx::query!(
        "
        select
          name, display_name, state, start, delayed, trigger_start, pid, exit_code, service_exit_code, image_path,
          account, depends_on, state_since
        from service_now
        where client_id = $1
          and host_id = $2
        order by key
        ",
        client_id,
        host_id,
    )
    .fetch_all(&mut *transaction)
    .await?;
    let services = rows
        .into_iter()
        .map(|row| {
            Ok(Service {
                name: row.name.into(),
                display_name: row.display_name.into(),
                state: read::word(row.state)?,
                start: row.start.map(read::word).transpose()?,
                delayed: row.delayed,
                trigger_start: row.trigger_start,
                pid: row.pid.map(u32::try_from).transpose()?,
                exit_code: row.exit_code.map(u32::try_from).transpose()?,
                service_exit_code: row.service_exit_code.map(u32::try_from).transpose()?,
                image_path: row.image_path.map(Text::from),
                account: row.account.map(Text::from),
                depends_on: row.depends_on.into_iter().map(Text::from).collect(),
                state_since: row.state_since,
            })
        })
        .collect::<anyhow::Result<_>>()?;
    let os = os.map(read::word).transpose()?;
    Ok(Some(ServiceRows { sections, os, services, sockets }))
}

/// `None`: no such host in `scope`.
pub async fn sockets(scope: &Scope, db: &Db, host_id: i64) -> anyhow::Result<Option<Rows<Socket>>> {
    let Some((mut transaction, client_id, _)) = begin(scope, db, host_id).await? else { return Ok(None) };
    let sections = sections(client_id, host_id, &mut transaction).await?;
    let items = select_sockets(client_id, host_id, &mut transaction).await?;
    Ok(Some(Rows { sections, items }))
}

/// The newest first. `None`: no such host in `scope`.
pub async fn updates(scope: &Scope, db: &Db, host_id: i64) -> anyhow::Result<Option<Rows<Update>>> {
    let Some((mut transaction, client_id, _)) = begin(scope, db, host_id).await? else { return Ok(None) };
    let sections = sections(client_id, host_id, &mut transaction).await?;
    let rows = sqlx::query!(
        "
        select source, id, kb, title, state, installed_at, removable, version
        from update_now
        where client_id = $1
          and host_id = $2
        order by installed_at desc nulls last, kb desc, source, id
        ",
        client_id,
        host_id,
    )
    .fetch_all(&mut *transaction)
    .await?;
    let items = rows
        .into_iter()
        .map(|row| {
            Ok(Update {
                source: read::word(row.source)?,
                id: row.id.into(),
                kb: row.kb.map(Text::from),
                title: row.title.into(),
                state: read::word(row.state)?,
                installed_at: row.installed_at,
                removable: row.removable,
                version: row.version.map(Text::from),
            })
        })
        .collect::<anyhow::Result<_>>()?;
    Ok(Some(Rows { sections, items }))
}

/// A transaction, the client of the host and the generation of its system.
async fn begin(
    scope: &Scope,
    db: &Db,
    host_id: i64,
) -> sqlx::Result<Option<(Transaction<'static, Postgres>, i32, Option<String>)>> {
    let mut transaction = read::begin(scope, db).await?;
    let host = sqlx::query!(
        "
        select client_id, os_generation
        from host
        where client_id = any ($1)
          and host_id = $2
        ",
        &scope.0,
        host_id,
    )
    .fetch_optional(&mut *transaction)
    .await?;
    Ok(host.map(|host| (transaction, host.client_id, host.os_generation)))
}

async fn select_sockets(
    client_id: i32,
    host_id: i64,
    transaction: &mut sqlx::PgConnection,
) -> anyhow::Result<Vec<Socket>> {
    let rows = sqlx::query!(
        "
        select
          protocol, address, scope, port, state, pid, image.path as \"path?\", process_started_at, services,
          specific_port, bound_at
        from socket_now
        left join image using (image_id)
        where client_id = $1
          and host_id = $2
        ",
        client_id,
        host_id,
    )
    .fetch_all(transaction)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Socket {
                protocol: if row.protocol == 6 { Protocol::Tcp } else { Protocol::Udp },
                address: row.address.addr(),
                scope: row.scope.try_into()?,
                port: row.port.try_into()?,
                state: match row.state {
                    1 => SocketState::Listen,
                    3 => SocketState::Connected,
                    _ => SocketState::Bound,
                },
                pid: row.pid.map(u32::try_from).transpose()?,
                image: row.path.map(Text::from),
                process_started_at: row.process_started_at,
                services: row.services.into_iter().map(Text::from).collect(),
                specific_port: row.specific_port,
                bound_at: row.bound_at,
            })
        })
        .collect()
}
