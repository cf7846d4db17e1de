//! How services are configured: read once, and again when their registry key was written.
//!
//! Invariant: a part that cannot be read is `None`, and hides no other part.

use std::collections::HashMap;

use rules::facts::{Recovery, RecoveryAction, RecoveryKind, StartMode};
use rules::text::Text;
use windows::Win32::Foundation::ERROR_SERVICE_MARKED_FOR_DELETE;
use windows::Win32::System::Services::{
    OpenServiceW, QUERY_SERVICE_CONFIGW, QueryServiceConfig2W, QueryServiceConfigW, SC_ACTION, SC_ACTION_REBOOT,
    SC_ACTION_RESTART, SC_ACTION_RUN_COMMAND, SC_HANDLE, SERVICE_AUTO_START, SERVICE_BOOT_START, SERVICE_CONFIG,
    SERVICE_CONFIG_DELAYED_AUTO_START_INFO, SERVICE_CONFIG_FAILURE_ACTIONS, SERVICE_CONFIG_FAILURE_ACTIONS_FLAG,
    SERVICE_CONFIG_TRIGGER_INFO, SERVICE_DEMAND_START, SERVICE_DISABLED, SERVICE_FAILURE_ACTIONSW,
    SERVICE_QUERY_CONFIG, SERVICE_START_TYPE, SERVICE_SYSTEM_START,
};
use windows::core::{Error, HSTRING, Owned};

use super::super::registry;
use super::{as_bytes, string, strings};
use crate::collect::capability::Capability;

/// The most that `QueryServiceConfigW` and `QueryServiceConfig2W` fill.
const BUFFER: u32 = 8 * 1024;
const BUFFER_WORDS: usize = BUFFER as usize / size_of::<u64>();
/// dwResetPeriod: failures are counted for ever.
const NEVER: u32 = u32::MAX;

pub(in crate::collect::windows) const SERVICES: &str = r"SYSTEM\CurrentControlSet\Services";

/// Configurations by key name, as they were when they were read.
#[derive(Debug, Default)]
pub(in crate::collect::windows) struct Configurations(HashMap<String, Configuration>);

impl Configurations {
    /// Forgets those whose registry key was written since. Asking for the time of a key is far cheaper than asking the
    /// service control manager, and on current systems something below `Services` is written all the time.
    pub(in crate::collect::windows) fn forget_changed(&mut self) {
        self.0.retain(|name, configuration| last_written(name) == configuration.written);
    }

    pub(super) fn get(&mut self, manager: SC_HANDLE, service: &str) -> Configuration {
        if let Some(configuration) = self.0.get(service) {
            return configuration.clone();
        }
        // The time comes first: what is written after it is seen next time.
        let written = last_written(service);
        let configuration = Configuration { written, ..read(manager, service) };
        self.0.insert(service.to_owned(), configuration.clone());
        configuration
    }

