//! Installing the service and removing it, in full, whoever asks: a person or the MSI package.
//!
//! Invariant: a setting that this Windows does not know is said and left out. It never prevents the installation.

#![expect(unsafe_code, reason = "some settings of a service are raw memory of Windows")]

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tracing::{info, warn};
use windows::Win32::Foundation::{
    ERROR_SERVICE_ALREADY_RUNNING, ERROR_SERVICE_DOES_NOT_EXIST, ERROR_SERVICE_MARKED_FOR_DELETE,
    ERROR_SERVICE_NOT_ACTIVE, WIN32_ERROR,
};
use windows::Win32::System::Services::{
    ChangeServiceConfig2W, ChangeServiceConfigW, ENUM_SERVICE_TYPE, SC_HANDLE, SERVICE_CONFIG_REQUIRED_PRIVILEGES_INFO,
    SERVICE_ERROR, SERVICE_NO_CHANGE, SERVICE_REQUIRED_PRIVILEGES_INFOW, SERVICE_START_TYPE,
};
use windows::core::{HSTRING, PCWSTR, PWSTR};
use windows_service::service::{
    Service, ServiceAccess, ServiceAction, ServiceActionType, ServiceErrorControl, ServiceFailureActions,
    ServiceFailureResetPeriod, ServiceInfo, ServiceSidType, ServiceStartType, ServiceState, ServiceType,
};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};

use super::{NAME, command_line, registry};
use crate::{identity, place};

const DISPLAY_NAME: &str = "Portreeve Agent";
const DESCRIPTION: &str = "Reports the sockets, services and updates of this host to the Portreeve server, so that it can \
                           say who took a port and which update did harm.";
/// Remote procedure calls, for the Windows Update agent, and the event log. Everything else may start after us: who takes
/// which port at boot is what we are here to see.
const AFTER: [&str; 2] = ["RpcSs", "EventLog"];
/// What is left of LocalSystem's. None of them is needed to read tables, registry and services.
const PRIVILEGES: &str = "SeChangeNotifyPrivilege\0SeImpersonatePrivilege\0\0";
const RESTARTED_AFTER: [Duration; 3] = [Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(60)];
const FAILURES_FORGOTTEN_AFTER: Duration = Duration::from_hours(24);

const STOPS_WITHIN: Duration = Duration::from_secs(30);
const LOOKS_EVERY: Duration = Duration::from_millis(100);

/// Creates the service, or brings the settings of the one that is there up to date. `state_dir`: where it is not the
/// default.
pub(crate) fn install(state_dir: Option<&Path>) -> anyhow::Result<()> {
    let exe = std::env::current_exe().context("cannot tell where this program lies")?;
    let manager = manager(ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE)?;
    let info = ServiceInfo {
        name: NAME.into(),
        display_name: DISPLAY_NAME.into(),
        service_type: ServiceType::OWN_PROCESS,
        start_type: ServiceStartType::AutoStart,
        error_control: ServiceErrorControl::Normal,
        executable_path: exe.clone(),
        launch_arguments: vec!["service".into()],
        dependencies: Vec::new(),
        account_name: None,
        account_password: None,
    };
    // A service whose recovery is to restart must be one that its owner may start.
    let access = ServiceAccess::QUERY_CONFIG | ServiceAccess::CHANGE_CONFIG | ServiceAccess::START;
    let service = match manager.open_service(NAME, access) {
        Err(error) if is(&error, ERROR_SERVICE_DOES_NOT_EXIST) => manager.create_service(&info, access),
        Ok(service) => service.change_config(&info).map(|()| service),
        Err(error) => Err(error),
    };
    let service = service.map_err(plain).context("cannot create the service; run this as an administrator")?;
    let after = HSTRING::from(dependencies(&manager));
    set_command_line(&service, &command_line::of(&exe, state_dir), Some(&after))
        .context("cannot set the service's command line")?;

    setting("description", service.set_description(DESCRIPTION));
    setting("start without delay", service.set_delayed_auto_start(false));
    setting("service SID", service.set_config_service_sid_info(ServiceSidType::Unrestricted));
    setting("recovery actions", service.update_failure_actions(recovery()));
    setting("recovery after an error", service.set_failure_actions_on_non_crash_failures(true));
    setting("required privileges", trim_privileges(&service));
    setting("event source", registry::add_event_source());
    info!("Installed the service {NAME}");
    Ok(())
}

/// A service that runs already goes on running.
pub(crate) fn start() -> anyhow::Result<()> {
    let service = manager(ServiceManagerAccess::CONNECT)?.open_service(NAME, ServiceAccess::START).map_err(plain)?;
    match service.start::<&OsStr>(&[]) {
        Err(error) if is(&error, ERROR_SERVICE_ALREADY_RUNNING) => Ok(()),
        result => result.map_err(plain).context("the service is installed but does not start"),
    }
}

/// Stops the service and leaves nothing of it: service, event source, order, identity and logs. The program itself is
/// whoever's who put it there.
pub(crate) async fn uninstall(state_dir: &Path) -> anyhow::Result<()> {
    let access = ServiceAccess::QUERY_STATUS | ServiceAccess::STOP | ServiceAccess::DELETE;
    match manager(ServiceManagerAccess::CONNECT)?.open_service(NAME, access) {
        Ok(service) => {
            stop(&service).await?;
            match service.delete() {
                // By whoever uninstalls the package.
                Err(error) if is(&error, ERROR_SERVICE_MARKED_FOR_DELETE) => {}
                result => result.map_err(plain).context("cannot remove the service")?,
            }
        }
        Err(error) if is(&error, ERROR_SERVICE_DOES_NOT_EXIST) => {}
        Err(error) => return Err(plain(error)).context("cannot open the service; run this as an administrator"),
    }
    registry::remove()?;
    remove_state(state_dir)?;
    info!("Removed the service {NAME} and everything that it kept");
    Ok(())
}

