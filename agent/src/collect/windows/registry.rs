//! Registry reads that tell "not there" from "cannot be read".

use std::io::{self, ErrorKind};

use winreg::types::FromRegValue;
use winreg::{HKLM, RegKey};

use crate::collect::reading::Unreadable;

/// A key below `HKEY_LOCAL_MACHINE`, 64-bit view. `None`: there is no such key.
pub(super) fn open(path: &str) -> Result<Option<RegKey>, Unreadable> {
    found(HKLM.open_subkey(path)).map_err(|error| unreadable(path, &error))
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
        match found(key.open_subkey(&name)) {
            Ok(subkey) => subkey.map(|subkey| Ok((name, subkey))),
            Err(error) => Some(Err(unreadable(&name, &error))),
        }
    })
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
