//! What the exit code of a stopped service says about ports.
//!
//! Source: <https://learn.microsoft.com/windows/win32/debug/system-error-codes>; 1066 means that the code stands in the
//! service-specific field, where it may also come as an HRESULT or an NTSTATUS.

use crate::catalog::Claim;
use crate::facts::{Event, Service};
use crate::failures;
use crate::view::View;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: it ended because it was told to, or had nothing to do.
    Clean,
    /// 10048, WSAEADDRINUSE.
    InUse(u32),
    /// 10013, WSAEACCES: excluded, or held for exclusive use.
    Forbidden(u32),
    /// 32, ERROR_SHARING_VIOLATION: what HTTP.sys says of a port that another program holds.
    Sharing(u32),
    /// 1077: not started since the boot.
    NeverStarted,
    /// A code of a failure before any port is bound: dependency, logon, missing file.
    Elsewhere(u32),
    /// Any other code, such as 1067 for a process that died.
    Other(u32),
    /// A code of the service's own, which stands behind 1066.
    Specific(u32),
    /// No code was read.
    Unknown,
}

/// How a service ended, and the entry of the log that told it where the service's own code did not.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) exit: Exit,
    pub(crate) event: Option<&'a Event>,
}

impl Exit {
    /// By the code of the service; where that is missing or says nothing of ports, by the event log.
    pub(crate) fn seen<'a>(service: &Service, view: &View<'a>) -> Seen<'a> {
        let exit = Self::of(service);
        let own = Seen { exit, event: None };
        if !exit.may_hide_a_failed_bind(service) {
            return own;
        }
        let Some(failure) = failures::of_service(service, view) else { return own };
        let told = match failure.event.id {
            7024 => Self::of_service_code(failure.code),
            _ => Self::of_code(failure.code),
        };
        let is_bind_error = matches!(told, Self::InUse(_) | Self::Forbidden(_) | Self::Sharing(_));
        match exit {
            Self::Unknown => Seen { exit: told, event: Some(failure.event) },
            _ if is_bind_error => Seen { exit: told, event: Some(failure.event) },
            _ => own,
        }
    }

    /// Whether the event log may know more of a failed bind. Of a service that ended with 0 only where it is known when:
    /// it may have failed first and run afterwards.
    pub(crate) fn may_hide_a_failed_bind(self, service: &Service) -> bool {
        match self {
            Self::Unknown | Self::Other(_) | Self::Specific(_) => true,
            Self::Clean => service.state_since.is_some(),
            _ => false,
        }
    }

    /// By the code of the service alone.
    pub(crate) fn of(service: &Service) -> Self {
        match (service.exit_code, service.service_exit_code) {
            (None, _) | (Some(1066), None) => Self::Unknown,
            (Some(1066), Some(code)) => Self::of_service_code(code),
            (Some(code), _) => Self::of_code(code),
        }
    }

    /// A code of the service's own, which may be one of the system's as well.
    fn of_service_code(code: u32) -> Self {
        match Self::of_code(code) {
            Self::Clean | Self::NeverStarted | Self::Elsewhere(_) | Self::Other(_) => Self::Specific(code),
            exit => exit,
        }
    }

    fn of_code(code: u32) -> Self {
        match code {
            0 => Self::Clean,
            // Also as HRESULT_FROM_WIN32, and as STATUS_ADDRESS_ALREADY_EXISTS.
            10048 | 0x8007_2740 | 0xC000_020A => Self::InUse(code),
            10013 | 0x8007_271D => Self::Forbidden(code),
            // Also as HRESULT_FROM_WIN32, and as STATUS_SHARING_VIOLATION.
            32 | 0x8007_0020 | 0xC000_0043 => Self::Sharing(code),
            1077 => Self::NeverStarted,
            // File or path not found, not a program, disabled, dependency failed or missing, logon failed.
            2 | 3 | 193 | 1058 | 1068 | 1069 | 1075 => Self::Elsewhere(code),
            _ => Self::Other(code),
        }
    }

    /// The code says that binding a port failed, whichever it was.
    pub(crate) fn is_bind_error_of_any(self) -> bool {
        matches!(self, Self::InUse(_) | Self::Forbidden(_))
    }

    /// The code says that binding failed for this claim: 32 says so of ports that HTTP.sys binds, and of no others.
    pub(crate) fn is_bind_error(self, claim: &Claim) -> bool {
        self.is_bind_error_of_any() || (claim.kernel && matches!(self, Self::Sharing(_)))
    }

    pub(crate) fn is_forbidden(self) -> bool {
        matches!(self, Self::Forbidden(_))
    }

    /// What follows the name of the service: `stopped with 10048 (address already in use)`.
    pub(crate) fn words(self) -> String {
        match self {
            Self::Clean => "stopped without an error".to_owned(),
            Self::InUse(code) => format!("stopped with {} (address already in use)", number(code)),
            Self::Forbidden(code) => format!("stopped with {} (access to the address was denied)", number(code)),
            Self::Sharing(code) => format!("stopped with {} (in use by another process)", number(code)),
            Self::NeverStarted => "was not started since the boot (1077)".to_owned(),
            Self::Elsewhere(1068) => "was not started, because a service that it depends on failed (1068)".to_owned(),
            Self::Elsewhere(1069) => "was not started, because its account could not log on (1069)".to_owned(),
            Self::Other(1067) => "stopped with 1067 (its process ended unexpectedly)".to_owned(),
            Self::Other(1053) => "did not answer the start in time (1053)".to_owned(),
            Self::Elsewhere(code) | Self::Other(code) => format!("stopped with {}", number(code)),
            Self::Specific(code) => format!("stopped with service-specific code {} (1066)", number(code)),
            Self::Unknown => "is stopped; its exit code is not known".to_owned(),
        }
    }
}

/// HRESULTs and NTSTATUS values are known by their hexadecimal form.
fn number(code: u32) -> String {
    if code >= 0x8000_0000 { format!("{code:#010X}").replacen("0X", "0x", 1) } else { code.to_string() }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn reads_every_form_of_a_bind_error() {
        for code in [10048, 0x8007_2740, 0xC000_020A] {
            assert_eq!(Exit::of_code(code), Exit::InUse(code));
        }
        assert_eq!(Exit::of_code(10013), Exit::Forbidden(10013));
        assert_eq!(Exit::InUse(0x8007_2740).words(), "stopped with 0x80072740 (address already in use)");
    }
}
