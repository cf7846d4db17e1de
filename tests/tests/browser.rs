//! The dashboard as an operator sees it: every page in a real browser, before a server with the demonstration fleet, a
//! real Windows agent, and a host whose names are markup. What is looked at stands in web/browser/.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, ensure};
use tests::agent::Agent;
use tests::server::{Server, eventually};
use tests::truth::Life;
use tests::windows_host::WindowsHost;
use tokio::process::Command;

const HOSTILE: &str = "<img src=x onerror=alert(1)>";
/// What the capture of a RADIUS server shows.
const BLOCKED: &str = "IAS did not start: udp/1812 is held by dns.exe";

#[tokio::test(flavor = "multi_thread")]
async fn every_page_in_a_browser() -> Result<()> {
    let mut server = Server::demo().await?;
    let (name, password) = server.sign_up().await?;
    let token = server.new_site("Browsers & <b>sons</b>", 2).await?;

    // This one changes every second, so that an open page has something to show.
    let mut hostile = Agent::enroll(&server, "hostile", &token).await?;
    let facts = server.scratch().join("hostile.jsonl");
    std::fs::write(&facts, Life { steps: 600, step_ms: 1000 }.lines().replace("TRUTH1", HOSTILE))?;
    hostile.replay(&facts)?;
    let windows = WindowsHost::start(&server, &token)?;
    let windows_name = eventually("both hosts are there", Duration::from_mins(2), async || {
        let hosts = server.get("/api/v1/hosts?limit=500").await?;
        let ours = |host: &&serde_json::Value| host["client"]["name"] == "Browsers & <b>sons</b>";
        let hosts: Vec<_> = hosts["items"].as_array().into_iter().flatten().filter(ours).collect();
        let is_hostile = |host: &&&serde_json::Value| host["name"] == HOSTILE;
        let windows = hosts.iter().find(|host| host["name"] != HOSTILE && host["os_name"].is_string());
        Ok(hosts.iter().find(is_hostile).and(windows).and_then(|host| host["name"].as_str().map(str::to_owned)))
    })
    .await?;

    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/radius1-2003");
    let output = Command::new(root.join("tools/web.sh"))
        .arg("browser")
        .env("PORTREEVE_URL", server.url())
        .env("PORTREEVE_NAME", name)
        .env("PORTREEVE_PASSWORD", password)
        .env("PORTREEVE_SCREENSHOTS", root.join("tests/screenshots"))
        .env("PORTREEVE_HOSTILE", HOSTILE)
        .env("PORTREEVE_HOST", format!("{windows_name}|Eventlog|udp/{}", windows.port))
        .env("PORTREEVE_CAPTURE", format!("{}|Browsers & <b>sons</b>|RADIUS9|{BLOCKED}", capture.display()))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    ensure!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
