//! What is remembered of a host: who held which port in its earlier boots, and its services as they last ran well. Read
//! once for each stream and boot, written where it differs, in the transaction of a report.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rules::last_good::{Ran, RanIn, Running, Setting, Setup};
use rules::ports::{Port, Protocol};
use rules::socket_key::protocol_number;
use rules::text::Text;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::db::facts::joined;
use crate::db::learned_ports::{self, LearnedPort};
use crate::ingest::memory::{Noted, Remembered};

/// Earlier boots that are looked at, the newest.
const BOOTS: i64 = 20;

/// What the ledger says of the earlier boots of a host.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// Numbers of the boots of which the sockets were seen.
    pub boots: BTreeSet<i32>,
    pub held: Vec<Held>,
    /// Boots in which a service was seen to run, by its name in lower case.
    pub ran: BTreeMap<String, BTreeSet<i32>>,
    /// What the installation shows of the services that this host has now.
    pub elsewhere: Vec<LearnedPort>,
    /// As `boot.derived_by` of the present boot. `None`: it is not stored, or was told by an older server.
    pub derived_by: Option<String>,
}

/// A port that one program held.
#[derive(Clone, Debug)]
pub struct Held {
    pub port: Port,
    /// Full path, or as much of it as was seen.
    pub image: Option<String>,
    pub services: Vec<String>,
    /// At nothing but addresses that stay on the host.
    pub is_loopback: bool,
    pub boots: BTreeSet<i32>,
}

/// Of the boots before the one that is named `present`.
pub async fn past(
    connection: &mut PgConnection,
    (client_id, host_id): (i32, i64),
    present: Option<&str>,
) -> sqlx::Result<Past> {
    let rows = sqlx::query!(
        r#"
        select number, derived_by, boot_id is not distinct from $3 as "is_present!"
        from boot
        where client_id = $1 and host_id = $2 and (sockets_seen or boot_id = $3)
        order by number desc
        limit $4
        "#,
        client_id,
        host_id,
        present,
        BOOTS + 1,
    )
    .fetch_all(&mut *connection)
    .await?;
    let derived_by = rows.iter().find(|row| row.is_present).and_then(|row| row.derived_by.clone());
    let mut boots: Vec<i32> = rows.iter().filter(|row| !row.is_present).map(|row| row.number).collect();
    boots.truncate(usize::try_from(BOOTS).unwrap_or_default());
    let services =
        sqlx::query_scalar!("select key from service_now where client_id = $1 and host_id = $2", client_id, host_id,)
            .fetch_all(&mut *connection)
            .await?;
    let elsewhere = learned_ports::of(connection, &services).await?;
    if boots.is_empty() {
        return Ok(Past { elsewhere, derived_by, ..Past::default() });
    }
    let held = sqlx::query!(
        r#"
        select entry.protocol as "protocol!", entry.port as "port!", image.path as "image?", entry.services,
          bool_and(entry.address << '127.0.0.0/8' or entry.address = '::1') as "is_loopback!",
          array_agg(distinct entry.number) as "boots!"
        from boot_entry as entry
        left join image using (image_id)
        where entry.client_id = $1 and entry.host_id = $2 and entry.number = any($3) and entry.kind = 1
        group by entry.protocol, entry.port, image.path, entry.services
        order by entry.protocol, entry.port, image.path, entry.services
        "#,
        client_id,
        host_id,
        &boots,
    )
    .fetch_all(&mut *connection)
    .await?;
    let ran = sqlx::query!(
        r#"
        select lower(services[1]) as "service!", array_agg(distinct number) as "boots!"
        from boot_entry
        where client_id = $1 and host_id = $2 and number = any($3) and kind = 3 and services <> '{}'
        group by 1
        "#,
        client_id,
        host_id,
        &boots,
    )
    .fetch_all(connection)
    .await?;
    let held = held.into_iter().filter_map(|row| {
        Some(Held {
            port: Port { protocol: protocol(row.protocol)?, number: u16::try_from(row.port).ok()? },
            image: row.image,
            services: row.services,
            is_loopback: row.is_loopback,
            boots: row.boots.into_iter().collect(),
        })
    });
    Ok(Past {
        boots: boots.into_iter().collect(),
        held: held.collect(),
        ran: ran.into_iter().map(|row| (row.service, row.boots.into_iter().collect())).collect(),
        elsewhere,
        derived_by,
    })
}

/// Of the boots before the newest that is known.
pub async fn past_of_newest(connection: &mut PgConnection, (client_id, host_id): (i32, i64)) -> sqlx::Result<Past> {
    let newest = sqlx::query_scalar!(
        "select boot_id from boot where client_id = $1 and host_id = $2 order by number desc limit 1",
        client_id,
        host_id,
    )
    .fetch_optional(&mut *connection)
    .await?;
    past(connection, (client_id, host_id), newest.as_deref()).await
}

/// Of its number at IANA.
pub(super) fn protocol(number: i16) -> Option<Protocol> {
    [Protocol::Tcp, Protocol::Udp].into_iter().find(|protocol| i16::from(protocol_number(*protocol)) == number)
}

