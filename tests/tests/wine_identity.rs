//! Who may read the key on Windows. Wine keeps of a security descriptor what the modes of Unix can hold.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tests::wine::{WinePrefix, example_exe};

#[test]
fn only_administrators_read_the_key() -> anyhow::Result<()> {
    let prefix = WinePrefix::new()?;
    let program = example_exe("keep_identity")?;
    let data = prefix.drive().join("ProgramData");
    for (name, was_there, repeats) in [("Fresh", false, 1), ("Foreign", true, 2)] {
        let folder = data.join(name);
        if was_there {
            fs::create_dir(&folder)?;
            fs::set_permissions(&folder, Permissions::from_mode(0o777))?;
            fs::write(folder.join("identity.json.new"), "of another")?;
        }
        for _ in 0..repeats {
            let output = prefix.run(&program, &[&format!(r"C:\ProgramData\{name}")])?;
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert_eq!(others(&folder.join("identity.json"))?, 0, "{name}");
        }
        // Of a folder that was there, Wine takes the right to write only; on Windows nothing is left.
        let expected = if was_there { 0o5 } else { 0 };
        assert_eq!(others(&folder)?, expected, "{name}");
    }
    Ok(())
}

#[test]
fn what_is_no_folder_is_not_taken_over() -> anyhow::Result<()> {
    let prefix = WinePrefix::new()?;
    let file = prefix.drive().join("ProgramData/File");
    fs::write(&file, "")?;
    let output = prefix.run(&example_exe("keep_identity")?, &[r"C:\ProgramData\File"])?;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && errors.contains("not a folder"), "{errors}");
    Ok(())
}

/// The rights of everybody; Administrators are the group.
fn others(path: &Path) -> anyhow::Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o007)
}
