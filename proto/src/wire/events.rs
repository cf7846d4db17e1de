//! Entries of event logs: one message a row.

use std::collections::BTreeMap;

use rules::delta::Row;
use rules::facts::{Event, EventDatum};
use rules::text::Text;

use crate::fleet::v1;
use crate::wire::sockets::NAME_CHARACTERS;
use crate::wire::values::{Dropped, clip, milliseconds, some_text, text_to_wire, time};

/// Data of one entry; those of interest have at most eight.
const DATA: usize = 16;

pub(super) fn to_wire(events: &[Event]) -> Vec<v1::Event> {
    events
        .iter()
        .map(|event| v1::Event {
            log: event.log.as_str().to_owned(),
            record_id: event.record_id,
            at_ms: milliseconds(event.at),
            provider: event.provider.as_str().to_owned(),
            id: event.id,
            service: text_to_wire(event.service.as_ref()),
            data: event
                .data
                .iter()
                .map(|datum| v1::EventDatum {
                    name: text_to_wire(datum.name.as_ref()),
                    value: datum.value.as_str().to_owned(),
                })
                .collect(),
        })
        .collect()
}

/// Entries by key, of several with one key the last.
pub(super) fn from_wire(events: Vec<v1::Event>, dropped: &mut Dropped) -> Vec<Event> {
    let mut rows = BTreeMap::new();
    for event in events {
        if event.log.is_empty() || i64::try_from(event.record_id).is_err() {
            dropped.0 += 1;
            continue;
        }
        let row = Event {
            log: clip(&event.log, NAME_CHARACTERS),
            record_id: event.record_id,
            at: time(event.at_ms),
            provider: clip(&event.provider, NAME_CHARACTERS),
            id: event.id,
            service: (!event.service.is_empty()).then(|| clip(&event.service, NAME_CHARACTERS)),
            data: event
                .data
                .iter()
                .take(DATA)
                .map(|datum| EventDatum { name: some_text(&datum.name), value: Text::new(&datum.value) })
                .collect(),
        };
        rows.insert(row.key(), row);
    }
    rows.into_values().collect()
}

pub(super) fn keys_to_wire(keys: &[(Text, u64)]) -> Vec<v1::EventKey> {
    keys.iter().map(|(log, record_id)| v1::EventKey { log: log.as_str().to_owned(), record_id: *record_id }).collect()
}

pub(super) fn keys_from_wire(keys: &[v1::EventKey]) -> Vec<(Text, u64)> {
    let mut keys: Vec<_> = keys.iter().map(|key| (clip(&key.log, NAME_CHARACTERS), key.record_id)).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}
