//! `portreeve-server catalog check` through its real door: the program, its output and its exit codes.

use std::fs;
use std::path::Path;
use std::process::Output;

use anyhow::Result;
use tests::server::binary;
use tokio::process::Command;

async fn check(folder: &Path) -> Result<Output> {
    Ok(Command::new(binary("portreeve-server")?).args(["catalog", "check"]).arg(folder).output().await?)
}

#[tokio::test]
async fn the_catalog_of_this_tree_is_sound() -> Result<()> {
    let output = check(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules/catalog")).await?;
    let text = String::from_utf8(output.stdout)?;
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("163 bad updates") && text.contains("24 takers") && text.ends_with("No fault.\n"), "{text}");
    Ok(())
}

#[tokio::test]
async fn faults_are_named_by_file_and_line() -> Result<()> {
    let folder = tempfile::tempdir()?;
    fs::create_dir(folder.path().join("claims"))?;
    let text = "[[claim]]\nid = \"x\"\nservices = [\"X\"]\nproduct = \"X\"\nports = [\"udp/x\"]\ngrounding = \"recalled\"\nsources = []\n";
    fs::write(folder.path().join("claims/own.toml"), text)?;
    fs::write(folder.path().join("claims/README"), "not TOML, and no part of the catalog")?;
    let output = check(folder.path()).await?;
    assert_eq!(output.status.code(), Some(65));
    assert!(String::from_utf8(output.stdout)?.starts_with("claims/own.toml:5: `udp/x` is not a port"));
    assert!(String::from_utf8(output.stderr)?.contains("1 fault in "));

    fs::write(folder.path().join("claims/own.toml"), text.replace("udp/x", "udp/1"))?;
    assert_eq!(check(folder.path()).await?.status.code(), Some(0));
    Ok(())
}

#[tokio::test]
async fn a_folder_without_a_catalog_is_not_found() -> Result<()> {
    let folder = tempfile::tempdir()?;
    assert_eq!(check(folder.path()).await?.status.code(), Some(3));
    assert_eq!(check(&folder.path().join("missing")).await?.status.code(), Some(3));
    Ok(())
}
