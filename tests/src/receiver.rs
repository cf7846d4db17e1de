//! A receiver of webhooks on this machine: answers as it is told, and keeps what it was sent.

#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "only tests use this, and a panic fails the test that caused it"
)]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode, Uri, header};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Received {
    pub fn id(&self) -> &str {
        self.headers["webhook-id"].to_str().expect("an id is ASCII")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a webhook is JSON")
    }
}

#[derive(Clone, Debug)]
pub enum Answer {
    Status(u16),
    RetryAfter(u16, u32),
    RedirectTo(&'static str),
    /// No answer, ever.
    Silence,
}

/// Until it is dropped.
#[derive(Debug)]
pub struct Receiver {
    pub address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
    _stop: DropGuard,
}

#[derive(Debug)]
struct Inner {
    /// In order; the last one stays.
    answers: VecDeque<Answer>,
    received: Vec<Received>,
}

impl Receiver {
    /// Gives these answers in order, and the last of them from then on.
    pub async fn answering(answers: impl IntoIterator<Item = Answer>) -> Result<Self> {
        let inner = Inner { answers: answers.into_iter().collect(), received: Vec::new() };
        let inner = Arc::new(Mutex::new(inner));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let router = Router::new().fallback(take).with_state(Arc::clone(&inner));
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move { stopped.run_until_cancelled(axum::serve(listener, router).into_future()).await });
        Ok(Self { address, inner, _stop: stop.drop_guard() })
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub fn received(&self) -> Vec<Received> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).received.clone()
    }
}

async fn take(State(inner): State<Arc<Mutex<Inner>>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let answer = {
        let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.received.push(Received { path: uri.path().to_owned(), headers, body });
        if inner.answers.len() > 1 { inner.answers.pop_front() } else { inner.answers.front().cloned() }
    };
    let status = |code| StatusCode::from_u16(code).expect("a status");
    match answer.expect("a receiver has an answer") {
        Answer::Status(code) => (status(code), "\u{1b}[31mas told").into_response(),
        Answer::RetryAfter(code, seconds) => {
            (status(code), [(header::RETRY_AFTER, seconds.to_string())]).into_response()
        }
        Answer::RedirectTo(path) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, path)]).into_response(),
        Answer::Silence => std::future::pending().await,
    }
}
