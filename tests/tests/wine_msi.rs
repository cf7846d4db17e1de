//! The agent's MSI package, from the download to the last trace: installed by one line, enrolled by the service itself,
//! upgraded with its identity, removed without a rest.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tests::msi;
use tests::server::{Server, eventually};
use tests::wine::{Program, WinePrefix, windows_path};

const PATIENCE: Duration = Duration::from_mins(2);
const STARTED_ON_DEMAND: &str = r#"
[HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\portreeve-agent]
"Start"=dword:00000003
"#;
const ORDER: &str = r"HKLM\SOFTWARE\Portreeve\Agent";

/// What only a real Windows Installer acts on.
#[test]
fn the_package_hides_its_token() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let package = msi::build(folder.path(), "0.1.0")?;
    let properties = msi::table(&package, "Property")?;
    ensure!(properties.contains(&"MsiHiddenProperties\tENROLL_TOKEN;PROXY".to_owned()), "{properties:?}");
    let actions = msi::table(&package, "CustomAction")?;
    let with_token: Vec<_> = actions.iter().filter(|action| action.contains("[ENROLL_TOKEN]")).collect();
    // 8192: its arguments are not logged. 3072: in the installation's own script, as LocalSystem.
    ensure!(matches!(with_token[..], [action] if action.starts_with("Configure\t11282\t")), "{actions:?}");
    for table in ["Registry", "IniFile", "Environment"] {
        // A row of these would be logged with its value.
        let is_filled = msi::table(&package, table).is_ok_and(|rows| !rows.is_empty());
        ensure!(!is_filled, "the package has a table {table}");
    }
    // The older product is removed before the newer one is installed.
    let sequence = msi::table(&package, "InstallExecuteSequence")?;
    ensure!(sequence.contains(&"RemoveExistingProducts\t\t1401".to_owned()), "{sequence:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_line_installs_it_and_nothing_is_left_of_it() -> Result<()> {
    let mut server = Server::start().await?;
    server.sign_up().await?;
    let token = server.new_site("Contoso", 1).await?;
    let (old, new) = (msi::build(server.scratch(), "0.1.0")?, msi::build(server.scratch(), "0.2.0")?);
    msi::tell_of_upgrade(&new)?;
    fs::create_dir(server.data_dir().join("agent"))?;
    fs::copy(&old, server.data_dir().join("agent/portreeve-agent.msi"))?;

    let prefix = WinePrefix::new()?;
    let running = prefix.stay_awake()?;
    let properties = [
        format!("SERVER_URL={}", server.enroll()),
        format!("AGENTS_PORT={}", server.agents().port()),
        format!("ENROLL_TOKEN={token}"),
    ];
    let address = format!("{}/agent/portreeve-agent.msi", server.url());
    let log = prefix.drive().join("install.log");
    let mut arguments = vec!["/i", &address, "/qn", "/l*v", r"C:\install.log"];
    arguments.extend(properties.iter().map(String::as_str));
    prefix.succeed(Path::new("msiexec"), &arguments)?;
    let (host, since) = eventually("the host streams", PATIENCE, async || connected_host(&server).await).await?;

    // The token was used: it is not in the registry, and after a restart in no file of this Windows.
    let order = prefix.succeed(Path::new("reg"), &["query", ORDER])?;
    ensure!(order.contains("ServerUrl") && !order.contains("EnrollToken"), "{order}");
    ensure!(log.is_file(), "the installation was not logged");
    let identity = fs::read(prefix.drive().join("ProgramData/Portreeve/identity.json"))?;
    drop(running);
    prefix.kill();
    let secret = token.split('_').nth(3).context("the secret is the fourth part of a token")?;
    let found = files_with(prefix.drive().parent().context("the prefix")?, secret)?;
    ensure!(found.is_empty(), "the token is left in {found:?}");

    // Upgrade, with no property.
    let running = restart_without_the_service(&prefix)?;
    prefix.succeed(Path::new("msiexec"), &["/i", &windows_path(&new), "/qn"])?;
    prefix.wait_for_service("portreeve-agent", |service| service.is_some_and(|service| service.pid.is_some()))?;
    let products = prefix.succeed(Path::new("reg"), &["query", UNINSTALL, "/s"])?;
    ensure!(products.matches("Portreeve Agent").count() == 1 && products.contains("0.2.0"), "{products}");
    ensure!(fs::read(prefix.drive().join("ProgramData/Portreeve/identity.json"))? == identity, "it was enrolled anew");
    eventually("the same host streams again", PATIENCE, async || {
        Ok(connected_host(&server).await?.filter(|(again, connected_at)| *again == host && *connected_at != since))
    })
    .await?;

    drop(running);
    let running = restart_without_the_service(&prefix)?;
    prefix.succeed(Path::new("msiexec"), &["/x", &windows_path(&new), "/qn"])?;
    prefix.wait_for_service("portreeve-agent", |service| service.is_none())?;
    for left in ["ProgramData/Portreeve", "Program Files/Portreeve"] {
        ensure!(!prefix.drive().join(left).exists(), "{left} is left");
    }
    for left in [r"HKLM\SOFTWARE\Portreeve", EVENT_SOURCE] {
        ensure!(!prefix.has_key(left)?, "{left} is left");
    }
    drop(running);
    Ok(())
}

const UNINSTALL: &str = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall";
const EVENT_SOURCE: &str = r"HKLM\SYSTEM\CurrentControlSet\Services\EventLog\Application\Portreeve";

/// Wine keeps the service handles of a process that awaited notices of services, and then can neither remove nor replace
/// its service until it is restarted.
fn restart_without_the_service(prefix: &WinePrefix) -> Result<Program> {
    prefix.seed(STARTED_ON_DEMAND)?;
    prefix.kill();
    prefix.stay_awake()
}

/// The only host and since when it is connected, when it told its services.
async fn connected_host(server: &Server) -> Result<Option<(i64, String)>> {
    let hosts = server.get("/api/v1/hosts").await?;
    let items = hosts["items"].as_array().context("a list of hosts")?;
    ensure!(items.len() <= 1, "more than one host: {hosts}");
    let Some(id) = items.first().and_then(|host| host["id"].as_i64()) else { return Ok(None) };
    let host = server.get(&format!("/api/v1/hosts/{id}")).await?;
    let Some(since) = host["stream"]["connected_at"].as_str() else { return Ok(None) };
    let services = server.get(&format!("/api/v1/hosts/{id}/services")).await?;
    let is_told = services["items"].as_array().is_some_and(|rows| rows.iter().any(|row| row["state"] == "running"));
    Ok(is_told.then(|| (id, since.to_owned())))
}

/// Files below `folder` that hold `text`, in UTF-8 or UTF-16.
fn files_with(folder: &Path, text: &str) -> Result<Vec<String>> {
    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && entry.metadata()?.len() < 64 * 1024 * 1024 {
                let bytes = fs::read(entry.path())?;
                let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
                if holds(text.as_bytes()) || holds(&wide) {
                    found.push(entry.path().display().to_string());
                }
            }
        }
    }
    Ok(found)
}
