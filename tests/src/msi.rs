//! The agent's MSI package, as `tools/build-agent-msi.sh` builds it.

#![expect(clippy::disallowed_methods, reason = "the package is built by the tools that build the real one")]

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// Builds the package of this version into `folder`.
pub fn build(folder: &Path, version: &str) -> anyhow::Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("this crate lies in the workspace")?;
    let package = folder.join(format!("portreeve-agent-{version}.msi"));
    let mut build = Command::new(root.join("tools/build-agent-msi.sh"));
    // Where this build lies, unless the variable of the Windows build says otherwise.
    if std::env::var_os("CARGO_TARGET_DIR").is_none() {
        build.env("CARGO_TARGET_DIR", crate::wine::target_folder()?);
    }
    run(build.args(["--version", version, "--output"]).arg(&package).current_dir(root))?;
    Ok(package)
}

/// What Windows Installer tells a product that it removes in an upgrade, and Wine does not: the command line that Wine
/// starts for it says it here.
pub fn tell_of_upgrade(package: &Path) -> anyhow::Result<()> {
    let change =
        "update `Upgrade` set `Remove` = 'ALL UPGRADINGPRODUCTCODE=1' where `ActionProperty` = 'WIX_UPGRADE_DETECTED'";
    run(Command::new("msibuild").arg(package).args(["-q", change])).map(drop)
}

/// The rows of a table, each a line with tabs.
pub fn table(package: &Path, name: &str) -> anyhow::Result<Vec<String>> {
    let text = run(Command::new("msiinfo").arg("export").arg(package).arg(name))?;
    Ok(text.lines().skip(3).map(str::to_owned).collect())
}

fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("running {command:?} (Debian packages wixl, msitools)"))?;
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{command:?}: {}\n{out}{errors}", output.status);
    Ok(out.into_owned())
}
