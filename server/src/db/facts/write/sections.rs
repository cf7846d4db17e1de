//! Sections as wholes: known or not, and the document of those that are one.

use chrono::{DateTime, Utc};
use proto::fleet::v1::Section;
use rules::text::Text;
use sqlx::PgConnection;

use crate::db::facts::{HostChange, section_name};

/// What a report says of a section as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct SectionRow {
    pub section: Section,
    /// `None`: known.
    pub unknown_reason: Option<String>,
    pub digest: Vec<u8>,
    /// The section itself where it is one document; that of connections has a table of its own.
    pub facts: Option<serde_json::Value>,
}

/// Sections whose report could not be applied: unknown, with no digest, so that the next Hello asks for them in full.
pub fn rejected(sections: &[Section], reason: &Text) -> Vec<SectionRow> {
    let row = |&section: &Section| SectionRow {
        section,
        unknown_reason: Some(reason.to_string()),
        digest: Vec::new(),
        facts: None,
    };
    sections.iter().map(row).collect()
}

/// What an unknown section said last stays, with the time it was read. A span ends where a section becomes unknown or
/// known, or its document changes.
pub(super) async fn set(
    connection: &mut PgConnection,
    client_id: i32,
    changes: &[HostChange<'_>],
    now: DateTime<Utc>,
) -> sqlx::Result<()> {
    let set: Vec<_> =
        changes.iter().flat_map(|change| change.sections.iter().map(move |section| (change, section))).collect();
    if set.is_empty() {
        return Ok(());
    }
    let host_ids: Vec<i64> = set.iter().map(|(change, _)| change.host_id).collect();
    let times: Vec<DateTime<Utc>> = set.iter().map(|(change, _)| change.at).collect();
    let collected: Vec<Option<DateTime<Utc>>> = set.iter().map(|(change, _)| change.collected_at).collect();
    let column = set.iter().map(|(_, row)| *row);
    let names: Vec<String> = column.clone().map(|row| section_name(row.section).to_owned()).collect();
    let reasons: Vec<Option<String>> = column.clone().map(|row| row.unknown_reason.clone()).collect();
    let digests: Vec<Vec<u8>> = column.clone().map(|row| row.digest.clone()).collect();
    let document = |row: &SectionRow| row.facts.clone().filter(|_| row.section != Section::Connections);
    let facts: Vec<Option<serde_json::Value>> = column.map(document).collect();
    sqlx::query!(
        r#"
        with said as (
          select host_id, at, section, unknown_reason, digest, facts,
            case when unknown_reason is null then collected_at end as collected_at
          from unnest($3::int8[], $4::timestamptz[], $5::timestamptz[], $6::text[], $7::text[], $8::bytea[],
            $9::jsonb[])
            as said (host_id, at, collected_at, section, unknown_reason, digest, facts)
        ), ended as (
          insert into section_span (client_id, host_id, section, valid_from, valid_to, unknown_reason, facts)
          select $1, held.host_id, held.section, held.valid_from, said.at, held.unknown_reason, held.facts
          from said
          cross join lateral (
            select *
            from host_section
            where client_id = $1 and host_id = said.host_id and section = said.section
            limit 1) as held
          where held.valid_from < said.at
            and (held.unknown_reason, held.facts)
              is distinct from (said.unknown_reason, coalesce(said.facts, held.facts))
        )
        insert into host_section as held (client_id, learned_at, host_id, valid_from, section, unknown_reason, digest,
          facts, collected_at)
        select $1, $2, host_id, at, section, unknown_reason, digest, facts, collected_at
        from said
        on conflict (client_id, host_id, section) do update
        set unknown_reason = excluded.unknown_reason, digest = excluded.digest,
          facts = coalesce(excluded.facts, held.facts),
          collected_at = case when excluded.unknown_reason is null then excluded.collected_at
            else held.collected_at end,
          learned_at = excluded.learned_at,
          valid_from = case
            when (held.unknown_reason, held.facts)
              is distinct from (excluded.unknown_reason, coalesce(excluded.facts, held.facts))
            then excluded.valid_from else held.valid_from end
        "#,
        client_id,
        now,
        &host_ids,
        &times,
        &collected as &[Option<DateTime<Utc>>],
        &names,
        &reasons as &[Option<String>],
        &digests,
        &facts as &[Option<serde_json::Value>],
    )
    .execute(connection)
    .await?;
    Ok(())
}
