//! A Windows service for tests: needs one port, and stops with the error code of its bind when it cannot have it, as IAS
//! does. Started by the service control manager as `port_service NAME udp/1812`.

#[cfg(windows)]
fn main() -> anyhow::Result<()> {
    windows::run()
}

#[cfg(not(windows))]
fn main() {}

#[cfg(windows)]
mod windows {
    use std::ffi::OsString;
    use std::io;
    use std::net::{Ipv4Addr, TcpListener, UdpSocket};
    use std::sync::mpsc::{self, Sender};
    use std::time::Duration;

    use anyhow::Context as _;
    use rules::ports::{Port, Protocol};
    use windows_service::service::{
        ServiceControl, ServiceControlAccept, ServiceExitCode, ServiceState, ServiceStatus, ServiceType,
    };
    use windows_service::service_control_handler::{self, ServiceControlHandlerResult};
    use windows_service::{define_windows_service, service_dispatcher};

    define_windows_service!(entry_point, service);

    pub(super) fn run() -> anyhow::Result<()> {
        Ok(service_dispatcher::start(name()?, entry_point)?)
    }

    fn service(_: Vec<OsString>) {
        // Without a status the service control manager says that the service did not respond, and the test sees it.
        if let Err(error) = serve() {
            eprintln!("{error:#}");
        }
    }

    fn serve() -> anyhow::Result<()> {
        let (stop, stopped) = mpsc::channel();
        let handle = service_control_handler::register(name()?, move |control| answer(control, &stop))?;
        let mut exit_code = ServiceExitCode::NO_ERROR;
        match hold(port()?) {
            Ok(held) => {
                handle.set_service_status(status(ServiceState::Running, exit_code))?;
                stopped.recv()?;
                drop(held);
            }
            Err(error) => {
                let code = error.raw_os_error().and_then(|code| u32::try_from(code).ok()).unwrap_or(1);
                exit_code = ServiceExitCode::ServiceSpecific(code);
            }
        }
        Ok(handle.set_service_status(status(ServiceState::Stopped, exit_code))?)
    }

    fn answer(control: ServiceControl, stop: &Sender<()>) -> ServiceControlHandlerResult {
        match control {
            ServiceControl::Stop => {
                // It may have stopped already.
                let _ = stop.send(());
            }
            ServiceControl::Interrogate => {}
            _ => return ServiceControlHandlerResult::NotImplemented,
        }
        ServiceControlHandlerResult::NoError
    }

    fn status(current_state: ServiceState, exit_code: ServiceExitCode) -> ServiceStatus {
        ServiceStatus {
            service_type: ServiceType::OWN_PROCESS,
            current_state,
            controls_accepted: ServiceControlAccept::STOP,
            exit_code,
            checkpoint: 0,
            wait_hint: Duration::default(),
            process_id: None,
        }
    }

    /// Asks the socket for its TTL: Wine knows the owner of a socket only after its process has used it that way.
    fn hold(port: Port) -> io::Result<(Option<TcpListener>, Option<UdpSocket>)> {
        let address = (Ipv4Addr::LOCALHOST, port.number);
        match port.protocol {
            Protocol::Tcp => {
                let listener = TcpListener::bind(address)?;
                listener.ttl()?;
                Ok((Some(listener), None))
            }
            Protocol::Udp => {
                let socket = UdpSocket::bind(address)?;
                socket.ttl()?;
                Ok((None, Some(socket)))
            }
        }
    }

    fn name() -> anyhow::Result<String> {
        std::env::args().nth(1).context("no service name")
    }

    fn port() -> anyhow::Result<Port> {
        Ok(std::env::args().nth(2).context("no port")?.parse()?)
    }
}
