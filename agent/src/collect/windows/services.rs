//! Services from the service control manager: states at every look, configurations once and again when they may have
//! changed.
//!
//! Invariant: a service whose configuration cannot be read is listed without it, never left out.
#![expect(unsafe_code, reason = "the service control manager answers with structures that point into their own buffer")]

use rules::facts::{Service, ServiceState};
use rules::text::Text;
use windows::Win32::Foundation::ERROR_MORE_DATA;
use windows::Win32::System::Services::{
    ENUM_SERVICE_STATUS_PROCESSW, EnumServicesStatusExW, OpenSCManagerW, SC_ENUM_PROCESS_INFO, SC_HANDLE,
    SC_MANAGER_CONNECT, SC_MANAGER_ENUMERATE_SERVICE, SERVICE_CONTINUE_PENDING, SERVICE_PAUSE_PENDING, SERVICE_PAUSED,
    SERVICE_RUNNING, SERVICE_START_PENDING, SERVICE_STATE_ALL, SERVICE_STATUS_CURRENT_STATE, SERVICE_STATUS_PROCESS,
    SERVICE_STOP_PENDING, SERVICE_STOPPED, SERVICE_WIN32,
};
use windows::core::{Error, Owned, PCWSTR, PWSTR};

use self::configuration::Configurations;
use crate::collect::reading::Unreadable;

pub(super) mod configuration;

/// The most that one call of `EnumServicesStatusExW` fills.
const ENUMERATION_BUFFER: usize = 256 * 1024;
/// ERROR_SERVICE_SPECIFIC_ERROR: the service set a code of its own.
const SERVICE_SPECIFIC_ERROR: u32 = 1066;
/// A service that is made anew for each user who signs in: it comes and goes, and never holds a fixed port.
const USER_SERVICE_INSTANCE: u32 = 0x80;

pub(super) fn read(configurations: &mut Configurations) -> Result<Vec<Service>, Unreadable> {
    let access = SC_MANAGER_CONNECT | SC_MANAGER_ENUMERATE_SERVICE;
    // SAFETY: null names are this machine and its only database; the handle is ours alone, and `Owned` closes it.
    let manager = unsafe { OpenSCManagerW(PCWSTR::null(), PCWSTR::null(), access).map(|handle| Owned::new(handle)) }
        .map_err(|error| failed("OpenSCManagerW", &error))?;

    let mut services = Vec::new();
    let mut buffer = vec![0_u64; ENUMERATION_BUFFER / size_of::<u64>()];
    let mut resume = 0;
    loop {
        let (mut bytes_left, mut count) = (0, 0);
        // SAFETY: the manager is open, and the buffer is writable as bytes; the counters outlive the call.
        let answer = unsafe {
            EnumServicesStatusExW(
                *manager,
                SC_ENUM_PROCESS_INFO,
                SERVICE_WIN32,
                SERVICE_STATE_ALL,
                Some(as_bytes(&mut buffer)),
                &raw mut bytes_left,
                &raw mut count,
                Some(&raw mut resume),
                PCWSTR::null(),
            )
        };
        let is_complete = match answer {
            Ok(()) => true,
            Err(error) if error.code() == ERROR_MORE_DATA.to_hresult() && count > 0 => false,
            Err(error) => return Err(failed("EnumServicesStatusExW", &error)),
        };
        let count = usize::try_from(count).unwrap_or(0);
        // SAFETY: the call wrote `count` entries at the start of the buffer, which is aligned to 8.
        let entries =
            unsafe { std::slice::from_raw_parts(buffer.as_ptr().cast::<ENUM_SERVICE_STATUS_PROCESSW>(), count) };
        for entry in
            entries.iter().filter(|entry| entry.ServiceStatusProcess.dwServiceType.0 & USER_SERVICE_INSTANCE == 0)
        {
            services.push(service(*manager, entry, configurations)?);
        }
        if is_complete {
            return Ok(services);
        }
    }
}

fn service(
    manager: SC_HANDLE,
    entry: &ENUM_SERVICE_STATUS_PROCESSW,
    configurations: &mut Configurations,
) -> Result<Service, Unreadable> {
    // SAFETY: the manager wrote these names into the buffer that `entry` lies in.
    let (name, display_name) = unsafe { (string(entry.lpServiceName), string(entry.lpDisplayName)) };
    let status = &entry.ServiceStatusProcess;
    let state = state(status.dwCurrentState)
        .ok_or_else(|| Unreadable::new(format!("service {name} is in a state that Windows does not document")))?;
    let configuration = configurations.get(manager, &name);
    Ok(Service {
        name: Text::new(&name),
        display_name: Text::new(&display_name),
        state,
        start: configuration.start,
        delayed: configuration.delayed,
        trigger_start: configuration.trigger_start,
        pid: (status.dwProcessId != 0).then_some(status.dwProcessId),
        exit_code: Some(status.dwWin32ExitCode),
        service_exit_code: service_exit_code(status),
        image_path: configuration.image_path,
        account: configuration.account,
        depends_on: configuration.depends_on,
        state_since: None,
        recovery: configuration.recovery,
    })
}

fn service_exit_code(status: &SERVICE_STATUS_PROCESS) -> Option<u32> {
    (status.dwWin32ExitCode == SERVICE_SPECIFIC_ERROR).then_some(status.dwServiceSpecificExitCode)
}

pub(super) fn state(code: SERVICE_STATUS_CURRENT_STATE) -> Option<ServiceState> {
    match code {
        SERVICE_STOPPED => Some(ServiceState::Stopped),
        SERVICE_START_PENDING => Some(ServiceState::StartPending),
        SERVICE_STOP_PENDING => Some(ServiceState::StopPending),
        SERVICE_RUNNING => Some(ServiceState::Running),
        SERVICE_CONTINUE_PENDING => Some(ServiceState::ContinuePending),
        SERVICE_PAUSE_PENDING => Some(ServiceState::PausePending),
        SERVICE_PAUSED => Some(ServiceState::Paused),
        _ => None,
    }
}

fn as_bytes(buffer: &mut [u64]) -> &mut [u8] {
    // SAFETY: the same memory, and bytes have no alignment and no invalid values.
    unsafe { std::slice::from_raw_parts_mut(buffer.as_mut_ptr().cast(), size_of_val(buffer)) }
}

/// # Safety
/// `pointer` is null or points to characters that end with U+0000.
unsafe fn string(pointer: PWSTR) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: promised by the caller.
    String::from_utf16_lossy(unsafe { pointer.as_wide() })
}

/// # Safety
/// `pointer` is null or points to strings, each ending with U+0000, of which an empty one is the last.
unsafe fn strings(mut pointer: PWSTR) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        // SAFETY: promised by the caller, and the loop ends at the empty string.
        let (text, length) = unsafe { (string(pointer), if pointer.is_null() { 0 } else { pointer.len() }) };
        if length == 0 {
            return all;
        }
        all.push(text);
        // SAFETY: behind the U+0000 of a string that is not the last comes the next.
        pointer = PWSTR(unsafe { pointer.0.add(length + 1) });
    }
}

fn failed(function: &str, error: &Error) -> Unreadable {
    Unreadable::new(format!("{function} failed: {error}"))
}
