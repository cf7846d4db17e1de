//! What surrounds every request: an id, a log line, figures, security headers, a time limit, and a net for panics.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::time::Instant;
use tracing::{Instrument, debug, info_span};
use uuid::Uuid;

use crate::api::problem::{Code, Problem};
use crate::app::App;

/// Scripts, fonts and data come from this server alone; Mantine writes its variables as inline styles.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                      img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'self'; frame-ancestors 'none'";

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// Longer than any query may take.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// The outermost layer. The id is ours alone: one that a caller sends would put their text into our log.
pub async fn surround(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let id = Uuid::new_v4();
    let started = Instant::now();
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let is_api = route.starts_with("/api");
    let span = info_span!("request", request.id = %id, http.method = method, http.route = %route);
    let mut response = async {
        let answer = tokio::time::timeout(TIME_LIMIT, next.run(request)).await;
        let response = answer.unwrap_or_else(|_| too_slow());
        debug!(http.status = response.status().as_u16(), "Answered after {} ms", started.elapsed().as_millis());
        response
    }
    .instrument(span)
    .await;
    let status = response.status().as_u16().to_string();
    metrics::histogram!("portreeve_http_request_seconds", "method" => method, "route" => route, "status" => status)
        .record(started.elapsed().as_secs_f64());
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(REQUEST_ID, id);
    }
    protect(headers, app.config.is_https());
    if is_api && !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

fn protect(headers: &mut HeaderMap, is_https: bool) {
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    if is_https {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=63072000"));
    }
}

/// One of a few words, whatever a caller sends: labels of metrics must not grow.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        _ => "other",
    }
}

fn too_slow() -> Response {
    tracing::warn!("Gave up on a request after {} s", TIME_LIMIT.as_secs());
    Problem::new(Code::Overloaded, "Try again in a few seconds.").retry_after(5).into_response()
}

/// A panic is a bug of ours; its text goes to the log, never to the caller.
#[expect(clippy::needless_pass_by_value, reason = "the signature that CatchPanicLayer asks for")]
pub fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = text.unwrap_or("not a text"), "A handler panicked");
    Problem::new(Code::Internal, "The server's log says more under this request's id.").into_response()
}
