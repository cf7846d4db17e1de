//! What the host is: name, system, boot, roles and products.
#![expect(unsafe_code, reason = "system information comes through raw buffers")]

use std::ffi::c_void;

use chrono::{DateTime, Local, Offset as _, TimeDelta, TimeZone as _, Utc};
use rules::facts::{CollectedBy, Host, Os, Product, Section, Service};
use rules::text::Text;
use windows::Wdk::System::SystemInformation::{NtQuerySystemInformation, SYSTEM_INFORMATION_CLASS};
use windows::Wdk::System::SystemServices::RtlGetVersion;
use windows::Win32::Storage::FileSystem::{
    GetFileVersionInfoSizeW, GetFileVersionInfoW, VS_FIXEDFILEINFO, VerQueryValueW,
};
use windows::Win32::System::SystemInformation::{
    COMPUTER_NAME_FORMAT, ComputerNameDnsDomain, ComputerNameDnsHostname, GetComputerNameExW, GetTickCount64,
    OSVERSIONINFOW,
};
use windows::core::{HSTRING, PWSTR, w};
use winreg::RegKey;

use super::registry;
use crate::collect::reading::{Unreadable, filetime, section};
use crate::collect::roles::{file_version, roles, setup_version};

const CURRENT_VERSION: &str = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion";
const PRODUCT_OPTIONS: &str = r"SYSTEM\CurrentControlSet\Control\ProductOptions";
const PREFETCH: &str = r"SYSTEM\CurrentControlSet\Control\Session Manager\Memory Management\PrefetchParameters";
/// Where setup of Exchange 2013 and later, 2010 and 2007 leaves its version.
const EXCHANGE_SETUP: [&str; 3] = [
    r"SOFTWARE\Microsoft\ExchangeServer\v15\Setup",
    r"SOFTWARE\Microsoft\ExchangeServer\v14\Setup",
    r"SOFTWARE\Microsoft\Exchange\Setup",
];
/// The roles of Exchange 2007, each with a version of its own.
const EXCHANGE_2007_ROLES: &str = r"SOFTWARE\Microsoft\Exchange\v8.0";

pub(super) fn read(boot: &Boot, services: &Section<Vec<Service>>, now: DateTime<Utc>) -> Result<Host, Unreadable> {
    Ok(Host {
        name: Text::from(computer_name(ComputerNameDnsHostname)?),
        domain: Some(computer_name(ComputerNameDnsDomain)?).filter(|domain| !domain.is_empty()).map(Text::from),
        os: os()?,
        booted_at: boot.at,
        boot_id: Some(boot.id.clone()),
        utc_offset_minutes: Some(Local.offset_from_utc_datetime(&now.naive_utc()).fix().local_minus_utc() / 60),
        collected_by: CollectedBy::Agent,
        domain_controller: registry::value_at::<String>(PRODUCT_OPTIONS, "ProductType")?
            .map(|product_type| product_type.eq_ignore_ascii_case("LanmanNT")),
        products: section(exchange().map(Vec::from_iter)),
        roles: match services {
            Section::Known(services) => Section::Known(roles(services)),
            Section::Unknown(reason) => Section::Unknown(reason.clone()),
        },
        pending_restart: Section::default(),
        collectors: Vec::new(),
    })
}

/// The boot that this process lives in. Read once: the system corrects its boot time with its clock.
#[derive(Clone, Debug)]
pub(super) struct Boot {
    at: Option<DateTime<Utc>>,
    id: Text,
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
        revision: registry::value(&key, "UBR")?,
        service_pack: (!service_pack.is_empty()).then(|| Text::from(service_pack)),
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

fn exchange() -> Result<Option<Product>, Unreadable> {
    let mut version = None;
    let mut is_present = false;
    for path in EXCHANGE_SETUP {
        if let Some(setup) = registry::open(path)? {
            is_present = true;
            version = exchange_version(&setup)?;
            break;
        }
    }
    if version.is_none()
        && let Some(roles) = registry::open(EXCHANGE_2007_ROLES)?
    {
        is_present = true;
        for role in registry::subkeys(&roles) {
            version = version.max(registry::value(&role?.1, "ConfiguredVersion")?);
        }
    }
    Ok(is_present.then(|| Product {
        id: Text::new("exchange-server"),
        name: Text::new("Microsoft Exchange Server"),
        version: version.map(Text::from),
    }))
}

/// The version of ExSetup.exe, which security updates raise; else the one that setup wrote.
fn exchange_version(setup: &RegKey) -> Result<Option<String>, Unreadable> {
    let folder: Option<String> = registry::value(setup, "MsiInstallPath")?;
    let of_file = folder.and_then(|folder| version_of(&format!(r"{}\bin\ExSetup.exe", folder.trim_end_matches('\\'))));
    if of_file.is_some() {
        return Ok(of_file);
    }
    let number = |name| registry::value::<u32>(setup, name);
    Ok(setup_version([
        number("MsiProductMajor")?,
        number("MsiProductMinor")?,
        number("MsiBuildMajor")?,
        number("MsiBuildMinor")?,
    ]))
}

/// `None`: there is no such file, or it has no version.
fn version_of(path: &str) -> Option<String> {
    let path = HSTRING::from(path);
    // SAFETY: the path is a string that ends with U+0000.
    let size = unsafe { GetFileVersionInfoSizeW(&path, None) };
    let mut buffer = vec![0_u64; usize::try_from(size).ok()?.div_ceil(size_of::<u64>())];
    // SAFETY: the buffer is writable for `size` bytes.
    unsafe { GetFileVersionInfoW(&path, None, size, buffer.as_mut_ptr().cast()) }.ok()?;
    let mut found: *mut c_void = std::ptr::null_mut();
    let mut length = 0;
    // SAFETY: the buffer holds a version resource, and outlives `found`, which points into it.
    let is_found = unsafe { VerQueryValueW(buffer.as_ptr().cast(), w!(r"\"), &raw mut found, &raw mut length) };
    if !is_found.as_bool() || found.is_null() || usize::try_from(length).ok()? < size_of::<VS_FIXEDFILEINFO>() {
        return None;
    }
    // SAFETY: `found` points to `length` bytes, as many as the structure has; it need not be aligned.
    let version = unsafe { found.cast::<VS_FIXEDFILEINFO>().read_unaligned() };
    Some(file_version(version.dwFileVersionMS, version.dwFileVersionLS))
}
