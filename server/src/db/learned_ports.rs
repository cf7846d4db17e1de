//! Ports that services hold across the installation: counted client by client, stored as numbers without names.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use rules::ports::Port;
use rules::socket_key::protocol_number;
use sqlx::PgConnection;

use crate::db::history::protocol;
use crate::db::{Db, Scope};

/// A port that a service holds from one program: in lower case, both.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeldPort {
    pub service: String,
    /// File name of the program.
    pub image: String,
    pub port: Port,
}

/// On how many hosts.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    pub held: BTreeMap<HeldPort, i64>,
    /// Of a service by name in lower case: where it was seen to run.
    pub ran: BTreeMap<String, i64>,
}

/// Hosts that are counted at once: so few that nobody waits for it.
const HOSTS: i64 = 50;

/// What the newest boots of some hosts in `scope` show, those behind host `after`, and the last of them. `None`: there are
/// no more.
pub async fn count(scope: &Scope, db: &Db, after: i64) -> sqlx::Result<Option<(i64, Counted)>> {
    let mut transaction = db.begin(scope).await?;
    let newest = sqlx::query!(
        r#"
        select client_id, host_id, newest.number as "number!"
        from host
        cross join lateral (
          select number
          from boot
          where client_id = host.client_id and host_id = host.host_id and sockets_seen
          order by number desc
          limit 1
        ) as newest
        where client_id = any ($1) and host_id > $2 and retired_at is null
        order by host_id
        limit $3
        "#,
        &scope.0,
        after,
        HOSTS,
    )
    .fetch_all(&mut *transaction)
    .await?;
    let Some(last) = newest.last().map(|boot| boot.host_id) else { return Ok(None) };
    let client_ids: Vec<i32> = newest.iter().map(|boot| boot.client_id).collect();
    let host_ids: Vec<i64> = newest.iter().map(|boot| boot.host_id).collect();
    let numbers: Vec<i32> = newest.iter().map(|boot| boot.number).collect();
    // Names are made here, once of each program, and hosts are told apart here: both by row of the ledger took most of a
    // processor for minutes at ten thousand hosts. What is small letters is decided here too, whatever the database's locale.
    let held = sqlx::query!(
        r#"
        select service as "service!", image.path, protocol as "protocol!", port as "port!", holders as "holders!"
        from (
          select entry.services[1] as service, entry.image_id, entry.protocol, entry.port,
            array_agg(entry.host_id) as holders
          from unnest($1::int[], $2::int8[], $3::int[]) as newest (client_id, host_id, number)
          join boot_entry as entry using (client_id, host_id, number)
          where entry.kind = 1 and cardinality(entry.services) = 1
            and not (entry.address << '127.0.0.0/8' or entry.address = '::1')
          group by 1, 2, 3, 4
        ) as held
        join image using (image_id)
        "#,
        &client_ids,
        &host_ids,
        &numbers,
    )
    .fetch_all(&mut *transaction)
    .await?;
    let ran = sqlx::query!(
        r#"
        select entry.services[1] as "service!", array_agg(entry.host_id) as "runners!"
        from unnest($1::int[], $2::int8[], $3::int[]) as newest (client_id, host_id, number)
        join boot_entry as entry using (client_id, host_id, number)
        where entry.kind in (1, 3) and cardinality(entry.services) = 1
        group by 1
        "#,
        &client_ids,
        &host_ids,
        &numbers,
    )
    .fetch_all(&mut *transaction)
    .await?;
    transaction.commit().await?;
    let mut holders: BTreeMap<HeldPort, BTreeSet<i64>> = BTreeMap::new();
    for row in held {
        let (Some(protocol), Ok(number)) = (protocol(row.protocol), u16::try_from(row.port)) else { continue };
        let image = row.path.rsplit(['\\', '/']).next().unwrap_or_default().to_lowercase();
        let held = HeldPort { service: row.service.to_lowercase(), image, port: Port { protocol, number } };
        holders.entry(held).or_default().extend(row.holders);
    }
    let mut runners: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    for row in ran {
        runners.entry(row.service.to_lowercase()).or_default().extend(row.runners);
    }
    Ok(Some((last, Counted { held: number_of(holders), ran: number_of(runners) })))
}

/// When ports were last learned. `None`: nothing was.
pub async fn learned_at(db: &Db) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!("select max(learned_at) from learned_port").fetch_one(&db.pool).await
}

/// One port with its counts, as stored.
#[derive(Clone, Debug)]
pub struct LearnedPort {
    pub held: HeldPort,
    pub hosts: i32,
    pub of: i32,
}

/// In place of what was stored.
pub async fn replace(db: &Db, ports: &[LearnedPort], now: DateTime<Utc>) -> sqlx::Result<()> {
    let services: Vec<String> = ports.iter().map(|port| port.held.service.clone()).collect();
    let images: Vec<String> = ports.iter().map(|port| port.held.image.clone()).collect();
    let protocols: Vec<i16> = ports.iter().map(|port| i16::from(protocol_number(port.held.port.protocol))).collect();
    let numbers: Vec<i32> = ports.iter().map(|port| i32::from(port.held.port.number)).collect();
    let hosts: Vec<i32> = ports.iter().map(|port| port.hosts).collect();
    let of: Vec<i32> = ports.iter().map(|port| port.of).collect();
    let mut transaction = db.pool.begin().await?;
    // Two servers that count at the same time write one after the other.
    sqlx::query!("lock table learned_port in share row exclusive mode").execute(&mut *transaction).await?;
    sqlx::query!("delete from learned_port").execute(&mut *transaction).await?;
    sqlx::query!(
        r#"
        insert into learned_port (service, image, protocol, port, hosts, of, learned_at)
        select service, image, protocol, port, hosts, of, $7
        from unnest($1::text[], $2::text[], $3::int2[], $4::int[], $5::int[], $6::int[])
          as learned (service, image, protocol, port, hosts, of)
        "#,
        &services,
        &images,
        &protocols,
        &numbers,
        &hosts,
        &of,
        now,
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

/// What is learned of these services, given in lower case.
pub async fn of(connection: &mut PgConnection, services: &[String]) -> sqlx::Result<Vec<LearnedPort>> {
    let rows = sqlx::query!(
        r#"
        select service, image, protocol, port, hosts, of
        from learned_port
        where service = any($1)
        order by service, protocol, port, hosts desc, image
        "#,
        services,
    )
    .fetch_all(connection)
    .await?;
    let learned = rows.into_iter().filter_map(|row| {
        let port = Port { protocol: protocol(row.protocol)?, number: u16::try_from(row.port).ok()? };
        Some(LearnedPort {
            held: HeldPort { service: row.service, image: row.image, port },
            hosts: row.hosts,
            of: row.of,
        })
    });
    Ok(learned.collect())
}

/// How many hosts each has.
fn number_of<K: Ord>(hosts: BTreeMap<K, BTreeSet<i64>>) -> BTreeMap<K, i64> {
    hosts.into_iter().map(|(of, hosts)| (of, i64::try_from(hosts.len()).unwrap_or(i64::MAX))).collect()
}
