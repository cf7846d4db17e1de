//! Real Windows programs in tests, under Wine 8.
//!
//! A prefix (the Windows that a program sees) takes seconds to make, so one is prepared below the target folder, and each
//! test gets a copy whose large files are links. Dropping the copy ends its programs and removes it.

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rules::facts::{Facts, Service};
use tempfile::TempDir;

use crate::server::binaries;

/// Debian's `wine64` puts nothing into `/usr/bin`.
const WINE: &str = "/usr/lib/wine/wine64";
const WINESERVER: &str = "/usr/lib/wine/wineserver64";

/// Raise it when [`prepare`] changes: a prefix that was prepared otherwise is then left alone.
const PREPARED: &str = "prefix-1";

/// The first program in a prefix starts its services, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_mins(1);

/// A Server 2008 R2 of its own. `kill` and the next `spawn` are a restart.
#[derive(Debug)]
pub struct WinePrefix {
    folder: TempDir,
}

impl WinePrefix {
    pub fn new() -> anyhow::Result<Self> {
        let wine = target_folder()?.join("wine");
        let prepared = prepare(&wine)?;
        let prefix = Self { folder: tempfile::Builder::new().prefix("test-").tempdir_in(&wine)? };
        copy(&prepared, prefix.folder.path()).context("copying the prepared Wine prefix")?;
        Ok(prefix)
    }

    /// Imports registry entries, in the words of a `.reg` file without its first line. A program that runs sees the change.
    pub fn seed(&self, entries: &str) -> anyhow::Result<()> {
        let text = format!("\u{feff}Windows Registry Editor Version 5.00\r\n\r\n{entries}\r\n");
        let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let file = tempfile::Builder::new().suffix(".reg").tempfile_in(self.folder.path().join("drive_c"))?;
        fs::write(file.path(), utf16)?;
        let output = self.run(Path::new("regedit"), &["/S", &windows_path(file.path())])?;
        ensure!(output.status.success(), "regedit: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Adds a service that the next boot starts; services start in the order of their names. A boot happens when a program
    /// starts and no other runs, and lasts until the last one ends: keep one alive.
    pub fn install_service(&self, name: &str, program: &Path, arguments: &str) -> anyhow::Result<()> {
        let command = format!("{} {arguments}", windows_path(program)).replace('\\', r"\\");
        self.seed(&format!(
            r#"
[HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\{name}]
"DisplayName"="{name}"
"ErrorControl"=dword:00000001
"ImagePath"="{command}"
"ObjectName"="LocalSystem"
"Start"=dword:00000002
"Type"=dword:00000010
"#
        ))
    }

    /// Runs a program to its end.
    pub fn run(&self, program: &Path, arguments: &[&str]) -> anyhow::Result<Output> {
        let output = command(WINE, self.folder.path()).arg(program).args(arguments).stdin(Stdio::null()).output();
        output.with_context(|| format!("running {} under {WINE} (Debian package wine64)", program.display()))
    }

    /// One look of the agent at this Windows.
    pub fn collect(&self) -> anyhow::Result<Facts> {
        Ok(serde_json::from_str(&self.succeed(&agent_exe()?, &["collect", "--json"])?)?)
    }

    /// Starts a program. Its standard input stays open as long as the [`Program`] lives.
    pub fn spawn(&self, program: &Path, arguments: &[&str]) -> anyhow::Result<Program> {
        let mut command = command(WINE, self.folder.path());
        command.arg(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command
            .spawn()
            .with_context(|| format!("starting {} under {WINE} (Debian package wine64)", program.display()))?;
        Program::new(child)
    }

    /// A program that only waits: without one, the prefix goes down when the last program ends.
    pub fn stay_awake(&self) -> anyhow::Result<Program> {
        let program = self.spawn(&example_exe("hold_port")?, &[])?;
        program.wait_for_line(|line| line == "holding")?;
        Ok(program)
    }

    /// Runs a program to its end, which must be a good one; what it printed.
    pub fn succeed(&self, program: &Path, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.run(program, arguments)?;
        let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(
            output.status.success(),
            "{} {}: {}\n{out}{errors}",
            program.display(),
            arguments.join(" "),
            output.status
        );
        Ok(out.into_owned())
    }

    /// A service of it, or `None`, once it is as a Windows is some seconds after its start.
    pub fn wait_for_service(&self, name: &str, is_reached: impl Fn(Option<&Service>) -> bool) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let facts = self.collect()?;
            let services = facts.services.known().context("the services are known")?;
            let service = services.iter().find(|service| service.name == name);
            if is_reached(service) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "not reached in time: {service:?}");
        }
    }

    /// Whether the registry has this key.
    pub fn has_key(&self, key: &str) -> anyhow::Result<bool> {
        Ok(self.run(Path::new("reg"), &["query", key])?.status.success())
    }

    /// `C:\`
    pub fn drive(&self) -> PathBuf {
        self.folder.path().join("drive_c")
    }

