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

use windows::Win32::Foundation::{ERROR_ALREADY_EXISTS, GENERIC_WRITE, HLOCAL};
use windows::Win32::Security::Authorization::{
    ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1, SE_FILE_OBJECT, SetNamedSecurityInfoW,
};
use windows::Win32::Security::{
    DACL_SECURITY_INFORMATION, GetSecurityDescriptorDacl, GetSecurityDescriptorOwner, OWNER_SECURITY_INFORMATION,
    PROTECTED_DACL_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR, PSID, SECURITY_ATTRIBUTES,
};
use windows::Win32::Storage::FileSystem::{
    CREATE_NEW, CreateDirectoryW, CreateFileW, FILE_ATTRIBUTE_NORMAL, FILE_FLAG_BACKUP_SEMANTICS,
    FILE_FLAG_OPEN_REPARSE_POINT, FILE_LIST_DIRECTORY, FILE_SHARE_MODE, FILE_SHARE_READ, FILE_SHARE_WRITE,
};
use windows::core::{BOOL, HSTRING, Owned, PCWSTR, w};

const FOLDER: PCWSTR = w!("O:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)");
const FILE: PCWSTR = w!("O:BAD:P(A;;FA;;;SY)(A;;FA;;;BA)");

/// Creates the folder, or takes it over. Nobody can put another in its place while the answer lives.
pub(super) fn secure_folder(folder: &Path) -> Result<File> {
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
        descriptor.put_on(&name)?;
    }
    Ok(held)
}

/// A file that must not be there yet. It does not inherit: whoever made the folder may still hold it open and change it.
pub(super) fn create_file(path: &Path) -> Result<File> {
    let name = HSTRING::from(path.as_os_str());
    let descriptor = Descriptor::new(FILE)?;
    let (attributes, alone) = (descriptor.attributes(), FILE_SHARE_MODE(0));
    // SAFETY: the name ends with a zero, and the attributes point to a descriptor; both outlive the call.
    let handle = unsafe {
        CreateFileW(&name, GENERIC_WRITE.0, alone, Some(&attributes), CREATE_NEW, FILE_ATTRIBUTE_NORMAL, None)
    }?;
    // SAFETY: the handle is open, and nobody else has it.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle.0) }.into())
}

struct Descriptor(PSECURITY_DESCRIPTOR, #[expect(dead_code, reason = "frees the descriptor")] Owned<HLOCAL>);

impl Descriptor {
    fn new(text: PCWSTR) -> Result<Self> {
        let mut descriptor = PSECURITY_DESCRIPTOR::default();
        // SAFETY: the text ends with a zero; the answer is written to a place of its type.
        unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(text, SDDL_REVISION_1, &raw mut descriptor, None)
        }?;
        // SAFETY: it was allocated by LocalAlloc, for us to free.
        Ok(Self(descriptor, unsafe { Owned::new(HLOCAL(descriptor.0)) }))
    }

    fn attributes(&self) -> SECURITY_ATTRIBUTES {
        SECURITY_ATTRIBUTES {
            nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
            lpSecurityDescriptor: self.0.0,
            bInheritHandle: false.into(),
        }
    }

    fn put_on(&self, name: &HSTRING) -> Result<()> {
        let (mut owner, mut is_default, mut dacl, mut is_there) =
            (PSID::default(), BOOL(0), std::ptr::null_mut(), BOOL(0));
        let what = OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION;
        // SAFETY: the descriptor holds an owner and a DACL, into which the pointers point as long as it lives: they are
        // given back within this call.
        let put = unsafe {
            GetSecurityDescriptorOwner(self.0, &raw mut owner, &raw mut is_default)?;
            GetSecurityDescriptorDacl(self.0, &raw mut is_there, &raw mut dacl, &raw mut is_default)?;
            SetNamedSecurityInfoW(name, SE_FILE_OBJECT, what, Some(owner), None, Some(dacl), None)
        };
        Ok(put.ok()?)
    }
}
