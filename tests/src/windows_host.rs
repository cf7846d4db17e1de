//! A Windows server that reports for real: agent.exe under Wine, enrolled at a server of this test, with the first
//! incident seeded in its registry and a program that holds a UDP port.

use std::net::UdpSocket;
use std::path::Path;

use anyhow::Result;

use crate::server::Server;
use crate::wine::{Program, WinePrefix, agent_exe, example_exe, windows_path};

/// KB948609 and an Exchange Server 2007 SP1, as the registry holds them.
const SEED: &str = r#"
[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\Packages\Package_for_KB948609~31bf3856ad364e35~amd64~~6.0.1.2716]
"CurrentState"=dword:00000070

[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Exchange\Setup]
"MsiInstallPath"="C:\\Program Files\\Microsoft\\Exchange Server\\"

[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Exchange\v8.0\ClientAccessRole]
"ConfiguredVersion"="8.1.240.6"
"#;
const WITHOUT_THE_UPDATE: &str = r"
[-HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\Packages\Package_for_KB948609~31bf3856ad364e35~amd64~~6.0.1.2716]
";

/// Until it is dropped.
#[derive(Debug)]
pub struct WindowsHost {
    /// The UDP port that hold_port.exe holds there.
    pub port: u16,
    _programs: [Program; 2],
    // Ends last: its programs live in it.
    prefix: WinePrefix,
}

impl WindowsHost {
    pub fn start(server: &Server, token: &str) -> Result<Self> {
        let prefix = WinePrefix::new()?;
        // The update is one of Server 2008, which Wine can claim to be although the agent's real floor is 2008 R2.
        prefix.succeed(Path::new("winecfg"), &["-v", "win2008"])?;
        prefix.seed(SEED)?;
        let port = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
        let holder = prefix.spawn(&example_exe("hold_port")?, &[&format!("udp/{port}")])?;
        holder.wait_for_line(|line| line == "holding")?;

        let exe = agent_exe()?;
        let token_file = prefix.drive().join("token.txt");
        std::fs::write(&token_file, token)?;
        let (enroll, agents) = (server.enroll().to_string(), server.agents().port().to_string());
        let token_file = windows_path(&token_file);
        let arguments = ["enroll", "--server", &enroll, "--agents-port", &agents, "--token-file", &token_file];
        prefix.succeed(&exe, &arguments)?;
        let agent = prefix.spawn(&exe, &["run"])?;
        Ok(Self { port, _programs: [holder, agent], prefix })
    }

    /// Removes KB948609 as an operator would.
    pub fn remove_the_update(&self) -> Result<()> {
        self.prefix.seed(WITHOUT_THE_UPDATE)
    }
}
