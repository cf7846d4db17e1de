//! How much memory this process has for itself.
#![expect(unsafe_code, reason = "the counters are a structure that says its own size")]

use windows::Win32::System::ProcessStatus::{K32GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS_EX};
use windows::Win32::System::Threading::GetCurrentProcess;

/// Committed bytes that no other process shares. `None`: not told.
pub fn private_bytes() -> Option<u64> {
    let mut counters = PROCESS_MEMORY_COUNTERS_EX::default();
    let size = u32::try_from(size_of_val(&counters)).ok()?;
    // SAFETY: the counters are writable for `size` bytes, by which the function tells the longer structure.
    let is_told = unsafe { K32GetProcessMemoryInfo(GetCurrentProcess(), (&raw mut counters).cast(), size) };
    // Wine tells 0.
    is_told.as_bool().then(|| u64::try_from(counters.PrivateUsage).ok())?.filter(|bytes| *bytes != 0)
}
