//! The second incident, whole and on real parts: two services that start by themselves want one port, Windows restarts, the
//! wrong one is first. The agent, which is such a service itself, sees it; the server says who took the port of whom.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rules::facts::ServiceState;
use serde_json::Value;
use tests::server::{Server, eventually};
use tests::wine::{WinePrefix, agent_exe, example_exe};

const PATIENCE: Duration = Duration::from_mins(4);
/// That IAS needs it is knowledge of the catalog.
const PORT: &str = "udp/1812";
const EXE: &str = r"C:\Program Files\Portreeve\portreeve-agent.exe";

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_the_server_says_who_took_the_port() -> Result<()> {
    UdpSocket::bind("127.0.0.1:1812").context("this test needs udp/1812 of this machine for itself")?;
    let mut server = Server::start().await?;
    server.sign_up().await?;
    let token = server.new_site("Contoso", 1).await?;

    let prefix = WinePrefix::new()?;
    let running = prefix.stay_awake()?;
    install_agent(&prefix, &server, &token)?;
    // Services start in the order of their names: this one before IAS.
    let program = example_exe("port_service")?;
    for name in ["AThief", "IAS"] {
        prefix.install_service(name, &program, &format!("{name} {PORT}"))?;
    }
    drop(running);
    prefix.kill();

    let _running = prefix.stay_awake()?;
    let finding = eventually("IAS is found blocked", PATIENCE, async || blocked(&server).await).await?;
    ensure!(finding["severity"] == "critical" && finding["confidence"] == "certain", "{finding}");
    ensure!(finding["subject"]["port"] == PORT, "{finding}");
    // The victim and its code, the holder's process and service.
    let told = finding.to_string();
    for part in ["IAS", "10048", "port_service.exe", "AThief"] {
        ensure!(told.contains(part), "the finding does not tell of {part}: {finding:#}");
    }
    let holder = prefix.collect()?;
    let services = holder.services.known().context("the services are known")?;
    let thief = services.iter().find(|service| service.name == "AThief").context("the thief is a service")?;
    ensure!(thief.state == ServiceState::Running && thief.pid.is_some(), "{thief:?}");
    let pid = thief.pid.context("a running service has a process")?.to_string();
    ensure!(told.contains(&pid), "the finding does not tell the holder's process id {pid}: {finding:#}");
    Ok(())
}

/// By hand, as the package would.
fn install_agent(prefix: &WinePrefix, server: &Server, token: &str) -> Result<()> {
    let folder = prefix.drive().join("Program Files/Portreeve");
    fs::create_dir(&folder)?;
    fs::copy(agent_exe()?, folder.join("portreeve-agent.exe"))?;
    fs::write(prefix.drive().join("token.txt"), token)?;
    let (enroll, agents) = (server.enroll().to_string(), server.agents().port().to_string());
    let arguments = ["install", "--server", &enroll, "--agents-port", &agents, "--token-file", r"C:\token.txt"];
    prefix.succeed(Path::new(EXE), &arguments).map(drop)
}

async fn blocked(server: &Server) -> Result<Option<Value>> {
    let findings = server.get("/api/v1/findings?state=open").await?;
    let items = findings["items"].as_array().context("a list of findings")?;
    let Some(found) =
        items.iter().find(|found| found["rule"] == "port-conflict/blocked" && found["subject"]["service"] == "IAS")
    else {
        return Ok(None);
    };
    let id = found["id"].as_i64().map_or_else(|| found["id"].to_string(), |id| id.to_string());
    server.get(&format!("/api/v1/findings/{}", id.trim_matches('"'))).await.map(Some)
}
