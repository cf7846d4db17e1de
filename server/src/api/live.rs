//! The live stream: hints that something changed, as Server-Sent Events. A page that hears one reads again what it
//! shows; a hint carries no facts, and nobody hears of a client that they may not see.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, Stream};
use http::{HeaderName, HeaderValue};
use serde::Serialize;
use tokio::time::{Instant, Interval, interval_at};
use utoipa::ToSchema;

use crate::api::access::Caller;
use crate::api::problem::Problem;
use crate::app::App;
use crate::live::{self, Hint, HintKind, News};

/// Data of a `hint` event: something of this client changed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LiveHint {
    pub kind: LiveHintKind,
    /// Id of the host, finding or delivery; empty where the catalog changed.
    pub id: String,
    /// 0 where the catalog changed.
    pub client_id: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LiveHintKind {
    Host,
    Finding,
    Delivery,
    Catalog,
}

impl From<Hint> for LiveHint {
    fn from(hint: Hint) -> Self {
        let kind = match hint.kind {
            HintKind::Host => LiveHintKind::Host,
            HintKind::Finding => LiveHintKind::Finding,
            HintKind::Delivery => LiveHintKind::Delivery,
            HintKind::Catalog => LiveHintKind::Catalog,
        };
        Self { kind, id: hint.id, client_id: hint.client_id }
    }
}

/// How often a stream asks whether its session still holds: a disabled operator hears nothing after so long.
const RECHECK: Duration = Duration::from_secs(5);
/// A comment that keeps proxies from closing a silent stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Hints as Server-Sent Events
///
/// Events: `hint`, with a LiveHint as data; `resync`, whose data is `{}`: hints were missed, read again all that is
/// shown. Every stream starts with `resync`, so that nothing is missed between two of them and `Last-Event-ID` is not
/// needed. The stream ends with the session.
#[utoipa::path(
    get,
    path = "/live",
    tag = "live",
    responses(
        (status = 200, description = "Events, without end", body = LiveHint, content_type = "text/event-stream"),
        (status = "default", response = Problem)
    )
)]
pub async fn stream(caller: Caller, State(app): State<Arc<App>>) -> Response {
    let listener =
        Listener { hints: app.bus.subscribe(), recheck: interval_at(Instant::now() + RECHECK, RECHECK), caller, app };
    let no_buffering = (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    let events = Sse::new(events(listener)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("still here"));
    ([no_buffering], events).into_response()
}

struct Listener {
    app: Arc<App>,
    caller: Caller,
    hints: live::Listener,
    recheck: Interval,
}

/// Subscribed before the first `resync` is sent: a change is either read by the page or hinted at.
fn events(listener: Listener) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold((listener, true), |(mut listener, is_first)| async move {
        let event = if is_first {
            listener.until_readable(Instant::now()).await;
            resync()
        } else {
            listener.next().await?
        };
        Some((Ok(event), (listener, false)))
    })
}

impl Listener {
    /// `None`: the stream ends.
    async fn next(&mut self) -> Option<Event> {
        let stopping = self.app.stopping.clone();
        loop {
            tokio::select! {
                () = stopping.cancelled() => return None,
                _ = self.recheck.tick() => self.caller = self.still_allowed().await?,
                (published, news) = self.hints.next() => {
                    let event = match news {
                        News::Hint(hint) if hint.kind == HintKind::Catalog || self.caller.scope.0.contains(&hint.client_id) => event(hint),
                        News::Hint(_) => continue,
                        News::Anything => resync(),
                    };
                    self.until_readable(published).await;
                    return Some(event);
                }
            }
        }
    }

    /// A page that hears of a change reads at once, and a replica may be a little behind.
    async fn until_readable(&self, published: Instant) {
        if let Some(reading) = &self.app.db.reading {
            self.app.stopping.run_until_cancelled(reading.catch_up(published)).await;
        }
    }

    /// The caller as of now, who may have lost or gained clients. A database that is away ends the stream too: the
    /// page then shows that it is not live.
    async fn still_allowed(&self) -> Option<Caller> {
        match Caller::recognise(&self.app, self.caller.proof.clone()).await {
            Ok(caller) => caller,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "Ended a live stream: its session cannot be checked");
                None
            }
        }
    }
}

fn resync() -> Event {
    Event::default().event("resync").data("{}")
}

fn event(hint: Hint) -> Event {
    // Serialising a struct of texts and numbers cannot fail; if it ever did, the page reads everything again.
    Event::default().event("hint").json_data(LiveHint::from(hint)).unwrap_or_else(|_| resync())
}
