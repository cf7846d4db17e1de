//! The capture script, run by a Windows command interpreter, and what the reader makes of its files. Wine prints a part
//! of what Windows prints: what it does not must come out as unknown.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use portreeve_agent::capture::{self, Capture, CaptureFile};
use rules::ports::PortRange;
use tests::wine::{WinePrefix, agent_exe};

/// The update and the Exchange Server of the first incident, and ports that this system keeps free.
const SEEDS: &str = r#"
[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall\KB948609]
"DisplayName"="Update for Microsoft Windows (KB948609)"
"InstallDate"="20081014"

[HKEY_LOCAL_MACHINE\SOFTWARE\Microsoft\Exchange\v8.0\ClientAccessRole]
"ConfiguredVersion"="8.1.240.6"

[HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters]
"ReservedPorts"=hex(7):31,00,36,00,34,00,35,00,2d,00,31,00,36,00,34,00,36,00,00,00,00,00
"#;

#[test]
fn the_script_writes_what_is_read() -> Result<()> {
    let prefix = WinePrefix::new()?;
    prefix.seed(SEEDS)?;
    let folder = run_script(&prefix)?;
    let capture = read(&folder)?;
    let facts = &capture.facts;

    let host = facts.host.known().with_context(|| format!("{:?}", facts.host))?;
    ensure!((host.os.major, host.os.minor, host.os.build) == (6, 1, 7601), "{:?}", host.os);
    ensure!(host.domain_controller == Some(false), "the type of the product is not read");
    let products = host.products.known().context("products are known")?;
    ensure!(products.iter().any(|product| product.version.as_deref() == Some("8.1.240.6")), "{products:?}");
    let updates = facts.updates.known().context("updates are known")?;
    ensure!(updates.iter().any(|update| update.kb.as_deref() == Some("KB948609")), "{updates:?}");
    let policy = facts.port_policy.known().context("the port policy is known in part")?;
    let radius = PortRange::new(1645, 1646).context("a range")?;
    ensure!(policy.reserved_ports.known() == Some(&vec![radius]), "{policy:?}");
    // wmic is the first to print UTF-16, and leaves a process behind: what comes after it must be there as well.
    ensure!(host.booted_at.is_some(), "the time of the boot is not read");

    // What Wine's commands do not print is unknown, and who wants to know why finds it.
    for unknown in [
        ("services", &facts.services.unknown().context("Wine has no sc query")?),
        ("excluded ports", &policy.exclusions.unknown().context("Wine's netsh prints nothing")?),
    ] {
        ensure!(unknown.1.contains("the capture holds no"), "{unknown:?}");
    }
    let failed = |command: &str| {
        let mut lines = capture.not_understood.iter();
        lines.any(|line| line.text.contains(command) && line.why.contains("ended with an error"))
    };
    for command in ["sc queryex type= service", "wmic qfe get", r"Services\NTDS\Parameters"] {
        ensure!(failed(command), "{command} is not listed in {:#?}", capture.not_understood);
    }
    ensure!(
        !failed("reg query \"HKLM\\SYSTEM\\CurrentControlSet\\Services\""),
        "a command that works is listed as failed"
    );
    Ok(())
}

/// Files of two moments are never mixed.
#[test]
fn the_script_does_not_add_to_a_capture() -> Result<()> {
    let prefix = WinePrefix::new()?;
    let folder = run_script(&prefix)?;
    let before = read_files(&folder)?;
    let said = prefix.succeed(Path::new("cmd"), &["/c", SCRIPT])?;
    ensure!(said.contains("is there already"), "{said}");
    ensure!(read_files(&folder)? == before, "the second run changed files of the first");
    Ok(())
}

const SCRIPT: &str = r"C:\capture of a server\capture.cmd";

/// As somebody does it: the program prints the script into a file, which is started. The folder that it wrote.
fn run_script(prefix: &WinePrefix) -> Result<PathBuf> {
    let script = prefix.succeed(&agent_exe()?, &["capture"])?;
    let place = prefix.drive().join("capture of a server");
    fs::create_dir(&place)?;
    fs::write(place.join("capture.cmd"), script)?;
    let said = prefix.succeed(Path::new("cmd"), &["/c", SCRIPT])?;
    let folder = fs::read_dir(&place)?.filter_map(Result::ok).map(|entry| entry.path()).find(|path| path.is_dir());
    folder.with_context(|| format!("the script wrote no folder, but said:\n{said}"))
}

fn read(folder: &Path) -> Result<Capture> {
    let files = read_files(folder)?.into_iter().map(|(name, bytes)| CaptureFile { name, bytes }).collect::<Vec<_>>();
    Ok(capture::read(&files)?)
}

fn read_files(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        files.insert(path.file_name().context("a file")?.to_string_lossy().into_owned(), fs::read(path)?);
    }
    Ok(files)
}
