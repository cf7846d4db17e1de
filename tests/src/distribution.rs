//! Whether the schema can be spread over several machines by client, as it stands: the rules of Citus, asked of the
//! catalog of a migrated database. Citus itself is not needed for that.
//!
//! Every table has one of three places: rows of a client lie with their client (distributed), small tables that others
//! refer to lie everywhere (reference), and what only servers themselves read stays in one place (local).

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use sqlx::{PgConnection, Row as _};

/// Copied to every machine: distributed tables refer to them, or are joined with them. Each before those that refer to it.
pub const REFERENCE: [&str; 9] = [
    "client",
    "operator",
    "endpoint",
    "image",
    "service_list",
    "catalog_key",
    "catalog_release",
    "suspect",
    "learned_port",
];

/// On the coordinator: read by themselves, before a client is known or for all of them.
pub const LOCAL: [&str; 16] = [
    "_sqlx_migrations",
    "schema_contract",
    "installation",
    "session",
    "api_token",
    "enroll_token",
    "agent_certificate",
    "catalog_state",
    "catalog_entry",
    "suspect_look",
    "lease",
    "server_instance",
    "restore",
    "retention",
    "size_sample",
    "sweep",
];

/// Where the rows of a table lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Distributed,
    Reference,
    Local,
}

/// Every table that is not a partition, with its place; faults of those that have none.
pub async fn places(connection: &mut PgConnection) -> Result<(BTreeMap<String, Place>, Vec<String>)> {
    let rows = sqlx::query(
        "
        select
          relname::text as name,
          exists (
            select from pg_attribute
            where attrelid = pg_class.oid and attname = 'client_id' and attnotnull and not attisdropped
              and atttypid = 'int4'::regtype) as has_client
        from pg_class
        where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition
        order by relname
        ",
    )
    .fetch_all(connection)
    .await?;
    let (mut places, mut faults) = (BTreeMap::new(), Vec::new());
    for row in rows {
        let name: String = row.get("name");
        let place = match name.as_str() {
            name if REFERENCE.contains(&name) => Place::Reference,
            name if LOCAL.contains(&name) => Place::Local,
            _ if row.get("has_client") => Place::Distributed,
            _ => {
                faults.push(format!("{name}: no client_id (int, not null); is it a reference or a local table?"));
                continue;
            }
        };
        places.insert(name, place);
    }
    let gone = REFERENCE.iter().chain(&LOCAL).filter(|name| !places.contains_key(**name));
    faults.extend(gone.map(|name| format!("{name}: there is no such table any more")));
    Ok((places, faults))
}

/// What keeps the schema from being distributed; empty when nothing does.
pub async fn faults(connection: &mut PgConnection) -> Result<Vec<String>> {
    let (places, mut faults) = places(connection).await?;
    faults.extend(keys(connection, &places).await?);
    faults.extend(references(connection, &places).await?);
    faults.extend(never(connection).await?);
    Ok(faults)
}

/// Keys of distributed tables begin with the client.
async fn keys(connection: &mut PgConnection, places: &BTreeMap<String, Place>) -> Result<Vec<String>> {
    let rows = sqlx::query(
        "
        select relname::text as name, index_of.indexrelid::regclass::text as key,
          (select attname::text from pg_attribute where attrelid = indrelid and attnum = indkey[0]) as first
        from pg_index as index_of
        join pg_class on pg_class.oid = indrelid
        where relnamespace = 'public'::regnamespace and not relispartition and indisunique
        ",
    )
    .fetch_all(connection)
    .await?;
    let of_distributed = rows.iter().filter(|row| places.get(row.get::<&str, _>("name")) == Some(&Place::Distributed));
    Ok(of_distributed
        .filter(|row| row.get::<Option<&str>, _>("first") != Some("client_id"))
        .map(|row| {
            format!(
                "{}: the key {} does not begin with client_id",
                row.get::<&str, _>("name"),
                row.get::<&str, _>("key")
            )
        })
        .collect())
}

/// Foreign keys between distributed tables include the client; none leads from a reference table to what lies elsewhere.
async fn references(connection: &mut PgConnection, places: &BTreeMap<String, Place>) -> Result<Vec<String>> {
    let rows = sqlx::query(
        "
        select
          conname::text as name,
          source.relname::text as source,
          target.relname::text as target,
          exists (
            select from unnest(conkey, confkey) as pair (here, there)
            join pg_attribute as at_source on at_source.attrelid = conrelid and at_source.attnum = here
            join pg_attribute as at_target on at_target.attrelid = confrelid and at_target.attnum = there
            where at_source.attname = 'client_id' and at_target.attname = 'client_id') as has_client
        from pg_constraint
        join pg_class as source on source.oid = conrelid
        join pg_class as target on target.oid = confrelid
        where contype = 'f' and source.relnamespace = 'public'::regnamespace and conparentid = 0
        ",
    )
    .fetch_all(connection)
    .await?;
    let mut faults = Vec::new();
    for row in rows {
        let (name, source, target): (&str, &str, &str) = (row.get("name"), row.get("source"), row.get("target"));
        let fault = match (places.get(source), places.get(target)) {
            (Some(Place::Distributed), Some(Place::Distributed)) if row.get("has_client") => continue,
            (Some(Place::Distributed), Some(Place::Distributed)) => "does not include client_id",
            (_, Some(Place::Reference) | None) | (Some(Place::Local), Some(Place::Local)) | (None, _) => continue,
            _ => "leads to a table that lies elsewhere",
        };
        faults.push(format!("{source}: the foreign key {name} to {target} {fault}"));
    }
    Ok(faults)
}

/// What no table may have, wherever it lies.
async fn never(connection: &mut PgConnection) -> Result<Vec<String>> {
    let faults: BTreeSet<String> = sqlx::query_scalar(
        "
        select tgrelid::regclass::text || ': the trigger ' || tgname || ' would not run'
        from pg_trigger
        where not tgisinternal
        union all
        select conrelid::regclass::text || ': the exclusion constraint ' || conname
        from pg_constraint
        where contype = 'x' and connamespace = 'public'::regnamespace
        union all
        select conrelid::regclass::text || ': the deferrable constraint ' || conname
        from pg_constraint
        where condeferrable and connamespace = 'public'::regnamespace
        union all
        select seqrelid::regclass::text || ': a sequence of ' || seqtypid::regtype::text || ', not bigint'
        from pg_sequence
        join pg_class on pg_class.oid = seqrelid
        where seqtypid <> 'int8'::regtype and relnamespace = 'public'::regnamespace
        union all
        select inner_table.relname::text || ': partitions within partitions'
        from pg_inherits
        join pg_class as inner_table on inner_table.oid = inhrelid
        where inner_table.relkind = 'p' and inner_table.relnamespace = 'public'::regnamespace
        union all
        select child.relname::text || ': inherits from a table that is not partitioned'
        from pg_inherits
        join pg_class as child on child.oid = inhrelid
        join pg_class as parent on parent.oid = inhparent
        where child.relkind = 'r' and parent.relkind = 'r' and child.relnamespace = 'public'::regnamespace
        ",
    )
    .fetch_all(connection)
    .await?
    .into_iter()
    .collect();
    Ok(faults.into_iter().collect())
}
