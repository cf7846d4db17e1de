//! Who may do what with an object of Windows, from its text form (SDDL).

#![expect(unsafe_code, reason = "security descriptors are raw memory of Windows")]

use std::io::Result;

use windows::Win32::Foundation::HLOCAL;
use windows::Win32::Security::Authorization::{
    ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1, SE_OBJECT_TYPE, SetNamedSecurityInfoW,
};
use windows::Win32::Security::{
    DACL_SECURITY_INFORMATION, GetSecurityDescriptorDacl, GetSecurityDescriptorOwner, OWNER_SECURITY_INFORMATION,
    PROTECTED_DACL_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR, PSID, SECURITY_ATTRIBUTES,
};
use windows::core::{BOOL, HSTRING, Owned, PCWSTR};

pub(crate) struct Descriptor(PSECURITY_DESCRIPTOR, #[expect(dead_code, reason = "frees the descriptor")] Owned<HLOCAL>);

impl Descriptor {
    pub(crate) fn new(text: PCWSTR) -> Result<Self> {
        let mut descriptor = PSECURITY_DESCRIPTOR::default();
        // SAFETY: the text ends with a zero; the answer is written to a place of its type.
        unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(text, SDDL_REVISION_1, &raw mut descriptor, None)
        }?;
        // SAFETY: it was allocated by LocalAlloc, for us to free.
        Ok(Self(descriptor, unsafe { Owned::new(HLOCAL(descriptor.0)) }))
    }

    pub(crate) fn attributes(&self) -> SECURITY_ATTRIBUTES {
        SECURITY_ATTRIBUTES {
            nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
            lpSecurityDescriptor: self.0.0,
            bInheritHandle: false.into(),
        }
    }

    /// On an object that is there.
    pub(crate) fn put_on(&self, name: &HSTRING, kind: SE_OBJECT_TYPE) -> Result<()> {
        let (mut owner, mut is_default, mut dacl, mut is_there) =
            (PSID::default(), BOOL(0), std::ptr::null_mut(), BOOL(0));
        let what = OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION;
        // SAFETY: the descriptor holds an owner and a DACL, into which the pointers point as long as it lives: they are
        // given back within this call.
        let put = unsafe {
            GetSecurityDescriptorOwner(self.0, &raw mut owner, &raw mut is_default)?;
            GetSecurityDescriptorDacl(self.0, &raw mut is_there, &raw mut dacl, &raw mut is_default)?;
            SetNamedSecurityInfoW(name, kind, what, Some(owner), None, Some(dacl), None)
        };
        Ok(put.ok()?)
    }
}
