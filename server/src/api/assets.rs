//! The dashboard, embedded in the program. Its own addresses (`/findings/…`) all answer with the one page that the
//! browser then fills; what looks like a file and is none is a real 404, so that an outdated page fails loudly.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CACHE_CONTROL};
use http::{HeaderValue, Method};
use memory_serve::{CacheControl, MemoryServe};
use tower::ServiceExt;

use crate::api::problem::{Code, Problem};

/// Everything that is not the API. Files under /assets carry a hash in their names and are kept for ever; of everything
/// else a browser asks every time whether it is still the same.
pub fn router() -> Router {
    let files: MemoryServe = memory_serve::load!();
    let revalidated = files.html_cache_control(CacheControl::NoCache).cache_control(CacheControl::NoCache);
    let files = revalidated.into_router().layer(from_fn(keep_hashed));
    let page = files.clone();
    files.fallback(move |request: Request| fallback(page, request))
}

async fn keep_hashed(request: Request, next: Next) -> Response {
    let is_hashed = request.uri().path().starts_with("/assets/");
    let mut response = next.run(request).await;
    if is_hashed && response.status().is_success() {
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("max-age=31536000, immutable"));
    }
    response
}

async fn fallback(page: Router, mut request: Request) -> Response {
    if !is_page(&request) {
        return Problem::new(Code::NoRoute, "There is no such file.").into_response();
    }
    *request.uri_mut() = http::Uri::from_static("/");
    match page.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Whether a person navigates to it.
fn is_page(request: &Request) -> bool {
    let accepts_html = || {
        let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
        accept.is_some_and(|accept| accept.contains("text/html"))
    };
    let path = request.uri().path();
    let is_file = path == "/api" || path == "/assets" || path.starts_with("/api/") || path.starts_with("/assets/");
    matches!(*request.method(), Method::GET | Method::HEAD) && !is_file && accepts_html()
}
