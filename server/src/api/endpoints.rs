//! Endpoints: where webhooks go. For admins alone: an address may hold a secret, and decides who learns of findings.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::alerts::egress::EgressFault;
use crate::alerts::{EndpointFault, NewEndpoint, Silence, endpoint};
use crate::api::access::Caller;
use crate::api::extract::{Body, Query};
use crate::api::model::{ClientRef, Severity};
use crate::api::page::{self, Limit, Page};
use crate::api::problem::{Code, Problem};
use crate::app::App;
use crate::clock;
use crate::db::read_endpoints::{self, EndpointListRow};
use crate::people::Role;

/// Where webhooks go.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Endpoint {
    pub id: Uuid,
    pub name: String,
    pub url: String,
    /// Only findings of this client. `null`: of every client.
    pub client: Option<ClientRef>,
    /// Findings below it are not sent.
    pub min_severity: Severity,
    /// Whether it is told of hosts that fall silent and are heard of again.
    pub tells_silence: bool,
    pub created_at: DateTime<Utc>,
    /// Since when nothing is sent. `null`: it is in use.
    pub disabled_at: Option<DateTime<Utc>>,
    pub disabled_reason: Option<String>,
}

/// A new endpoint.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEndpointBody {
    /// 1 to 200 characters, unique.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// `https://…` or `http://…`. Private addresses are refused unless the server was told to allow them.
    #[schema(max_length = 2000)]
    url: String,
    /// Only findings of the client with this id. Left out: of every client, which takes an admin who may see all.
    client: Option<i32>,
    /// Findings below it are not sent. Left out: all are.
    min_severity: Option<Severity>,
    /// Whether it is told of hosts that fall silent and are heard of again. Left out: it is not.
    tells_silence: Option<bool>,
}

/// A new endpoint and, this once, its secret.
#[derive(Serialize, ToSchema)]
pub struct CreatedEndpoint {
    pub id: Uuid,
    /// `whsec_…`: what the receiver checks signatures with (Standard Webhooks). It is not shown again.
    pub secret: String,
}

impl std::fmt::Debug for CreatedEndpoint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("CreatedEndpoint").field("id", &self.id).field("secret", &"***").finish()
    }
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EndpointsQuery {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 500, default = 100)]
    limit: Limit,
}

/// Endpoints by name
///
/// For admins.
#[utoipa::path(
    get,
    path = "/endpoints",
    tag = "endpoints",
    params(EndpointsQuery),
    responses(
        (status = 200, description = "A page of endpoints", body = Page<Endpoint>),
        (status = "default", response = Problem)
    )
)]
pub async fn list(
    caller: Caller,
    State(app): State<Arc<App>>,
    Query(query): Query<EndpointsQuery>,
) -> Result<Json<Page<Endpoint>>, Problem> {
    caller.require(Role::Admin)?;
    let after = page::decode(query.cursor.as_deref())?;
    let rows = read_endpoints::list(&caller.scope, &app.db, after, query.limit.to_fetch()).await?;
    Ok(Json(Page::new(rows, query.limit, |row| row.name.clone()).map(Endpoint::from)))
}

/// Add an endpoint
///
/// For admins. What changes from now on is sent to it.
#[utoipa::path(
    post,
    path = "/endpoints",
    tag = "endpoints",
    request_body = NewEndpointBody,
    responses(
        (status = 201, description = "The endpoint, and its secret this once", body = CreatedEndpoint),
        (status = "default", response = Problem)
    )
)]
pub async fn create(
    caller: Caller,
    State(app): State<Arc<App>>,
    Body(body): Body<NewEndpointBody>,
) -> Result<(StatusCode, Json<CreatedEndpoint>), Problem> {
    caller.require(Role::Admin)?;
    match body.client {
        Some(client) if !caller.scope.0.contains(&client) => return Err(Problem::not_found("client")),
        None if caller.client_ids.is_some() => {
            return Err(Problem::field(Code::RoleTooLow, "client", "must name one of your clients"));
        }
        _ => {}
    }
    let new = NewEndpoint {
        name: body.name,
        url: body.url,
        client_id: body.client,
        min_severity: body.min_severity.unwrap_or(Severity::Info).into(),
        silence: if body.tells_silence == Some(true) { Silence::Told } else { Silence::Kept },
    };
    let created = endpoint::create(&app.db, &app.sealer, &app.egress, &new, clock::now()).await?;
    tracing::info!(operator.id = %caller.operator_id, endpoint.id = %created.endpoint_id, "Added an endpoint");
    Ok((StatusCode::CREATED, Json(CreatedEndpoint { id: created.endpoint_id, secret: created.secret })))
}

impl From<EndpointListRow> for Endpoint {
    fn from(row: EndpointListRow) -> Self {
        Self {
            id: row.endpoint_id,
            name: row.name,
            url: row.url,
            client: row.client_id.zip(row.client_name).map(|(id, name)| ClientRef { id, name }),
            min_severity: Severity::from_row(row.min_severity),
            tells_silence: row.tells_silence,
            created_at: row.created_at,
            disabled_at: row.disabled_at,
            disabled_reason: row.disabled_reason,
        }
    }
}

impl From<EndpointFault> for Problem {
    fn from(fault: EndpointFault) -> Self {
        let text = fault.to_string();
        match fault {
            EndpointFault::BadName => Self::field(Code::BadName, "name", text),
            EndpointFault::NameTaken(_) => Self::field(Code::EndpointExists, "name", text),
            EndpointFault::LongUrl | EndpointFault::Egress(EgressFault::BadUrl(_)) => {
                Self::field(Code::BadUrl, "url", text)
            }
            EndpointFault::Egress(_) => Self::field(Code::RefusedUrl, "url", text),
            EndpointFault::NoSuchClient(_) => Self::not_found("client"),
            EndpointFault::Database(error) => error.into(),
        }
    }
}
