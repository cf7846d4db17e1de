//! A service that starts, stops or fails is told at once. The program under test looks every two minutes (ten, and a fifth
//! of that in the first minutes after a boot), and this test waits one: only a push can tell it in time.

use std::net::UdpSocket;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tests::wine::{Program, WinePrefix, example_exe};

const NAME: &str = "PushedService";

#[test]
fn a_service_that_starts_stops_or_fails_is_told_by_push() -> Result<()> {
    let prefix = WinePrefix::new()?;
    let port = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
    prefix.install_service(NAME, &example_exe("port_service")?, &format!("{NAME} udp/{port}"))?;
    let awake = prefix.spawn(&example_exe("hold_port")?, &[])?;
    awake.wait_for_line(|line| line == "holding")?;
    wait_until_it_runs(&prefix)?;
    let follower = prefix.spawn(&example_exe("follow_services")?, &[])?;
    follower.wait_for_line(|line| line == "looked")?;

    let mut quickest = Duration::MAX;
    for _ in 0..3 {
        let stopped = told(&prefix, &follower, "stop", "Stopped 0")?;
        let running = told(&prefix, &follower, "start", "Running 0")?;
        quickest = quickest.min(stopped).min(running);
    }
    // Each was told within a minute; on a machine that does nothing else, each within a second.
    ensure!(quickest < Duration::from_secs(1), "none was told within a second of its command: {quickest:?}");

    told(&prefix, &follower, "stop", "Stopped 0")?;
    let holder = prefix.spawn(&example_exe("hold_port")?, &[&format!("udp/{port}")])?;
    holder.wait_for_line(|line| line == "holding")?;
    told(&prefix, &follower, "start", "Stopped 10048")?;
    Ok(())
}

/// Until the follower tells what the command does, from the moment that it was done.
fn told(prefix: &WinePrefix, follower: &Program, command: &str, change: &str) -> Result<Duration> {
    // It fails where the service fails; what it did is seen by what is told.
    prefix.run(Path::new("sc"), &[command, NAME])?;
    let done = Instant::now();
    let line = follower.wait_for_line(|line| line.starts_with(&format!("{NAME} {change}")))?;
    println!("{line}, {} ms after `sc {command}`", done.elapsed().as_millis());
    Ok(done.elapsed())
}

/// For some seconds after a boot the service control manager is locked.
fn wait_until_it_runs(prefix: &WinePrefix) -> Result<()> {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let output = prefix.run(&tests::wine::agent_exe()?, &["collect", "--json"])?;
        let facts: rules::facts::Facts = serde_json::from_slice(&output.stdout)?;
        let services = facts.services.known().context("services are read")?;
        if services.iter().any(|service| service.name == NAME && service.pid.is_some()) {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "it did not start within a minute: {services:?}");
    }
}
