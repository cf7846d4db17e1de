//! The whole way of a Windows server: the real agent.exe, under Wine, enrolls and streams; its facts lie in Postgres and
//! its finding opens; when the update goes, the finding resolves.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tests::server::{Server, eventually};
use tests::truth::database;
use tests::windows_host::WindowsHost;

const PATIENCE: Duration = Duration::from_mins(2);

#[tokio::test(flavor = "multi_thread")]
async fn the_windows_agent_enrolls_streams_and_is_judged() -> Result<()> {
    let mut server = Server::start().await?;
    server.sign_up().await?;
    let token = server.new_site("Fabrikam", 1).await?;
    let windows = WindowsHost::start(&server, &token)?;

    let host = eventually("the host is there with its services", PATIENCE, async || {
        let hosts = server.get("/api/v1/hosts").await?;
        let Some(id) = hosts["items"][0]["id"].as_i64() else { return Ok(None) };
        let services = server.get(&format!("/api/v1/hosts/{id}/services")).await?;
        let rows = services["items"].as_array().context("a list of services")?;
        Ok(rows.iter().any(|row| row["state"] == "running").then_some(id))
    })
    .await?;

    let pool = database(&server).await?;
    eventually("its sockets are in Postgres", PATIENCE, async || {
        let owner: Option<String> = sqlx::query_scalar(
            "select path from socket_now join image using (image_id) where host_id = $1 and port = $2 and protocol = 17",
        )
        .bind(host)
        .bind(i32::from(windows.port))
        .fetch_optional(&pool)
        .await?;
        Ok(owner.filter(|path| path.ends_with("hold_port.exe")))
    })
    .await?;

    let open = eventually("the finding opens", PATIENCE, async || finding(&server, "open").await).await?;
    ensure!(open["host"]["id"].as_i64() == Some(host), "a finding of another host: {open}");
    windows.remove_the_update()?;
    let resolved = eventually("the finding resolves", PATIENCE, async || finding(&server, "resolved").await).await?;
    ensure!(resolved["id"] == open["id"], "another finding resolved: {resolved}");
    Ok(())
}

/// The finding of KB948609 in this state.
async fn finding(server: &Server, state: &str) -> Result<Option<Value>> {
    let findings = server.get(&format!("/api/v1/findings?state={state}")).await?;
    let items = findings["items"].as_array().context("a list of findings")?;
    Ok(items.iter().find(|finding| finding["subject"]["kb"] == "KB948609").cloned())
}
