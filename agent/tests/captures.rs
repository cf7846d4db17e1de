//! Captures as files: `captures/<case>/` holds the files of one host as they came, byte for byte, and
//! `captures/<case>.json` what is read from them. With `UPDATE_CASES=1` the expected files are written anew; each is read
//! by a person before it is committed.

#![expect(clippy::unwrap_used, reason = "a test that cannot read its input must fail")]

use std::fs;
use std::path::{Path, PathBuf};

use portreeve_agent::capture::{self, CaptureFile};

#[test]
fn every_capture_is_read_as_expected() {
    let cases = cases();
    let wrong: Vec<String> = cases.iter().filter_map(|case| check(case).err()).collect();
    assert!(wrong.is_empty(), "{} captures differ:\n{}", wrong.len(), wrong.join("\n"));
}

fn check(case: &Path) -> Result<(), String> {
    let read = serde_json::to_string_pretty(&capture::read(&files(case)).unwrap()).unwrap() + "\n";
    let file = case.with_extension("json");
    if std::env::var_os("UPDATE_CASES").is_some() {
        fs::write(&file, &read).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    if expected == read { Ok(()) } else { Err(format!("{}: read as\n{read}", case.display())) }
}

fn files(case: &Path) -> Vec<CaptureFile> {
    let mut paths: Vec<PathBuf> = fs::read_dir(case).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| CaptureFile {
        name: path.file_name().unwrap().to_string_lossy().into_owned(),
        bytes: fs::read(&path).unwrap(),
    };
    paths.into_iter().map(read).collect()
}

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let mut folders: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.is_dir());
    folders.sort();
    folders
}
