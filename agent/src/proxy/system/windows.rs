//! The machine's setting, as `netsh winhttp set proxy` writes it.

#![expect(unsafe_code, reason = "texts come as pointers that are ours to free")]

use windows::Win32::Foundation::HGLOBAL;
use windows::Win32::Networking::WinHttp::{
    WINHTTP_ACCESS_TYPE_NAMED_PROXY, WINHTTP_PROXY_INFO, WinHttpGetDefaultProxyConfiguration,
};
use windows::core::{Owned, PWSTR};

/// The proxy and whom it is not for. `None`: there is no proxy, or the setting cannot be read.
/// <https://learn.microsoft.com/windows/win32/api/winhttp/nf-winhttp-winhttpgetdefaultproxyconfiguration>
pub(super) fn configured() -> Option<(String, String)> {
    let mut info = WINHTTP_PROXY_INFO::default();
    // SAFETY: the answer is written to a place of its type.
    unsafe { WinHttpGetDefaultProxyConfiguration(&raw mut info) }.ok()?;
    let (proxy, bypass) = (take(info.lpszProxy), take(info.lpszProxyBypass));
    (info.dwAccessType == WINHTTP_ACCESS_TYPE_NAMED_PROXY).then_some((proxy?, bypass.unwrap_or_default()))
}

fn take(text: PWSTR) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: it was allocated for us to free.
    let _freed = unsafe { Owned::new(HGLOBAL(text.0.cast())) };
    // SAFETY: it ends with a zero.
    unsafe { text.to_string() }.ok()
}
