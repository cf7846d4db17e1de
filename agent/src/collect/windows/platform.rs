//! Functions of Windows that are looked up while the program runs: Wine exports some that end the process when they are
//! called, so each caller first asks whether this is Wine.
#![expect(unsafe_code, reason = "functions are looked up by name")]

use windows::Win32::System::LibraryLoader::{GetModuleHandleW, GetProcAddress, LoadLibraryW};
use windows::core::{HSTRING, PCSTR, s, w};

use super::policy::system_folder;
use crate::collect::reading::Unreadable;

/// A function of no known form: who looks it up knows it.
pub(super) type Function = unsafe extern "system" fn() -> isize;

pub(super) fn is_wine() -> bool {
    // SAFETY: every process has ntdll, which is never unloaded.
    unsafe {
        GetModuleHandleW(w!("ntdll.dll")).is_ok_and(|ntdll| GetProcAddress(ntdll, s!("wine_get_version")).is_some())
    }
}

/// A library of the system folder, which stays loaded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Library {
    name: &'static str,
    handle: windows::Win32::Foundation::HMODULE,
}

impl Library {
    pub(super) fn load(name: &'static str) -> Result<Self, Unreadable> {
        let path = HSTRING::from(format!(r"{}\{name}", system_folder()?));
        // SAFETY: a library of the system, by its whole path.
        let handle = unsafe { LoadLibraryW(&path) }
            .map_err(|error| Unreadable::new(format!("{name} cannot be loaded: {error}")))?;
        Ok(Self { name, handle })
    }

    /// `function` ends with U+0000.
    pub(super) fn function(&self, function: &'static std::ffi::CStr) -> Result<Function, Unreadable> {
        // SAFETY: the library is loaded, and the name ends with U+0000.
        unsafe { GetProcAddress(self.handle, PCSTR(function.as_ptr().cast())) }
            .ok_or_else(|| Unreadable::new(format!("{} has no {}", self.name, function.to_string_lossy())))
    }
}
