//! Server products with their versions, as their setup left them in the registry, or as their files say.
#![expect(unsafe_code, reason = "versions of files come through raw buffers")]

use std::ffi::c_void;

use rules::facts::Product;
use rules::text::Text;
use windows::Win32::Storage::FileSystem::{
    GetFileVersionInfoSizeW, GetFileVersionInfoW, VS_FIXEDFILEINFO, VerQueryValueW,
};
use windows::core::{HSTRING, w};
use winreg::RegKey;

use super::policy::{SQL_SERVER, SQL_SERVER_32, sql_instances, system_folder};
use super::registry;
use crate::collect::reading::Unreadable;
use crate::collect::roles::{file_version, setup_version};

/// Where setup of Exchange 2013 and later, 2010 and 2007 leaves its version.
const EXCHANGE_SETUP: [&str; 3] = [
    r"SOFTWARE\Microsoft\ExchangeServer\v15\Setup",
    r"SOFTWARE\Microsoft\ExchangeServer\v14\Setup",
    r"SOFTWARE\Microsoft\Exchange\Setup",
];
/// The roles of Exchange 2007, each with a version of its own.
const EXCHANGE_2007_ROLES: &str = r"SOFTWARE\Microsoft\Exchange\v8.0";

const IIS: &str = r"SOFTWARE\Microsoft\InetStp";

pub(super) fn read() -> Result<Vec<Product>, Unreadable> {
    let mut products = Vec::from_iter(exchange()?);
    products.extend(iis()?);
    for root in [SQL_SERVER, SQL_SERVER_32] {
        for (instance, id) in sql_instances(root)? {
            products.push(sql_server(&instance, &format!(r"{root}\{id}\Setup"))?);
        }
    }
    Ok(products)
}

/// The last number of the kernel's version: what systems before `UBR` have instead. `None`: not known.
pub(super) fn kernel_revision() -> Option<u32> {
    let (_, low) = numbers_of(&format!(r"{}\ntoskrnl.exe", system_folder().ok()?))?;
    Some(low & 0xffff)
}

fn iis() -> Result<Option<Product>, Unreadable> {
    let Some(key) = registry::open(IIS)? else { return Ok(None) };
    let number = |name| registry::value::<u32>(&key, name);
    let version = number("MajorVersion")?.zip(number("MinorVersion")?);
    Ok(Some(Product {
        id: Text::new("iis"),
        name: Text::new("Internet Information Services"),
        version: version.map(|(major, minor)| Text::from(format!("{major}.{minor}"))),
    }))
}

/// `PatchLevel` is raised by service packs and updates, `Version` is what was installed first.
fn sql_server(instance: &str, setup: &str) -> Result<Product, Unreadable> {
    let key = registry::open(setup)?;
    let text = |name| key.as_ref().map_or(Ok(String::new()), |key| registry::text(key, name));
    let versions = [text("PatchLevel")?, text("Version")?];
    let edition = text("Edition")?;
    let name = match &*edition {
        "" => format!("SQL Server ({instance})"),
        edition => format!("SQL Server ({instance}), {edition}"),
    };
    Ok(Product {
        id: Text::new("sql-server"),
        name: Text::from(name),
        version: versions.into_iter().find(|version| !version.is_empty()).map(Text::from),
    })
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
    let (high, low) = numbers_of(path)?;
    Some(file_version(high, low))
}

fn numbers_of(path: &str) -> Option<(u32, u32)> {
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
    Some((version.dwFileVersionMS, version.dwFileVersionLS))
}
