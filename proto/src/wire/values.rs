//! Single values: times, text and the count of what was left out.

use chrono::{DateTime, Utc};
use rules::facts::Section;
use rules::text::Text;

/// Rows that could not be read.
#[derive(Debug, Default)]
pub(super) struct Dropped(pub(super) u64);

/// The last millisecond of the year 9999: what RFC 3339 and the database can both write.
const LAST_MILLISECOND: i64 = 253_402_300_799_999;

/// Milliseconds since 1970; 0: not known.
pub(super) fn milliseconds(time: Option<DateTime<Utc>>) -> i64 {
    time.map_or(0, |time| time.timestamp_millis().max(0))
}

/// `None`: not said, before 1970 or after 9999.
pub(super) fn time(milliseconds: i64) -> Option<DateTime<Utc>> {
    if !(1..=LAST_MILLISECOND).contains(&milliseconds) {
        return None;
    }
    DateTime::from_timestamp_millis(milliseconds)
}

/// At most `characters` of `raw`, cleaned. Names that become part of a database index need a limit of their own: an
/// entry may take 2,704 bytes.
pub(super) fn clip(raw: &str, characters: usize) -> Text {
    match raw.char_indices().nth(characters) {
        Some((end, _)) => Text::new(&raw[..end]),
        None => Text::new(raw),
    }
}

/// `None` for what is empty.
pub(super) fn some_text(raw: &str) -> Option<Text> {
    (!raw.is_empty()).then(|| Text::new(raw))
}

pub(super) fn text_to_wire(text: Option<&Text>) -> String {
    text.map(|text| text.as_str().to_owned()).unwrap_or_default()
}

/// The value as it travels, with its default where it is unknown, and the reason, which is empty where it is known.
pub(super) fn section_to_wire<T, W: Default>(section: &Section<T>, value: impl FnOnce(&T) -> W) -> (W, String) {
    match section {
        Section::Known(known) => (value(known), String::new()),
        Section::Unknown(reason) if reason.is_empty() => (W::default(), "no reason given".to_owned()),
        Section::Unknown(reason) => (W::default(), reason.as_str().to_owned()),
    }
}

pub(super) fn section_from_wire<T>(reason: &str, value: impl FnOnce() -> T) -> Section<T> {
    if reason.is_empty() { Section::Known(value()) } else { Section::Unknown(Text::new(reason)) }
}
