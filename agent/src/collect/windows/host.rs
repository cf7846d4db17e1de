//! What the host is: name, system, boot and roles. Products are read beside it (`products`).
#![expect(unsafe_code, reason = "system information comes through raw buffers")]

use chrono::{DateTime, Local, Offset as _, TimeDelta, TimeZone as _, Utc};
use rules::facts::{CollectedBy, Host, Os, Product, Section, Service};
use rules::text::Text;
use windows::Wdk::System::SystemInformation::{NtQuerySystemInformation, SYSTEM_INFORMATION_CLASS};
use windows::Wdk::System::SystemServices::RtlGetVersion;
use windows::Win32::System::SystemInformation::{
    COMPUTER_NAME_FORMAT, ComputerNameDnsDomain, ComputerNameDnsHostname, GetComputerNameExW, GetTickCount64,
    OSVERSIONINFOW,
};
use windows::core::PWSTR;

use super::{products, registry, restart};
use crate::collect::capability::Capability;
use crate::collect::reading::{Unreadable, filetime, section};
use crate::collect::roles::{RoleValues, product_by_service, roles};

const CURRENT_VERSION: &str = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion";
const PRODUCT_OPTIONS: &str = r"SYSTEM\CurrentControlSet\Control\ProductOptions";
const PREFETCH: &str = r"SYSTEM\CurrentControlSet\Control\Session Manager\Memory Management\PrefetchParameters";
const TERMINAL_SERVER: &str = r"SYSTEM\CurrentControlSet\Control\Terminal Server";
/// What Server Manager of Server 2012 and later knows of roles and features.
const FEATURES: &str = r"SOFTWARE\Microsoft\ServerManager\ServicingStorage\ServerComponentCache";

/// What changes with an installation or a restart only.
#[derive(Clone, Debug)]
pub(super) struct Software {
    os: Result<Os, Unreadable>,
    products: Result<Vec<Product>, Unreadable>,
    roles: Result<RoleValues, Unreadable>,
}

impl Software {
    pub(super) fn read() -> Self {
        Self { os: os(), products: products::read(), roles: role_values() }
    }

    pub(super) fn products(&self) -> Capability {
        Capability::of(&section(self.products.clone()))
    }
}

pub(super) fn read(
    boot: &Boot,
    software: Software,
    services: &Section<Vec<Service>>,
    now: DateTime<Utc>,
) -> Result<Host, Unreadable> {
    Ok(Host {
        name: Text::from(computer_name(ComputerNameDnsHostname)?),
        domain: Some(computer_name(ComputerNameDnsDomain)?).filter(|domain| !domain.is_empty()).map(Text::from),
        os: software.os?,
        booted_at: boot.at,
        boot_id: Some(boot.id.clone()),
        utc_offset_minutes: Some(Local.offset_from_utc_datetime(&now.naive_utc()).fix().local_minus_utc() / 60),
        collected_by: CollectedBy::Agent,
        domain_controller: registry::value_at::<String>(PRODUCT_OPTIONS, "ProductType")?
            .map(|product_type| product_type.eq_ignore_ascii_case("LanmanNT")),
        products: section(software.products.map(|mut products| {
            products.extend(services.known().and_then(|services| product_by_service(services)));
            products
        })),
        roles: match services {
            Section::Known(services) => section(software.roles.map(|values| roles(services, &values))),
            Section::Unknown(reason) => Section::Unknown(reason.clone()),
        },
        pending_restart: section(restart::signs()),
        collectors: Vec::new(),
    })
}

/// The boot that this process lives in. Read once: the system corrects its boot time with its clock.
#[derive(Clone, Debug)]
pub(super) struct Boot {
    pub(super) at: Option<DateTime<Utc>>,
    pub(super) id: Text,
}

