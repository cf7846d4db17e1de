//! What identifies the machine under this system, so that the server notices when one identity is used on two. Only what
//! changes with the machine counts: not its name, its addresses or its time.

use sha2::{Digest as _, Sha256};

#[cfg(windows)]
mod windows;

#[cfg(not(windows))]
mod elsewhere {
    use super::Parts;

    pub(super) fn parts() -> Parts {
        let machine_id = std::fs::read_to_string("/etc/machine-id").ok();
        vec![("machine-id", machine_id.map(|id| id.trim().as_bytes().to_vec()))]
    }
}

#[cfg(not(windows))]
use self::elsewhere::parts;
#[cfg(windows)]
use self::windows::parts;

/// Each by its name; `None`: it cannot be read.
type Parts = Vec<(&'static str, Option<Vec<u8>>)>;

/// SHA-256 over what can be read. Empty: nothing can.
pub fn of_this_machine() -> Vec<u8> {
    hash(&parts())
}

fn hash(parts: &Parts) -> Vec<u8> {
    let mut hash = Sha256::new();
    let mut is_empty = true;
    for (name, value) in parts {
        let Some(value) = value.as_ref().filter(|value| !value.is_empty()) else { continue };
        is_empty = false;
        for bytes in [name.as_bytes(), value] {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        }
    }
    if is_empty { Vec::new() } else { hash.finalize().to_vec() }
}

/// The UUID in the answer of `GetSystemFirmwareTable("RSMB")`: a header of 8 bytes, then structures, each with its type,
/// its length and, behind it, texts that end with two zeros; structure 1 has the UUID at byte 8 (DMTF DSP0134, 7.2).
/// `None`: there is none, or it is all zeros or all ones, which means the same.
#[cfg(any(windows, test))]
fn smbios_uuid(answer: &[u8]) -> Option<Vec<u8>> {
    let mut rest = answer.get(8..)?;
    loop {
        let (&kind, &length) = (rest.first()?, rest.get(1)?);
        let structure = rest.get(..usize::from(length))?;
        if length < 4 {
            return None;
        }
        if kind == 1 {
            let uuid = structure.get(8..24)?;
            let is_set = uuid.iter().any(|byte| *byte != 0) && uuid.iter().any(|byte| *byte != 0xff);
            return is_set.then(|| uuid.to_vec());
        }
        let texts = rest.get(usize::from(length)..)?;
        let end = texts.windows(2).position(|pair| pair == [0, 0])?;
        rest = texts.get(end + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::{hash, smbios_uuid};

    fn answer(uuid: [u8; 16]) -> Vec<u8> {
        let mut bytes = vec![0, 2, 8, 0, 0, 0, 0, 0];
        bytes.extend([0, 6, 0, 0, 1, 2]);
        bytes.extend(b"Vendor\x001.0\0\0");
        bytes.extend([1, 27, 1, 0, 1, 2, 3, 4]);
        bytes.extend(uuid);
        bytes.extend([6, 0, 0]);
        bytes.extend(b"Model\0\0");
        bytes
    }

    #[test]
    fn finds_the_uuid_behind_other_structures() {
        assert_eq!(smbios_uuid(&answer([7; 16])), Some(vec![7; 16]));
        assert_eq!(smbios_uuid(&answer([0; 16])), None);
        assert_eq!(smbios_uuid(&answer([0xff; 16])), None);
    }

    #[test]
    fn bytes_that_are_no_table_are_none() {
        let whole = answer([7; 16]);
        for length in 0..whole.len() {
            smbios_uuid(&whole[..length]);
        }
        assert_eq!(smbios_uuid(&[0; 64]), None);
        assert_eq!(smbios_uuid(&[1; 64]), None);
    }

    #[test]
    fn a_part_that_cannot_be_read_is_left_out_and_nothing_at_all_is_nothing() {
        let (a, b) = (("a", Some(vec![1])), ("b", Some(vec![2])));
        assert_eq!(hash(&vec![("a", None), ("b", Some(Vec::new()))]), Vec::<u8>::new());
        assert_eq!(hash(&vec![a.clone(), ("b", None)]), hash(&vec![a.clone()]));
        assert_ne!(hash(&vec![a.clone()]), hash(&vec![b.clone()]));
        assert_ne!(hash(&vec![a, b.clone()]), hash(&vec![b]));
    }
}
