//! What the event logs say of starts, failures, binds and updates: which entries are worth reading, and from their XML to
//! facts. Ids and data are kept, never the text that Windows would make of them: that is in the language of the system.
//!
//! Invariant: an entry that is not understood is left out, and hostile data costs at most its own entry. No I/O.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event as Xml};
use quick_xml::reader::Reader;
use rules::facts::{Event, EventDatum};
use rules::text::Text;
use serde::{Deserialize, Serialize};

/// Entries of one provider in one log.
struct Wanted {
    log: &'static str,
    /// Names that it has had. Empty: any provider of that log.
    providers: &'static [&'static str],
    /// First and last id.
    ids: &'static [(u32, u32)],
}

const SERVICE_CONTROL_MANAGER: &str = "Service Control Manager";
const DNS_SERVER: &str = "DNS Server";

const WANTED: [Wanted; 9] = [
    // Without 7036, a service changed its state: those come by themselves, and there are hundreds a day.
    Wanted { log: "System", providers: &[SERVICE_CONTROL_MANAGER], ids: &[(7000, 7035), (7037, 7045)] },
    // HTTP.sys could not bind.
    Wanted { log: "System", providers: &["Microsoft-Windows-HttpEvent", "HTTP"], ids: &[(15005, 15005)] },
    // Endpoints are reused too early, or no dynamic port is left: TCP, UDP.
    Wanted { log: "System", providers: &["Tcpip"], ids: &[(4227, 4227), (4231, 4231), (4266, 4266)] },
    Wanted { log: "System", providers: &["Microsoft-Windows-WindowsUpdateClient"], ids: &[(19, 20), (43, 44)] },
    // Boot and shutdown, and who asked for it.
    Wanted { log: "System", providers: &["Microsoft-Windows-Kernel-General"], ids: &[(12, 13)] },
    Wanted { log: "System", providers: &["EventLog"], ids: &[(6005, 6006), (6008, 6008)] },
    Wanted { log: "System", providers: &["User32", "USER32"], ids: &[(1074, 1074)] },
    // The DNS server could not bind or open a socket, or drew one from an excluded range.
    Wanted { log: DNS_SERVER, providers: &[], ids: &[(404, 404), (407, 408), (411, 411)] },
    // Component servicing.
    Wanted { log: "Setup", providers: &["Microsoft-Windows-Servicing"], ids: &[(1, 14)] },
];

/// The query for all that is wanted and not older than `since`. A log that this system does not have is no fault: ask for
/// tolerance of query errors.
///
/// <https://learn.microsoft.com/windows/win32/wes/consuming-events>
pub fn query(since: DateTime<Utc>) -> String {
    let since = since.to_rfc3339_opts(SecondsFormat::Millis, true);
    let mut query = String::from("<QueryList><Query Id=\"0\">");
    for wanted in &WANTED {
        let names: Vec<_> = wanted.providers.iter().map(|name| format!("@Name='{name}'")).collect();
        let provider = if names.is_empty() { String::new() } else { format!("Provider[{}] and ", names.join(" or ")) };
        let ids: Vec<_> = wanted.ids.iter().map(|(first, last)| id_range(*first, *last)).collect();
        // Writing to a text never fails.
        let _ = write!(
            query,
            "<Select Path=\"{}\">*[System[{provider}({}) and TimeCreated[@SystemTime&gt;='{since}']]]</Select>",
            wanted.log,
            ids.join(" or ")
        );
    }
    query + "</Query></QueryList>"
}

fn id_range(first: u32, last: u32) -> String {
    if first == last { format!("EventID={first}") } else { format!("(EventID&gt;={first} and EventID&lt;={last})") }
}

/// What an entry says of the service that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ServiceName {
    /// Its SCM key name.
    Key(Text),
    /// Its display name, or its key name: entries are not consistent.
    Either(Text),
}

