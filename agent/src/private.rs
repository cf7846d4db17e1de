//! Files that only their owner may read (on Windows: SYSTEM and Administrators), in folders of which the same holds.

#[cfg(windows)]
mod windows;

use std::fs;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

#[cfg(windows)]
pub(crate) use self::windows::{create_file, secure_folder};

/// While it lives, nobody can put another folder in the place of this one. Elsewhere than on Windows the parent's
/// permissions see to that.
#[derive(Debug)]
pub(crate) struct HeldFolder {
    #[cfg(windows)]
    _open: fs::File,
}

/// A crash at any moment leaves the old file or the new one.
pub(crate) fn write_whole(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let _held = secure_folder(folder)?;
    let target = folder.join(name);
    let fresh: PathBuf = folder.join(format!("{name}.new"));
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = create_file(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&fresh, &target)?;
    sync_folder(folder)
}

/// What was created or renamed in the folder outlives a crash.
#[cfg(unix)]
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

/// A folder cannot be opened as a file; NTFS journals what happens in it.
#[cfg(windows)]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it fails")]
pub(crate) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

/// A folder that is there already keeps its permissions: whoever made it chose them.
#[cfg(unix)]
pub(crate) fn secure_folder(folder: &Path) -> io::Result<HeldFolder> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    Ok(HeldFolder {})
}

#[cfg(unix)]
pub(crate) fn create_file(path: &Path) -> io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}
