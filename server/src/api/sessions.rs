//! Signing in and out. A session is a cookie with 256 random bits; the database knows only their hash.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::{Cookie, SameSite};
use chrono::{DateTime, Utc};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::access::{Caller, Proof, cookie_name};
use crate::api::extract::Body;
use crate::api::problem::{Code, Problem};
use crate::api::sign_in::{PeerIp, SignIn};
use crate::app::App;
use crate::clock;
use crate::db::{operator, session};
use crate::people::{Role, Secret};

/// Who is signed in, and what they may see and do.
#[derive(Debug, Serialize, ToSchema)]
pub struct Session {
    pub operator: OperatorRef,
    pub role: Role,
    /// Ids of the clients that the operator may see. `null`: all of them.
    pub clients: Option<Vec<i32>>,
    /// When it ends by itself. `null`: a token without an end. A session that is not used for 30 minutes ends before.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A person who uses the API.
#[derive(Debug, Serialize, ToSchema)]
pub struct OperatorRef {
    pub id: Uuid,
    pub name: String,
}

/// Name and password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignInBody {
    name: String,
    password: String,
}

impl std::fmt::Debug for SignInBody {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SignInBody").field("name", &self.name).field("password", &"***").finish()
    }
}

impl From<Caller> for Session {
    fn from(caller: Caller) -> Self {
        Self {
            operator: OperatorRef { id: caller.operator_id, name: caller.name },
            role: caller.role,
            clients: caller.client_ids,
            expires_at: caller.expires_at,
        }
    }
}

/// Sign in
///
/// Sets the session cookie. Attempts are limited by name and by address.
#[utoipa::path(
    post,
    path = "/session",
    tag = "session",
    request_body = SignInBody,
    responses((status = 200, description = "Who is signed in", body = Session), (status = "default", response = Problem)),
    security(())
)]
pub async fn create(
    State(app): State<Arc<App>>,
    State(sign_in): State<Arc<SignIn>>,
    PeerIp(address): PeerIp,
    jar: CookieJar,
    Body(body): Body<SignInBody>,
) -> Result<(CookieJar, Json<Session>), Problem> {
    sign_in.admit(&body.name, address)?;
    let credentials = operator::credentials(&app.db.pool, &body.name).await?;
    let (operator_id, hash) = credentials.map(|found| (found.operator_id, found.password_hash)).unzip();
    let right = sign_in.verify(body.password, hash).await?;
    let Some(operator_id) = operator_id.filter(|_| right) else {
        tracing::info!(operator.name = %body.name.escape_debug(), %address, "Refused a sign-in");
        return Err(Problem::new(Code::WrongCredentials, "Check both and try again."));
    };
    // A cookie that came with the request is worth nothing any more: a session is never carried over a sign-in.
    if let Some(old) = jar.get(cookie_name(&app.config)).and_then(|cookie| Secret::parse(cookie.value())) {
        session::delete_session(&app.db.pool, &old).await?;
    }
    let secret = Secret::random();
    session::create_session(&app.db.pool, &secret, operator_id, clock::now()).await?;
    let cookie = cookie(&app, secret.reveal());
    let Some(caller) = Caller::recognise(&app, Proof::Session(secret)).await? else {
        return Err(Problem::new(Code::WrongCredentials, "Check both and try again."));
    };
    tracing::info!(operator.id = %operator_id, %address, "{} signed in", caller.name.escape_debug());
    Ok((jar.add(cookie), Json(caller.into())))
}

/// Who is signed in
#[utoipa::path(
    get,
    path = "/session",
    tag = "session",
    responses((status = 200, description = "Who is signed in", body = Session), (status = "default", response = Problem))
)]
pub async fn get(caller: Caller) -> Json<Session> {
    Json(caller.into())
}

/// Sign out
///
/// Ends the session for good. With an API token it does nothing.
#[utoipa::path(
    delete,
    path = "/session",
    tag = "session",
    responses((status = 204, description = "Signed out"), (status = "default", response = Problem))
)]
pub async fn delete(
    caller: Caller,
    State(app): State<Arc<App>>,
    jar: CookieJar,
) -> Result<(CookieJar, StatusCode), Problem> {
    if let Proof::Session(secret) = &caller.proof {
        session::delete_session(&app.db.pool, secret).await?;
    }
    Ok((jar.remove(cookie(&app, String::new())), StatusCode::NO_CONTENT))
}

/// Lives until the browser closes; the server decides when the session ends.
fn cookie(app: &App, value: String) -> Cookie<'static> {
    Cookie::build((cookie_name(&app.config), value))
        .path("/")
        .secure(app.config.is_https())
        .http_only(true)
        .same_site(SameSite::Lax)
        .build()
}