/// Services as they last ran well, by name in lower case. `present` names the boot that is under way.
pub async fn remembered(
    connection: &mut PgConnection,
    (client_id, host_id): (i32, i64),
    present: Option<&str>,
) -> sqlx::Result<BTreeMap<String, Remembered>> {
    let settings = sqlx::query!(
        r#"
        select setting_id, facts as "facts: Json<Setting>"
        from service_setting
        where client_id = $1 and host_id = $2
        "#,
        client_id,
        host_id,
    )
    .fetch_all(&mut *connection)
    .await?;
    let settings: BTreeMap<i64, Arc<Setting>> =
        settings.into_iter().map(|row| (row.setting_id, Arc::new(row.facts.0))).collect();
    let rows = sqlx::query!(
        r#"
        with ends as materialized (
          select entry.number, lower(entry.services[1]) as key, entry.at
          from boot_entry as entry
          where entry.client_id = $1 and entry.host_id = $2 and entry.kind in (4, 5) and entry.number in (
            select good.boot
            from service_good as good
            join boot on boot.client_id = $1 and boot.host_id = $2 and boot.number = good.boot
            where good.client_id = $1 and good.host_id = $2 and boot.boot_id is distinct from $3)
        )
        select good.key, good.name, good.setting_id, good.noted_at, good.setup as "setup: Json<Setup>", good.ports,
          boot.booted_at as "booted_at?", boot.boot_id is not distinct from $3 and $3::text is not null as "is_present!",
          coalesce(
            (select min(ends.at) from ends where ends.number = good.boot and ends.key = good.key and ends.at > good.noted_at),
            boot.last_seen_at) as "ran_until"
        from service_good as good
        left join boot on boot.client_id = $1 and boot.host_id = $2 and boot.number = good.boot
        where good.client_id = $1 and good.host_id = $2
        "#,
        client_id,
        host_id,
        present,
    )
    .fetch_all(connection)
    .await?;
    let remembered = rows.into_iter().filter_map(|row| {
        let setting = settings.get(&row.setting_id)?;
        let ran = Ran {
            running: Running {
                service: Text::from(row.name),
                setup: row.setup.0,
                ports: row.ports.iter().filter_map(|port| port.parse().ok()).collect(),
            },
            setting: Arc::clone(setting),
            boot: if row.is_present { RanIn::Present } else { RanIn::Earlier(row.booted_at) },
            at: if row.is_present { Some(row.noted_at) } else { row.ran_until.or(Some(row.noted_at)) },
        };
        Some((row.key, Remembered { ran, setting_id: row.setting_id }))
    });
    Ok(remembered.collect())
}

/// Services that run well in the boot `noted` names; nothing where that boot is not stored.
pub async fn note(connection: &mut PgConnection, (client_id, host_id): (i32, i64), noted: &Noted) -> sqlx::Result<()> {
    sqlx::query!(
        r#"
        insert into service_setting (client_id, host_id, setting_id, facts)
        values ($1, $2, $3, $4)
        on conflict do nothing
        "#,
        client_id,
        host_id,
        noted.setting_id,
        Json(&*noted.setting) as _,
    )
    .execute(&mut *connection)
    .await?;
    let column = noted.services.iter();
    let keys: Vec<String> = column.clone().map(|service| service.service.to_lowercase()).collect();
    let names: Vec<String> = column.clone().map(|service| service.service.to_string()).collect();
    let setups: Vec<Json<&Setup>> = column.clone().map(|service| Json(&service.setup)).collect();
    let ports: Vec<String> = column
        .map(|service| joined(&service.ports.iter().map(|port| Text::new(&port.to_string())).collect::<Vec<_>>()))
        .collect();
    sqlx::query!(
        r#"
        insert into service_good (client_id, host_id, key, setting_id, noted_at, boot, name, setup, ports)
        select $1, $2, good.key, $3, $4, boot.number, good.name, good.setup, string_to_array(good.ports, U&'\001f')
        from unnest($6::text[], $7::text[], $8::jsonb[], $9::text[]) as good (key, name, setup, ports)
        join boot on boot.client_id = $1 and boot.host_id = $2 and boot.boot_id = $5
        on conflict (client_id, host_id, key) do update
        set setting_id = excluded.setting_id, noted_at = excluded.noted_at, boot = excluded.boot, name = excluded.name,
          setup = excluded.setup, ports = excluded.ports
        "#,
        client_id,
        host_id,
        noted.setting_id,
        noted.at,
        noted.boot_id.as_str(),
        &keys,
        &names,
        &setups as _,
        &ports,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        r#"
        delete from service_setting as setting
        where client_id = $1 and host_id = $2
          and not exists (
            select
            from service_good as good
            where good.client_id = $1 and good.host_id = $2 and good.setting_id = setting.setting_id)
        "#,
        client_id,
        host_id,
    )
    .execute(connection)
    .await?;
    Ok(())
}