/// The entry, where it is one of those that are wanted. `key_of` finds the SCM key name of a service by its display name.
pub fn event(xml: &str, key_of: impl FnOnce(&str) -> Option<Text>) -> Option<Event> {
    let mut event = parse(xml)?;
    let is_wanted = WANTED.iter().any(|wanted| {
        wanted.log.eq_ignore_ascii_case(&event.log)
            && (wanted.providers.is_empty()
                || wanted.providers.iter().any(|name| name.eq_ignore_ascii_case(&event.provider)))
            && wanted.ids.iter().any(|(first, last)| (*first..=*last).contains(&event.id))
    });
    if !is_wanted {
        return None;
    }
    event.service = match service_name(&event) {
        Some(ServiceName::Key(key)) => Some(key),
        Some(ServiceName::Either(name)) => key_of(&name),
        None => None,
    };
    Some(event)
}

/// Most data of one entry that are kept.
const MOST_DATA: usize = 32;

fn parse(xml: &str) -> Option<Event> {
    let mut reader = Reader::from_str(xml);
    let mut entry = Entry::default();
    // Names of the elements that are open.
    let mut path: Vec<String> = Vec::new();
    let mut text = String::new();
    loop {
        match reader.read_event().ok()? {
            Xml::Start(element) => {
                path.push(element.local_name().as_ref().to_owned());
                entry.open(&path, &element);
                text.clear();
            }
            Xml::Empty(element) => {
                path.push(element.local_name().as_ref().to_owned());
                entry.open(&path, &element);
                entry.close(&path, "");
                path.pop();
            }
            Xml::Text(part) => text.push_str(&part.xml10_content()),
            Xml::CData(part) => text.push_str(&part.xml10_content()),
            Xml::GeneralRef(reference) => match reference.resolve_char_ref().ok()? {
                Some(character) => text.push(character),
                // Entries hold no entities of their own.
                None => text.push_str(quick_xml::escape::resolve_xml_entity(&reference.into_inner())?),
            },
            Xml::End(_) => {
                entry.close(&path, &text);
                text.clear();
                path.pop();
            }
            Xml::DocType(_) => return None,
            Xml::Comment(_) | Xml::Decl(_) | Xml::PI(_) => {}
            Xml::Eof => break,
        }
    }
    entry.finish()
}

/// What was read of an entry so far.
#[derive(Default)]
struct Entry {
    provider: Option<Text>,
    id: Option<u32>,
    at: Option<DateTime<Utc>>,
    record_id: Option<u64>,
    log: Option<Text>,
    /// Of the `Data` that is open.
    name: Option<Text>,
    data: Vec<EventDatum>,
}

impl Entry {
    fn open(&mut self, path: &[String], element: &BytesStart<'_>) {
        match Place::of(path) {
            Place::Provider => self.provider = attribute(element, "Name").map(Text::from),
            Place::TimeCreated => {
                self.at = attribute(element, "SystemTime").and_then(|time| time.parse().ok());
            }
            Place::Data => self.name = attribute(element, "Name").map(Text::from),
            _ => {}
        }
    }

    fn close(&mut self, path: &[String], text: &str) {
        match Place::of(path) {
            Place::EventId => self.id = text.trim().parse().ok(),
            Place::RecordId => self.record_id = text.trim().parse().ok(),
            Place::Channel => self.log = Some(Text::new(text.trim())),
            Place::Data => {
                let name = self.name.take();
                self.push(name, text);
            }
            Place::Binary => self.push(Some(Text::new("Binary")), text),
            // `…Textized` repeats a number in the language of the system.
            Place::UserData(name) if !name.ends_with("Textized") => self.push(Some(Text::new(name)), text),
            _ => {}
        }
    }

    fn push(&mut self, name: Option<Text>, value: &str) {
        if self.data.len() < MOST_DATA {
            self.data.push(EventDatum { name, value: Text::new(value.trim()) });
        }
    }

