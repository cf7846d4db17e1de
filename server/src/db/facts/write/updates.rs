//! Entries of lists of updates, as services: a change is the same row and a span, the same again is nothing.

use chrono::{DateTime, Utc};
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
        changes.iter().flat_map(|change| change.rows.updates_gone.iter().map(move |key| (change, key))).collect();
    if gone.is_empty() {
        return Ok(0);
    }
    let done = sqlx::query!(
        r#"
        with gone as (
          delete from update_now
          using unnest($2::int8[], $3::text[], $4::text[], $5::timestamptz[]) as said (host_id, source, id, at)
          where update_now.client_id = $1 and update_now.host_id = said.host_id and update_now.source = said.source
            and update_now.id = said.id
          returning update_now.host_id, update_now.source, update_now.id, valid_from, said.at as valid_to, kb, title,
            state, installed_at, removable, version, aliases, installed_by, learned_at
        )
        insert into update_span (client_id, host_id, source, id, valid_from, valid_to, kb, title, state, installed_at,
          removable, version, aliases, installed_by, learned_at)
        select $1, host_id, source, id, valid_from, valid_to, kb, title, state, installed_at, removable, version,
          aliases, installed_by, learned_at
        from gone
        where valid_from < valid_to
        "#,
        client_id,
        &gone.iter().map(|(change, _)| change.host_id).collect::<Vec<i64>>(),
        &gone.iter().map(|(_, (source, _))| word(source)).collect::<Vec<String>>(),
        &gone.iter().map(|(_, (_, id))| id.to_string()).collect::<Vec<String>>(),
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
        changes.iter().flat_map(|change| change.rows.updates_set.iter().map(move |row| (change, row))).collect();
    if set.is_empty() {
        return Ok(0);
    }
    let host_ids: Vec<i64> = set.iter().map(|(change, _)| change.host_id).collect();
    let times: Vec<DateTime<Utc>> = set.iter().map(|(change, _)| change.at).collect();
    let column = set.iter().map(|(_, update)| *update);
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
    let written = sqlx::query_scalar!(
        r#"
        with said as (
          select host_id, at, source, id, kb, title, state, installed_at, removable, version,
            string_to_array(aliases, U&'\001f') as aliases, installed_by
          from unnest($3::int8[], $4::timestamptz[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
            $10::timestamptz[], $11::bool[], $12::text[], $13::text[], $14::text[])
            as said (host_id, at, source, id, kb, title, state, installed_at, removable, version, aliases,
              installed_by)
        ), matched as (
          select said.*, held.place, held.is_other
          from said
          left join lateral (
            select ctid as place,
              (kb, title, state, installed_at, removable, version, aliases, installed_by)
              is distinct from (said.kb, said.title, said.state, said.installed_at, said.removable, said.version,
                said.aliases, said.installed_by) as is_other
            from update_now
            where client_id = $1 and host_id = said.host_id and source = said.source and id = said.id
            limit 1) as held on true
        ), ended as (
          insert into update_span (client_id, host_id, source, id, valid_from, valid_to, kb, title, state,
            installed_at, removable, version, aliases, installed_by, learned_at)
          select $1, held.host_id, held.source, held.id, held.valid_from, matched.at, held.kb, held.title, held.state,
            held.installed_at, held.removable, held.version, held.aliases, held.installed_by, held.learned_at
          from matched
          join update_now as held on held.client_id = $1 and held.ctid = matched.place
          where matched.is_other and held.valid_from < matched.at
        ), changed as (
          update update_now
          set learned_at = $2, valid_from = matched.at, kb = matched.kb, title = matched.title, state = matched.state,
            installed_at = matched.installed_at, removable = matched.removable, version = matched.version,
            aliases = matched.aliases, installed_by = matched.installed_by
          from matched
          where update_now.client_id = $1 and update_now.ctid = matched.place and matched.is_other
          returning update_now.id
        ), added as (
          insert into update_now (client_id, learned_at, host_id, valid_from, source, id, kb, title, state,
            installed_at, removable, version, aliases, installed_by)
          select $1, $2, host_id, at, source, id, kb, title, state, installed_at, removable, version, aliases,
            installed_by
          from matched
          where place is null
          returning id
        )
        select (select count(*) from changed) + (select count(*) from added) as "written!"
        "#,
        client_id,
        now,
        &host_ids,
        &times,
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
    .fetch_one(connection)
    .await?;
    Ok(written.unsigned_abs())
}