    pub(in crate::collect::windows) fn capability(&self) -> Capability {
        let unread: Vec<(&String, &String)> =
            self.0.iter().filter_map(|(name, read)| Some((name, read.unread.as_ref()?))).collect();
        match unread.iter().min() {
            None => Capability::Ok,
            Some((name, why)) => {
                Capability::Degraded(format!("{} services in part, such as {name}: {why}", unread.len()))
            }
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Configuration {
    written: Option<u64>,
    /// The first part that could not be read, and why.
    unread: Option<String>,
    pub(super) start: Option<StartMode>,
    pub(super) delayed: Option<bool>,
    pub(super) trigger_start: Option<bool>,
    pub(super) image_path: Option<Text>,
    pub(super) account: Option<Text>,
    pub(super) depends_on: Vec<Text>,
    pub(super) recovery: Option<Recovery>,
}

fn last_written(service: &str) -> Option<u64> {
    registry::last_written(&format!(r"{SERVICES}\{service}"))
}

fn read(manager: SC_HANDLE, name: &str) -> Configuration {
    let name = HSTRING::from(name);
    // SAFETY: `name` ends with U+0000; the handle is ours alone, and `Owned` closes it.
    let service = unsafe { OpenServiceW(manager, &name, SERVICE_QUERY_CONFIG).map(|handle| Owned::new(handle)) };
    let service = match service {
        Ok(service) => service,
        // It is on its way out, which is no fault of ours.
        Err(error) if error.code() == ERROR_SERVICE_MARKED_FOR_DELETE.to_hresult() => return Configuration::default(),
        Err(error) => {
            return Configuration { unread: Some(format!("OpenServiceW failed: {error}")), ..Configuration::default() };
        }
    };
    let mut read = Configuration::default();
    if let Err(error) = read_basics(*service, &mut read) {
        read.unread = Some(format!("QueryServiceConfigW failed: {error}"));
    }
    let mut part = |name: &str, error: Error| {
        read.unread.get_or_insert_with(|| format!("{name} cannot be read: {error}"));
    };
    // SERVICE_DELAYED_AUTO_START_INFO is one flag; SERVICE_TRIGGER_INFO starts with the number of triggers.
    let delayed = is_set(*service, SERVICE_CONFIG_DELAYED_AUTO_START_INFO);
    let delayed = delayed.map_err(|error| part("delayed start", error)).ok();
    let triggers = is_set(*service, SERVICE_CONFIG_TRIGGER_INFO);
    let triggers = triggers.map_err(|error| part("trigger start", error)).ok();
    let recovery = recovery(*service).map_err(|error| part("recovery", error)).ok();
    Configuration { delayed, trigger_start: triggers, recovery, ..read }
}

fn read_basics(service: SC_HANDLE, read: &mut Configuration) -> Result<(), Error> {
    let mut buffer = [0_u64; BUFFER_WORDS];
    let mut size = 0;
    let answer = buffer.as_mut_ptr().cast::<QUERY_SERVICE_CONFIGW>();
    // SAFETY: the service is open, and the buffer is writable for as many bytes as it says.
    unsafe { QueryServiceConfigW(service, Some(answer), BUFFER, &raw mut size) }?;
    // SAFETY: the call succeeded, so the structure and the strings that it points to lie in the buffer, aligned to 8.
    let (answer, image_path, account, depends_on) = unsafe {
        let answer = &*answer;
        let image_path = string(answer.lpBinaryPathName);
        (answer, image_path, string(answer.lpServiceStartName), strings(answer.lpDependencies))
    };
    read.start = start_mode(answer.dwStartType);
    read.image_path = (!image_path.is_empty()).then(|| Text::from(image_path));
    read.account = (!account.is_empty()).then(|| Text::from(account));
    // A name with `+` is a load-order group, not a service.
    read.depends_on = depends_on.into_iter().filter(|name| !name.starts_with('+')).map(Text::from).collect();
    Ok(())
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

/// Whether a part of a configuration starts with a 32-bit number other than 0: a flag that is set, or a count. It fails
/// where this system does not know the part (Wine: error 124; triggers before Server 2008 R2).
fn is_set(service: SC_HANDLE, part: SERVICE_CONFIG) -> Result<bool, Error> {
    let mut buffer = [0_u64; BUFFER_WORDS];
    read_part(service, part, &mut buffer)?;
    Ok(buffer[0] & u64::from(u32::MAX) != 0)
}

fn recovery(service: SC_HANDLE) -> Result<Recovery, Error> {
    let mut buffer = [0_u64; BUFFER_WORDS];
    read_part(service, SERVICE_CONFIG_FAILURE_ACTIONS, &mut buffer)?;
    // SAFETY: the call succeeded, so the structure lies at the start of the buffer, which is aligned to 8.
    let answer = unsafe { &*buffer.as_ptr().cast::<SERVICE_FAILURE_ACTIONSW>() };
    let count = usize::try_from(answer.cActions).unwrap_or(0);
    let actions: &[SC_ACTION] = if answer.lpsaActions.is_null() || count * size_of::<SC_ACTION>() > size_of_val(&buffer)
    {
        &[]
    } else {
        // SAFETY: as many actions as are counted lie in the same buffer.
        unsafe { std::slice::from_raw_parts(answer.lpsaActions, count) }
    };
    Ok(Recovery {
        reset_after_seconds: (answer.dwResetPeriod != NEVER).then_some(answer.dwResetPeriod),
        actions: actions.iter().map(action).collect(),
        // Server 2008 and later.
        on_error_stop: is_set(service, SERVICE_CONFIG_FAILURE_ACTIONS_FLAG).ok(),
    })
}

fn action(action: &SC_ACTION) -> RecoveryAction {
    let kind = match action.Type {
        SC_ACTION_RESTART => RecoveryKind::Restart,
        SC_ACTION_REBOOT => RecoveryKind::RestartComputer,
        SC_ACTION_RUN_COMMAND => RecoveryKind::RunCommand,
        // SC_ACTION_NONE, and one that is of no service.
        _ => RecoveryKind::None,
    };
    RecoveryAction { kind, delay_ms: action.Delay }
}

fn read_part(service: SC_HANDLE, part: SERVICE_CONFIG, buffer: &mut [u64]) -> Result<(), Error> {
    let mut size = 0;
    // SAFETY: the service is open, and the buffer is writable as bytes.
    unsafe { QueryServiceConfig2W(service, part, Some(as_bytes(buffer)), &raw mut size) }
}
