//! How reports lie in a file: one record after the other, each with a checksum of its header and one of its body.
//!
//! Invariants: an intact record is found whatever stands before and after it; a record of another stream never is,
//! because its id is part of every checksum. Nothing here can panic, whatever the bytes are. No I/O.

use std::ops::Range;

use prost::Message as _;
use proto::fleet::v1;
use sha2::{Digest as _, Sha256};

const MAGIC: [u8; 4] = *b"PRT1";
/// Magic, kind, three zeros, number, length of the body.
const FIELDS: usize = 20;
const CHECKSUM: usize = 8;
const HEADER: usize = FIELDS + 2 * CHECKSUM;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// What the server will hold once every report up to the number is applied: a `Heartbeat` for its digests.
    Base = 1,
    /// The parts of the report with the number.
    Report = 2,
}

/// An intact record; the range is that of its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) kind: Kind,
    pub(super) number: u64,
    pub(super) body: Range<usize>,
}

/// What a file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    pub(super) records: Vec<Record>,
    /// The highest number in an intact header; the body may be damaged.
    pub(super) highest: u64,
    /// Something between or behind the records was a record once.
    pub(super) is_damaged: bool,
    /// Behind the last intact header lies what may have been records with numbers that nobody can read any more.
    pub(super) end_is_lost: bool,
}

pub(super) fn encode(stream_id: &[u8; 16], kind: Kind, number: u64, body: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(HEADER + body.len());
    record.extend(MAGIC);
    record.extend([kind as u8, 0, 0, 0]);
    record.extend(number.to_le_bytes());
    // A report has at most 64 parts of 256 KiB.
    record.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    let of_header = checksum(stream_id, &record, &[]);
    let of_body = checksum(stream_id, &record, body);
    record.extend(of_header);
    record.extend(of_body);
    record.extend(body);
    record
}

pub(super) fn scan(stream_id: &[u8; 16], bytes: &[u8]) -> Scan {
    let mut scan = Scan::default();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let Some(header) = Header::read(stream_id, rest) else {
            // A write that a crash cut short was never durable, so its number was never used; the file system may have
            // filled its place with zeros.
            let is_torn = rest.len() < HEADER && !scan.end_is_lost || rest.iter().all(|byte| *byte == 0);
            if is_torn {
                break;
            }
            scan.is_damaged = true;
            scan.end_is_lost = true;
            at += next_magic(rest);
            continue;
        };
        let Some(body) = rest.get(HEADER..HEADER + header.length) else { break };
        scan.highest = scan.highest.max(header.number);
        scan.end_is_lost = false;
        if checksum(stream_id, &rest[..FIELDS], body) == header.of_body {
            let body = at + HEADER..at + HEADER + header.length;
            scan.records.push(Record { kind: header.kind, number: header.number, body });
        } else {
            scan.is_damaged = true;
        }
        at += HEADER + header.length;
    }
    scan
}

pub(super) fn encode_parts(parts: &[v1::Report]) -> Vec<u8> {
    parts.iter().flat_map(v1::Report::encode_length_delimited_to_vec).collect()
}

/// `None` for what no version of this program wrote.
pub(super) fn decode_parts(mut body: &[u8]) -> Option<Vec<v1::Report>> {
    let mut parts = Vec::new();
    while !body.is_empty() {
        parts.push(v1::Report::decode_length_delimited(&mut body).ok()?);
    }
    Some(parts)
}

struct Header {
    kind: Kind,
    number: u64,
    length: usize,
    of_body: [u8; CHECKSUM],
}

impl Header {
    fn read(stream_id: &[u8; 16], bytes: &[u8]) -> Option<Self> {
        let fields = bytes.get(..FIELDS)?;
        let of_header = bytes.get(FIELDS..FIELDS + CHECKSUM)?;
        let of_body = bytes.get(FIELDS + CHECKSUM..HEADER)?;
        if fields[..4] != MAGIC || of_header != checksum(stream_id, fields, &[]) {
            return None;
        }
        let kind = match fields[4] {
            1 => Kind::Base,
            2 => Kind::Report,
            _ => return None,
        };
        let number = u64::from_le_bytes(fields[8..16].try_into().ok()?);
        let length = usize::try_from(u32::from_le_bytes(fields[16..20].try_into().ok()?)).ok()?;
        Some(Self { kind, number, length, of_body: of_body.try_into().ok()? })
    }
}

/// Where a record may begin, behind the first byte.
fn next_magic(bytes: &[u8]) -> usize {
    let found = bytes[1..].windows(MAGIC.len()).position(|window| window == MAGIC);
    found.map_or(bytes.len(), |position| position + 1)
}

fn checksum(stream_id: &[u8; 16], fields: &[u8], body: &[u8]) -> [u8; CHECKSUM] {
    let digest = Sha256::new().chain_update(stream_id).chain_update(fields).chain_update(body).finalize();
    let mut checksum = [0; CHECKSUM];
    checksum.copy_from_slice(&digest[..CHECKSUM]);
    checksum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{HEADER, Kind, encode, scan};

    const ID: [u8; 16] = [7; 16];

    fn numbers(bytes: &[u8]) -> Vec<u64> {
        scan(&ID, bytes).records.iter().map(|record| record.number).collect()
    }

    fn three() -> Vec<u8> {
        [(1, &b"one"[..]), (2, b"two"), (3, b"three")]
            .into_iter()
            .flat_map(|(number, body)| encode(&ID, Kind::Report, number, body))
            .collect()
    }

    #[test]
    fn every_way_to_cut_a_file_is_a_torn_end_and_costs_the_last_record_only() {
        let bytes = three();
        for length in 0..bytes.len() {
            let found = scan(&ID, &bytes[..length]);
            let whole = [HEADER + 3, 2 * (HEADER + 3), bytes.len()].iter().filter(|end| **end <= length).count();
            assert_eq!((found.records.len(), found.is_damaged), (whole, false), "cut at {length}");
            let with_zeros = [&bytes[..length], &[0; 100]].concat();
            assert!(scan(&ID, &with_zeros).records.len() >= whole, "zeros after {length}");
        }
    }

    #[test]
    fn every_flipped_bit_costs_one_record_and_is_noticed() {
        let bytes = three();
        for at in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[at / 8] ^= 1 << (at % 8);
            let found = scan(&ID, &damaged);
            assert_eq!(found.records.len(), 2, "bit {at}");
            assert!(found.is_damaged, "bit {at}");
            let lost = [1, 2, 3].into_iter().find(|number| !numbers(&damaged).contains(number));
            let in_last_header = lost == Some(3) && at / 8 < bytes.len() - 5;
            assert!(found.highest == 3 || (in_last_header && found.end_is_lost), "bit {at}: {found:?}");
        }
    }

    #[test]
    fn another_stream_left_nothing_that_could_be_taken_for_ours() {
        let found = scan(&[8; 16], &three());
        assert_eq!((found.records.len(), found.end_is_lost), (0, true));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..400), at in 0_usize..100) {
            scan(&ID, &bytes);
            let mut mixed = three();
            mixed.splice(at..at, bytes);
            scan(&ID, &mixed);
        }
    }
}
