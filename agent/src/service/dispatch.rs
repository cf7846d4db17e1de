//! Started by the service control manager, which hears of every state and may end it at any time.
//!
//! Never call this to find out whether that is so: under Wine the dispatcher does not refuse, and the process is handed
//! the next service that starts.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;
use tracing::{Level, error, info, warn};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use windows_service::service::{
    ServiceControl, ServiceControlAccept, ServiceExitCode, ServiceState, ServiceStatus, ServiceType,
};
use windows_service::service_control_handler::{self, ServiceControlHandlerResult, ServiceStatusHandle};
use windows_service::{define_windows_service, service_dispatcher};

use super::event_log::{EventLog, NOTICE};
use super::life::live;
use super::log_file::LogFile;
use super::{NAME, setup};
use crate::logging::{self, Sink};
use crate::private::secure_folder;
use crate::spool::Limits;

/// How long a stop may take before the service control manager calls it hung.
const STOP_TAKES: Duration = Duration::from_secs(20);

/// Of each of the two log files.
const LONGEST_LOG: u64 = 1024 * 1024;

/// What the service stopped with, in place of an error of Windows: it could not work; its log says why.
const FAILED: ServiceExitCode = ServiceExitCode::ServiceSpecific(1);

/// Of the command line, for the thread that Windows starts.
static SETTINGS: OnceLock<(PathBuf, Limits)> = OnceLock::new();

define_windows_service!(entry_point, service);

/// Returns when the service has stopped. Fails where the service control manager did not start this process.
pub(crate) fn dispatch(state_dir: &Path, spool: Limits, level: Level) -> anyhow::Result<()> {
    SETTINGS.get_or_init(|| (state_dir.to_owned(), spool));
    // Without a log the service is still worth more than none: it says so where it can, in the event log.
    let opened = secure_folder(state_dir).and_then(|_held| LogFile::open(state_dir, LONGEST_LOG));
    let (lines, fault) = match opened {
        Ok(file) => (BoxMakeWriter::new(Mutex::new(file)), None),
        Err(fault) => (BoxMakeWriter::new(std::io::sink), Some(fault)),
    };
    logging::start(level, Sink { lines, is_terminal: false, also: Some(Box::new(EventLog::default())) });
    if let Some(fault) = fault {
        warn!("There is no log file in {}: {fault}", state_dir.display());
    }
    service_dispatcher::start(NAME, entry_point)
        .context("only the service control manager starts this: run `portreeve-agent install`")
}

fn service(_: Vec<OsString>) {
    if let Err(error) = serve() {
        error!("The service control manager cannot be told about this service: {error:#}");
    }
}

fn serve() -> anyhow::Result<()> {
    let (stop, stopped) = watch::channel(false);
    let manager = service_control_handler::register(NAME, move |control| answer(control, &stop))?;
    tell(&manager, ServiceState::StartPending, ServiceExitCode::NO_ERROR)?;
    setup::mend_command_line();
    tell(&manager, ServiceState::Running, ServiceExitCode::NO_ERROR)?;
    info!(target: NOTICE, "The Portreeve agent {} started", env!("CARGO_PKG_VERSION"));
    let ended = work(stopped);
    tell(&manager, ServiceState::StopPending, ServiceExitCode::NO_ERROR)?;
    let exit_code = match ended {
        Ok(()) => {
            info!(target: NOTICE, "The Portreeve agent stopped");
            ServiceExitCode::NO_ERROR
        }
        Err(error) => {
            error!("The Portreeve agent cannot work: {error:#}");
            FAILED
        }
    };
    tell(&manager, ServiceState::Stopped, exit_code)
}

fn work(stopped: watch::Receiver<bool>) -> anyhow::Result<()> {
    let (state_dir, spool) = SETTINGS.get().context("they are set before the dispatcher starts")?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(live(state_dir, *spool, stopped))
}

fn answer(control: ServiceControl, stop: &watch::Sender<bool>) -> ServiceControlHandlerResult {
    match control {
        ServiceControl::Stop | ServiceControl::Shutdown | ServiceControl::Preshutdown => {
            stop.send_replace(true);
            ServiceControlHandlerResult::NoError
        }
        ServiceControl::Interrogate => ServiceControlHandlerResult::NoError,
        _ => ServiceControlHandlerResult::NotImplemented,
    }
}

fn tell(manager: &ServiceStatusHandle, state: ServiceState, exit_code: ServiceExitCode) -> anyhow::Result<()> {
    let (controls_accepted, wait_hint) = match state {
        ServiceState::Running => {
            let stops = ServiceControlAccept::STOP | ServiceControlAccept::SHUTDOWN | ServiceControlAccept::PRESHUTDOWN;
            (stops, Duration::ZERO)
        }
        ServiceState::Stopped => (ServiceControlAccept::empty(), Duration::ZERO),
        _ => (ServiceControlAccept::empty(), STOP_TAKES),
    };
    let status = ServiceStatus {
        service_type: ServiceType::OWN_PROCESS,
        current_state: state,
        controls_accepted,
        exit_code,
        checkpoint: 0,
        wait_hint,
        process_id: None,
    };
    Ok(manager.set_service_status(status)?)
}
