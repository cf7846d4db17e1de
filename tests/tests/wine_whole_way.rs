//! The whole way of a Windows server: the real agent.exe, under Wine, enrolls and streams; its facts lie in Postgres and
//! its finding opens; when the update goes, the finding resolves.

use std::net::UdpSocket;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tests::server::{Server, eventually};
use tests::truth::database;
use tests::wine::{Program, WinePrefix, agent_exe, example_exe, windows_path};

/// KB948609 and an Exchange Server 2007 SP1, as the registry holds them.
const SEED: &str = r#"
[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\Packages\Package_for_KB948609~31bf3856ad364e35~amd64~~6.0.1.2716]
"CurrentState"=dword:00000070

[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Exchange\Setup]
"MsiInstallPath"="C:\\Program Files\\Microsoft\\Exchange Server\\"

[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Exchange\v8.0\ClientAccessRole]
"ConfiguredVersion"="8.1.240.6"
"#;
const UNSEED: &str = r"
[-HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\Packages\Package_for_KB948609~31bf3856ad364e35~amd64~~6.0.1.2716]
";

const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn the_windows_agent_enrolls_streams_and_is_judged() -> Result<()> {
    let mut server = Server::start().await?;
    server.sign_up().await?;
    let token = server.new_site("Fabrikam", 1).await?;

    let prefix = WinePrefix::new()?;
    // The update is one of Server 2008, which Wine can claim to be although the agent's real floor is 2008 R2.
    let output = prefix.run(Path::new("winecfg"), &["-v", "win2008"])?;
    anyhow::ensure!(output.status.success(), "winecfg: {}", String::from_utf8_lossy(&output.stderr));
    prefix.seed(SEED)?;
    let port = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
    let holder = prefix.spawn(&example_exe("hold_port")?, &[&format!("udp/{port}")])?;
    holder.wait_for_line(|line| line == "holding")?;
    let _agent = enroll_and_run(&server, &prefix, &token)?;

    let host = eventually("the host is there with its services", PATIENCE, async || {
        let hosts = server.get("/api/v1/hosts").await?;
        let Some(id) = hosts["items"][0]["id"].as_i64() else { return Ok(None) };
        let services = server.get(&format!("/api/v1/hosts/{id}/services")).await?;
        let rows = services["items"].as_array().or(services.as_array()).context("a list of services")?;
        Ok(rows.iter().any(|row| row["state"] == "running").then_some(id))
    })
    .await?;

    let pool = database(&server).await?;
    eventually("its sockets are in Postgres", PATIENCE, async || {
        let owner: Option<String> = sqlx::query_scalar(
            "select path from socket_now join image using (image_id) where host_id = $1 and port = $2 and protocol = 17",
        )
        .bind(host)
        .bind(i32::from(port))
        .fetch_optional(&pool)
        .await?;
        Ok(owner.filter(|path| path.ends_with("hold_port.exe")))
    })
    .await?;

    let finding = eventually("the finding opens", PATIENCE, async || finding(&server, "open").await).await?;
    anyhow::ensure!(finding["host"]["id"].as_i64() == Some(host), "a finding of another host: {finding}");
    prefix.seed(UNSEED)?;
    eventually("the finding resolves", PATIENCE, async || finding_of(&server, &finding["id"], "resolved").await)
        .await?;
    Ok(())
}

/// The finding of KB948609 in this state.
async fn finding(server: &Server, state: &str) -> Result<Option<Value>> {
    let findings = server.get(&format!("/api/v1/findings?state={state}")).await?;
    let items = findings["items"].as_array().context("a list of findings")?;
    Ok(items.iter().find(|finding| finding["subject"]["kb"] == "KB948609").cloned())
}

async fn finding_of(server: &Server, id: &Value, state: &str) -> Result<Option<Value>> {
    Ok(finding(server, state).await?.filter(|finding| finding["id"] == *id))
}

fn enroll_and_run(server: &Server, prefix: &WinePrefix, token: &str) -> Result<Program> {
    let exe = agent_exe()?;
    let token_file = prefix.drive().join("token.txt");
    std::fs::write(&token_file, token)?;
    let output = prefix.run(
        &exe,
        &[
            "enroll",
            "--server",
            &server.enroll().to_string(),
            "--agents-port",
            &server.agents().port().to_string(),
            "--token-file",
            &windows_path(Path::new(&token_file)),
        ],
    )?;
    anyhow::ensure!(output.status.success(), "enroll: {}", String::from_utf8_lossy(&output.stderr));
    prefix.spawn(&exe, &["run"])
}
