//! Health for load balancers and supervisors: whether the process lives, and whether it should get requests. Open to
//! all: neither says anything about the installation.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::db::read;

/// Whether the server should get requests.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    pub ready: bool,
    /// The database answers within two seconds.
    pub database: bool,
    /// The server is stopping: open requests end, new ones should go elsewhere.
    pub draining: bool,
}

const DATABASE_LIMIT: Duration = Duration::from_secs(2);

/// The process answers.
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// 200 when ready, 503 when not; the body says why. Migrations need no word: a server that lacks one does not listen.
pub async fn readyz(State(app): State<Arc<App>>) -> Response {
    let answer = tokio::time::timeout(DATABASE_LIMIT, read::ping(&app.db)).await;
    let database = matches!(answer, Ok(Ok(())));
    let draining = app.stopping.is_cancelled();
    let readiness = Readiness { ready: database && !draining, database, draining };
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}
