//! What Win32 codes mean, in our own words: those that services end with and binds fail with. The same text wherever
//! this program runs.
//!
//! Source: <https://learn.microsoft.com/windows/win32/debug/system-error-codes>.

/// `10048 (address already in use)`; a code without a text is its number, in the form that it is known by.
pub fn words(code: u32) -> String {
    let number = if code >= 0x8000_0000 { format!("0x{code:08X}") } else { code.to_string() };
    match meaning(code) {
        Some(meaning) => format!("{number} ({meaning})"),
        None => number,
    }
}

/// `None`: no text of ours.
pub fn meaning(code: u32) -> Option<&'static str> {
    // HRESULT_FROM_WIN32 keeps the code in its lower half.
    let code = if code & 0xFFFF_0000 == 0x8007_0000 { code & 0xFFFF } else { code };
    Some(match code {
        0 => "no error",
        2 => "file not found",
        3 => "path not found",
        5 => "access denied",
        14 => "out of memory",
        21 => "the device is not ready",
        32 | 0xC000_0043 => "in use by another process",
        87 => "a parameter is wrong",
        121 => "a time limit ran out",
        193 => "not a valid program",
        1051 => "services that depend on it still run",
        1053 => "it did not answer the start in time",
        1055 => "the service database is locked",
        1056 => "it runs already",
        1058 => "it is disabled",
        1060 => "there is no such service",
        1062 => "it was not started",
        1064 => "it failed while it handled a request",
        1066 => "a code of its own",
        1067 => "its process ended unexpectedly",
        1068 => "a service that it depends on failed",
        1069 => "its account could not log on",
        1070 => "it hung while it started",
        1072 => "it is marked for deletion",
        1075 => "a service that it depends on does not exist",
        1077 => "it was not started since the boot",
        1079 => "its account differs from that of services in the same process",
        1115 => "the system shuts down",
        1314 => "a privilege is missing",
        1717 => "the interface is not known",
        1722 => "the RPC server cannot be reached",
        1747 => "the authentication service is not known",
        10013 | 0xC000_0022 => "access to the address was denied",
        10047 => "the address family is not supported",
        10048 | 0xC000_020A => "address already in use",
        10049 => "the address is not one of this host",
        10050 => "the network is down",
        10055 => "no buffer space, or no dynamic port left",
        10106 => "the network provider could not start",
        0x8024_0022 => "every update of the operation failed",
        0x8024_200B => "the installer of the update failed",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn says_codes_in_words() {
        for (code, expected) in [
            (10048, "10048 (address already in use)"),
            (0x8007_2740, "0x80072740 (address already in use)"),
            (0x8000_4005, "0x80004005"),
            (12, "12"),
        ] {
            assert_eq!(words(code), expected);
        }
    }
}
