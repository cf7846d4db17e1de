//! The command line of the service. An unquoted path with a space in it would let whoever may write to `C:\` run a
//! program as LocalSystem.

use std::path::Path;

/// `state_dir`: where it is not the default.
pub(super) fn of(exe: &Path, state_dir: Option<&Path>) -> String {
    match state_dir {
        Some(folder) => format!("\"{}\" service --state-dir \"{}\"", exe.display(), folder.display()),
        None => format!("\"{}\" service", exe.display()),
    }
}

/// `found` with the path of `exe` in quotes. `None`: nothing to mend, or not our doing.
pub(super) fn mended(found: &str, exe: &Path) -> Option<String> {
    let exe = exe.display().to_string();
    let (start, arguments) = found.split_at_checked(exe.len())?;
    let is_ours = start.eq_ignore_ascii_case(&exe) && (arguments.is_empty() || arguments.starts_with(' '));
    is_ours.then(|| format!("\"{start}\"{arguments}"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{mended, of};

    const EXE: &str = r"C:\Program Files\Portreeve\portreeve-agent.exe";

    #[test]
    fn paths_are_quoted() {
        let exe = Path::new(EXE);
        assert_eq!(of(exe, None), format!("\"{EXE}\" service"));
        assert_eq!(of(exe, Some(Path::new(r"D:\a b"))), format!("\"{EXE}\" service --state-dir \"D:\\a b\""));
    }

    #[test]
    fn only_what_lacks_quotes_is_mended() {
        let mend = |found: &str| mended(found, Path::new(EXE));
        assert_eq!(mend(&format!("{EXE} service")), Some(format!("\"{EXE}\" service")));
        assert_eq!(mend(&EXE.to_uppercase()), Some(format!("\"{}\"", EXE.to_uppercase())));
        for other in [&format!("\"{EXE}\" service"), r"C:\other.exe service", "", &format!("{EXE}.bak")] {
            assert_eq!(mend(other), None, "{other}");
        }
    }
}
