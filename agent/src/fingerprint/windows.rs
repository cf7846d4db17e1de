//! The parts as Windows tells them: the board's UUID, the id that setup gave the system, the serial of its volume.

#![expect(unsafe_code, reason = "firmware tables and volumes are read through pointers")]

use windows::Win32::Storage::FileSystem::GetVolumeInformationW;
use windows::Win32::System::SystemInformation::{GetSystemFirmwareTable, GetSystemWindowsDirectoryW, RSMB};
use windows::core::HSTRING;
use winreg::RegKey;
use winreg::enums::{HKEY_LOCAL_MACHINE, KEY_READ, KEY_WOW64_64KEY};

use super::{Parts, smbios_uuid};

pub(super) fn parts() -> Parts {
    vec![
        ("smbios-uuid", firmware_table().as_deref().and_then(smbios_uuid)),
        ("machine-guid", machine_guid().map(String::into_bytes)),
        ("volume-serial", volume_serial().map(|serial| serial.to_le_bytes().to_vec())),
    ]
}

/// <https://learn.microsoft.com/windows/win32/api/sysinfoapi/nf-sysinfoapi-getsystemfirmwaretable>
fn firmware_table() -> Option<Vec<u8>> {
    // SAFETY: without a buffer, only the length is answered.
    let length = unsafe { GetSystemFirmwareTable(RSMB, 0, None) };
    let mut table = vec![0; usize::try_from(length).ok()?];
    // SAFETY: the buffer and its length are handed over as a slice.
    let written = unsafe { GetSystemFirmwareTable(RSMB, 0, Some(&mut table)) };
    (written == length && length > 0).then_some(table)
}

fn machine_guid() -> Option<String> {
    let key = RegKey::predef(HKEY_LOCAL_MACHINE)
        .open_subkey_with_flags(r"SOFTWARE\Microsoft\Cryptography", KEY_READ | KEY_WOW64_64KEY)
        .ok()?;
    key.get_value("MachineGuid").ok()
}

/// Of the volume that Windows lies on.
fn volume_serial() -> Option<u32> {
    let mut folder = [0; 260];
    // SAFETY: the buffer and its length are handed over as a slice.
    let length = unsafe { GetSystemWindowsDirectoryW(Some(&mut folder)) };
    let folder = String::from_utf16_lossy(folder.get(..usize::try_from(length).ok()?)?);
    let root = HSTRING::from(folder.get(..3)?);
    let mut serial = 0;
    // SAFETY: the name ends with a zero; the answer is written to a place of its type.
    unsafe { GetVolumeInformationW(&root, None, Some(&raw mut serial), None, None, None) }.ok()?;
    Some(serial)
}
