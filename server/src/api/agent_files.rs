//! The agent itself, for hosts that are to be installed: whatever the installation put into its folder, to whoever asks.
//! Nothing in it is secret, and a host that asks has no identity yet.

use std::path::Path;

use axum::Router;
use tower_http::services::ServeFile;

/// Installed by `msiexec /i URL`, and the program alone.
const FILES: [&str; 2] = ["portreeve-agent.msi", "portreeve-agent.exe"];

/// `folder` is read at each request: its files may come, change and go.
pub fn router(folder: &Path) -> Router {
    FILES.iter().fold(Router::new(), |router, name| {
        router.route_service(&format!("/agent/{name}"), ServeFile::new(folder.join(name)))
    })
}
