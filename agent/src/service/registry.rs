//! What the service keeps in the registry: the order it was given, and the source of its events.
//!
//! Invariant: the token lies in a key that only SYSTEM and Administrators may read, and nothing of it is left when it was
//! used.

use std::io::{self, ErrorKind};

use anyhow::Context as _;
use windows::Win32::Security::Authorization::SE_REGISTRY_KEY;
use windows::core::{HSTRING, PCWSTR, w};
use winreg::enums::{KEY_ALL_ACCESS, REG_EXPAND_SZ};
use winreg::{HKLM, RegKey, RegValue};

use super::order::Order;
use crate::descriptor::Descriptor;

/// Below `HKEY_LOCAL_MACHINE`.
const PRODUCT: &str = r"SOFTWARE\Portreeve";
const ORDER: &str = r"SOFTWARE\Portreeve\Agent";
const FOR_ADMINISTRATORS: PCWSTR = w!("O:BAD:P(A;CI;KA;;;SY)(A;CI;KA;;;BA)");
const SERVER_URL: &str = "ServerUrl";
const AGENTS_PORT: &str = "AgentsPort";
const PROXY: &str = "Proxy";
const ENROLL_TOKEN: &str = "EnrollToken";

pub(super) const EVENT_SOURCE: &str = "Portreeve";
const EVENT_SOURCES: &str = r"SYSTEM\CurrentControlSet\Services\EventLog\Application";
/// It holds the message "%1" for the ids 1 to 1000, and every Windows has it: the agent needs no message table.
const EVENT_MESSAGES: &str = r"%SystemRoot%\System32\EventCreate.exe";
const ERRORS_WARNINGS_INFORMATION: u32 = 7;

impl Order {
    pub(super) fn read() -> anyhow::Result<Self> {
        let Some(key) = found(HKLM.open_subkey(ORDER)).with_context(|| format!("cannot read HKLM\\{ORDER}"))? else {
            return Ok(Self::default());
        };
        let text = |name| -> anyhow::Result<String> {
            let value = found(key.get_value(name)).with_context(|| format!("cannot read HKLM\\{ORDER}, {name}"))?;
            Ok(value.unwrap_or_default())
        };
        Ok(Self {
            server: text(SERVER_URL)?,
            agents_port: text(AGENTS_PORT)?,
            proxy: text(PROXY)?,
            token: text(ENROLL_TOKEN)?,
        })
    }

    /// What it does not say stays as it is.
    pub(crate) fn keep(&self) -> anyhow::Result<()> {
        let context = || format!("cannot keep the order in HKLM\\{ORDER}");
        let (key, _) = HKLM.create_subkey(ORDER).with_context(context)?;
        let name = HSTRING::from(format!(r"MACHINE\{ORDER}"));
        Descriptor::new(FOR_ADMINISTRATORS)
            .and_then(|rights| rights.put_on(&name, SE_REGISTRY_KEY))
            .with_context(context)?;
        for (name, text) in [
            (SERVER_URL, &self.server),
            (AGENTS_PORT, &self.agents_port),
            (PROXY, &self.proxy),
            (ENROLL_TOKEN, &self.token),
        ] {
            if !text.is_empty() {
                key.set_value(name, text).with_context(context)?;
            }
        }
        Ok(())
    }

    /// Overwritten first: a value that is deleted stays in the file of the registry until its place is used again.
    pub(super) fn discard_token(&self) -> anyhow::Result<()> {
        let discard = || -> io::Result<()> {
            let Some(key) = found(HKLM.open_subkey_with_flags(ORDER, KEY_ALL_ACCESS))? else { return Ok(()) };
            key.set_value(ENROLL_TOKEN, &"0".repeat(self.token.len()))?;
            key.delete_value(ENROLL_TOKEN)
        };
        discard().with_context(|| format!("cannot remove the token from HKLM\\{ORDER}"))
    }
}

pub(super) fn add_event_source() -> io::Result<()> {
    let (key, _) = HKLM.create_subkey(format!(r"{EVENT_SOURCES}\{EVENT_SOURCE}"))?;
    let text: Vec<u8> = EVENT_MESSAGES.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
    key.set_raw_value("EventMessageFile", &RegValue { bytes: text.into(), vtype: REG_EXPAND_SZ })?;
    key.set_value("TypesSupported", &ERRORS_WARNINGS_INFORMATION)
}

/// All of it: the event source, the order, and the folder of the product when nothing else is in it.
pub(super) fn remove() -> anyhow::Result<()> {
    found(HKLM.delete_subkey_all(format!(r"{EVENT_SOURCES}\{EVENT_SOURCE}")))
        .context("cannot remove the event source")?;
    found(HKLM.delete_subkey_all(ORDER)).with_context(|| format!("cannot remove HKLM\\{ORDER}"))?;
    if found(HKLM.open_subkey(PRODUCT))?.is_some_and(|key| is_empty(&key)) {
        found(HKLM.delete_subkey(PRODUCT)).with_context(|| format!("cannot remove HKLM\\{PRODUCT}"))?;
    }
    Ok(())
}

fn is_empty(key: &RegKey) -> bool {
    key.enum_keys().next().is_none() && key.enum_values().next().is_none()
}

fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
