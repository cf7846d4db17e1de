//! The one error that the API speaks: RFC 9457 `application/problem+json` with a stable `code`. Programs switch on the
//! code, people read title and detail. docs/errors.md lists the codes and a test keeps it complete.
//!
//! Invariant: bad input never becomes a 5xx, and no detail ever holds a secret, a query or a stack trace.

use std::borrow::Cow;
use std::fmt;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::{Serialize, Serializer};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToResponse, ToSchema};

/// Makes [`Code`] from a table, so that name, status and title of a code stand in one line.
macro_rules! codes {
    ($($name:ident $code:literal $status:ident $title:literal)*) => {
        /// Why a request failed. Codes are for ever: new ones may come, none changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code { $(#[doc = $title] $name),* }

        impl Code {
            pub const ALL: &[Self] = &[$(Self::$name),*];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }

            pub fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status),* }
            }

            /// The same for every problem of this code.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title),* }
            }
        }
    };
}

codes! {
    BadJson "request.bad-json" BAD_REQUEST "The body is not the JSON that this request takes"
    BadQuery "request.bad-query" BAD_REQUEST "A query parameter is not one that this request takes"
    BadPath "request.bad-path" BAD_REQUEST "The path names something that cannot exist"
    BadText "request.bad-text" BAD_REQUEST "The request holds the character U+0000"
    BadCursor "request.bad-cursor" BAD_REQUEST "The cursor is not one that this list handed out"
    NotJson "request.not-json" UNSUPPORTED_MEDIA_TYPE "A request with a body must be application/json"
    TooLarge "request.too-large" PAYLOAD_TOO_LARGE "The body is larger than 1 MiB"
    NoRoute "request.no-route" NOT_FOUND "There is no such path in this API"
    WrongMethod "request.wrong-method" METHOD_NOT_ALLOWED "This path does not take that method"
    CrossSite "request.cross-site" FORBIDDEN "The request came from another site"
    NotFound "resource.not-found" NOT_FOUND "There is nothing here that you may see"
    SignInRequired "session.required" UNAUTHORIZED "Sign in, or send a valid API token"
    WrongCredentials "session.wrong-credentials" UNAUTHORIZED "The name or the password is wrong"
    TooManyAttempts "session.too-many-attempts" TOO_MANY_REQUESTS "Too many attempts to sign in"
    RoleTooLow "access.role-too-low" FORBIDDEN "Your role does not allow this"
    BadName "endpoint.bad-name" UNPROCESSABLE_ENTITY "This cannot be the name of an endpoint"
    BadUrl "egress.bad-url" UNPROCESSABLE_ENTITY "This is no address to which webhooks can be sent"
    RefusedUrl "egress.refused" UNPROCESSABLE_ENTITY "Webhooks are not sent to this address"
    EndpointExists "endpoint.name-taken" CONFLICT "An endpoint of this name exists"
    NotForm "request.not-form" UNSUPPORTED_MEDIA_TYPE "This request takes a form of multipart/form-data"
    BadForm "request.bad-form" BAD_REQUEST "The form is not the one that this request takes"
    CaptureTooLarge "capture.too-large" PAYLOAD_TOO_LARGE "The capture has more than 32 MiB or 500 files"
    CaptureBadFacts "capture.bad-facts" UNPROCESSABLE_ENTITY "The facts file cannot be read"
    CaptureNothingUnderstood "capture.nothing-understood" UNPROCESSABLE_ENTITY "Nothing in the files was understood"
    CaptureNoName "capture.no-name" UNPROCESSABLE_ENTITY "The capture does not name its host"
    CaptureInFuture "capture.in-future" UNPROCESSABLE_ENTITY "The capture cannot be of a time that is still to come"
    CaptureUnstorable "capture.unstorable" UNPROCESSABLE_ENTITY "What the capture holds cannot be stored"
    CaptureHostHasAgent "capture.host-has-agent" CONFLICT "A host with an agent is not overwritten by a capture"
    CaptureOlder "capture.older" CONFLICT "A newer capture of this host was imported"
    HostNotConnected "host.not-connected" CONFLICT "The agent of the host is not connected"
    HostNoAnswer "host.no-answer" GATEWAY_TIMEOUT "The agent of the host did not answer"
    HostRetired "host.retired" CONFLICT "The host is retired"
    HostNotRetired "host.not-retired" CONFLICT "The host is not retired"
    HostHasMoved "host.has-moved" CONFLICT "The agent of the host speaks for another record"
    HostNoIdentity "host.no-identity" CONFLICT "The host has no identity that could be moved"
    NotKept "past.not-kept" CONFLICT "It lies before what is kept of the host"
    CatalogBadEntry "catalog.bad-entry" UNPROCESSABLE_ENTITY "The entry is faulty"
    CatalogBadOverride "catalog.bad-override" UNPROCESSABLE_ENTITY "An override names an entry, a reason and an end"
    CatalogBadSignature "catalog.bad-signature" UNPROCESSABLE_ENTITY "No trusted key has signed this"
    CatalogBadRelease "catalog.bad-release" UNPROCESSABLE_ENTITY "The release cannot be read"
    CatalogOlder "catalog.older" CONFLICT "A release as new or newer is in force"
    CatalogOneWaits "catalog.one-waits" CONFLICT "Another release waits for its trial or for an admin"
    CatalogNotHeld "catalog.not-held" CONFLICT "The release does not wait for a decision"
    RetentionBadSetting "retention.bad-setting" UNPROCESSABLE_ENTITY "The kind cannot be kept so"
    StoreUnavailable "store.unavailable" SERVICE_UNAVAILABLE "The database cannot be reached"
    StoreSlow "store.slow" SERVICE_UNAVAILABLE "The database took too long"
    Overloaded "server.overloaded" SERVICE_UNAVAILABLE "The server took too long"
    Internal "server.internal" INTERNAL_SERVER_ERROR "The server failed"
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl PartialSchema for Code {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .description(Some("Why the request failed. Stable: switch on this, never on text."))
            .enum_values(Some(Self::ALL.iter().map(|code| code.as_str())))
            .into()
    }
}