    fn finish(self) -> Option<Event> {
        Some(Event {
            log: self.log?,
            record_id: self.record_id?,
            at: self.at,
            provider: self.provider?,
            id: self.id?,
            service: None,
            data: self.data,
        })
    }
}

/// The elements that say something.
enum Place<'a> {
    Provider,
    EventId,
    TimeCreated,
    RecordId,
    Channel,
    Data,
    Binary,
    /// A member of the one structure below `UserData`.
    UserData(&'a str),
    Other,
}

impl<'a> Place<'a> {
    fn of(path: &'a [String]) -> Self {
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        match names[..] {
            ["Event", "System", "Provider"] => Self::Provider,
            ["Event", "System", "EventID"] => Self::EventId,
            ["Event", "System", "TimeCreated"] => Self::TimeCreated,
            ["Event", "System", "EventRecordID"] => Self::RecordId,
            ["Event", "System", "Channel"] => Self::Channel,
            ["Event", "EventData", "Data"] => Self::Data,
            ["Event", "EventData", "Binary"] => Self::Binary,
            ["Event", "UserData", _, name] => Self::UserData(name),
            _ => Self::Other,
        }
    }
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = element.try_get_attribute(name).ok()??;
    Some(attribute.normalized_value(XmlVersion::Implicit1_0).ok()?.into_owned())
}

fn service_name(event: &Event) -> Option<ServiceName> {
    if event.log.eq_ignore_ascii_case(DNS_SERVER) {
        return Some(ServiceName::Key(Text::new("DNS")));
    }
    if !event.provider.eq_ignore_ascii_case(SERVICE_CONTROL_MANAGER) {
        return None;
    }
    let binary = event.data.iter().find(|datum| datum.name.as_deref() == Some("Binary"));
    if let Some(key) = binary.and_then(|datum| service_key(&datum.value)) {
        return Some(ServiceName::Key(key));
    }
    // Server 2008 R2 numbers its data only, so they are counted.
    let datum = |at: usize| event.data.get(at).map(|datum| datum.value.clone()).filter(|value| !value.is_empty());
    match event.id {
        7000..=7003 | 7016 | 7022..=7024 | 7030..=7032 | 7034 | 7038 | 7041..=7043 | 7045 => {
            datum(0).map(ServiceName::Either)
        }
        7009 | 7011 => datum(1).map(ServiceName::Either),
        7040 => datum(3).map(ServiceName::Key),
        _ => None,
    }
}

/// The binary data of the service control manager: the key name in UTF-16, sometimes with `/` and the state behind it.
fn service_key(hexadecimal: &str) -> Option<Text> {
    let bytes = hex::decode(hexadecimal).ok()?;
    let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    let text = String::from_utf16(&units).ok()?;
    let key = text.split(['\0', '/']).next()?;
    let is_key = (1..=256).contains(&key.chars().count()) && !key.contains(|c: char| c.is_control() || c == '\\');
    is_key.then(|| Text::new(key))
}

/// The newest entries since the boot, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Window {
    /// In the order in which they were told.
    events: Vec<Event>,
}

impl Window {
    /// Entries that travel to the server; what leaves the window stays there.
    pub const LENGTH: usize = 256;

    pub fn push(&mut self, event: Event) {
        // A log that was cleared counts anew: the entry that had the number is gone there as well.
        self.events.retain(|known| (&known.log, known.record_id) != (&event.log, event.record_id));
        self.events.push(event);
        if self.events.len() > Self::LENGTH {
            self.events.remove(0);
        }
    }

    /// By log and number.
    pub fn events(&self) -> Vec<Event> {
        let by_key: BTreeMap<_, _> = self.events.iter().map(|event| ((&event.log, event.record_id), event)).collect();
        by_key.into_values().cloned().collect()
    }
}

/// What is kept of the event logs on disk: where reading ended, and what was read since the boot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept {
    pub boot_id: Text,
    /// In the words of Windows, which alone reads it.
    pub bookmark: String,
    pub window: Window,
}

#[cfg(test)]
mod tests;
