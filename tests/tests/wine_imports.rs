//! What the agent asks of Windows at its start. Server 2008 R2 refuses to start a program that names one function which it
//! does not have, so this is read from the program itself, without running it.

#![expect(clippy::disallowed_methods, reason = "objdump reads the program")]

use std::fs;
use std::process::Command;

use tests::wine::agent_exe;

/// Newer than Server 2008 R2: https://learn.microsoft.com/windows/win32/apiindex names the version of each.
const TOO_NEW: [&str; 21] = [
    "CoIncrementMTAUsage",
    "CreateFile2",
    "GetFirmwareType",
    "GetHostNameW",
    "GetOverlappedResultEx",
    "GetProcessInformation",
    "GetProcessMitigationPolicy",
    "GetSystemTimePreciseAsFileTime",
    "GetTempPath2W",
    "MapViewOfFile3",
    "NtCreateWaitCompletionPacket",
    "PrefetchVirtualMemory",
    "ProcessPrng",
    "PssCaptureSnapshot",
    "SetProcessInformation",
    "SetThreadDescription",
    "SubscribeServiceChangeNotifications",
    "VirtualAlloc2",
    "WaitOnAddress",
    "WakeByAddressAll",
    "WakeByAddressSingle",
];

/// What a monitored server may be asked to keep on its disk and in its memory.
const LARGEST: u64 = 3 * 1024 * 1024;

#[test]
fn the_agent_starts_on_server_2008_r2() -> anyhow::Result<()> {
    let imports = imports()?;
    let reads_tables =
        imports.iter().any(|import| import.library == "iphlpapi.dll" && import.name == "GetExtendedTcpTable");
    assert!(reads_tables, "the collectors are not in this program, or its imports were not understood: {imports:?}");
    let too_new: Vec<_> = imports.iter().filter(|import| import.is_too_new()).collect();
    assert!(too_new.is_empty(), "Server 2008 R2 does not have {too_new:?}: look them up with GetProcAddress");
    Ok(())
}

#[test]
fn the_agent_is_small() -> anyhow::Result<()> {
    let exe = agent_exe()?;
    let size = fs::metadata(&exe)?.len();
    assert!(size <= LARGEST, "{} has {size} bytes, the limit is {LARGEST}", exe.display());
    Ok(())
}

#[derive(Debug)]
struct Import {
    /// In lower case.
    library: String,
    name: String,
}

impl Import {
    fn is_too_new(&self) -> bool {
        self.library.starts_with("api-ms-")
            || self.library == "bcryptprimitives.dll"
            || TOO_NEW.contains(&self.name.as_str())
    }
}

fn imports() -> anyhow::Result<Vec<Import>> {
    let output = Command::new("x86_64-w64-mingw32-objdump").arg("-p").arg(agent_exe()?).output()?;
    assert!(output.status.success(), "objdump: {}", String::from_utf8_lossy(&output.stderr));
    let mut library = None;
    let mut imports = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        if let Some(name) = line.trim().strip_prefix("DLL Name: ") {
            library = Some(name.to_lowercase());
        } else if let [_, ordinal, name] = line.split_whitespace().collect::<Vec<_>>()[..]
            && ordinal.parse::<u32>().is_ok()
            && let Some(library) = &library
        {
            imports.push(Import { library: library.clone(), name: name.to_owned() });
        } else if line.trim().is_empty() {
            library = None;
        }
    }
    Ok(imports)
}