impl ToSchema for Code {
    fn name() -> Cow<'static, str> {
        "ProblemCode".into()
    }
}

/// An error, as RFC 9457 has it.
#[derive(Clone, Debug, Serialize, ToSchema, ToResponse)]
#[response(description = "What went wrong", content_type = "application/problem+json")]
pub struct Problem {
    /// `urn:portreeve:problem:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// The same for every problem of this code.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong with this very request.
    detail: String,
    code: Code,
    /// Which fields are wrong, where that is known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    #[serde(skip)]
    retry_after_seconds: Option<u64>,
}

/// What is wrong with one field.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FieldError {
    /// Its name in the body or the query.
    pub field: &'static str,
    pub detail: String,
}

impl Problem {
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:portreeve:problem:{code}"),
            title: code.title(),
            status: code.status().as_u16(),
            detail: detail.into(),
            code,
            errors: Vec::new(),
            retry_after_seconds: None,
        }
    }

    /// A field that holds what it may not; `detail` is a sentence or the rest of one that starts with the name.
    pub fn field(code: Code, field: &'static str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let mut problem = Self::new(code, format!("`{field}` {detail}"));
        problem.errors.push(FieldError { field, detail });
        problem
    }

    /// The same for what does not exist and for what the caller may not see.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("There is no such {what}, or you may not see it."))
    }

    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    pub fn detail(&self) -> &str {
        &self.detail
    }

    pub fn code(&self) -> Code {
        self.code
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let retry_after = self.retry_after_seconds;
        let mut response = (status, Json(self)).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// Bad input is refused before a query is made, so what fails here is the store or a bug of ours.
impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => unavailable(&error),
            sqlx::Error::Database(database) => match database.code().as_deref() {
                // query_canceled: statement_timeout.
                Some("57014") => {
                    tracing::warn!(error = %error, "A query ran into its time limit");
                    Self::new(Code::StoreSlow, "The query was ended after 5 seconds. Ask for less, or try again.")
                        .retry_after(5)
                }
                // datetime_field_overflow: a year in a cursor that Postgres does not have.
                Some("22008") => {
                    Self::new(Code::BadCursor, "Pass `next_cursor` of the page before as it is, or leave `cursor` out.")
                }
                // Classes: connection exception, insufficient resources, operator intervention.
                Some(code) if ["08", "53", "57"].iter().any(|class| code.starts_with(class)) => unavailable(&error),
                _ => internal(&error),
            },
            _ => internal(&error),
        }
    }
}

impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<sqlx::Error>() {
            Ok(error) => error.into(),
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "A request failed");
                Self::new(Code::Internal, "The server's log says more under this request's id.")
            }
        }
    }
}

fn unavailable(error: &sqlx::Error) -> Problem {
    tracing::warn!(error = %error, "The database cannot be reached");
    Problem::new(Code::StoreUnavailable, "The server is up and will answer when its database is back.").retry_after(5)
}

fn internal(error: &sqlx::Error) -> Problem {
    tracing::error!(error = %error, "A query failed");
    Problem::new(Code::Internal, "The server's log says more under this request's id.")
}

#[cfg(test)]
mod tests {
    use super::{Code, Problem};
    use axum::response::IntoResponse;

    #[test]
    fn codes_are_told_apart() {
        let mut codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Code::ALL.len());
    }

    #[test]
    fn every_code_stands_in_the_document_with_its_status() {
        let document = include_str!("../../../docs/errors.md");
        for code in Code::ALL {
            let row = format!("| `{code}` | {} |", code.status().as_u16());
            assert!(document.contains(&row), "docs/errors.md lacks {row}");
        }
    }

    #[test]
    fn says_when_to_come_back() {
        let response = Problem::from(sqlx::Error::PoolTimedOut).into_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "5");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
}