/// A folder that is not ours stays, whatever was written after `--state-dir`.
fn remove_state(folder: &Path) -> anyhow::Result<()> {
    if folder != place::state_dir() && !folder.join(identity::FILE).exists() {
        warn!("{} stays: it holds no identity", folder.display());
        return Ok(());
    }
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Windows Installer and administrators write the path as they like.
pub(super) fn mend_command_line() {
    if let Err(error) = try_to_mend_command_line() {
        warn!("The command line of this service cannot be checked: {error:#}");
    }
}

fn try_to_mend_command_line() -> anyhow::Result<()> {
    let access = ServiceAccess::QUERY_CONFIG | ServiceAccess::CHANGE_CONFIG;
    let service = manager(ServiceManagerAccess::CONNECT)?.open_service(NAME, access).map_err(plain)?;
    let found = service.query_config().map_err(plain)?.executable_path;
    if let Some(mended) = command_line::mended(&found.to_string_lossy(), &std::env::current_exe()?) {
        set_command_line(&service, &mended, None)?;
        info!("Put the path of this service into quotes");
    }
    Ok(())
}

async fn stop(service: &Service) -> anyhow::Result<()> {
    match service.stop() {
        Err(error) if is(&error, ERROR_SERVICE_NOT_ACTIVE) => return Ok(()),
        result => result.map_err(plain).context("cannot stop the service")?,
    };
    let deadline = Instant::now() + STOPS_WITHIN;
    while service.query_status().map_err(plain)?.current_state != ServiceState::Stopped {
        if Instant::now() > deadline {
            bail!("the service does not stop");
        }
        tokio::time::sleep(LOOKS_EVERY).await;
    }
    Ok(())
}

fn manager(access: ServiceManagerAccess) -> anyhow::Result<ServiceManager> {
    ServiceManager::local_computer(None::<&OsStr>, access)
        .map_err(plain)
        .context("cannot reach the service control manager; run this as an administrator")
}

/// Those that exist, each with a zero after it; the text's own makes the two that end the list.
fn dependencies(manager: &ServiceManager) -> String {
    let exists = |name: &&str| manager.open_service(name, ServiceAccess::QUERY_STATUS).is_ok();
    AFTER.into_iter().filter(exists).map(|name| format!("{name}\0")).collect()
}

fn recovery() -> ServiceFailureActions {
    let restart = |delay| ServiceAction { action_type: ServiceActionType::Restart, delay };
    ServiceFailureActions {
        reset_period: ServiceFailureResetPeriod::After(FAILURES_FORGOTTEN_AFTER),
        reboot_msg: None,
        command: None,
        actions: Some(RESTARTED_AFTER.map(restart).to_vec()),
    }
}

/// `after`: the services to wait for. `None` leaves them, but not under Wine: so both are set at once.
fn set_command_line(service: &Service, line: &str, after: Option<&HSTRING>) -> windows::core::Result<()> {
    let (same, line) = (SERVICE_NO_CHANGE, HSTRING::from(line));
    let (kind, start, error) = (ENUM_SERVICE_TYPE(same), SERVICE_START_TYPE(same), SERVICE_ERROR(same));
    let after = after.map_or(PCWSTR::null(), |after| PCWSTR(after.as_ptr()));
    // SAFETY: the handle lives as long as the service; the texts end with as many zeros as they must, and outlive the call.
    unsafe { ChangeServiceConfigW(handle(service), kind, start, error, &line, None, None, after, None, None, None) }
}

fn trim_privileges(service: &Service) -> windows::core::Result<()> {
    let mut names: Vec<u16> = PRIVILEGES.encode_utf16().collect();
    let info = SERVICE_REQUIRED_PRIVILEGES_INFOW { pmszRequiredPrivileges: PWSTR(names.as_mut_ptr()) };
    // SAFETY: the level is the one of this struct; struct and names, which end with two zeros, outlive the call.
    unsafe {
        ChangeServiceConfig2W(handle(service), SERVICE_CONFIG_REQUIRED_PRIVILEGES_INFO, Some((&raw const info).cast()))
    }
}

fn handle(service: &Service) -> SC_HANDLE {
    SC_HANDLE(service.raw_handle())
}

fn setting<E: std::error::Error + Send + Sync + 'static>(name: &str, result: Result<(), E>) {
    if let Err(error) = result {
        warn!("This Windows does not take the service's setting `{name}`: {:#}", anyhow::Error::from(error));
    }
}

fn is(error: &windows_service::Error, code: WIN32_ERROR) -> bool {
    matches!(error, windows_service::Error::Winapi(error) if error.raw_os_error() == i32::try_from(code.0).ok())
}

/// The reason of Windows, without "IO error in winapi call".
fn plain(error: windows_service::Error) -> anyhow::Error {
    match error {
        windows_service::Error::Winapi(error) => error.into(),
        other => other.into(),
    }
}
