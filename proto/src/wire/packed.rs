//! Large sections travel deflated: a first report is mostly names and paths that repeat. Small ones would only grow.
//!
//! Invariant: what is inflated is bounded, by the size of a message for each section and by the size of a report for all of
//! them, before a byte of it is decoded.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use prost::Message;

use crate::fleet::v1;
use crate::fleet::v1::packed;
use crate::fleet::v1::section_report::Body;
use crate::wire::{MAX_MESSAGE, WireFault};

/// Below this, deflating saves little, as nothing repeats.
const WORTH_PACKING: usize = 512;

/// The section, packed where that makes it shorter.
pub(super) fn pack(section: v1::SectionReport) -> v1::SectionReport {
    let packed = match &section.body {
        Some(Body::Full(rows)) => deflated(rows).map(packed::Body::Full),
        Some(Body::Delta(changes)) => deflated(changes).map(packed::Body::Delta),
        Some(Body::Unknown(_) | Body::Packed(_)) | None => None,
    };
    match packed {
        Some(body) => v1::SectionReport { body: Some(Body::Packed(v1::Packed { body: Some(body) })), ..section },
        None => section,
    }
}

/// Unpacks every section in place, into at most `limit` bytes, and says how many they were.
pub(super) fn unpack(part: &mut v1::Report, limit: usize) -> Result<usize, WireFault> {
    let mut inflated_bytes = 0;
    for section in &mut part.sections {
        let Some(Body::Packed(packed)) = &section.body else { continue };
        let (deflated, is_full) = match &packed.body {
            Some(packed::Body::Full(bytes)) => (bytes, true),
            Some(packed::Body::Delta(bytes)) => (bytes, false),
            None => return Err(WireFault::Malformed("a packed section says nothing")),
        };
        let bytes = inflated(deflated)?;
        inflated_bytes += bytes.len();
        if inflated_bytes > limit {
            return Err(WireFault::TooLarge);
        }
        let undecodable = |_| WireFault::Malformed("a packed section cannot be decoded");
        section.body = Some(if is_full {
            Body::Full(v1::Rows::decode(bytes.as_slice()).map_err(undecodable)?)
        } else {
            Body::Delta(v1::Changes::decode(bytes.as_slice()).map_err(undecodable)?)
        });
    }
    Ok(inflated_bytes)
}

/// `None`: it is small, or would not become shorter.
fn deflated(message: &impl Message) -> Option<Vec<u8>> {
    let length = message.encoded_len();
    if length < WORTH_PACKING {
        return None;
    }
    let mut encoder = DeflateEncoder::new(Vec::with_capacity(length / 4), Compression::default());
    encoder.write_all(&message.encode_to_vec()).ok()?;
    encoder.finish().ok().filter(|bytes| bytes.len() < length)
}

fn inflated(deflated: &[u8]) -> Result<Vec<u8>, WireFault> {
    let mut bytes = Vec::new();
    let limit = MAX_MESSAGE as u64 + 1;
    DeflateDecoder::new(deflated)
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(|_| WireFault::Malformed("a packed section cannot be inflated"))?;
    if bytes.len() > MAX_MESSAGE {
        return Err(WireFault::TooLarge);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::{inflated, pack, unpack};
    use crate::fleet::v1;
    use crate::fleet::v1::section_report::Body;
    use crate::wire::MAX_MESSAGE;

    fn services(count: usize) -> v1::SectionReport {
        let service = |index| v1::Service {
            name: format!("Service{index}"),
            image_path: "C:\\Windows\\system32\\svchost.exe -k netsvcs".to_owned(),
            ..v1::Service::default()
        };
        let rows = v1::Rows { services: (0..count).map(service).collect(), ..v1::Rows::default() };
        v1::SectionReport { section: 3, digest: vec![7; 16], body: Some(Body::Full(rows)) }
    }

    fn report(section: v1::SectionReport) -> v1::Report {
        v1::Report { seq: 1, parts: 1, sections: vec![section], ..v1::Report::default() }
    }

    #[test]
    fn large_sections_are_packed_and_come_out_as_they_were() {
        let packed = pack(services(100));
        assert!(matches!(packed.body, Some(Body::Packed(_))));
        assert!(prost::Message::encoded_len(&packed) * 4 < prost::Message::encoded_len(&services(100)));
        let mut part = report(packed);
        let bytes = unpack(&mut part, MAX_MESSAGE).unwrap();
        assert!(bytes > 4_000, "{bytes}");
        assert_eq!(part.sections, [services(100)]);
    }

    #[test]
    fn small_sections_stay_as_they_are() {
        assert_eq!(pack(services(2)), services(2));
    }

    #[test]
    fn what_inflates_beyond_a_message_or_a_report_is_refused() {
        let zeros = super::deflated(&v1::Packed { body: Some(v1::packed::Body::Full(vec![0; 2 * MAX_MESSAGE])) });
        let bomb = zeros.expect("zeros deflate well");
        assert!(bomb.len() < 2_000);
        assert_eq!(inflated(&bomb).unwrap_err().code(), "report.too-large");
        let mut part = report(pack(services(100)));
        assert_eq!(unpack(&mut part, 100).unwrap_err().code(), "report.too-large");
    }

    #[test]
    fn what_is_not_deflated_is_malformed() {
        for body in [None, Some(v1::packed::Body::Full(vec![0xff; 40])), Some(v1::packed::Body::Delta(vec![7, 0]))] {
            let packed = v1::SectionReport { body: Some(Body::Packed(v1::Packed { body })), ..services(0) };
            assert_eq!(unpack(&mut report(packed), MAX_MESSAGE).unwrap_err().code(), "report.malformed");
        }
    }
}
