//! Registry reads that tell "not there" from "cannot be read".
#![expect(unsafe_code, reason = "only the raw call tells when a subkey was last written without opening it")]

use std::io::{self, ErrorKind};

use windows::Win32::Foundation::{ERROR_NO_MORE_ITEMS, ERROR_SUCCESS, FILETIME};
use windows::Win32::System::Registry::{HKEY, RegEnumKeyExW};
use windows::core::PWSTR;
use winreg::types::FromRegValue;
use winreg::{HKLM, RegKey};

use crate::collect::reading::Unreadable;

/// A key below `HKEY_LOCAL_MACHINE`, 64-bit view. `None`: there is no such key.
pub(super) fn open(path: &str) -> Result<Option<RegKey>, Unreadable> {
    found(HKLM.open_subkey(path)).map_err(|error| unreadable(path, &error))
}

/// A key below an open one. `None`: there is no such key.
pub(super) fn subkey(key: &RegKey, name: &str) -> Result<Option<RegKey>, Unreadable> {
    found(key.open_subkey(name)).map_err(|error| unreadable(name, &error))
}

/// A key that every Windows has.
pub(super) fn open_expected(path: &str) -> Result<RegKey, Unreadable> {
    open(path)?.ok_or_else(|| Unreadable::new(format!("HKLM\\{path} does not exist")))
}

/// A value of an open key. `None`: there is no such value.
pub(super) fn value<T: FromRegValue>(key: &RegKey, name: &str) -> Result<Option<T>, Unreadable> {
    found(key.get_value(name)).map_err(|error| unreadable(name, &error))
}

/// A text; empty where there is none, or where the value is no text: installers write what they like.
pub(super) fn text(key: &RegKey, name: &str) -> Result<String, Unreadable> {
    let value = found(key.get_raw_value(name)).map_err(|error| unreadable(name, &error))?;
    Ok(value.and_then(|value| String::from_reg_value(&value).ok()).unwrap_or_default())
}

/// The lines of a value; none where there is no such value. A plain text is one line.
pub(super) fn lines(key: &RegKey, name: &str) -> Result<Vec<String>, Unreadable> {
    let text: String = value(key, name)?.unwrap_or_default();
    Ok(text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// The names of the values below `HKEY_LOCAL_MACHINE`; none where there is no such key.
pub(super) fn value_names(path: &str) -> Result<Vec<String>, Unreadable> {
    let Some(key) = open(path)? else { return Ok(Vec::new()) };
    key.enum_values().map(|value| value.map(|(name, _)| name).map_err(|error| unreadable(path, &error))).collect()
}

/// When a value of a key, or the list of its subkeys, was last written. `None`: there is no such key, or it cannot be read.
pub(super) fn last_written(path: &str) -> Option<u64> {
    let written = HKLM.open_subkey(path).ok()?.query_info().ok()?.last_write_time;
    Some(u64::from(written.dwHighDateTime) << 32 | u64::from(written.dwLowDateTime))
}

/// A value below `HKEY_LOCAL_MACHINE`. `None`: there is no such key or value.
pub(super) fn value_at<T: FromRegValue>(path: &str, name: &str) -> Result<Option<T>, Unreadable> {
    match open(path)? {
        Some(key) => value(&key, name),
        None => Ok(None),
    }
}

/// The names and keys below `key`. A key that goes away meanwhile is left out: it is gone.
pub(super) fn subkeys(key: &RegKey) -> impl Iterator<Item = Result<(String, RegKey), Unreadable>> {
    key.enum_keys().filter_map(|name| {
        let name = match name {
            Ok(name) => name,
            Err(error) => return Some(Err(unreadable("a list of registry keys", &error))),
        };
        match subkey(key, &name) {
            Ok(subkey) => subkey.map(|subkey| Ok((name, subkey))),
            Err(unreadable) => Some(Err(unreadable)),
        }
    })
}

/// The names of the keys below `key`, and when each was last written: nothing is opened for it.
pub(super) fn subkeys_written(key: &RegKey) -> Result<Vec<(String, u64)>, Unreadable> {
    // The name of a key has at most 255 characters.
    let mut name = [0_u16; 256];
    let mut subkeys = Vec::new();
    for index in 0.. {
        let mut length = 256;
        let mut written = FILETIME::default();
        // SAFETY: the key is open, and the buffer holds `length` characters.
        let answer = unsafe {
            let name = PWSTR(name.as_mut_ptr());
            let written = &raw mut written;
            RegEnumKeyExW(HKEY(key.raw_handle()), index, Some(name), &raw mut length, None, None, None, Some(written))
        };
        match answer {
            ERROR_SUCCESS => {}
            ERROR_NO_MORE_ITEMS => break,
            error => {
                let error = io::Error::from(windows::core::Error::from(error));
                return Err(unreadable("a list of registry keys", &error));
            }
        }
        let name = usize::try_from(length).ok().and_then(|length| name.get(..length)).unwrap_or_default();
        let written = u64::from(written.dwHighDateTime) << 32 | u64::from(written.dwLowDateTime);
        subkeys.push((String::from_utf16_lossy(name), written));
    }
    Ok(subkeys)
}

fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn unreadable(what: &str, error: &io::Error) -> Unreadable {
    Unreadable::new(format!("{what} cannot be read: {error}"))
}
