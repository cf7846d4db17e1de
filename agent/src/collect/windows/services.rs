//! Services from the service control manager: states at every look, configurations once and again when they may have
//! changed.
//!
//! Invariant: a service whose configuration cannot be read is listed without it, never left out.
#![expect(unsafe_code, reason = "the service control manager answers with structures that point into their own buffer")]

use std::collections::HashMap;

use rules::facts::{Service, ServiceState, StartMode};
use rules::text::Text;
use windows::Win32::Foundation::ERROR_MORE_DATA;
use windows::Win32::System::Services::{
    ENUM_SERVICE_STATUS_PROCESSW, EnumServicesStatusExW, OpenSCManagerW, OpenServiceW, QUERY_SERVICE_CONFIGW,
    QueryServiceConfig2W, QueryServiceConfigW, SC_ENUM_PROCESS_INFO, SC_HANDLE, SC_MANAGER_CONNECT,
    SC_MANAGER_ENUMERATE_SERVICE, SERVICE_AUTO_START, SERVICE_BOOT_START, SERVICE_CONFIG,
    SERVICE_CONFIG_DELAYED_AUTO_START_INFO, SERVICE_CONFIG_TRIGGER_INFO, SERVICE_CONTINUE_PENDING,
    SERVICE_DEMAND_START, SERVICE_DISABLED, SERVICE_PAUSE_PENDING, SERVICE_PAUSED, SERVICE_QUERY_CONFIG,
    SERVICE_RUNNING, SERVICE_START_PENDING, SERVICE_START_TYPE, SERVICE_STATE_ALL, SERVICE_STATUS_CURRENT_STATE,
    SERVICE_STATUS_PROCESS, SERVICE_STOP_PENDING, SERVICE_STOPPED, SERVICE_SYSTEM_START, SERVICE_WIN32,
};
use windows::core::{Error, Owned, PCWSTR, PWSTR};

use super::registry;
use crate::collect::reading::Unreadable;

/// The most that one call of `EnumServicesStatusExW` fills.
const ENUMERATION_BUFFER: usize = 256 * 1024;
/// The most that `QueryServiceConfigW` and `QueryServiceConfig2W` fill.
const CONFIGURATION_BUFFER: u32 = 8 * 1024;
const CONFIGURATION_WORDS: usize = CONFIGURATION_BUFFER as usize / size_of::<u64>();

/// ERROR_SERVICE_SPECIFIC_ERROR: the service set a code of its own.
const SERVICE_SPECIFIC_ERROR: u32 = 1066;
/// A service that is made anew for each user who signs in: it comes and goes, and never holds a fixed port.
const USER_SERVICE_INSTANCE: u32 = 0x80;

pub(super) const SERVICES: &str = r"SYSTEM\CurrentControlSet\Services";

/// Configurations by key name, as they were when they were read.
#[derive(Debug, Default)]
pub(super) struct Configurations(HashMap<String, Configuration>);

impl Configurations {
    /// Forgets those whose registry key was written since. Asking for the time of a key is far cheaper than asking the
    /// service control manager, and on current systems something below `Services` is written all the time.
    pub(super) fn forget_changed(&mut self) {
        self.0.retain(|name, configuration| last_written(name) == configuration.written);
    }
}

fn last_written(service: &str) -> Option<u64> {
    registry::last_written(&format!(r"{SERVICES}\{service}"))
}

#[derive(Clone, Debug, Default)]
struct Configuration {
    written: Option<u64>,
    start: Option<StartMode>,
    delayed: Option<bool>,
    trigger_start: Option<bool>,
    image_path: Option<Text>,
    account: Option<Text>,
    depends_on: Vec<Text>,
}

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
    let configuration = configurations.0.entry(name.clone()).or_insert_with(|| {
        // The time comes first: what is written after it is seen next time.
        let written = last_written(&name);
        Configuration { written, ..configuration(manager, entry.lpServiceName) }
    });
    let configuration = configuration.clone();
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
        recovery: None,
    })
}

fn service_exit_code(status: &SERVICE_STATUS_PROCESS) -> Option<u32> {
    (status.dwWin32ExitCode == SERVICE_SPECIFIC_ERROR).then_some(status.dwServiceSpecificExitCode)
}

fn state(code: SERVICE_STATUS_CURRENT_STATE) -> Option<ServiceState> {
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

fn start_mode(code: SERVICE_START_TYPE) -> Option<StartMode> {
    match code {
        SERVICE_BOOT_START => Some(StartMode::Boot),
        SERVICE_SYSTEM_START => Some(StartMode::System),
        SERVICE_AUTO_START => Some(StartMode::Auto),
        SERVICE_DEMAND_START => Some(StartMode::Manual),
        SERVICE_DISABLED => Some(StartMode::Disabled),
        _ => None,
    }
}

fn configuration(manager: SC_HANDLE, name: PWSTR) -> Configuration {
    // SAFETY: `name` is a string of the enumeration; the handle is ours alone, and `Owned` closes it.
    let service =
        unsafe { OpenServiceW(manager, PCWSTR(name.0), SERVICE_QUERY_CONFIG).map(|handle| Owned::new(handle)) };
    let Ok(service) = service else { return Configuration::default() };
    let mut buffer = [0_u64; CONFIGURATION_WORDS];
    let mut size = 0;
    let answer = buffer.as_mut_ptr().cast::<QUERY_SERVICE_CONFIGW>();
    // SAFETY: the service is open, and the buffer is writable for as many bytes as it says.
    let read = unsafe { QueryServiceConfigW(*service, Some(answer), CONFIGURATION_BUFFER, &raw mut size) };
    // SERVICE_DELAYED_AUTO_START_INFO is one flag; SERVICE_TRIGGER_INFO starts with the number of triggers.
    let delayed = is_set(*service, SERVICE_CONFIG_DELAYED_AUTO_START_INFO);
    let trigger_start = is_set(*service, SERVICE_CONFIG_TRIGGER_INFO);
    if read.is_err() {
        return Configuration { delayed, trigger_start, ..Configuration::default() };
    }
    // SAFETY: the call succeeded, so the structure and the strings that it points to lie in the buffer, aligned to 8.
    let (answer, image_path, account, depends_on) = unsafe {
        let answer = &*answer;
        let image_path = string(answer.lpBinaryPathName);
        (answer, image_path, string(answer.lpServiceStartName), strings(answer.lpDependencies))
    };
    Configuration {
        written: None,
        start: start_mode(answer.dwStartType),
        delayed,
        trigger_start,
        image_path: (!image_path.is_empty()).then(|| Text::from(image_path)),
        account: (!account.is_empty()).then(|| Text::from(account)),
        // A name with `+` is a load-order group, not a service.
        depends_on: depends_on.into_iter().filter(|name| !name.starts_with('+')).map(Text::from).collect(),
    }
}

/// Whether a part of a configuration starts with a 32-bit number other than 0: a flag that is set, or a count. `None`:
/// this system does not know the part (Wine: error 124; triggers before Server 2008 R2), or it may not be read.
fn is_set(service: SC_HANDLE, part: SERVICE_CONFIG) -> Option<bool> {
    let mut buffer = vec![0_u64; CONFIGURATION_WORDS];
    let mut size = 0;
    // SAFETY: the service is open, and the buffer is writable as bytes.
    unsafe { QueryServiceConfig2W(service, part, Some(as_bytes(&mut buffer)), &raw mut size) }.ok()?;
    Some(buffer[0] & u64::from(u32::MAX) != 0)
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
