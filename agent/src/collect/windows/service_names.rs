//! SCM key names of services by their display names, which is what entries of the event log hold.
#![expect(unsafe_code, reason = "the service control manager is asked from Win32")]

use std::collections::HashMap;

use rules::text::Text;
use windows::Win32::System::Services::{GetServiceKeyNameW, OpenSCManagerW, SC_HANDLE, SC_MANAGER_CONNECT};
use windows::core::{HSTRING, Owned, PCWSTR, PWSTR};

use super::registry;

/// Longest name of a service, in UTF-16 units, and U+0000.
const LONGEST: usize = 257;
/// Names that are remembered.
const MOST: usize = 512;

#[derive(Debug, Default)]
pub(super) struct ServiceNames {
    manager: Option<Owned<SC_HANDLE>>,
    /// Only what was found: a service may be installed later.
    found: HashMap<String, Text>,
}

impl ServiceNames {
    /// `name` is the display name of a service, or its key name already. `None`: there is no such service.
    pub(super) fn key_of(&mut self, name: &str) -> Option<Text> {
        if let Some(key) = self.found.get(name) {
            return Some(key.clone());
        }
        let key = self.by_display_name(name).or_else(|| by_key(name))?;
        if self.found.len() >= MOST {
            self.found.clear();
        }
        self.found.insert(name.to_owned(), key.clone());
        Some(key)
    }

    fn by_display_name(&mut self, name: &str) -> Option<Text> {
        if self.manager.is_none() {
            // SAFETY: null names are this machine and its only database; the handle is ours alone, and `Owned` closes it.
            let manager = unsafe {
                OpenSCManagerW(PCWSTR::null(), PCWSTR::null(), SC_MANAGER_CONNECT).map(|handle| Owned::new(handle))
            };
            self.manager = manager.ok();
        }
        let manager = self.manager.as_ref()?;
        let mut buffer = [0_u16; LONGEST];
        let mut length = u32::try_from(LONGEST).ok()?;
        let (name, target) = (HSTRING::from(name), PWSTR(buffer.as_mut_ptr()));
        // SAFETY: the manager is open, the name ends with U+0000, and the buffer holds `length` units.
        unsafe { GetServiceKeyNameW(**manager, &name, Some(target), &raw mut length) }.ok()?;
        let key = buffer.split(|unit| *unit == 0).next()?;
        (!key.is_empty()).then(|| Text::from(String::from_utf16_lossy(key)))
    }
}

fn by_key(name: &str) -> Option<Text> {
    // It comes from an event, and must not lead anywhere else in the registry.
    if name.is_empty() || name.contains('\\') {
        return None;
    }
    let key = registry::open(&format!(r"SYSTEM\CurrentControlSet\Services\{name}")).ok()?;
    key.is_some().then(|| Text::new(name))
}
