//! What handlers take from a request. Like axum's own extractors, but a refusal is a [`Problem`], and text with U+0000
//! (which Postgres cannot hold) is refused before it meets a query.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::problem::{Code, Problem};

/// A JSON body. Its type denies unknown fields.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(Code::NotJson, "Send the header `content-type: application/json`."));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| bad_body(&rejection))?;
        let bad = |error: serde_json::Error| Problem::new(Code::BadJson, format!("The body does not fit: {error}."));
        let value: Value = serde_json::from_slice(&bytes).map_err(bad)?;
        if holds_nul(&value) {
            return Err(Problem::new(Code::BadText, "A text in the body holds U+0000."));
        }
        serde_json::from_slice(&bytes).map(Self).map_err(bad)
    }
}

/// A query string. Its type denies unknown fields.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if parts.uri.query().is_some_and(|query| query.contains("%00")) {
            return Err(Problem::new(Code::BadText, "A query parameter holds U+0000."));
        }
        axum::extract::Query::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Query(query)| Self(query))
            .map_err(|rejection: QueryRejection| Problem::new(Code::BadQuery, rejection.body_text()))
    }
}

/// The variable parts of a path.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        if parts.uri.path().contains("%00") {
            return Err(Problem::new(Code::BadText, "The path holds U+0000."));
        }
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(path)| Self(path))
            .map_err(|rejection: PathRejection| Problem::new(Code::BadPath, rejection.body_text()))
    }
}

/// Whether the request says that its body is JSON. A form of another site cannot say so.
pub fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

fn bad_body(rejection: &BytesRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Problem::new(Code::TooLarge, "No request needs more.");
    }
    Problem::new(Code::BadJson, "The body ended before it was complete.")
}

/// Whether a text anywhere in `value` holds the character that Postgres cannot.
pub fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(holds_nul),
        Value::Object(members) => members.iter().any(|(name, value)| name.contains('\0') || holds_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
