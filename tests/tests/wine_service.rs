//! The agent as a service of a real service control manager.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use rules::facts::{ServiceState, StartMode};
use tests::wine::{WinePrefix, agent_exe};

const SERVICE: &str = "portreeve-agent";
const EXE: &str = r"C:\Program Files\Portreeve\portreeve-agent.exe";
const SETTINGS: &str = r"HKLM\SYSTEM\CurrentControlSet\Services\portreeve-agent";
const EVENT_SOURCE: &str = r"HKLM\SYSTEM\CurrentControlSet\Services\EventLog\Application\Portreeve";
const UNQUOTED: &str = r#"
[HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\portreeve-agent]
"ImagePath"="C:\\Program Files\\Portreeve\\portreeve-agent.exe service"
"#;

#[test]
fn it_is_installed_waits_stops_and_leaves_nothing() -> anyhow::Result<()> {
    let prefix = WinePrefix::new()?;
    let _running = prefix.stay_awake()?;
    let folder = prefix.drive().join("Program Files/Portreeve");
    fs::create_dir(&folder)?;
    fs::copy(agent_exe()?, folder.join("portreeve-agent.exe"))?;
    let (exe, net) = (Path::new(EXE), Path::new("net"));
    let quoted = format!("\"{EXE}\" service");

    prefix.wait_for_service("Eventlog", |log| log.is_some_and(|log| log.state == ServiceState::Running))?;
    prefix.succeed(exe, &["install"])?;
    prefix.wait_for_service(SERVICE, |service| {
        service.is_some_and(|service| {
            service.state == ServiceState::Running
                && service.start == Some(StartMode::Auto)
                && service.image_path.as_deref() == Some(&quoted)
        })
    })?;
    // Wine keeps the dependencies, and does not tell them.
    let settings = prefix.succeed(Path::new("reg"), &["query", SETTINGS])?;
    let depends_on = settings.lines().find(|line| line.contains("DependOnService"));
    ensure!(depends_on.is_some_and(|line| line.contains("RpcSs") && line.contains("EventLog")), "{settings}");
    ensure!(prefix.has_key(EVENT_SOURCE)?, "there is no event source");
    wait_for_log(&prefix, "is not enrolled")?;
    // Once more, over the service that runs.
    prefix.succeed(exe, &["install"])?;

    prefix.succeed(net, &["stop", SERVICE])?;
    wait_for_log(&prefix, "The Portreeve agent stopped")?;
    prefix.wait_for_service(SERVICE, |service| {
        service.is_some_and(|service| service.state == ServiceState::Stopped && service.exit_code == Some(0))
    })?;

    prefix.seed(UNQUOTED)?;
    prefix.kill();
    let _running = prefix.stay_awake()?;
    wait_for_log(&prefix, "into quotes")?;
    prefix.wait_for_service(SERVICE, |service| {
        service.is_some_and(|service| service.image_path.as_deref() == Some(&quoted))
    })?;

    prefix.succeed(exe, &["uninstall"])?;
    prefix.wait_for_service(SERVICE, |service| service.is_none())?;
    ensure!(!prefix.has_key(EVENT_SOURCE)?, "the event source is left");
    ensure!(!prefix.has_key(r"HKLM\SOFTWARE\Portreeve")?, "something is left in the registry");
    ensure!(!prefix.drive().join("ProgramData/Portreeve").exists(), "the state folder is left");
    Ok(())
}

fn wait_for_log(prefix: &WinePrefix, text: &str) -> anyhow::Result<()> {
    let path = prefix.drive().join("ProgramData/Portreeve/agent.log");
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let log = fs::read_to_string(&path).unwrap_or_default();
        if log.contains(text) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the service did not log `{text}`, but:\n{log}");
        std::thread::yield_now();
    }
}
