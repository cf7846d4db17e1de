//! The catalog: what is known beforehand and where each entry comes from, with this installation's own entries. Overrides
//! and releases are below. Who signs in may read what counts; admins change it.

pub mod overrides;

pub mod releases;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use http::StatusCode;
use rules::catalog::{self, Catalog, Grounding};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::access::Caller;
use crate::api::extract::{Body, Path, Query};
use crate::api::model::Severity;
use crate::api::page::{self, Limit, Page, checked_text};
use crate::api::problem::{Code, Problem};
use crate::app::App;
use crate::catalog::entries::{self, EntryFault};
use crate::clock;
use crate::db::catalog as rows;
use crate::people::Role;

/// What an entry tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CatalogKind {
    BadUpdate,
    Claim,
    Taker,
}

/// Where an entry comes from. A later one takes the place of an earlier one with its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CatalogOrigin {
    BuiltIn,
    Release,
    Own,
}

/// Something that is known beforehand.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CatalogEntry {
    pub kind: CatalogKind,
    pub id: String,
    pub origin: CatalogOrigin,
    /// The number of a bad update. `null`: it has none, or the entry is none.
    pub kb: Option<String>,
    pub title: String,
    /// Of a bad update; `null` for others.
    pub severity: Option<Severity>,
    /// Whether a source was read that says so. What is from memory makes a finding possible at most.
    pub verified: bool,
    pub sources: Vec<String>,
}

/// Which entries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EntriesQuery {
    /// Words that all stand in its id, number, title or services, in any case.
    q: Option<String>,
    kind: Option<CatalogKind>,
    origin: Option<CatalogOrigin>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500, default = 100)]
    limit: Limit,
}

/// Entries of the catalog by kind and id
#[utoipa::path(
    get,
    path = "/catalog/entries",
    tag = "catalog",
    params(EntriesQuery),
    responses(
        (status = 200, description = "A page of entries", body = Page<CatalogEntry>),
        (status = "default", response = Problem)
    )
)]
pub async fn list(
    _: Caller,
    State(app): State<Arc<App>>,
    Query(query): Query<EntriesQuery>,
) -> Result<Json<Page<CatalogEntry>>, Problem> {
    let after: Option<(CatalogKind, String)> = page::decode(query.cursor.as_deref())?;
    let words = checked_text("q", query.q)?.unwrap_or_default().to_lowercase();
    let words: Vec<&str> = words.split_whitespace().collect();
    let mut found: Vec<CatalogEntry> = all(&app.catalog())
        .filter(|(entry, _)| query.kind.is_none_or(|kind| kind == entry.kind))
        .filter(|(entry, _)| query.origin.is_none_or(|origin| origin == entry.origin))
        .filter(|(_, text)| words.iter().all(|word| text.contains(word)))
        .map(|(entry, _)| entry)
        .filter(|entry| after.as_ref().is_none_or(|after| key(entry) > *after))
        .collect();
    found.sort_by_key(key);
    Ok(Json(Page::new(found, query.limit, key)))
}

/// An entry of this installation's own, as it was written.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct OwnEntry {
    pub kind: CatalogKind,
    pub id: String,
    /// TOML.
    pub text: String,
    pub added_at: DateTime<Utc>,
    /// Name of the operator, or `command line`.
    pub added_by: String,
}

/// Own entries by kind and id
///
/// For admins.
#[utoipa::path(
    get,
    path = "/catalog/own-entries",
    tag = "catalog",
    responses(
        (status = 200, description = "All of them", body = Vec<OwnEntry>),
        (status = "default", response = Problem)
    )
)]
pub async fn own(caller: Caller, State(app): State<Arc<App>>) -> Result<Json<Vec<OwnEntry>>, Problem> {
    caller.require(Role::Admin)?;
    let own = rows::entries(&app.db.pool).await?.into_iter().filter_map(|row| {
        let kind = catalog::Kind::of_folder(&row.kind)?.into();
        Some(OwnEntry { kind, id: row.entry_id, text: row.body, added_at: row.added_at, added_by: row.added_by })
    });
    Ok(Json(own.collect()))
}

/// An entry to be added.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEntryBody {
    /// TOML, one entry, as a file of the catalog holds it.
    #[schema(max_length = 262_144)]
    text: String,
}

/// What was added.
#[derive(Debug, Serialize, ToSchema)]
pub struct AddedEntry {
    pub kind: CatalogKind,
    pub id: String,
}

