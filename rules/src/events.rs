//! Entries of the event logs, read: what one says of a service ([`service_news`]) and of the boot, from its id and data.
//! Hosts send neither rendered nor localised text, and nothing here reads any: numbers and key names alone are understood.

pub mod codes;

use crate::facts::{Event, EventDatum};

/// What an entry says of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceNews {
    Runs,
    Stopped,
    /// With the code that the entry names.
    Failed(Option<u32>),
}

pub const SERVICE_CONTROL_MANAGER: &str = "Service Control Manager";

/// `None`: the entry tells of no service, or of nothing that matters to whether one runs.
///
/// Source: the manifest of Microsoft-Windows-Service-Control-Manager.
pub fn service_news(event: &Event) -> Option<ServiceNews> {
    if !is_from(event, SERVICE_CONTROL_MANAGER) {
        return None;
    }
    match event.id {
        7000 | 7023 | 7024 => Some(ServiceNews::Failed(parameter(event, 2).and_then(error_code))),
        7001 => Some(ServiceNews::Failed(Some(1068))),
        7009 | 7022 => Some(ServiceNews::Failed(Some(1053))),
        7031 | 7034 => Some(ServiceNews::Failed(Some(1067))),
        7036 => match state_number(event)? {
            1 => Some(ServiceNews::Stopped),
            4 => Some(ServiceNews::Runs),
            _ => None,
        },
        _ => None,
    }
}

/// Providers are named as in the log, and some of them in two ways: with and without `Microsoft-Windows-`.
pub fn is_from(event: &Event, provider: &str) -> bool {
    let plain = |name: &str| name.trim_start_matches("Microsoft-Windows-").replace([' ', '-'], "").to_lowercase();
    plain(&event.provider) == plain(provider)
}

/// The datum named `paramN`, or the Nth without a name, from 1.
pub fn parameter(event: &Event, number: usize) -> Option<&str> {
    let name = format!("param{number}");
    let named = event.data.iter().find(|datum| datum.name.as_deref().is_some_and(|n| n.eq_ignore_ascii_case(&name)));
    let unnamed = || event.data.iter().filter(|datum| datum.name.is_none()).nth(number.checked_sub(1)?);
    named.or_else(unnamed).map(|datum| datum.value.as_str())
}

/// The datum of this name.
pub fn datum<'a>(event: &'a Event, name: &str) -> Option<&'a str> {
    let is_it = |datum: &&EventDatum| datum.name.as_deref().is_some_and(|n| n.eq_ignore_ascii_case(name));
    event.data.iter().find(is_it).map(|datum| datum.value.as_str())
}

/// `%%10048`, `10048`, `%%2147549471`, `-2147024891` or `0x80070005`.
pub fn error_code(text: &str) -> Option<u32> {
    let text = text.trim().trim_start_matches("%%");
    if let Some(hexadecimal) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return u32::from_str_radix(hexadecimal, 16).ok();
    }
    text.parse().ok().or_else(|| text.parse::<i32>().ok().map(i32::cast_unsigned))
}

/// Of 7036, whose only datum that is the same in every language is `Dhcp/4` in UTF-16: as text, or as hexadecimal bytes.
fn state_number(event: &Event) -> Option<u32> {
    let after_slash = |text: &str| text.rsplit_once('/')?.1.trim_end_matches('\0').parse::<u32>().ok();
    event.data.iter().find_map(|datum| after_slash(&datum.value).or_else(|| after_slash(&utf16_of_hex(&datum.value)?)))
}

fn utf16_of_hex(text: &str) -> Option<String> {
    let digits: Vec<u8> = text.trim().chars().map(|c| c.to_digit(16)?.try_into().ok()).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    let units = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    String::from_utf16(&units.collect::<Vec<_>>()).ok()
}

#[cfg(test)]
mod tests {
    use super::{ServiceNews, error_code, service_news};
    use crate::facts::{Event, EventDatum};

    fn event(id: u32, data: &[(&str, &str)]) -> Event {
        let datum = |(name, value): &(&str, &str)| EventDatum {
            name: (!name.is_empty()).then(|| (*name).into()),
            value: (*value).into(),
        };
        Event {
            log: "System".into(),
            record_id: 1,
            at: None,
            provider: "Service Control Manager".into(),
            id,
            service: None,
            data: data.iter().map(datum).collect(),
        }
    }

    #[test]
    fn reads_what_is_the_same_in_every_language() {
        let dhcp_4 = "44006800630070002f003400";
        for (id, data, expected) in [
            (7023, vec![("param1", "IAS"), ("param2", "%%10048")], Some(ServiceNews::Failed(Some(10048)))),
            (7024, vec![("", "IAS"), ("", "%%2147952448")], Some(ServiceNews::Failed(Some(0x8007_2740)))),
            (7023, vec![("param1", "IAS")], Some(ServiceNews::Failed(None))),
            (
                7036,
                vec![("param1", "DHCP-Client"), ("param2", "ausgeführt"), ("Binary", dhcp_4)],
                Some(ServiceNews::Runs),
            ),
            (
                7036,
                vec![("param1", "WerSvc"), ("param2", "остановлена"), ("Binary", "WerSvc/1")],
                Some(ServiceNews::Stopped),
            ),
            (7036, vec![("param1", "WerSvc"), ("param2", "running")], None),
            (7040, vec![("param1", "BITS")], None),
        ] {
            assert_eq!(service_news(&event(id, &data)), expected, "{id} {data:?}");
        }
    }

    #[test]
    fn reads_codes_in_every_form() {
        for (text, expected) in [
            ("%%10048", Some(10048)),
            ("10013", Some(10013)),
            ("%%2147549471", Some(0x8001_011F)),
            ("-2147024891", Some(0x8007_0005)),
            ("0x80072740", Some(0x8007_2740)),
            ("%%", None),
            ("access denied", None),
            ("99999999999", None),
        ] {
            assert_eq!(error_code(text), expected, "{text}");
        }
    }
}