impl Boot {
    pub(super) fn read(now: DateTime<Utc>) -> Self {
        // SAFETY: takes nothing.
        let uptime = i64::try_from(unsafe { GetTickCount64() }).ok().and_then(TimeDelta::try_milliseconds);
        let at = boot_time().or_else(|| now.checked_sub_signed(uptime?));
        let id = boot_guid().or_else(boot_count).unwrap_or_else(|| match at {
            Some(at) => format!("boot-{}", at.timestamp()),
            None => "boot-unknown".to_owned(),
        });
        Self { at, id: Text::from(id) }
    }
}

/// SystemTimeOfDayInformation, whose first member is the boot time.
fn boot_time() -> Option<DateTime<Utc>> {
    let answer: [u64; 6] = system_information(SYSTEM_INFORMATION_CLASS(3))?;
    filetime(answer[0])
}

/// SystemBootEnvironmentInformation: a GUID, the firmware type and the boot flags. Wine does not know it.
fn boot_guid() -> Option<String> {
    let answer: [u64; 4] = system_information(SYSTEM_INFORMATION_CLASS(90))?;
    let [first, second, ..] = answer;
    (first != 0 || second != 0).then(|| format!("{first:016x}{second:016x}"))
}

fn boot_count() -> Option<String> {
    let count: u32 = registry::value_at(PREFETCH, "BootId").ok().flatten()?;
    Some(format!("boot-{count}"))
}

fn system_information<const WORDS: usize>(class: SYSTEM_INFORMATION_CLASS) -> Option<[u64; WORDS]> {
    let mut buffer = [0_u64; WORDS];
    let length = u32::try_from(size_of_val(&buffer)).ok()?;
    let mut written = 0;
    // SAFETY: the buffer is writable for `length` bytes, and any bytes are numbers.
    let status = unsafe { NtQuerySystemInformation(class, buffer.as_mut_ptr().cast(), length, &raw mut written) };
    status.is_ok().then_some(buffer)
}

fn os() -> Result<Os, Unreadable> {
    let mut version = OSVERSIONINFOW {
        dwOSVersionInfoSize: u32::try_from(size_of::<OSVERSIONINFOW>()).unwrap_or(0),
        ..OSVERSIONINFOW::default()
    };
    // SAFETY: the structure says its own size.
    let status = unsafe { RtlGetVersion(&raw mut version) };
    if status.is_err() {
        return Err(Unreadable::new(format!("RtlGetVersion failed: {:#x}", status.0)));
    }
    let key = registry::open_expected(CURRENT_VERSION)?;
    let service_pack = registry::text(&key, "CSDVersion")?;
    Ok(Os {
        name: Text::from(registry::text(&key, "ProductName")?),
        major: version.dwMajorVersion,
        minor: version.dwMinorVersion,
        build: version.dwBuildNumber,
        revision: registry::value(&key, "UBR")?.or_else(products::kernel_revision),
        service_pack: (!service_pack.is_empty()).then(|| Text::from(service_pack)),
    })
}

fn role_values() -> Result<RoleValues, Unreadable> {
    let mut features = Vec::new();
    if let Some(cache) = registry::open(FEATURES)? {
        for entry in registry::subkeys(&cache) {
            let (name, key) = entry?;
            if registry::value::<u32>(&key, "InstallState")? == Some(1) {
                features.push(name);
            }
        }
    }
    let current_version = registry::open_expected(CURRENT_VERSION)?;
    Ok(RoleValues {
        features,
        application_sessions: registry::value_at(TERMINAL_SERVER, "TSAppCompat")?,
        installation_type: registry::text(&current_version, "InstallationType")?,
    })
}

fn computer_name(format: COMPUTER_NAME_FORMAT) -> Result<String, Unreadable> {
    // A DNS name has at most 255 characters.
    let mut buffer = [0_u16; 256];
    let mut length = 256;
    // SAFETY: the buffer holds `length` characters.
    unsafe { GetComputerNameExW(format, Some(PWSTR(buffer.as_mut_ptr())), &raw mut length) }
        .map_err(|error| Unreadable::new(format!("the computer name cannot be read: {error}")))?;
    let name = usize::try_from(length).ok().and_then(|length| buffer.get(..length)).unwrap_or_default();
    Ok(String::from_utf16_lossy(name))
}