/// Add an own entry
///
/// For admins who may see every client. It takes the place of a built-in, released or own one with its id; hosts are
/// judged again at once.
#[utoipa::path(
    post,
    path = "/catalog/own-entries",
    tag = "catalog",
    request_body = NewEntryBody,
    responses(
        (status = 201, description = "What it is", body = AddedEntry),
        (status = "default", response = Problem)
    )
)]
pub async fn add(
    caller: Caller,
    State(app): State<Arc<App>>,
    Body(body): Body<NewEntryBody>,
) -> Result<(StatusCode, Json<AddedEntry>), Problem> {
    caller.require(Role::Admin)?;
    caller.require_whole()?;
    let (kind, id) = entries::add(&app.db, &body.text, &caller.name, clock::now()).await?;
    Ok((StatusCode::CREATED, Json(AddedEntry { kind: kind.into(), id })))
}

/// Remove an own entry
///
/// For admins who may see every client. A built-in or released one with its id counts again.
#[utoipa::path(
    delete,
    path = "/catalog/own-entries/{kind}/{id}",
    tag = "catalog",
    params(("kind" = CatalogKind, Path, description = "What it tells of"), ("id" = String, Path, description = "Its id")),
    responses((status = 204, description = "It is gone"), (status = "default", response = Problem))
)]
pub async fn remove(
    caller: Caller,
    State(app): State<Arc<App>>,
    Path((kind, id)): Path<(CatalogKind, String)>,
) -> Result<StatusCode, Problem> {
    caller.require(Role::Admin)?;
    caller.require_whole()?;
    if entries::remove(&app.db, kind.into(), &id, &caller.name).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Problem::not_found("own entry"))
}

/// Every entry, with the text that is searched.
fn all(catalog: &Catalog) -> impl Iterator<Item = (CatalogEntry, String)> {
    let entry = |kind: catalog::Kind, id: &str, title: &str, grounding, sources: &[String]| CatalogEntry {
        kind: kind.into(),
        id: id.to_owned(),
        origin: catalog.origin(kind, id).into(),
        kb: None,
        title: title.to_owned(),
        severity: None,
        verified: grounding == Grounding::Verified,
        sources: sources.to_vec(),
    };
    let bad_updates = catalog.bad_updates().iter().map(move |update| {
        let entry = CatalogEntry {
            kb: update.kb.clone(),
            severity: Some(update.severity.into()),
            ..entry(catalog::Kind::BadUpdate, &update.id, &update.title, update.grounding, &update.sources)
        };
        let more: Vec<&str> = update.all_kbs().chain(update.affected_services.iter().map(String::as_str)).collect();
        (entry, more.join(" "))
    });
    let services = catalog.services().iter().map(move |claim| {
        let services = claim.services.join(", ");
        let title = format!("{}: {services}", claim.product);
        (entry(catalog::Kind::Claim, &claim.id, &title, claim.grounding, &claim.sources), String::new())
    });
    let takers = catalog.takers().iter().map(move |taker| {
        let entry = entry(catalog::Kind::Taker, &taker.id, &taker.name, taker.grounding, &taker.sources);
        (entry, taker.processes.join(" "))
    });
    bad_updates.chain(services).chain(takers).map(|(entry, more)| {
        let text = format!("{} {} {more}", entry.id, entry.title).to_lowercase();
        (entry, text)
    })
}

fn key(entry: &CatalogEntry) -> (CatalogKind, String) {
    (entry.kind, entry.id.clone())
}

impl From<catalog::Kind> for CatalogKind {
    fn from(kind: catalog::Kind) -> Self {
        match kind {
            catalog::Kind::BadUpdate => Self::BadUpdate,
            catalog::Kind::Claim => Self::Claim,
            catalog::Kind::Taker => Self::Taker,
        }
    }
}

impl From<CatalogKind> for catalog::Kind {
    fn from(kind: CatalogKind) -> Self {
        match kind {
            CatalogKind::BadUpdate => Self::BadUpdate,
            CatalogKind::Claim => Self::Claim,
            CatalogKind::Taker => Self::Taker,
        }
    }
}

impl From<catalog::Origin> for CatalogOrigin {
    fn from(origin: catalog::Origin) -> Self {
        match origin {
            catalog::Origin::BuiltIn => Self::BuiltIn,
            catalog::Origin::Release => Self::Release,
            catalog::Origin::Own => Self::Own,
        }
    }
}

impl From<EntryFault> for Problem {
    fn from(fault: EntryFault) -> Self {
        let text = fault.to_string();
        match fault {
            EntryFault::Faulty(_) | EntryFault::NotOne(_) => Self::new(Code::CatalogBadEntry, text),
            EntryFault::NoSuchEntry(_) => Self::field(Code::CatalogBadOverride, "entry", text),
            EntryFault::NoReason => Self::field(Code::CatalogBadOverride, "reason", text),
            EntryFault::BadEnd => Self::field(Code::CatalogBadOverride, "until", text),
            EntryFault::Database(error) => error.into(),
            EntryFault::Other(error) => error.into(),
        }
    }
}
