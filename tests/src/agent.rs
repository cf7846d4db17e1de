//! Real `portreeve-agent` processes that enroll with a server of this test and replay recorded facts to it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use crate::server::{Server, binary};

/// An enrolled agent and its state folder.
#[derive(Debug)]
pub struct Agent {
    state: PathBuf,
    process: Option<Child>,
}

impl Agent {
    /// Enrolls under `name` (a folder name of this test) with `token`.
    pub async fn enroll(server: &Server, name: &str, token: &str) -> Result<Self> {
        Self::enroll_behind(server, name, token, server.agents().port()).await
    }

    /// As [`Agent::enroll`], with another door for its stream.
    pub async fn enroll_behind(server: &Server, name: &str, token: &str, agents_port: u16) -> Result<Self> {
        let state = server.scratch().join(name);
        let mut process = Command::new(binary("portreeve-agent")?)
            .arg("enroll")
            .arg("--state-dir")
            .arg(&state)
            .args(["--server", &server.enroll().to_string()])
            .args(["--agents-port", &agents_port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut stdin = process.stdin.take().context("stdin is piped")?;
        stdin.write_all(token.as_bytes()).await?;
        drop(stdin);
        let output = tokio::time::timeout(Duration::from_mins(1), process.wait_with_output()).await??;
        ensure!(output.status.success(), "enroll: {}", String::from_utf8_lossy(&output.stderr));
        Ok(Self { state, process: None })
    }

    /// Replays facts lines through the real stream, once, and stays connected with the last state.
    pub fn replay(&mut self, facts: &Path) -> Result<()> {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log_path())?;
        self.process = Some(
            Command::new(binary("portreeve-agent")?)
                .args(["replay", "--stay"])
                .arg("--state-dir")
                .arg(&self.state)
                .arg(facts)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .kill_on_drop(true)
                .spawn()?,
        );
        Ok(())
    }

    /// SIGKILL.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.take().context("the agent runs")?.kill().await?;
        Ok(())
    }

    pub fn state_dir(&self) -> &Path {
        &self.state
    }

    fn log_path(&self) -> PathBuf {
        self.state.with_extension("log")
    }
}