    /// Ends every program of this prefix and its services, as the loss of power would.
    pub fn kill(&self) {
        end(self.folder.path());
    }
}

impl Drop for WinePrefix {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A program that runs in a prefix.
#[derive(Debug)]
pub struct Program {
    child: Child,
    lines: Receiver<String>,
}

impl Program {
    fn new(mut child: Child) -> anyhow::Result<Self> {
        let (sender, lines) = mpsc::channel();
        let standard_output = child.stdout.take().context("standard output is piped")?;
        let standard_error = child.stderr.take().context("standard error is piped")?;
        forward(standard_output, sender.clone());
        forward(standard_error, sender);
        Ok(Self { child, lines })
    }

    /// The next line of output or errors for which `is_wanted` holds; lines before it are dropped. Fails after a minute,
    /// or when the program ends, with what it said instead.
    pub fn wait_for_line(&self, is_wanted: impl Fn(&str) -> bool) -> anyhow::Result<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut said = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if is_wanted(&line) {
                return Ok(line);
            }
            said.push(line);
        }
        bail!("the program did not print the line that was waited for, but:\n{}", said.join("\n"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself: then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn forward(output: impl io::Read + Send + 'static, sender: mpsc::Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
            if sender.send(line).is_err() {
                return;
            }
        }
    });
}

/// The agent that `make agent-windows` built, where `tools/build-agent-windows.sh` puts it.
#[expect(clippy::disallowed_methods, reason = "the variable of the build says where it went")]
pub fn agent_exe() -> anyhow::Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("this crate lies in the workspace")?;
    let built = match std::env::var("PORTREEVE_WINDOWS_TARGET") {
        Ok(folder) => root.join(folder),
        Err(_) => target_folder()?.join("windows"),
    };
    let exe = built.join("x86_64-win7-windows-gnu/agent/portreeve-agent.exe");
    ensure!(exe.is_file(), "{} does not exist: run `make agent-windows` first", exe.display());
    Ok(exe)
}

/// A program of `agent/examples`, which `make agent-windows` builds beside the agent.
pub fn example_exe(name: &str) -> anyhow::Result<PathBuf> {
    let exe = agent_exe()?.with_file_name("examples").join(name).with_extension("exe");
    ensure!(exe.is_file(), "{} does not exist: run `make agent-windows` first", exe.display());
    Ok(exe)
}

/// `Z:\tmp\a` for `/tmp/a`.
pub fn windows_path(path: &Path) -> String {
    format!("Z:{}", path.display().to_string().replace('/', r"\"))
}

/// Where Cargo builds: the folder of the profile lies in it.
pub fn target_folder() -> anyhow::Result<PathBuf> {
    Ok(binaries()?.parent().context("binaries lie in the folder of a profile")?.to_owned())
}

/// Makes the prefix that tests copy, once for all programs of tests that run at the same time.
fn prepare(wine: &Path) -> anyhow::Result<PathBuf> {
    let prepared = wine.join(PREPARED);
    fs::create_dir_all(wine)?;
    let lock = fs::File::create(wine.join("lock"))?;
    lock.lock()?;
    if prepared.is_dir() {
        return Ok(prepared);
    }
    let unfinished = tempfile::Builder::new().prefix("unfinished-").tempdir_in(wine)?;
    for arguments in [&["wineboot", "-i"], &["winecfg", "-v", "win2008r2"][..]] {
        let output = command(WINE, unfinished.path())
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("running {WINE} (Debian package wine64)"))?;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    // Only a server that ends writes the registry to its files.
    end(unfinished.path());
    fs::rename(unfinished.keep(), &prepared)?;
    Ok(prepared)
}

fn end(prefix: &Path) {
    // It fails where no server runs; `-w` then returns at once as well.
    let _ = command(WINESERVER, prefix).arg("-k").output();
    let _ = command(WINESERVER, prefix).arg("-w").output();
}

#[expect(clippy::disallowed_methods, reason = "Wine runs what is tested")]
fn command(program: &str, prefix: &Path) -> Command {
    let mut command = Command::new(program);
    // No offers to download parts that no test needs, no entries in the menu of whoever runs the tests.
    command
        .env("WINEPREFIX", prefix)
        .env("WINEARCH", "win64")
        .env("WINEDEBUG", "-all")
        .env("WINEDLLOVERRIDES", "mscoree,mshtml=;winemenubuilder.exe=")
        .env_remove("DISPLAY");
    command
}

/// Links files, of which there are 700 MB and which no test changes in place; copies the registry, which Wine writes.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&source)?, &target)?;
        } else if kind.is_dir() {
            fs::create_dir(&target)?;
            copy(&source, &target)?;
        } else if source.extension().is_some_and(|extension| extension == "reg") {
            fs::copy(&source, &target)?;
        } else {
            fs::hard_link(&source, &target)?;
        }
    }
    Ok(())
}
