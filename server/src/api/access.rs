//! Who may pass. Everything under /api is closed; the exceptions are a list of one.
//!
//! Invariant: a handler that takes a [`Caller`] cannot run without one, and what it may see is decided here alone, anew
//! for every request: a disabled operator, an ended session and a revoked token are out at once.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use axum_extra::extract::CookieJar;
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, Method};
use uuid::Uuid;

use crate::api::extract::is_json;
use crate::api::problem::{Code, Problem};
use crate::app::App;
use crate::clock;
use crate::config::Config;
use crate::db::operator::{self, Principal};
use crate::db::reading::Reading;
use crate::db::{Scope, session};
use crate::people::{ApiToken, Role, Secret};

/// What needs neither session nor token.
const OPEN: &[(Method, &str)] = &[(Method::POST, "/api/v1/session")];

/// What takes forms with files instead of JSON.
const FORMS: &[&str] = &["/api/v1/captures"];

/// Who asks, and what they may see.
#[derive(Clone, Debug)]
pub struct Caller {
    pub operator_id: Uuid,
    pub name: String,
    pub role: Role,
    /// Clients that the caller is confined to. `None`: to none.
    pub client_ids: Option<Vec<i32>>,
    pub scope: Scope,
    /// When the session or token ends by itself. `None`: a token without an end.
    pub expires_at: Option<chrono::DateTime<chrono::Utc>>,
    pub proof: Proof,
}

/// How the caller proved who they are.
#[derive(Clone, Debug)]
pub enum Proof {
    Session(Secret),
    Token(ApiToken),
}

impl Caller {
    pub fn require(&self, role: Role) -> Result<(), Problem> {
        if self.role >= role {
            return Ok(());
        }
        Err(Problem::new(
            Code::RoleTooLow,
            format!("This takes the role {}; yours is {}.", role.as_str(), self.role.as_str()),
        ))
    }

    /// What counts for every client is not for somebody who may see some of them.
    pub fn require_whole(&self) -> Result<(), Problem> {
        if self.client_ids.is_none() {
            return Ok(());
        }
        Err(Problem::new(Code::RoleTooLow, "This concerns every client, and you may see some of them only."))
    }

    /// Who this proof speaks for at this moment, without counting as use of a session.
    pub async fn recognise(app: &App, proof: Proof) -> anyhow::Result<Option<Self>> {
        let now = clock::now();
        let principal = match &proof {
            Proof::Session(secret) => session::by_session(&app.db.pool, secret, now).await?,
            Proof::Token(token) => operator::by_api_token(&app.db.pool, token, now).await?,
        };
        Ok(principal.map(|principal| Self::new(principal, proof)))
    }

    fn new(principal: Principal, proof: Proof) -> Self {
        Self {
            operator_id: principal.operator_id,
            name: principal.name,
            role: principal.role,
            client_ids: principal.client_ids,
            scope: principal.scope,
            expires_at: principal.expires_at,
            proof,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(sign_in_required)
    }
}

/// Lets a request pass that is open to all, or whose proof is good; everything else ends here.
pub async fn guard(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Result<Response, Problem> {
    refuse_foreign_writes(&request)?;
    if OPEN.iter().any(|(method, path)| method == request.method() && *path == request.uri().path()) {
        return Ok(next.run(request).await);
    }
    let proof = proof(request.headers(), &app.config).ok_or_else(sign_in_required)?;
    let Some(caller) = Caller::recognise(&app, proof).await? else { return Err(sign_in_required()) };
    if let Proof::Session(secret) = &caller.proof {
        session::touch_session(&app.db.pool, secret, clock::now()).await?;
    }
    request.extensions_mut().insert(caller);
    let _writing = app.db.reading.as_ref().filter(|_| !request.method().is_safe()).map(Reading::writing);
    Ok(next.run(request).await)
}

/// Name of the session cookie. The prefix makes browsers insist on `Secure`, which plain HTTP on loopback lacks.
pub fn cookie_name(config: &Config) -> &'static str {
    if config.is_https() { "__Host-portreeve" } else { "portreeve" }
}

/// What the request shows. `None`: nothing of the right form.
pub fn proof(headers: &HeaderMap, config: &Config) -> Option<Proof> {
    if let Some(authorization) = headers.get(AUTHORIZATION) {
        let (scheme, token) = authorization.to_str().ok()?.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then(|| ApiToken::parse(token.trim()))?.map(Proof::Token);
    }
    let jar = CookieJar::from_headers(headers);
    Secret::parse(jar.get(cookie_name(config))?.value()).map(Proof::Session)
}

/// A page of another site can make a browser send our cookie, but not with a body of JSON and not with these headers.
/// It can send a form: then the headers must be there.
fn refuse_foreign_writes(request: &Request) -> Result<(), Problem> {
    if request.method().is_safe() || request.headers().contains_key(AUTHORIZATION) {
        return Ok(());
    }
    if FORMS.contains(&request.uri().path()) {
        return if says_origin(request.headers()) && is_same_origin(request.headers()) {
            Ok(())
        } else {
            Err(cross_site())
        };
    }
    if request.method() != Method::DELETE && !is_json(request.headers()) {
        return Err(Problem::new(Code::NotJson, "Send the header `content-type: application/json`."));
    }
    if is_same_origin(request.headers()) {
        return Ok(());
    }
    Err(cross_site())
}

fn cross_site() -> Problem {
    Problem::new(Code::CrossSite, "Requests that change something are taken from this server's own pages only.")
}

/// Whether the request says where it came from, as every browser of today does with a form.
fn says_origin(headers: &HeaderMap) -> bool {
    headers.contains_key("sec-fetch-site") || headers.contains_key(ORIGIN)
}

/// Browsers say where a request came from; a program that says nothing is no browser, and has no one's cookie.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).map(|value: &http::HeaderValue| value.to_str().unwrap_or("invalid"));
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = text(ORIGIN.as_str()) else { return true };
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    authority.is_some() && authority == text(HOST.as_str())
}

/// The same whatever is wrong with the proof.
pub fn sign_in_required() -> Problem {
    Problem::new(Code::SignInRequired, "There is no session or token, or it has ended.")
}

#[cfg(test)]
mod tests {
    use super::is_same_origin;
    use http::{HeaderMap, HeaderName, HeaderValue};

    #[test]
    fn tells_own_pages_from_foreign_ones() {
        let cases: &[(&[(&str, &str)], bool)] = &[
            (&[], true),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "none")], true),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("host", "a.example"), ("origin", "https://a.example")], true),
            (&[("host", "a.example"), ("origin", "https://b.example")], false),
            (&[("host", "a.example"), ("origin", "null")], false),
            (&[("origin", "https://b.example")], false),
        ];
        for (headers, expected) in cases {
            let headers: HeaderMap = headers
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect();
            assert_eq!(is_same_origin(&headers), *expected, "{headers:?}");
        }
    }
}
