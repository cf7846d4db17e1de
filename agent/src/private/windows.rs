//! What keeps the key from other users of a Windows host: %ProgramData% lets every user read what lies in it, and make
//! the agent's folder before the agent does.
//!
//! Invariant: folder and files belong to Administrators, and only SYSTEM and Administrators have a right to them. Where
//! that cannot be had, there is an error and no file.

#![expect(unsafe_code, reason = "security descriptors are raw memory of Windows")]

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::os::windows::fs::OpenOptionsExt as _;
use std::os::windows::io::{FromRawHandle as _, OwnedHandle};
use std::path::Path;

use windows::Win32::Foundation::{ERROR_ALREADY_EXISTS, GENERIC_WRITE};
use windows::Win32::Security::Authorization::SE_FILE_OBJECT;
use windows::Win32::Storage::FileSystem::{
    CREATE_NEW, CreateDirectoryW, CreateFileW, FILE_ATTRIBUTE_NORMAL, FILE_FLAG_BACKUP_SEMANTICS,
    FILE_FLAG_OPEN_REPARSE_POINT, FILE_LIST_DIRECTORY, FILE_SHARE_READ, FILE_SHARE_WRITE,
};
use windows::core::{HSTRING, PCWSTR, w};

use crate::descriptor::Descriptor;
use crate::private::HeldFolder;

const FOLDER: PCWSTR = w!("O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)");
const FILE: PCWSTR = w!("O:BAD:P(A;;FA;;;SY)(A;;FA;;;BA)");

/// Creates the folder, or takes it over. Nobody can put another in its place while the answer lives.
pub(crate) fn secure_folder(folder: &Path) -> Result<HeldFolder> {
    if let Some(parent) = folder.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let name = HSTRING::from(folder.as_os_str());
    let descriptor = Descriptor::new(FOLDER)?;
    // SAFETY: the name ends with a zero, and the attributes point to a descriptor; both outlive the call.
    let created = unsafe { CreateDirectoryW(&name, Some(&descriptor.attributes())) };
    let was_there = matches!(&created, Err(error) if error.code() == ERROR_ALREADY_EXISTS.to_hresult());
    if !was_there {
        created?;
    }
    let held = OpenOptions::new()
        .access_mode(FILE_LIST_DIRECTORY.0)
        .share_mode((FILE_SHARE_READ | FILE_SHARE_WRITE).0)
        .custom_flags((FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT).0)
        .open(folder)?;
    // A user's junction would have us change another folder.
    if !held.metadata()?.file_type().is_dir() {
        return Err(Error::new(ErrorKind::NotADirectory, "it is a link or a file, not a folder"));
    }
    if was_there {
        descriptor.put_on(&name, SE_FILE_OBJECT)?;
    }
    Ok(HeldFolder { _open: held })
}

/// A file that must not be there yet. It does not inherit: whoever made the folder may still hold it open and change it.
pub(crate) fn create_file(path: &Path) -> Result<File> {
    let name = HSTRING::from(path.as_os_str());
    let descriptor = Descriptor::new(FILE)?;
    let (attributes, others) = (descriptor.attributes(), FILE_SHARE_READ);
    // SAFETY: the name ends with a zero, and the attributes point to a descriptor; both outlive the call.
    let handle = unsafe {
        CreateFileW(&name, GENERIC_WRITE.0, others, Some(&attributes), CREATE_NEW, FILE_ATTRIBUTE_NORMAL, None)
    }?;
    // SAFETY: the handle is open, and nobody else has it.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle.0) }.into())
}
